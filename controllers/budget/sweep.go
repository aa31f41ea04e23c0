package budget

import (
	"context"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// sweepEvery is how often a replica looks for budgets of which nothing counts any more.
const sweepEvery = 10 * time.Minute

// NeedLeaderElection is false: a replica sweeps to know how many budgets there are, too.
func (l *Ledger) NeedLeaderElection() bool { return false }

// Start sweeps until ctx ends.
func (l *Ledger) Start(ctx context.Context) error {
	every := time.NewTicker(sweepEvery)
	defer every.Stop()
	for {
		if err := l.Sweep(ctx); err != nil && ctx.Err() == nil {
			l.o.Log.Error(err, "budgets of which nothing counts any more could not be removed")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

// Sweep removes the budgets of which nothing counts any more, an hour and two minutes after they were last used, and counts
// the others.
func (l *Ledger) Sweep(ctx context.Context) error {
	counts, total := map[string]int{}, 0
	list := metav1.ListOptions{LabelSelector: Label + "=" + Labeled, Limit: 200}
	for {
		page, err := l.o.ConfigMaps.List(ctx, list)
		if err != nil {
			return err
		}
		for i := range page.Items {
			cm := &page.Items[i]
			gone, err := l.remove(ctx, cm)
			if err != nil {
				return err
			}
			if !gone {
				counts[cm.Labels[subjectLabel]]++
				total++
			}
		}
		if list.Continue = page.Continue; list.Continue == "" {
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts, l.total = counts, total
	maps.DeleteFunc(l.keys, func(_ string, e *entry) bool { return l.o.Now().Sub(e.used) > 2*time.Hour })
	return nil
}

// remove deletes a budget of which nothing counts, unless it has been used meanwhile. One that cannot be read stays: it lends
// nothing, and somebody has to look at it.
func (l *Ledger) remove(ctx context.Context, cm *corev1.ConfigMap) (gone bool, err error) {
	s, err := parse(cm.Data[stateKey])
	if err != nil {
		l.o.Log.Info("a budget cannot be read, and lends nothing: delete its ConfigMap to begin anew", "name", cm.Name)
		return false, nil
	}
	if s.forget(l.o.Now().Unix() / 60) {
		return false, nil
	}
	err = l.o.ConfigMaps.Delete(ctx, cm.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &cm.UID, ResourceVersion: &cm.ResourceVersion}})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return apierrors.IsNotFound(err), nil
	}
	return err == nil, err
}
