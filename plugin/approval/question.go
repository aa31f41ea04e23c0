package approval

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/plugin/cluster"
	"github.com/tidewaiter/tidewaiter/plugin/table"
)

// Question is a request, and what the rules that ask say about its approval.
type Question struct {
	// Request as it was read: what is decided is this one.
	Request *v1alpha1.AccessRequest
	// Rules that ask, the request's own first.
	Rules []Terms
}

// Terms are what one rule asks.
type Terms struct {
	// Policy and Rule name it.
	Policy, Rule string
	// Approval with every default filled in; nil where it could not be read.
	Approval *v1alpha1.Approval
	// Problem says why.
	Problem string
}

// regoRule is what a policy's own Rego is called where a rule's name is asked for.
const regoRule = "rego"

// Desk answers requests in one cluster.
type Desk struct {
	// Cluster that they are in.
	Cluster *cluster.Cluster
	// Now is the clock.
	Now func() time.Time
}

// name of a request in messages.
func nameOf(namespace, name string) string { return "AccessRequest " + namespace + "/" + name }

// Name of the request in messages.
func (q *Question) Name() string { return nameOf(q.Request.Namespace, q.Request.Name) }

// Load reads a request and the rules that ask.
func (d *Desk) Load(ctx context.Context, namespace, name string) (*Question, error) {
	r := &v1alpha1.AccessRequest{}
	if err := d.Cluster.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, r); err != nil {
		if cluster.Gone(err) {
			return nil, fmt.Errorf("%s is not there: whoever waited may be gone, or it was removed after it was closed; see kubectl tidewaiter requests -n %s --all",
				nameOf(namespace, name), namespace)
		}
		return nil, cluster.Explain(err, nameOf(namespace, name), "get", "accessrequests."+v1alpha1.Group)
	}
	q := &Question{Request: r}
	asked := append([]v1alpha1.RuleReference{{Policy: r.Spec.Policy, Rule: r.Spec.Rule}}, r.Spec.OtherRules...)
	for _, ref := range asked {
		q.Rules = append(q.Rules, d.terms(ctx, namespace, ref))
	}
	return q, nil
}

func (d *Desk) terms(ctx context.Context, namespace string, ref v1alpha1.RuleReference) Terms {
	t := Terms{Policy: string(ref.Policy), Rule: ref.Rule}
	p := &v1alpha1.AccessPolicy{}
	if err := d.Cluster.Get(ctx, client.ObjectKey{Namespace: namespace, Name: t.Policy}, p); err != nil {
		t.Problem = "cannot be read: " + err.Error()
		return t
	}
	for i := range p.Spec.Rules {
		if rule := &p.Spec.Rules[i]; rule.Name == ref.Rule {
			a := rule.EffectiveApproval()
			t.Approval = &a
			return t
		}
	}
	if ref.Rule == regoRule && p.Spec.Rego != "" {
		a := (&v1alpha1.Rule{}).EffectiveApproval()
		t.Approval = &a
		return t
	}
	t.Problem = "is no longer in the policy"
	return t
}

// Check says whether a decision of a kind can count for the request as it is now, as far as can be seen from here.
func (q *Question) Check(kind v1alpha1.DecisionKind, revoke bool, now time.Time) error {
	r := q.Request
	state := State(r)
	switch {
	case revoke && state == v1alpha1.RequestPending:
		return fmt.Errorf("%s is not approved yet: deny it with kubectl tidewaiter deny -n %s %s", q.Name(), r.Namespace, r.Name)
	case revoke && state != v1alpha1.RequestApproved:
		return fmt.Errorf("%s is %s: nothing is granted that could be taken back", q.Name(), state)
	case revoke:
		return nil
	case kind == v1alpha1.DecisionDeny && state == v1alpha1.RequestApproved:
		return fmt.Errorf("%s is approved already: take it back with kubectl tidewaiter revoke -n %s %s", q.Name(), r.Namespace, r.Name)
	case state != v1alpha1.RequestPending:
		return fmt.Errorf("%s is %s already%s: a decision would count for nothing", q.Name(), state, by(r))
	case !r.Spec.ExpiresAt.After(now):
		return fmt.Errorf("%s expired at %s: whoever waits has to ask again", q.Name(), table.Clock(r.Spec.ExpiresAt.Time, now))
	case kind == v1alpha1.DecisionBreakGlass:
		return q.mayBreakGlass()
	}
	return nil
}

func (q *Question) mayBreakGlass() error {
	for _, t := range q.Rules {
		if t.Approval != nil && t.Approval.BreakGlass != v1alpha1.BreakGlassWithReason {
			return fmt.Errorf("%s: rule %s of AccessPolicy %s/%s does not let anybody break the glass: it would have to say approval.breakGlass: WithReason; approve it without --break-glass",
				q.Name(), t.Rule, q.Request.Namespace, t.Policy)
		}
	}
	return nil
}

// by names who decided so far: " (by ada)".
func by(r *v1alpha1.AccessRequest) string {
	for i := len(r.Status.Decisions) - 1; i >= 0; i-- {
		if d := r.Status.Decisions[i]; d.Refused == "" {
			return " (by " + table.Line(d.By) + ")"
		}
	}
	return ""
}
