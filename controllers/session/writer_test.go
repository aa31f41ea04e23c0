package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/test/kubetest"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

// cluster is a namespace on a real API server, and a client that reads from it
// directly: a cache that is never behind.
type cluster struct {
	client    client.Client
	namespace string
}

func newCluster(t *testing.T) cluster {
	t.Helper()
	kube := kubetest.Shared(t)
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(kube.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return cluster{c, kube.NewNamespace(t, nil)}
}

func (c cluster) pod(t *testing.T, name string) *corev1.Pod {
	t.Helper()
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: name},
		Spec:       corev1.PodSpec{ServiceAccountName: "default", Containers: []corev1.Container{{Name: "app", Image: "example.org/app"}}},
	}
	if err := c.client.Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return p
}

func who(p *corev1.Pod, namespace, name string) Who {
	return Who{Namespace: p.Namespace, Pod: p.Name, UID: p.UID, ServiceAccount: "default", DataSource: types.NamespacedName{Namespace: namespace, Name: name}}
}

func (c cluster) get(t *testing.T, name string) *v1alpha1.Session {
	t.Helper()
	var s v1alpha1.Session
	if err := c.client.Get(t.Context(), types.NamespacedName{Namespace: c.namespace, Name: name}, &s); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return &s
}

func (c cluster) writer(t *testing.T, o Options) *Writer {
	t.Helper()
	o.Client = c.client
	w := NewWriter(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- w.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 30 s for %s", what)
		}
	}
}

func idle(revision int64) v1alpha1.SessionStatus {
	return v1alpha1.SessionStatus{State: v1alpha1.SessionIdle, Revision: revision, Policies: []v1alpha1.SessionPolicy{{Name: "p", Generation: 1}}}
}

func TestAFieldThatIsNoLongerTrueIsGone(t *testing.T) {
	c := newCluster(t)
	w := c.writer(t, Options{Replica: "a"})
	me := who(c.pod(t, "report"), "data", "orders")
	st := idle(1)
	st.Rejection = &v1alpha1.SessionRejection{Revision: 2, Reason: "BundleExpired"}
	w.Update(me, st)
	eventually(t, "the rejection", func() bool { return c.get(t, "report-orders").Status.Rejection != nil })
	w.Update(me, idle(3))
	eventually(t, "its end", func() bool { s := c.get(t, "report-orders").Status; return s.Rejection == nil && s.Revision == 3 })
}

func TestTwoDataSourcesOfOneNameAreTwoSessions(t *testing.T) {
	c := newCluster(t)
	w := c.writer(t, Options{Replica: "a"})
	p := c.pod(t, "report")
	one, two := who(p, "data", "orders"), who(p, "more", "orders")
	w.Update(one, idle(1))
	eventually(t, "the first", func() bool { return c.get(t, one.Name()).Status.Revision == 1 })
	w.Update(two, idle(2))
	eventually(t, "the second", func() bool { return c.get(t, two.longName()).Status.Revision == 2 })
	if s := c.get(t, one.Name()); s.Spec.DataSource.Namespace != "data" || s.Status.Revision != 1 {
		t.Errorf("the first has become %+v", s.Spec)
	}
}

func TestALaterPodOfTheNameGetsASessionOfItsOwn(t *testing.T) {
	c := newCluster(t)
	w := c.writer(t, Options{Replica: "a"})
	p := c.pod(t, "report-0")
	w.Update(who(p, "data", "orders"), idle(1))
	eventually(t, "the first", func() bool { return c.get(t, "report-0-orders").Status.Revision == 1 })
	if err := c.client.Delete(t.Context(), p, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	later := c.pod(t, "report-0")
	w.Update(who(later, "data", "orders"), idle(2))
	eventually(t, "the later pod's", func() bool {
		s := c.get(t, "report-0-orders")
		return s.Spec.Pod.UID == string(later.UID) && s.OwnerReferences[0].UID == later.UID && s.Status.Revision == 2
	})
}

func TestANamespaceHoldsOnlySoMany(t *testing.T) {
	c := newCluster(t)
	w := c.writer(t, Options{Replica: "a", PerNamespace: 3})
	for i := range 6 {
		w.Update(who(c.pod(t, fmt.Sprint("report-", i)), "data", "orders"), idle(1))
	}
	var list v1alpha1.SessionList
	count := func() int {
		if err := c.client.List(t.Context(), &list, client.InNamespace(c.namespace)); err != nil {
			t.Fatal(err)
		}
		return len(list.Items)
	}
	eventually(t, "three", func() bool { return count() == 3 })
	w.Update(who(c.pod(t, "last"), "data", "orders"), idle(1))
	eventually(t, "the refusals", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		waiting := 0
		for _, e := range w.entries {
			if e.failures > 0 {
				waiting++
			}
		}
		return waiting == 4
	})
	if n := count(); n != 3 {
		t.Errorf("%d Sessions", n)
	}
}

