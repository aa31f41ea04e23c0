package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/plugin/cluster"
	"github.com/tidewaiter/tidewaiter/test/kubetest"
)

// owner is a namespace of a data's owner on a real API server, with a policy whose rule exports asks for an approval.
type owner struct {
	*cluster.Cluster // as somebody who may do everything, and in the place of the operator
	server           *kubetest.Server
	ns               string
}

const policy = `
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessPolicy
metadata: {name: reporting}
spec:
  dataSources: [{name: orders}]
  subjects: [{serviceAccounts: [report-agent]}]
  rules:
  - {name: read, action: Allow, statements: [Select], tables: ["public.*"]}
  - {name: exports, action: RequireApproval, statements: [CopyOut], tables: ["public.orders"], approval: {grant: 1h, approvers: 2, allOf: [security]}}
`

func newOwner(t *testing.T) *owner {
	t.Helper()
	s := kubetest.Shared(t)
	o := &owner{server: s, ns: s.NewNamespace(t, nil)}
	s.Apply(t, policy, "-n", o.ns)
	c, err := cluster.New(s.Config, o.ns, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	o.Cluster = c
	return o
}

const text = "COPY public.orders TO STDOUT\nWHERE total > $1"

// held makes a request of a statement that waits.
func (o *owner) held(t *testing.T, name string, change ...func(*v1alpha1.AccessRequest)) *v1alpha1.AccessRequest {
	t.Helper()
	rows := int64(12_345)
	r := &v1alpha1.AccessRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.ns, Name: name},
		Spec: v1alpha1.AccessRequestSpec{
			DataSource: v1alpha1.DataSourceReference{Name: "orders"}, Policy: "reporting", Rule: "exports", Summary: "COPY orders TO STDOUT",
			Requester: v1alpha1.Requester{Namespace: "shop", ServiceAccount: "report-agent", Pod: &v1alpha1.PodReference{Name: "report-7d9f", UID: "u1"}},
			Statement: &v1alpha1.HeldStatement{Session: "s1", Digest: v1alpha1.Digest(strings.Repeat("ab", 32)), Text: text, Hold: "h-" + name, EstimatedRows: &rows},
			ExpiresAt: metav1.NewTime(time.Now().Add(14*time.Minute + 30*time.Second)),
		},
	}
	for _, f := range change {
		f(r)
	}
	if err := o.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return r
}

// state writes a request's status as the operator does.
func (o *owner) state(t *testing.T, r *v1alpha1.AccessRequest, status v1alpha1.AccessRequestStatus) {
	t.Helper()
	before := r.DeepCopy()
	r.Status = status
	if err := o.Status().Patch(t.Context(), r, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// weighs answers the first decision about a request in the place of the operator, until the test ends.
func (o *owner) weighs(t *testing.T, r *v1alpha1.AccessRequest, state v1alpha1.AccessRequestState, missing, refused string) {
	t.Helper()
	done := make(chan struct{})
	t.Cleanup(func() { <-done })
	go func() {
		defer close(done)
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			decisions := o.decisions(t, r.Name)
			if len(decisions) == 0 || t.Context().Err() != nil {
				if t.Context().Err() != nil {
					return
				}
				continue
			}
			d := decisions[len(decisions)-1]
			before := r.DeepCopy()
			r.Status.State, r.Status.Missing = state, missing
			r.Status.Decisions = []v1alpha1.WeighedDecision{{Name: v1alpha1.ObjectName(d.Name), Decision: d.Spec.Decision, By: "ada", Refused: refused}}
			if err := o.Status().Patch(t.Context(), r, client.MergeFrom(before)); err != nil {
				t.Errorf("in the place of the operator: %v", err)
			}
			return
		}
	}()
}

func (o *owner) decisions(t *testing.T, request string) (out []v1alpha1.AccessDecision) {
	list := &v1alpha1.AccessDecisionList{}
	if err := o.Cluster.WithWatch.List(t.Context(), list, client.InNamespace(o.ns)); err != nil && t.Context().Err() == nil {
		t.Error(err)
	}
	for _, d := range list.Items {
		if string(d.Spec.RequestRef.Name) == request {
			out = append(out, d)
		}
	}
	return out
}

// as runs a command line as the owner of everything, in the namespace.
func (o *owner) run(args ...string) (code int, stdout, stderr string) {
	return run(append(args, "--kubeconfig", o.server.KubeConfig, "-n", o.ns)...)
}

// user is somebody with some rules in the namespace; it returns a kubeconfig.
func (o *owner) user(t *testing.T, name string, rules ...rbacv1.PolicyRule) string {
	t.Helper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: o.ns, Name: name}, Rules: rules}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.ns, Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: name},
		Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: "rbac.authorization.k8s.io", Name: name}},
	}
	for _, obj := range []client.Object{role, binding} {
		if err := o.Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
	file, err := o.server.WriteKubeConfig(fmt.Sprintf("%s-%s", o.ns, name), o.server.User(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func ours(verbs []string, resources ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{v1alpha1.Group}, Resources: resources, Verbs: verbs}
}
