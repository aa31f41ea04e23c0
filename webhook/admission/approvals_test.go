package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/approval"
)

// The people and rights of approvals are tested in package operator, with a whole operator.

// serveApprovals registers the two webhooks. To them, whoever has a client here is the operator.
func (c *cluster) serveApprovals(ctx context.Context, objects cache.Cache, server webhook.Server) error {
	err := objects.IndexField(ctx, &v1alpha1.AccessDecision{}, approval.ByRequest, func(obj client.Object) []string {
		return []string{string(obj.(*v1alpha1.AccessDecision).Spec.RequestRef.Name)}
	})
	if err != nil {
		return err
	}
	c.records, err = NewRecords(ctx, objects, c.client)
	if err != nil {
		return err
	}
	self := &authenticationv1.SelfSubjectReview{}
	if err := c.client.Create(ctx, self); err != nil {
		return err
	}
	requests, err := NewRequests(c.records, self.Status.UserInfo.Username, time.Now)
	if err != nil {
		return err
	}
	server.Register(DecisionPath, c.decided.measure(&webhook.Admission{Handler: NewDecisions(c.records, time.Now)}))
	server.Register(RequestPath, &webhook.Admission{Handler: requests})
	return nil
}

// asked makes a policy that asks, and requests that wait for people: other than the one who has a client here.
func (c *cluster) asked(t testing.TB, n int) []*v1alpha1.AccessRequest {
	t.Helper()
	namespace := c.NewNamespace(t, nil)
	c.Apply(t, fmt.Sprintf(`
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessPolicy
metadata: {name: reporting, namespace: %s}
spec:
  dataSources: [{name: orders}]
  subjects: [{namespaceSelector: {}}]
  rules: [{name: exports, action: RequireApproval, statements: [CopyOut], approval: {anyOf: [g-90]}}]
`, namespace))
	if err := eventually(func() error { return c.records.Ready() }); err != nil {
		t.Fatal(err)
	}
	var out []*v1alpha1.AccessRequest
	for i := range n {
		r := &v1alpha1.AccessRequest{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("r-%d", i)},
			Spec: v1alpha1.AccessRequestSpec{
				DataSource: v1alpha1.DataSourceReference{Name: "orders"}, Policy: "reporting", Rule: "exports",
				Requester: v1alpha1.Requester{Namespace: "shop", ServiceAccount: "agent"}, ExpiresAt: metav1.NewTime(time.Now().Add(time.Hour)),
				Statement: &v1alpha1.HeldStatement{Session: "s", Digest: v1alpha1.Digest(strings.Repeat("a1", 32)), Text: "COPY", Hold: "h"},
			},
		}
		if err := c.client.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func decisionAbout(r *v1alpha1.AccessRequest) *v1alpha1.AccessDecision {
	return &v1alpha1.AccessDecision{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, GenerateName: "d-"},
		Spec: v1alpha1.AccessDecisionSpec{
			RequestRef: v1alpha1.AccessRequestReference{Name: v1alpha1.ObjectName(r.Name)}, Decision: v1alpha1.DecisionDeny,
		},
	}
}

// As the latency of pods: see there for what is judged.
func TestDecisionsAreAdmittedWithinTheBudget(t *testing.T) {
	c := kubernetes(t)
	requests := c.asked(t, 50)
	const decisions, perSecond = 300, 100
	const quiet = 2 * time.Millisecond
	for range 3 {
		c.decided.take()
		errs, late := make([]error, decisions), []time.Duration{}
		var running sync.WaitGroup
		begin := time.Now()
		for i := range decisions {
			due := begin.Add(time.Duration(i) * time.Second / perSecond)
			<-time.After(time.Until(due))
			late = append(late, time.Since(due))
			running.Go(func() {
				errs[i] = c.client.Create(t.Context(), decisionAbout(requests[i%len(requests)]), client.DryRunAll)
			})
		}
		running.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatalf("%.1000v", err)
		}
		took, judged := c.decided.take(), 99
		if percentile(late, 99) > quiet {
			judged = 50
		}
		t.Logf("%d decisions: webhook p50 %v, p99 %v; timers late by p99 %v", len(took), percentile(took, 50), percentile(took, 99), percentile(late, 99))
		if percentile(took, judged) <= budget {
			return
		}
	}
	t.Error("no round kept the budget")
}

// A request that the cache does not have yet can be answered: it is read from the API server.
func TestADecisionRightAfterItsRequestIsTaken(t *testing.T) {
	c := kubernetes(t)
	r := c.asked(t, 1)[0]
	behind := &Records{cached: nothing{c.records.cached}, live: c.records.live, informers: c.records.informers}
	for name, test := range map[string]struct {
		about string
		taken bool
	}{"one that is there": {r.Name, true}, "one that is nowhere": {"none", false}} {
		d := decisionAbout(r)
		d.Spec.RequestRef.Name = v1alpha1.ObjectName(test.about)
		response := NewDecisions(behind, time.Now).Handle(t.Context(), review(t, d, "bob"))
		if response.Allowed != test.taken {
			t.Errorf("%s: %+v", name, response)
		}
	}
	lost := &Records{cached: nothing{c.records.cached}, live: broken{}, informers: c.records.informers}
	if response := NewDecisions(lost, time.Now).Handle(t.Context(), review(t, decisionAbout(r), "bob")); response.Allowed {
		t.Error("a decision was taken although nobody knows about what")
	}
}

// nothing has no request.
type nothing struct{ client.Reader }

