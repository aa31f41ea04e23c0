package approval

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/plugin/cluster"
	"github.com/tidewaiter/tidewaiter/plugin/table"
)

// Result says what became of a decision.
type Result string

// Results.
const (
	// Counted means that it was taken into account.
	Counted Result = "Counted"
	// Refused means that it counts for nothing.
	Refused Result = "Refused"
	// Unknown means that nobody has weighed it yet.
	Unknown Result = "Unknown"
)

// Outcome is what became of a decision, for people.
type Outcome struct {
	// Result of the decision.
	Result Result `json:"result"`
	// State of the request then.
	State v1alpha1.AccessRequestState `json:"state"`
	// Text for people.
	Text string `json:"text"`
}

// Allowed returns an error if the caller cannot make a decision of this kind, with the RBAC rule to ask for.
func (d *Desk) Allowed(ctx context.Context, q *Question, kind v1alpha1.DecisionKind) error {
	verb := v1alpha1.VerbApprove
	if kind == v1alpha1.DecisionBreakGlass {
		verb = v1alpha1.VerbBreakGlass
	}
	var asked []string
	for _, t := range q.Rules {
		if slices.Contains(asked, t.Policy) {
			continue
		}
		asked = append(asked, t.Policy)
		if err := d.Cluster.Need(ctx, q.Name(), cluster.Ours(verb, "accesspolicies", q.Request.Namespace, t.Policy)); err != nil {
			return err
		}
	}
	if err := d.Cluster.Need(ctx, q.Name(), cluster.Ours("create", "accessdecisions", q.Request.Namespace, "")); err != nil {
		return err
	}
	if kind == v1alpha1.DecisionDeny {
		return nil
	}
	return d.notOwn(ctx, q)
}

// notOwn refuses what the caller has asked for themselves.
func (d *Desk) notOwn(ctx context.Context, q *Question) error {
	me, err := d.Cluster.WhoAmI(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", q.Name(), err)
	}
	r := q.Request.Spec.Requester
	own := me.Username == "system:serviceaccount:"+r.Namespace+":"+string(r.ServiceAccount)
	if c := q.Request.Spec.CreatedBy; own || c != nil && c.Username == me.Username {
		return fmt.Errorf("%s was asked for by %s, and nobody approves what they have asked for themselves: ask somebody else", q.Name(), me.Username)
	}
	return nil
}

// Decide creates the decision for exactly the request that was read.
func (d *Desk) Decide(ctx context.Context, q *Question, kind v1alpha1.DecisionKind, reason string) (*v1alpha1.AccessDecision, error) {
	r := q.Request
	decision := &v1alpha1.AccessDecision{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, GenerateName: r.Name + "-"},
		Spec: v1alpha1.AccessDecisionSpec{
			RequestRef: v1alpha1.AccessRequestReference{Name: v1alpha1.ObjectName(r.Name), UID: string(r.UID)},
			Decision:   kind, Reason: reason,
		},
	}
	if r.Spec.Statement != nil {
		decision.Spec.RequestRef.Digest = r.Spec.Statement.Digest
	}
	if err := d.Cluster.Create(ctx, decision); err != nil {
		return nil, cluster.Explain(err, q.Name(), "create", "accessdecisions."+v1alpha1.Group)
	}
	return decision, nil
}

// pollEvery is how often a request is looked at while somebody waits for what becomes of a decision.
const pollEvery = 200 * time.Millisecond

// Await looks at the request until the decision is weighed, for at most some time.
func (d *Desk) Await(ctx context.Context, q *Question, decision *v1alpha1.AccessDecision, patience time.Duration) (Outcome, error) {
	asked := ctx
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := q.Request.DeepCopy()
	for {
		next := &v1alpha1.AccessRequest{}
		err := d.Cluster.Get(ctx, client.ObjectKeyFromObject(r), next)
		switch {
		case apierrors.IsNotFound(err) || err == nil && next.UID != q.Request.UID:
			return Outcome{Unknown, State(r), "the request is gone: whoever waited has left"}, nil
		case err != nil && ctx.Err() == nil:
			return Outcome{}, fmt.Errorf("recorded as AccessDecision %s, but what became of it is not known: %w", decision.Name, cluster.Explain(err, q.Name(), "get", "accessrequests."+v1alpha1.Group))
		case err == nil:
			r = next
		}
		if out, known := outcome(r, q, decision, d.Now()); known {
			return out, nil
		}
		select {
		case <-asked.Done():
			return Outcome{Unknown, State(r), fmt.Sprintf("recorded as AccessDecision %s; you stopped waiting for what becomes of it", decision.Name)}, nil
		case <-ctx.Done():
			return Outcome{Unknown, State(r), fmt.Sprintf("recorded as AccessDecision %s, but not weighed within %s: is the operator running? kubectl tidewaiter doctor", decision.Name, patience)}, nil
		case <-time.After(pollEvery):
		}
	}
}

// outcome reads what became of a decision, and false while nobody has said.
func outcome(r *v1alpha1.AccessRequest, q *Question, decision *v1alpha1.AccessDecision, now time.Time) (Outcome, bool) {
	state := State(r)
	i := slices.IndexFunc(r.Status.Decisions, func(w v1alpha1.WeighedDecision) bool { return string(w.Name) == decision.Name })
	if i < 0 {
		return Outcome{}, false
	}
	if why := r.Status.Decisions[i].Refused; why != "" {
		return Outcome{Refused, state, "your decision did not count: " + table.Line(why)}, true
	}
	out := Outcome{Result: Counted, State: state}
	switch state {
	case v1alpha1.RequestPending:
		if decision.Spec.Decision == v1alpha1.DecisionDeny {
			return Outcome{}, false // a denial closes: the rest of the status is still to come
		}
		out.Text = "your approval counts, and more is needed; still missing: " + orNone(table.Line(r.Status.Missing))
		if r.Status.Missing == "" {
			return Outcome{}, false
		}
	case v1alpha1.RequestApproved:
		if decision.Spec.Decision == v1alpha1.DecisionDeny {
			return Outcome{}, false
		}
		out.Text = approvedWords(r, q, now)
	case v1alpha1.RequestDenied:
		out.Text = "denied; the client is told so, with your reason"
		if decision.Spec.Decision != v1alpha1.DecisionDeny {
			out.Text = "denied" + by(r) + " meanwhile"
		}
	case v1alpha1.RequestRevoked:
		out.Text = "revoked; what was granted has ended"
	default:
		out.Text = fmt.Sprintf("too late: the request is %s", state)
	}
	return out, true
}

func approvedWords(r *v1alpha1.AccessRequest, q *Question, now time.Time) string {
	switch {
	case r.Spec.Access != nil && r.Status.GrantedUntil != nil:
		return "approved, until " + table.Clock(r.Status.GrantedUntil.Time, now)
	case r.Spec.Access != nil:
		return "approved"
	case r.Status.GrantedUntil != nil:
		return "approved; the statement runs, and the like of it until " + table.Clock(r.Status.GrantedUntil.Time, now)
	case len(q.Rules) == 1 && q.Rules[0].Approval != nil && q.Rules[0].Approval.Grant == v1alpha1.GrantSession:
		return "approved; the statement runs, and the like of it until the session ends"
	default:
		return "approved; the statement runs"
	}
}
