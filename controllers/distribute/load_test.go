package distribute

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/prometheus/client_golang/prometheus"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/session"
)

const (
	crowd = 1000 // sidecars
	rate  = 50   // calls a second that Session writes may cost, the defaults
	burst = 300
)

// believing says of every token what it says itself: a thousand TokenReviews would
// test the API server.
type believing struct{ pods map[string]*corev1.Pod }

func (b believing) Create(_ context.Context, r *authenticationv1.TokenReview, _ metav1.CreateOptions) (*authenticationv1.TokenReview, error) {
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(r.Spec.Token, ".")[1])
	if err != nil {
		return nil, err
	}
	var c claims
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, err
	}
	pod := b.pods[c.Bound.Pod.UID]
	r.Status = authenticationv1.TokenReviewStatus{
		Authenticated: true, Audiences: []string{Audience},
		User: authenticationv1.UserInfo{
			Username: "system:serviceaccount:" + pod.Namespace + ":default",
			Extra:    map[string]authenticationv1.ExtraValue{extraPodName: {pod.Name}, extraPodUID: {string(pod.UID)}},
		},
	}
	return r, nil
}

// counting counts the calls to the API server that writes are.
type counting struct {
	client.Client
	calls *atomic.Int64
}

func (c counting) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	c.calls.Add(1)
	return c.Client.Create(ctx, o, opts...)
}

func (c counting) Delete(ctx context.Context, o client.Object, opts ...client.DeleteOption) error {
	c.calls.Add(1)
	return c.Client.Delete(ctx, o, opts...)
}

func (c counting) Status() client.SubResourceWriter {
	return countingStatus{c.Client.Status(), c.calls}
}

type countingStatus struct {
	client.SubResourceWriter
	calls *atomic.Int64
}

func (c countingStatus) Apply(ctx context.Context, o runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
	c.calls.Add(1)
	return c.SubResourceWriter.Apply(ctx, o, opts...)
}

// member is one of the crowd.
type member struct {
	*sidecar
	arrived atomic.Int64 // unix nanoseconds of the latest snapshot
}

// follow acknowledges snapshots until the stream ends.
func (m *member) follow() {
	for {
		msg, err := m.stream.Recv()
		if err != nil {
			return
		}
		if snap := msg.GetSnapshot(); snap != nil {
			m.arrived.Store(time.Now().UnixNano())
			_ = m.stream.Send(&sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Ack{
				Ack: &sidecarv1alpha1.Ack{Revision: snap.GetRevision()},
			}})
		}
	}
}

func each[T any](list []T, do func(int, T) error) error {
	var running sync.WaitGroup
	slots := make(chan struct{}, 32)
	failed := make(chan error, len(list))
	for i, x := range list {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			if err := do(i, x); err != nil {
				failed <- err
			}
		})
	}
	running.Wait()
	close(failed)
	return <-failed
}

