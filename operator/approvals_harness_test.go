package operator

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/test/kubetest"
)

// approvalsManifest is what the data's owner has said about approvals. Nobody of group readers may approve.
const approvalsManifest = `
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessPolicy
metadata: {name: reporting, namespace: data}
spec:
  dataSources: [{name: orders}]
  subjects: [{namespaceSelector: {}}]
  rules:
  - {name: read, action: Allow, statements: [Select], tables: ["public.*"]}
  - {name: exports, action: RequireApproval, statements: [CopyOut, BulkSelect], tables: ["public.*"]}
  - {name: two, action: RequireApproval, statements: [Update], approval: {approvers: 2, grant: 2s}}
  - {name: groups, action: RequireApproval, statements: [Delete], approval: {anyOf: [data-owners, security], allOf: [security, legal]}}
  - {name: glass, action: RequireApproval, statements: [Insert], approval: {approvers: 3, breakGlass: WithReason}}
---
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessPolicy
metadata: {name: ledger, namespace: data}
spec:
  dataSources: [{name: orders}]
  subjects: [{namespaceSelector: {}}]
  rules: [{name: audit, action: RequireApproval, statements: [CopyOut]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: approvers, namespace: data}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: tidewaiter-approver}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: Group, name: approvers}
- {kind: ServiceAccount, name: report-agent, namespace: shop}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: requesters, namespace: data}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: tidewaiter-requester}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: approvers}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: readers, namespace: data}
rules:
- {apiGroups: [tidewaiter.dev], resources: [accessrequests, accessdecisions], verbs: ["*"]}
- {apiGroups: [tidewaiter.dev], resources: [accessrequests/status], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: readers, namespace: data}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: readers}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: readers}]
`

// town is a cluster with an operator, a policy, and people.
type town struct {
	*kubetest.Server
	admin client.WithWatch
	op    client.Client // the operator's own account
	run   *replica
	next  atomic.Int64
	pod   *corev1.Pod // that waits
	t     *testing.T
}

// people of the town, by their groups.
var people = map[string][]string{
	"alice": {"approvers", "data-owners"},
	"bob":   {"approvers", "data-owners"},
	"carol": {"approvers", "security"},
	"dave":  {"approvers", "security", "legal"},
	"frank": {"approvers"},
	"eve":   {"readers"},
}

func newTown(t *testing.T, changes ...func(*Options)) *town {
	t.Helper()
	server := installed(t)
	w := &town{Server: server, admin: fast(t, server), t: t}
	w.op = w.as(asOperator(t, server))
	must(t, server.CreateNamespace(t.Context(), "data", nil))
	must(t, server.CreateNamespace(t.Context(), "shop", map[string]string{"tidewaiter.dev/injection": "enabled"}))
	server.Kubectl(t, "create", "serviceaccount", "report-agent", "-n", "shop")
	w.pod = w.newPod("report-7d9f")
	server.Apply(t, approvalsManifest)
	server.Kubectl(t, "apply", "-f", "../config/samples/access/approvers.yaml")
	alone := func(o *Options) { o.OneReplica = true } // a busy machine must not cost a lease
	w.run = run(t, asOperator(t, server), "op-0", append(changes, alone)...)
	eventually(t, "the operator is ready", func(context.Context) error { return w.run.ready() })
	w.reachable(w.run.webhook)
	w.inForce()
	return w
}

// newPod makes a pod of the account that asks.
func (w *town) newPod(name string) *corev1.Pod {
	w.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
		Spec:       corev1.PodSpec{ServiceAccountName: "report-agent", Containers: []corev1.Container{{Name: "a", Image: "a"}}},
	}
	must(w.t, w.admin.Create(w.t.Context(), pod))
	return pod
}

// reachable tells the API server where the webhook is: it runs outside of the cluster's network.
func (w *town) reachable(address string) {
	w.t.Helper()
	ca := w.Kubectl(w.t, "get", "mutatingwebhookconfiguration", WebhookConfiguration, "-o", "jsonpath={.webhooks[0].clientConfig.caBundle}")
	var patch []string
	for i, path := range []string{"/inject/pods", "/approvals/decisions", "/approvals/requests"} {
		patch = append(patch, fmt.Sprintf(`{"op":"replace","path":"/webhooks/%d/clientConfig","value":{"url":"https://%s%s","caBundle":%q}}`, i, address, path, ca))
	}
	w.Kubectl(w.t, "patch", "mutatingwebhookconfiguration", WebhookConfiguration, "--type=json", "-p", "["+strings.Join(patch, ",")+"]")
}

