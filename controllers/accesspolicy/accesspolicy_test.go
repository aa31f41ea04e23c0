package accesspolicy

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/census"
	"github.com/tidewaiter/tidewaiter/controllers/phase"
)

var request = reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "data", Name: "reporting"}}

// bench is a reconciler on an API in memory, which holds a policy and its DataSource.
type bench struct {
	t      *testing.T
	client client.Client
	runner *phase.Runner[*v1alpha1.AccessPolicy]
}

func policy() *v1alpha1.AccessPolicy {
	return &v1alpha1.AccessPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: "reporting", UID: "u1", Generation: 17},
		Spec: v1alpha1.AccessPolicySpec{
			DataSources: []v1alpha1.DataSourceReference{{Name: "orders"}},
			Subjects: []v1alpha1.Subject{{
				NamespaceSelector: &v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"team": "shop"}},
				PodSelector:       &v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"app": "report"}},
			}},
			Rules: []v1alpha1.Rule{{Name: "read", Action: v1alpha1.ActionAllow, Statements: []v1alpha1.StatementClass{"Select"}}},
		},
	}
}

func dataSource() *v1alpha1.DataSource {
	return &v1alpha1.DataSource{
		ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: "orders", Generation: 1},
		Status: v1alpha1.DataSourceStatus{Conditions: []metav1.Condition{
			{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, ObservedGeneration: 1},
			{Type: v1alpha1.ConditionResolvedRefs, Status: metav1.ConditionTrue, ObservedGeneration: 1},
		}},
	}
}

// sidecar is a pod of the shop, with the Session that it has with the DataSource.
func sidecar(name, app string, status v1alpha1.SessionStatus) []client.Object {
	return []client.Object{
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"app": app}}},
		&v1alpha1.Session{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name + "-orders"},
			Spec: v1alpha1.SessionSpec{
				Pod: v1alpha1.PodReference{Name: v1alpha1.ObjectName(name), UID: "uid-" + name}, ServiceAccount: "agent",
				DataSource: v1alpha1.NamespacedReference{Namespace: "data", Name: "orders"},
			},
			Status: status,
		},
	}
}

// holding is the status of a connected sidecar that acknowledged the policy in a generation; 0: it did not.
func holding(generation int64) v1alpha1.SessionStatus {
	s := v1alpha1.SessionStatus{State: v1alpha1.SessionActive}
	if generation > 0 {
		s.Policies = []v1alpha1.SessionPolicy{{Name: "reporting", Generation: generation}}
	}
	return s
}

func newBench(t *testing.T, objects ...client.Object) *bench {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, clientgoscheme.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"team": "shop"}}})
	b := &bench{t: t}
	b.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.AccessPolicy{}).WithIndex(&v1alpha1.Session{}, census.IndexName, census.Key).Build()
	b.runner = New(phase.Clients{
		Cached: b.client, Live: b.client, Status: b.client, Events: events.NewFakeRecorder(32), Now: time.Now,
	})
	return b
}

func (b *bench) reconcile() *v1alpha1.AccessPolicy {
	b.t.Helper()
	if _, err := b.runner.Reconcile(b.t.Context(), request); err != nil {
		b.t.Fatal(err)
	}
	var p v1alpha1.AccessPolicy
	if err := b.client.Get(b.t.Context(), request.NamespacedName, &p); err != nil {
		b.t.Fatal(err)
	}
	return &p
}

func want(t *testing.T, p *v1alpha1.AccessPolicy, condition string, status metav1.ConditionStatus, reason, message string) {
	t.Helper()
	c := meta.FindStatusCondition(p.Status.Conditions, condition)
	if c == nil || c.Status != status || c.Reason != reason || !strings.Contains(c.Message, message) {
		t.Errorf("condition %s is %+v,\nwant %s %s %q", condition, c, status, reason, message)
	}
}

func TestAPolicyInForceEverywhereIsReady(t *testing.T) {
	objects := append(sidecar("a", "report", holding(17)), sidecar("b", "report", holding(17))...)
	p := newBench(t, append(objects, policy(), dataSource())...).reconcile()
	want(t, p, v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted, "")
	want(t, p, v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolved, "")
	want(t, p, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed, "revision 17")
	want(t, p, v1alpha1.ConditionEnforced, metav1.ConditionTrue, v1alpha1.ReasonEnforced, "2/2 sidecars at revision 17")
	want(t, p, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "")
	if e := p.Status.Enforcement; e == nil || *e != (v1alpha1.Enforcement{Revision: 17, Sidecars: 2, Enforcing: 2, Summary: "2/2"}) || p.Status.Subjects != 1 {
		t.Errorf("%+v, %d subjects", e, p.Status.Subjects)
	}
}