func TestAReplicaThatLostTheStreamLeavesItToTheOneThatHasIt(t *testing.T) {
	c := newCluster(t)
	grace := 500 * time.Millisecond
	a, b := c.writer(t, Options{Replica: "a", Grace: grace}), c.writer(t, Options{Replica: "b", Grace: grace})
	moved, lost := who(c.pod(t, "moved"), "data", "orders"), who(c.pod(t, "lost"), "data", "orders")
	for _, me := range []Who{moved, lost} {
		a.Update(me, idle(1))
		eventually(t, "a Session", func() bool { return c.get(t, me.Name()).Status.Replica == "a" })
	}
	b.Update(moved, idle(2))
	eventually(t, "the other replica's word", func() bool { return c.get(t, moved.Name()).Status.Replica == "b" })
	a.Detach(moved)
	a.Detach(lost)
	eventually(t, "the lost one", func() bool { return c.get(t, lost.Name()).Status.State == v1alpha1.SessionLost })
	eventually(t, "the first replica to forget both", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.entries) == 0
	})
	if s := c.get(t, moved.Name()).Status; s.State != v1alpha1.SessionIdle || s.Replica != "b" {
		t.Errorf("the moved one is %s of %s", s.State, s.Replica)
	}
}

func TestASessionThatSomebodyDeletedComesBack(t *testing.T) {
	c := newCluster(t)
	w := c.writer(t, Options{Replica: "a", Refresh: 300 * time.Millisecond})
	me := who(c.pod(t, "report"), "data", "orders")
	w.Update(me, idle(1))
	eventually(t, "the Session", func() bool { return c.get(t, me.Name()).Status.Revision == 1 })
	before := c.get(t, me.Name()).UID
	if err := c.client.Delete(t.Context(), c.get(t, me.Name())); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another", func() bool { s := c.get(t, me.Name()); return s.UID != before && s.Status.Revision == 1 })
}

func TestTheReaperEndsAndRemoves(t *testing.T) {
	c := newCluster(t)
	w := c.writer(t, Options{Replica: "a"})
	gone, stays, orphan := c.pod(t, "gone"), c.pod(t, "stays"), c.pod(t, "orphan")
	for _, p := range []*corev1.Pod{gone, stays} {
		w.Update(who(p, "data", "orders"), idle(1))
	}
	dead := c.writer(t, Options{Replica: "dead"})
	dead.Update(who(orphan, "data", "orders"), idle(1))
	for _, name := range []string{"gone-orders", "stays-orders", "orphan-orders"} {
		eventually(t, name, func() bool { return c.get(t, name).Status.Revision == 1 })
	}
	if err := c.client.Delete(t.Context(), gone, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	ahead := 2 * time.Minute
	r := NewReaper(ReaperOptions{
		Client: c.client, TTL: time.Hour, Alive: func(replica string) bool { return replica != "dead" },
		Now: func() time.Time { return time.Now().Add(ahead) },
	})
	round := func() {
		t.Helper()
		if err := r.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	round()
	if s := c.get(t, "gone-orders").Status; s.State != v1alpha1.SessionEnded || s.EndedAt == nil || s.Revision != 1 {
		t.Errorf("the gone pod's is %+v", s)
	}
	if s := c.get(t, "orphan-orders").Status; s.State != v1alpha1.SessionIdle {
		t.Errorf("a replica that is gone for a moment loses its Sessions: %s", s.State)
	}
	ahead += 3 * time.Minute
	round()
	if s := c.get(t, "orphan-orders").Status; s.State != v1alpha1.SessionLost {
		t.Errorf("the gone replica's is %s", s.State)
	}
	ahead += 2 * time.Hour
	round()
	if s := c.get(t, "gone-orders"); s.UID != "" {
		t.Errorf("it is still there: %s", s.Status.State)
	}
	if s := c.get(t, "stays-orders").Status; s.State != v1alpha1.SessionIdle {
		t.Errorf("the running pod's is %s", s.State)
	}
}

func TestWhatIsStoredIsSmall(t *testing.T) {
	c := newCluster(t)
	w := c.writer(t, Options{Replica: "tidewaiter-operator-7d9f8b6c5d-x2x4z"})
	for pod, n := range map[string]int{"report": 8, strings.Repeat("report-", 30) + "x": 100} {
		me := who(c.pod(t, pod), c.namespace, "orders")
		st := v1alpha1.SessionStatus{
			State: v1alpha1.SessionActive, Revision: 1 << 50, DataSourceGeneration: 1 << 20, Connections: 1 << 50, Statements: 1 << 50, Denied: 1 << 50,
			Masked: 1 << 50, Held: 1 << 50, Rows: 1 << 50, Bytes: 1 << 50, LastActivity: metaTime(time.Now()),
			Recording: "file:///var/lib/tidewaiter/" + strings.Repeat("x", 200), ChainHead: strings.Repeat("0", 64),
			Message:   strings.Repeat("m", 600),
			Rejection: &v1alpha1.SessionRejection{Revision: 1 << 50, Reason: "BundleExpired", Message: strings.Repeat("m", 600)},
		}
		for i := range n {
			st.Policies = append(st.Policies, v1alpha1.SessionPolicy{Name: v1alpha1.ObjectName(fmt.Sprintf("policy-%03d", i)), Generation: 1 << 40})
		}
		w.Update(me, st)
		eventually(t, "the Session", func() bool { return c.get(t, me.Name()).Status.Revision > 0 })
		raw, err := json.Marshal(c.get(t, me.Name()))
		if err != nil || len(raw) > MaxSize {
			t.Errorf("%d policies: %d bytes are stored, want at most %d (%v)", n, len(raw), MaxSize, err)
		}
		if got := len(c.get(t, me.Name()).Status.Policies); n == 8 && got != 8 {
			t.Errorf("%d of 8 policies are listed", got)
		}
	}
}