func TestACrowdOfSidecarsDoesNotFloodTheAPIServer(t *testing.T) {
	pods := make([]*corev1.Pod, crowd)
	believed := believing{map[string]*corev1.Pod{}}
	var calls atomic.Int64
	registry := prometheus.NewRegistry()
	o := start(t, func(o *Options, s *session.Options) {
		o.Tokens = believed
		s.Client, s.Rate, s.Burst, s.Registerer = counting{s.Client, &calls}, rate, burst, registry
	})
	s := o.shop(t)
	must(t, each(pods, func(i int, _ *corev1.Pod) error {
		pods[i] = injected(s.work, fmt.Sprintf("report-%d", i), s.names([]string{"orders"}))
		return s.client.Create(t.Context(), pods[i])
	}))
	for _, p := range pods {
		believed.pods[string(p.UID)] = p
	}
	began := time.Now()
	// A bucket's rate and burst are all that may be written, whatever happens.
	within := func(when string) {
		t.Helper()
		passed := time.Since(began)
		if most := burst + rate*passed.Seconds() + 1; float64(calls.Load()) > most {
			t.Errorf("%s: %d calls in %v, want at most %.0f", when, calls.Load(), passed, most)
		}
	}
	members := s.arrive(t, pods)
	t.Logf("%d sidecars connected in %v", crowd, time.Since(began))
	s.allSessions(t, "to be written", within, func(st *v1alpha1.SessionStatus) bool {
		return st.Revision > 0 && len(st.Policies) == 1 && st.Policies[0].Generation == 1
	})
	written := time.Since(began)
	t.Logf("their Sessions were written in %v by %d calls", written, calls.Load())

	// What they report is not written before a minute is over.
	reported := calls.Load()
	for i := range 3 {
		must(t, each(members, func(_ int, m *member) error {
			return m.stream.Send(&sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Report{
				Report: &sidecarv1alpha1.Report{DataSource: s.data + "/orders", Statements: uint64(i + 1)},
			}})
		}))
	}
	if n := calls.Load() - reported; n > crowd/10 {
		t.Errorf("3 reports of each within moments came to %d writes", n)
	}
	s.change(t, members)
	within("after a change of policy")

	atOnce, before := time.Now(), calls.Load()
	for _, m := range members {
		m.close()
	}
	s.allSessions(t, "to be Lost", within, func(st *v1alpha1.SessionStatus) bool { return st.State == v1alpha1.SessionLost })
	eventually(t, "the breaker to recover", func() bool { return value(t, registry, "tidewaiter_session_breaker_open") == 0 })
	speed := float64(calls.Load()-before) / time.Since(atOnce).Seconds()
	switch tripped := value(t, registry, "tidewaiter_session_breaker_trips_total") > 0; {
	case !tripped && speed > 0.9*rate:
		t.Error("the breaker has not tripped")
	case !tripped: // the breaker's own tests have a clock that they set
		t.Logf("this API server takes %.0f calls a second now, which is less than the breaker lets through", speed)
	}
	t.Logf("%d calls in all, in %v", calls.Load(), time.Since(began))
	// Created and written, a change, lost; and some in between.
	if n := calls.Load(); n > 6*crowd {
		t.Errorf("%d calls for %d Sessions", n, crowd)
	}
}

// arrive connects a sidecar for each pod.
func (s shop) arrive(t *testing.T, pods []*corev1.Pod) []*member {
	t.Helper()
	members := make([]*member, len(pods))
	must(t, each(pods, func(i int, pod *corev1.Pod) error {
		c, err := s.open(t.Context(), forged(string(pod.UID), time.Now().Add(time.Hour)))
		if err != nil {
			return err
		}
		members[i] = &member{sidecar: c}
		err = c.stream.Send(&sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Hello{Hello: &sidecarv1alpha1.Hello{}}})
		go members[i].follow()
		return err
	}))
	t.Cleanup(func() {
		for _, m := range members {
			m.close()
		}
	})
	return members
}

// allSessions waits until every Session is as it should be.
func (s shop) allSessions(t *testing.T, what string, within func(string), right func(*v1alpha1.SessionStatus) bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(250 * time.Millisecond) {
		var list v1alpha1.SessionList
		must(t, s.client.List(t.Context(), &list, client.InNamespace(s.work)))
		n := 0
		for i := range list.Items {
			if right(&list.Items[i].Status) {
				n++
			}
		}
		within(what)
		if n == crowd && len(list.Items) == crowd {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited 3 min for %d Sessions %s; %d are, of %d", crowd, what, n, len(list.Items))
		}
	}
}

// change changes the policy and waits until all have it.
func (s shop) change(t *testing.T, members []*member) {
	t.Helper()
	began := time.Now()
	update(t, s.client, s.getPolicy("reporting"), func(p *v1alpha1.AccessPolicy) { p.Spec.Predicates = v1alpha1.PredicatesDeny })
	for _, m := range members {
		eventually(t, "everybody to have the change", func() bool { return m.arrived.Load() > began.UnixNano() })
	}
	latest := int64(0)
	for _, m := range members {
		latest = max(latest, m.arrived.Load())
	}
	t.Logf("a change of policy was with all %d after %v", len(members), time.Unix(0, latest).Sub(began))
}

// value of a metric without labels.
func value(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}
