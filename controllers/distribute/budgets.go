package distribute

import (
	"context"
	"math"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/budget"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
)

const (
	// maxBudgetRequests is how many of a stream may wait; more are told to come again.
	maxBudgetRequests = 64
	// lendTimeout bounds one of them: the sidecar does not wait longer.
	lendTimeout = 8 * time.Second
	// refusedRetry is when a sidecar may ask again for what cannot be lent now.
	refusedRetry = 5 * time.Second
)

// The budgets that are lent.
const (
	rowsPerHour   = "rowsPerHour"
	bytesPerHour  = "bytesPerHour"
	probesPerHour = "probesPerHour"
)

// takeBudget queues a request for lendAll: it takes a write to the API server, and delays no revocation.
func (l *line) takeBudget(ctx context.Context, r *sidecarv1alpha1.BudgetRequest) {
	select {
	case l.budgets <- r:
	default:
		l.s.metrics.budget.WithLabelValues("Busy").Inc()
		l.lent(ctx, &sidecarv1alpha1.BudgetAnswer{Sequence: r.GetSequence(), RetrySeconds: 1})
	}
}

// lendAll answers requests until the stream ends.
func (l *line) lendAll(ctx context.Context) {
	for {
		select {
		case r := <-l.budgets:
			l.lent(ctx, l.s.lend(ctx, l.id, r))
		case <-l.stop:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (l *line) lent(ctx context.Context, a *sidecarv1alpha1.BudgetAnswer) {
	select {
	case l.out <- &sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_Budget{Budget: a}}:
	case <-l.stop:
	case <-ctx.Done():
	}
}

// lend answers a request of a pod. Who the subject is says the stream, what the limit is the policy; the sidecar says only
// which budget it is about. Whatever fails lends nothing.
func (s *Server) lend(ctx context.Context, id identity, r *sidecarv1alpha1.BudgetRequest) *sidecarv1alpha1.BudgetAnswer {
	answer := &sidecarv1alpha1.BudgetAnswer{Sequence: r.GetSequence(), RetrySeconds: uint32(refusedRetry / time.Second)}
	key, limit := s.limitOf(ctx, id, r)
	if s.o.Budgets == nil || limit <= 0 {
		s.metrics.budget.WithLabelValues("NoSuchLimit").Inc()
		return answer
	}
	ctx, cancel := context.WithTimeout(ctx, lendTimeout)
	defer cancel()
	got, err := s.o.Budgets.Lend(ctx, key, budget.Ask{
		Pod: string(id.pod.UID), Limit: limit, Want: r.GetWant(), Unused: r.GetUnused(), Over: r.GetOverdrawn(),
	})
	if err != nil {
		s.metrics.budget.WithLabelValues("Failed").Inc()
		s.o.Log.Error(err, "a part of a budget could not be lent", "namespace", id.pod.Namespace, "pod", id.pod.Name,
			"policy", key.Policy.String(), "rule", key.Rule, "budget", key.Budget)
		return answer
	}
	answer.Granted, answer.Left, answer.Limit = got.Granted, got.Left, limit
	switch {
	case got.Granted > 0:
		s.metrics.budget.WithLabelValues("Lent").Inc()
		answer.Seconds, answer.RetrySeconds = uint32(budget.LeaseTime/time.Second), 0
	case r.GetWant() > 0:
		s.metrics.budget.WithLabelValues("Spent").Inc()
		answer.RetrySeconds = uint32(min(max(got.Retry, time.Second), time.Hour) / time.Second)
	default:
		s.metrics.budget.WithLabelValues("Returned").Inc()
		answer.RetrySeconds = 0
	}
	return answer
}

// limitOf finds the budget that a request is about, and what it holds in an hour; 0: there is no such budget. Only what the
// pod is injected with, and what policies that select it say, is counted.
func (s *Server) limitOf(ctx context.Context, id identity, r *sidecarv1alpha1.BudgetRequest) (budget.Key, int64) {
	for _, source := range id.injected {
		if source.String() != r.GetDataSource() {
			continue
		}
		p := s.selected(ctx, id, source, r.GetRule().GetPolicy())
		if p == nil {
			break
		}
		return budget.Key{
			DataSource: source, Namespace: id.pod.Namespace, ServiceAccount: id.pod.Spec.ServiceAccountName,
			Policy: types.NamespacedName{Namespace: p.Namespace, Name: p.Name}, Rule: r.GetRule().GetRule(), Budget: r.GetBudget(),
		}, hourly(p, r.GetRule().GetRule(), r.GetBudget())
	}
	return budget.Key{}, 0
}

// selected returns the policy "namespace/name" if it is about the data source and selects the pod; otherwise nil.
func (s *Server) selected(ctx context.Context, id identity, source types.NamespacedName, policy string) *v1alpha1.AccessPolicy {
	w := s.world(ctx)
	ds, err := w.dataSource(source)
	if err != nil || ds == nil {
		return nil
	}
	all, err := w.policies(source.Namespace)
	if err != nil {
		return nil
	}
	chosen, err := compile.Selected(ds, all, subjectOf(id))
	if err != nil {
		return nil
	}
	namespace, name, _ := strings.Cut(policy, "/")
	for _, p := range chosen {
		if p.Namespace == namespace && p.Name == name {
			return p
		}
	}
	return nil
}

// hourly is what a policy allows in an hour; 0: it says nothing of it. Probes are bounded by the policy as a whole: their rule
// is "probes".
func hourly(p *v1alpha1.AccessPolicy, rule, which string) int64 {
	if which == probesPerHour {
		if p.Spec.Probes == nil || p.Spec.Probes.PerHour == nil || rule != "probes" {
			return 0
		}
		return *p.Spec.Probes.PerHour
	}
	for i := range p.Spec.Rules {
		l := p.Spec.Rules[i].Limits
		if p.Spec.Rules[i].Name != rule || l == nil {
			continue
		}
		switch {
		case which == rowsPerHour && l.RowsPerHour != nil:
			return min(*l.RowsPerHour, math.MaxInt64/4)
		case which == bytesPerHour && l.BytesPerHour != nil:
			return min(l.BytesPerHour.Value(), math.MaxInt64/4)
		}
	}
	return 0
}