func (n nothing) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	key.Name = "nothing-of-the-kind"
	return n.Reader.Get(ctx, key, obj, opts...)
}

// broken cannot read.
type broken struct{ client.Reader }

func (broken) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errors.New("the API server is away")
}

// Whoever is in more groups than a decision has room for is in those that the policy names.
func TestOfManyGroupsThoseThatMatterAreKept(t *testing.T) {
	c := kubernetes(t)
	r := c.asked(t, 1)[0]
	request := review(t, decisionAbout(r), "bob")
	request.UserInfo.Groups = append(request.UserInfo.Groups, strings.Repeat("x", longestGroup+1))
	for i := range 100 {
		request.UserInfo.Groups = append(request.UserInfo.Groups, fmt.Sprintf("g-%d", i))
	}
	d := NewDecisions(c.records, time.Now)
	response := d.Handle(t.Context(), request)
	patch := string(response.Patch)
	if !response.Allowed || !strings.Contains(patch, `"groups":["g-90","g-0","g-1"`) || strings.Count(patch, `"g-`) != mostGroups || strings.Contains(patch, "xxx") {
		t.Errorf("%+v\n%s", response.Result, patch)
	}
}

// What is sent by mistake is refused: it would be stored without a stamp.
func TestTheWebhooksOfApprovalsTakeTheirOwnCreationsAlone(t *testing.T) {
	c := kubernetes(t)
	r := c.asked(t, 1)[0]
	requests, err := NewRequests(c.records, "operator", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*admission.Request){
		"an update":       func(q *admission.Request) { q.Operation = "UPDATE" },
		"a status":        func(q *admission.Request) { q.SubResource = "status" },
		"another version": func(q *admission.Request) { q.Resource.Version = "v2" },
		"another kind":    func(q *admission.Request) { q.Resource.Resource = "sessions" },
	} {
		request := review(t, decisionAbout(r), "bob")
		change(&request)
		for _, handler := range []admission.Handler{NewDecisions(c.records, time.Now), requests} {
			if response := handler.Handle(t.Context(), request); response.Allowed {
				t.Errorf("%s: %T allows it", name, handler)
			}
		}
	}
	if _, err := NewRequests(c.records, "", time.Now); err == nil {
		t.Error("without a name for the operator, everybody of no name would be the operator")
	}
}

// review is what the API server asks about the creation of a decision.
func review(t testing.TB, d *v1alpha1.AccessDecision, user string) admission.Request {
	t.Helper()
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		Operation: admissionv1.Create, Namespace: d.Namespace, Object: runtime.RawExtension{Raw: raw},
		Resource: metav1.GroupVersionResource{Group: v1alpha1.GroupVersion.Group, Version: "v1alpha1", Resource: "accessdecisions"},
		UserInfo: authenticationv1.UserInfo{Username: user},
	}}
}

func TestANamespaceTakesSoManyRequests(t *testing.T) {
	c := kubernetes(t)
	first := c.asked(t, 3)[0]
	if err := eventually(func() error {
		if n, _, err := c.records.requests(t.Context(), first.Namespace); n != 3 {
			return fmt.Errorf("the cache has %d requests: %w", n, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		most, ofPeople int
		access, taken  bool
	}{
		"room":                    {4, 1, false, true},
		"no room":                 {3, 1, false, false},
		"room for people":         {4, 1, true, true},
		"no room for people":      {4, 0, true, false},
		"no room for people left": {4, 0, false, true},
	} {
		r := first.DeepCopy()
		r.ObjectMeta = metav1.ObjectMeta{Namespace: first.Namespace, Name: "more"}
		if test.access {
			r.Spec.Statement = nil
			r.Spec.Access = &v1alpha1.RequestedAccess{
				Statements: []v1alpha1.StatementClass{"CopyOut"}, Tables: []v1alpha1.TablePattern{"public.orders"},
				Duration: metav1.Duration{Duration: time.Hour},
			}
		}
		request := review(t, decisionAbout(r), "operator")
		request.Resource.Resource = "accessrequests"
		raw, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		request.Object.Raw = raw
		h, err := NewRequests(c.records, "operator", time.Now)
		if err != nil {
			t.Fatal(err)
		}
		h.most, h.mostOfPeople = test.most, test.ofPeople
		if response := h.Handle(t.Context(), request); response.Allowed != test.taken {
			t.Errorf("%s: %+v", name, response.Result)
		}
	}
}

func TestWhatIsWithinAPatternOfTables(t *testing.T) {
	for _, test := range []struct {
		narrow, wide string
		want         bool
	}{
		{"public.orders", "public.orders", true},
		{"public.orders", "public.*", true},
		{"public.orders", "*.*", true},
		{"public.*", "public.*", true},
		{"public.o*", "public.*", true},
		{"public.*", "public.o*", false},
		{"*.*", "public.*", false},
		{"*.orders", "public.orders", false},
		{"public.orders_old", "public.orders", false},
		{"public.orders_2026_eu", "public.orders_*_eu", true},
		{"public.orders_2026_us", "public.orders_*_eu", false},
		{"public.*_eu", "public.orders_*_eu", false},
		{"public.aba", "public.ab*ba", false},
		{"public.abba", "public.ab*ba", true},
		{"public.abcabc", "public.*abc", true},
		{"public.orders", "publi.c*", false},
	} {
		if got := within(test.narrow, test.wide); got != test.want {
			t.Errorf("%s within %s: %t", test.narrow, test.wide, got)
		}
	}
}