// inForce waits until webhook and policies are asked.
func (w *town) inForce() {
	w.t.Helper()
	eventually(w.t, "the webhook and the policies are in force", func(ctx context.Context) error {
		probe := w.held("exports")
		if err := w.op.Create(ctx, probe, client.DryRunAll); err != nil {
			return err
		}
		if probe.Spec.CreatedBy == nil {
			return fmt.Errorf("the webhook was not asked")
		}
		eve := w.user("eve")
		for _, spec := range []v1alpha1.AccessRequestSpec{w.held("exports").Spec, w.access().Spec} {
			err := eve.Create(ctx, &v1alpha1.AccessRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: "probe"}, Spec: spec}, client.DryRunAll)
			if spec.Statement != nil && (err == nil || !strings.Contains(err.Error(), "only the operator")) {
				return fmt.Errorf("not refused: %w", err)
			}
		}
		return nil
	})
	probe := w.create(w.held("exports"))
	eventually(w.t, "the policy about decisions is in force", func(ctx context.Context) error {
		if err := w.user("eve").Create(ctx, decision(probe, v1alpha1.DecisionApprove), client.DryRunAll); err == nil || !strings.Contains(err.Error(), "tidewaiter-decisions") {
			return fmt.Errorf("not refused by it: %w", err)
		}
		err := w.user("eve").Status().Patch(ctx, probe.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(`{"status":{"state":"Approved"}}`)), client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), "tidewaiter-request-status") {
			return fmt.Errorf("not refused by it: %w", err)
		}
		return nil
	})
	must(w.t, w.admin.Delete(w.t.Context(), probe))
}

func (w *town) as(config *rest.Config) client.Client {
	w.t.Helper()
	scheme, err := newScheme()
	must(w.t, err)
	config = rest.CopyConfig(config)
	config.QPS = -1 // the client's own limit is nothing that people wait for
	c, err := client.New(config, client.Options{Scheme: scheme})
	must(w.t, err)
	return c
}

// user is the client of somebody of the town.
func (w *town) user(name string) client.Client {
	w.t.Helper()
	groups, ok := people[name]
	if !ok {
		w.t.Fatalf("there is no %s", name)
	}
	return w.as(w.User(w.t, name, groups...))
}

// held is a request for a statement that is held, as the operator makes them.
func (w *town) held(rule string) *v1alpha1.AccessRequest {
	return &v1alpha1.AccessRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: fmt.Sprintf("reporting-%d", w.next.Add(1))},
		Spec: v1alpha1.AccessRequestSpec{
			DataSource: v1alpha1.DataSourceReference{Name: "orders"}, Policy: "reporting", Rule: rule,
			Requester: v1alpha1.Requester{
				Namespace: "shop", ServiceAccount: "report-agent",
				Pod: &v1alpha1.PodReference{Name: v1alpha1.ObjectName(w.pod.Name), UID: string(w.pod.UID)},
			},
			Statement: &v1alpha1.HeldStatement{
				Session: "s1", Digest: v1alpha1.Digest(strings.Repeat("a1", 32)), Text: "COPY orders TO STDOUT", Hold: strings.Repeat("0", 32),
			},
			ExpiresAt: metav1.NewTime(time.Now().Add(15 * time.Minute)), Summary: "COPY orders TO STDOUT",
		},
	}
}

// access is a request for access ahead of time.
func (w *town) access() *v1alpha1.AccessRequest {
	r := w.held("exports")
	r.Spec.Statement, r.Spec.Requester.Pod, r.Spec.Summary, r.Spec.ExpiresAt = nil, nil, "nothing at all", metav1.Time{}
	r.Spec.Access = &v1alpha1.RequestedAccess{
		Statements: []v1alpha1.StatementClass{"CopyOut"}, Tables: []v1alpha1.TablePattern{"public.orders"},
		Duration: metav1.Duration{Duration: time.Hour},
	}
	return r
}

