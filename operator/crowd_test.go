package operator

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/test/kubetest"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// crowd is how many sidecars acknowledge one after the other.
const crowd = 1000

func TestAThousandSidecarsThatAcknowledgeAreAFewWritesOfAPolicysStatus(t *testing.T) {
	server, pg := installed(t), postgrestest.Shared(t)
	prepare(t, server, pg)
	c := fast(t, server)
	sessions := make([]*v1alpha1.Session, crowd)
	each(t, func(i int) error {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("report-%d", i), Labels: map[string]string{"app": "report"}},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "agent"}}},
		}
		if err := c.Create(t.Context(), pod); err != nil {
			return err
		}
		sessions[i] = &v1alpha1.Session{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: pod.Name + "-orders"},
			Spec: v1alpha1.SessionSpec{
				Pod: v1alpha1.PodReference{Name: v1alpha1.ObjectName(pod.Name), UID: string(pod.UID)}, ServiceAccount: "default",
				DataSource: v1alpha1.NamespacedReference{Namespace: "data", Name: "orders"},
			},
		}
		if err := c.Create(t.Context(), sessions[i]); err != nil {
			return err
		}
		sessions[i].Status = v1alpha1.SessionStatus{State: v1alpha1.SessionActive, Revision: 1, DataSourceGeneration: 1}
		return c.Status().Update(t.Context(), sessions[i])
	})
	run(t, asOperator(t, server), "op-0")
	policy := &v1alpha1.AccessPolicy{}
	condition(t, c, policy, "reporting", v1alpha1.ConditionEnforced, metav1.ConditionFalse, v1alpha1.ReasonWaitingForSidecars, "0/1000 sidecars at revision 1")

	writes := watched(t, c)
	begin := time.Now()
	each(t, func(i int) error {
		sessions[i].Status.Policies = []v1alpha1.SessionPolicy{{Name: "reporting", Generation: 1}}
		return c.Status().Update(t.Context(), sessions[i])
	})
	condition(t, c, policy, "reporting", v1alpha1.ConditionEnforced, metav1.ConditionTrue, v1alpha1.ReasonEnforced, "1000/1000 sidecars at revision 1")
	took := time.Since(begin)
	t.Logf("%d acknowledgements in %s: %d writes of the policy's status", crowd, took.Round(time.Millisecond), writes.Load())
	if most := int64(took/time.Second) + 3; writes.Load() > most { // one a second, the first at once, and the condition's change
		t.Errorf("%d writes in %s, of at most %d", writes.Load(), took, most)
	}
}

// fast is a client that the client's own limits do not hold up.
func fast(t *testing.T, server *kubetest.Server) client.WithWatch {
	t.Helper()
	scheme, err := newScheme()
	must(t, err)
	config := rest.CopyConfig(server.Config)
	config.QPS, config.Burst = 2000, 2000
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	must(t, err)
	return c
}

// each calls f for everybody in the crowd, a few at a time.
func each(t *testing.T, f func(int) error) {
	t.Helper()
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 8 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < crowd; i = next.Add(1) - 1 {
				if err := f(int(i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	if wg.Wait(); t.Failed() {
		t.FailNow()
	}
}

// watched counts the changes of AccessPolicies from now on.
func watched(t *testing.T, c client.WithWatch) *atomic.Int64 {
	t.Helper()
	var list v1alpha1.AccessPolicyList
	must(t, c.List(t.Context(), &list))
	w, err := c.Watch(context.Background(), &v1alpha1.AccessPolicyList{}, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
	must(t, err)
	t.Cleanup(w.Stop)
	count := &atomic.Int64{}
	go func() {
		for range w.ResultChan() {
			count.Add(1)
		}
	}()
	return count
}
