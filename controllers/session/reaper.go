package session

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// ReaperOptions say how long Sessions are kept. What is left out has a default.
type ReaperOptions struct {
	// Client reads Pods and Sessions from a cache, and writes Sessions.
	Client client.Client
	// TTL is how long a Session stays after its end: 1 h.
	TTL time.Duration
	// Alive reports whether a replica of the operator still runs; nil, all do.
	Alive func(replica string) bool
	// Grace is how long a replica may be gone before its Sessions are Lost: 2 min.
	Grace time.Duration
	// Interval between rounds: 30 s.
	Interval time.Duration
	// PerRound bounds the writes of a round: 200.
	PerRound int
	Log      logr.Logger
	// Now is the clock.
	Now func() time.Time
}

// Reaper ends the Sessions whose pods are gone, marks those whose replica is gone,
// and removes them some time after their end. Only the leader runs one. It is what
// holds where the garbage collector or a replica did not get to it.
type Reaper struct {
	o       ReaperOptions
	missing map[string]time.Time // replicas, since when
}

// NewReaper returns a Reaper.
func NewReaper(o ReaperOptions) *Reaper {
	o.TTL, o.Grace = cmp.Or(o.TTL, time.Hour), cmp.Or(o.Grace, 2*time.Minute)
	o.Interval, o.PerRound = cmp.Or(o.Interval, 30*time.Second), cmp.Or(o.PerRound, 200)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Reaper{o: o, missing: map[string]time.Time{}}
}

// NeedLeaderElection is true: two reapers would do everything twice.
func (r *Reaper) NeedLeaderElection() bool { return true }

// Start makes rounds until ctx ends.
func (r *Reaper) Start(ctx context.Context) error {
	ticker := time.NewTicker(r.o.Interval)
	defer ticker.Stop()
	for {
		if err := r.Round(ctx); err != nil && ctx.Err() == nil {
			r.o.Log.Error(err, "the Sessions could not be looked through")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Round looks at every Session once.
func (r *Reaper) Round(ctx context.Context) error {
	var list v1alpha1.SessionList
	if err := r.o.Client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	gone := r.goneReplicas(list.Items)
	writes := 0
	for i := range list.Items {
		if writes >= r.o.PerRound {
			break // the rest is for the next round
		}
		s := &list.Items[i]
		pod, err := r.pod(ctx, s)
		if err != nil {
			return err
		}
		v := judge(s, pod, gone[s.Status.Replica], r.o.TTL, r.o.Now())
		if v == leave {
			continue
		}
		writes++
		err = r.act(ctx, s, v)
		if errors.Is(err, context.Canceled) {
			return err
		}
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			r.o.Log.Error(err, "a Session could not be put away", "namespace", s.Namespace, "session", s.Name)
		}
	}
	return nil
}

// goneReplicas are those that have been gone for longer than the grace.
func (r *Reaper) goneReplicas(sessions []v1alpha1.Session) map[string]bool {
	if r.o.Alive == nil {
		return nil
	}
	gone, seen := map[string]bool{}, map[string]bool{}
	for i := range sessions {
		replica := sessions[i].Status.Replica
		if replica == "" || seen[replica] {
			continue
		}
		seen[replica] = true
		if r.o.Alive(replica) {
			delete(r.missing, replica)
			continue
		}
		if _, known := r.missing[replica]; !known {
			r.missing[replica] = r.o.Now()
		}
		gone[replica] = r.o.Now().Sub(r.missing[replica]) >= r.o.Grace
	}
	for replica := range r.missing {
		if !seen[replica] {
			delete(r.missing, replica)
		}
	}
	return gone
}

// pod is the Session's, and not a later one of its name; nil if it is gone.
func (r *Reaper) pod(ctx context.Context, s *v1alpha1.Session) (*corev1.Pod, error) {
	var pod corev1.Pod
	k := types.NamespacedName{Namespace: s.Namespace, Name: string(s.Spec.Pod.Name)}
	err := r.o.Client.Get(ctx, k, &pod, client.UnsafeDisableDeepCopy)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	case string(pod.UID) != s.Spec.Pod.UID:
		return nil, nil
	}
	return &pod, nil
}

// verdict on a Session.
type verdict int

const (
	leave verdict = iota
	end
	lose
	remove
)

// young Sessions are left alone: their pod may not be in the cache yet.
const young = time.Minute

// judge is pure. A pod that is nil is gone.
func judge(s *v1alpha1.Session, pod *corev1.Pod, replicaGone bool, ttl time.Duration, now time.Time) verdict {
	over := pod == nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	switch st := &s.Status; {
	case now.Sub(s.CreationTimestamp.Time) < young:
		return leave
	case st.State == v1alpha1.SessionEnded && st.EndedAt != nil:
		if now.Sub(st.EndedAt.Time) >= ttl {
			return remove
		}
		return leave
	case over:
		return end
	case replicaGone && (st.State == v1alpha1.SessionActive || st.State == v1alpha1.SessionIdle):
		return lose
	}
	return leave
}

func (r *Reaper) act(ctx context.Context, s *v1alpha1.Session, v verdict) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if v == remove {
		uid := s.UID
		return r.o.Client.Delete(ctx, s.DeepCopy(), client.Preconditions{UID: &uid})
	}
	status := *s.Status.DeepCopy()
	status.Connections = 0
	if v == end {
		status.State, status.EndedAt, status.Message = v1alpha1.SessionEnded, metaTime(r.o.Now()), "the pod is gone or has finished"
	} else {
		status.State, status.Message = v1alpha1.SessionLost, "the operator's replica that held the stream is gone, and the sidecar has not come back"
	}
	return apply(ctx, r.o.Client, whoOf(s), s.Name, status)
}

func whoOf(s *v1alpha1.Session) Who {
	return Who{
		Namespace: s.Namespace, Pod: string(s.Spec.Pod.Name), UID: types.UID(s.Spec.Pod.UID),
		ServiceAccount: string(s.Spec.ServiceAccount),
		DataSource:     types.NamespacedName{Namespace: s.Spec.DataSource.Namespace, Name: string(s.Spec.DataSource.Name)},
	}
}