// create makes a request as the operator, and waits until it is Pending.
func (w *town) create(r *v1alpha1.AccessRequest) *v1alpha1.AccessRequest {
	w.t.Helper()
	must(w.t, w.op.Create(w.t.Context(), r))
	return r
}

func decision(about *v1alpha1.AccessRequest, kind v1alpha1.DecisionKind) *v1alpha1.AccessDecision {
	return &v1alpha1.AccessDecision{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "d-", Namespace: about.Namespace},
		Spec: v1alpha1.AccessDecisionSpec{
			RequestRef: v1alpha1.AccessRequestReference{Name: v1alpha1.ObjectName(about.Name)}, Decision: kind, Reason: "as agreed",
		},
	}
}

// decide makes somebody's decision.
func (w *town) decide(who string, about *v1alpha1.AccessRequest, kind v1alpha1.DecisionKind) *v1alpha1.AccessDecision {
	w.t.Helper()
	d := decision(about, kind)
	must(w.t, w.user(who).Create(w.t.Context(), d))
	return d
}

// state waits for a state of a request, and more that is asked of it.
func (w *town) state(about *v1alpha1.AccessRequest, state v1alpha1.AccessRequestState, more ...func(*v1alpha1.AccessRequestStatus) error) *v1alpha1.AccessRequest {
	w.t.Helper()
	got := &v1alpha1.AccessRequest{}
	eventually(w.t, fmt.Sprintf("AccessRequest %s is %s", about.Name, state), func(ctx context.Context) error {
		if err := w.admin.Get(ctx, client.ObjectKeyFromObject(about), got); err != nil {
			return err
		}
		if got.Status.State != state {
			return fmt.Errorf("it is %s: %+v", got.Status.State, got.Status)
		}
		for _, check := range more {
			if err := check(&got.Status); err != nil {
				return fmt.Errorf("%w: %+v", err, got.Status)
			}
		}
		return nil
	})
	return got
}

// missing asks what a request still needs.
func missing(want string) func(*v1alpha1.AccessRequestStatus) error {
	return func(s *v1alpha1.AccessRequestStatus) error {
		if s.Missing != want {
			return fmt.Errorf("missing is %q, want %q", s.Missing, want)
		}
		return nil
	}
}

// refusedFor asks that somebody's decision counted for nothing, and why.
func refusedFor(who, why string) func(*v1alpha1.AccessRequestStatus) error {
	return func(s *v1alpha1.AccessRequestStatus) error {
		for _, d := range s.Decisions {
			if d.By == who && d.Refused != "" && strings.Contains(d.Refused, why) {
				return nil
			}
		}
		return fmt.Errorf("no decision of %s was refused for %q", who, why)
	}
}

// event waits for an event about an object.
func (w *town) event(kind, name, level, reason, says string) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("event %s %s of %s %s: %s", level, reason, kind, name, says), func(ctx context.Context) error {
		var list eventsv1.EventList
		if err := w.admin.List(ctx, &list); err != nil {
			return err
		}
		var all []string
		for i := range list.Items {
			e := &list.Items[i]
			if e.Regarding.Kind == kind && e.Regarding.Name == name {
				if e.Type == level && e.Reason == reason && strings.Contains(e.Note, says) {
					return nil
				}
				all = append(all, fmt.Sprintf("%s %s: %s", e.Type, e.Reason, e.Note))
			}
		}
		return fmt.Errorf("there are %q", all)
	})
}

// until waits for a state by watching, and says how long it took.
func until(t *testing.T, w watch.Interface, name string, state v1alpha1.AccessRequestState) time.Duration {
	t.Helper()
	begin := time.Now()
	for {
		select {
		case e := <-w.ResultChan():
			if r, ok := e.Object.(*v1alpha1.AccessRequest); ok && r.Name == name && r.Status.State == state {
				return time.Since(begin)
			}
		case <-time.After(patience):
			t.Fatalf("AccessRequest %s does not become %s", name, state)
		}
	}
}