func TestEnforcedCountsWhoIsConcernedAndNamesWhoIsWaitedFor(t *testing.T) {
	lost := holding(16)
	lost.State = v1alpha1.SessionLost
	refused := holding(16)
	refused.Rejection = &v1alpha1.SessionRejection{Revision: 9, Reason: "BundleExpired", Message: "the bundle ended at noon"}
	ended, revoked := holding(3), holding(3)
	ended.State, revoked.State = v1alpha1.SessionEnded, v1alpha1.SessionRevoked
	for name, test := range map[string]struct {
		sidecars [][]client.Object
		status   metav1.ConditionStatus
		reason   string
		message  string
		summary  string
	}{
		"nobody": {status: metav1.ConditionTrue, reason: v1alpha1.ReasonNoSidecars, summary: "0/0"},
		"whom it does not select and who never had it does not count": {
			sidecars: [][]client.Object{sidecar("a", "report", holding(17)), sidecar("b", "other", holding(0))},
			status:   metav1.ConditionTrue, reason: v1alpha1.ReasonEnforced, summary: "1/1",
		},
		"who still has it though it is not selected any more is waited for": {
			sidecars: [][]client.Object{sidecar("a", "report", holding(17)), sidecar("b", "other", holding(17))},
			status:   metav1.ConditionFalse, reason: v1alpha1.ReasonWaitingForSidecars, message: "1/2 sidecars at revision 17; waiting for shop/b", summary: "1/2",
		},
		"an older generation, none, and a sidecar that is not connected": {
			sidecars: [][]client.Object{sidecar("a", "report", holding(16)), sidecar("b", "report", holding(0)), sidecar("c", "report", lost), sidecar("d", "report", holding(17))},
			status:   metav1.ConditionFalse, reason: v1alpha1.ReasonWaitingForSidecars,
			message: "1/4 sidecars at revision 17; waiting for shop/a, shop/b, shop/c (not connected)", summary: "1/4",
		},
		"of many the first are named": {
			sidecars: [][]client.Object{sidecar("e", "report", holding(1)), sidecar("d", "report", holding(1)), sidecar("c", "report", holding(1)), sidecar("b", "report", holding(1)), sidecar("a", "report", holding(1))},
			status:   metav1.ConditionFalse, reason: v1alpha1.ReasonWaitingForSidecars, message: "waiting for shop/a, shop/b, shop/c and 2 more", summary: "0/5",
		},
		"a sidecar that refuses says why": {
			sidecars: [][]client.Object{sidecar("a", "report", refused), sidecar("b", "report", holding(16))},
			status:   metav1.ConditionFalse, reason: v1alpha1.ReasonRejectedBySidecar,
			message: "0/2 sidecars at revision 17; shop/a refused it (BundleExpired: the bundle ended at noon)", summary: "0/2",
		},
		"who is gone or cut off does not count": {
			sidecars: [][]client.Object{sidecar("a", "report", ended), sidecar("b", "report", revoked), sidecar("c", "report", holding(17))},
			status:   metav1.ConditionTrue, reason: v1alpha1.ReasonEnforced, summary: "1/1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			objects := []client.Object{policy(), dataSource()}
			for _, s := range test.sidecars {
				objects = append(objects, s...)
			}
			p := newBench(t, objects...).reconcile()
			want(t, p, v1alpha1.ConditionEnforced, test.status, test.reason, test.message)
			if p.Status.Enforcement.Summary != test.summary {
				t.Errorf("summary %s, want %s", p.Status.Enforcement.Summary, test.summary)
			}
		})
	}
}

func TestMistakesAreToldWithTheirPlace(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*v1alpha1.AccessPolicy)
		reason  string
		message string
	}{
		"Rego": {
			func(p *v1alpha1.AccessPolicy) {
				p.Spec.Rego = "package tidewaiter.custom\n\nimport data.tidewaiter.bundle\n"
			},
			v1alpha1.ReasonInvalidRego, "spec.rego:3:1: import data.tidewaiter.bundle",
		},
		"a table": {
			func(p *v1alpha1.AccessPolicy) { p.Spec.Rules[0].Tables = []v1alpha1.TablePattern{"orders"} },
			v1alpha1.ReasonInvalid, `spec.rules[0].tables[0]: "orders" is not schema.table`,
		},
		"a selector": {
			func(p *v1alpha1.AccessPolicy) {
				p.Spec.Subjects[0].PodSelector.MatchLabels = map[string]v1alpha1.LabelValue{"no label/ at all": "x"}
			},
			v1alpha1.ReasonInvalid, "spec.subjects[0].podSelector: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			bad := policy()
			test.change(bad)
			p := newBench(t, bad, dataSource()).reconcile()
			want(t, p, v1alpha1.ConditionAccepted, metav1.ConditionFalse, test.reason, test.message)
			want(t, p, v1alpha1.ConditionProgrammed, metav1.ConditionUnknown, v1alpha1.ReasonPending, "")
			if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionAccepted); strings.Contains(c.Message, "data/reporting") {
				t.Errorf("the policy's own name is repeated: %s", c.Message)
			}
		})
	}
}

func TestADataSourceThatIsMissingOrCannotBeServedKeepsThePolicyBack(t *testing.T) {
	p := newBench(t, policy()).reconcile()
	want(t, p, v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonDataSourceNotFound, "spec.dataSources[0]: DataSource data/orders does not exist")
	want(t, p, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNotReady, "ResolvedRefs is False")

	ds := dataSource()
	ds.Status.Conditions[1].Status, ds.Status.Conditions[1].Message = metav1.ConditionFalse, "Secret data/orders-db does not exist"
	p = newBench(t, policy(), ds).reconcile()
	want(t, p, v1alpha1.ConditionProgrammed, metav1.ConditionUnknown, v1alpha1.ReasonPending, "waits for DataSource data/orders: ResolvedRefs is False: Secret data/orders-db does not exist")

	ds = dataSource()
	ds.Generation = 2 // judged as it was, not as it is
	p = newBench(t, policy(), ds).reconcile()
	want(t, p, v1alpha1.ConditionProgrammed, metav1.ConditionUnknown, v1alpha1.ReasonPending, "has not been looked at yet")
}
