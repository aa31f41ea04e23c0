package local

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/api/manifest"
	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/approval"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// ErrNotHeld means that nothing of that name waits for an answer.
var ErrNotHeld = errors.New("nothing of that name waits for an answer")

// Held is a statement that waits for somebody's answer.
type Held struct {
	// Name as the client was told it, "namespace/name".
	Name string `json:"name"`
	// Requester, "namespace/serviceaccount", and the rules that ask, "namespace/policy rule".
	Requester string   `json:"requester"`
	Rules     []string `json:"rules"`
	// What is asked for in a few words, and Text with its constants taken out.
	What string `json:"what"`
	Text string `json:"text"`
	// Rows that the database expects; nil: it was not asked. Exceeded is the limit that was reached, if it is that.
	Rows     *int64    `json:"rows,omitempty"`
	Exceeded string    `json:"exceeded,omitempty"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
}

// People are whoever sits at this machine: they answer what the proxy holds, in the place of a cluster's approvers. Whoever runs
// the proxy may answer, and that includes the program behind it: this is for trying a policy, not for enforcing it.
// Their methods are safe for concurrent use.
type People struct {
	broker    *approval.Broker
	set       *manifest.Set
	requester string

	mu   sync.Mutex
	open map[string]*question // by hold
}

type question struct {
	Held
	hold  string
	rules []*sidecarv1alpha1.RuleReference
	grant *sidecarv1alpha1.Grant
}

// newPeople returns people who are asked until ctx ends.
func newPeople(ctx context.Context, o Options) *People {
	p := &People{broker: approval.New(nil), set: o.Set, requester: o.Subject.Namespace + "/" + o.Subject.ServiceAccount, open: map[string]*question{}}
	p.broker.HintBy(func(request string) string { return "In another terminal: kubectl tidewaiter local approve " + request })
	go p.broker.Talk(ctx, p)
	return p
}

// Ask puts a request before people. It implements approval.Asker.
func (p *People) Ask(_ context.Context, r *sidecarv1alpha1.ApprovalRequest) error {
	asked := p.approvalOf(r.GetRules())
	timeout := asked.Timeout.Duration
	if r.GetInTransaction() {
		timeout = asked.TransactionTimeout.Duration
	}
	namespace, policy, _ := strings.Cut(r.GetRules()[0].GetPolicy(), "/")
	name := policy + "-" + r.GetHold()[:min(5, len(r.GetHold()))]
	now := time.Now()
	q := &question{hold: r.GetHold(), rules: r.GetRules(), grant: grantFor(name, r, asked), Held: Held{
		Name: namespace + "/" + name, Requester: p.requester, What: r.GetSummary(), Text: r.GetText(), Rows: r.EstimatedRows,
		Since: now.Add(-time.Duration(r.GetWaitedSeconds()) * time.Second), Until: now.Add(timeout),
	}}
	for _, rule := range r.GetRules() {
		q.Rules = append(q.Rules, rule.GetPolicy()+" "+rule.GetRule())
	}
	if e := r.GetExceeded(); e != nil {
		q.Exceeded = fmt.Sprintf("%s, after %d rows", e.GetLimit(), e.GetRows())
	}
	p.mu.Lock()
	p.open[q.hold] = q
	p.mu.Unlock()
	p.broker.Pending(&sidecarv1alpha1.ApprovalPending{Hold: q.hold, Name: name, ExpiresAt: timestamppb.New(q.Until)})
	return nil
}

// approvalOf is the strictest of what the rules say.
func (p *People) approvalOf(rules []*sidecarv1alpha1.RuleReference) v1alpha1.Approval {
	out := (&v1alpha1.Rule{}).EffectiveApproval()
	first := true
	for i := range p.set.Policies {
		policy := &p.set.Policies[i]
		for j := range policy.Spec.Rules {
			rule := &policy.Spec.Rules[j]
			if !slices.ContainsFunc(rules, func(r *sidecarv1alpha1.RuleReference) bool {
				return r.GetPolicy() == policy.Namespace+"/"+policy.Name && r.GetRule() == rule.Name
			}) {
				continue
			}
			next := rule.EffectiveApproval()
			if !first && next.Grant != out.Grant {
				next.Grant = v1alpha1.GrantStatement
			}
			if !first {
				next.Timeout.Duration = min(next.Timeout.Duration, out.Timeout.Duration)
				next.TransactionTimeout.Duration = min(next.TransactionTimeout.Duration, out.TransactionTimeout.Duration)
			}
			out, first = next, false
		}
	}
	return out
}

// grantFor is what an approval is good for beyond the statement; nil: for nothing.
func grantFor(name string, r *sidecarv1alpha1.ApprovalRequest, a v1alpha1.Approval) *sidecarv1alpha1.Grant {
	g := &sidecarv1alpha1.Grant{Name: name, Rules: r.GetRules(), Shape: r.GetShape()}
	if lasts, ok := a.Grant.Duration(); ok {
		g.Seconds = uint32(lasts / time.Second)
		return g
	}
	if a.Grant == v1alpha1.GrantSession {
		g.Session, g.Seconds = r.GetSession(), uint32((24*time.Hour)/time.Second)
		return g
	}
	return nil
}

// Withdraw takes a request away that nobody waits for. It implements approval.Asker.
func (p *People) Withdraw(_ context.Context, w *sidecarv1alpha1.ApprovalWithdrawal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, w.GetHold())
	return nil
}

// Held returns what waits, the oldest first.
func (p *People) Held() []Held {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := []Held{}
	now := time.Now()
	for hold, q := range p.open {
		if now.After(q.Until.Add(time.Minute)) {
			delete(p.open, hold)
			continue
		}
		out = append(out, q.Held)
	}
	slices.SortFunc(out, func(a, b Held) int { return a.Since.Compare(b.Since) })
	return out
}

// Answer approves or denies what waits under a name, "namespace/name" or the name alone. It returns ErrNotHeld where nothing does.
func (p *People) Answer(name string, approve bool, by, reason string) error {
	p.mu.Lock()
	var q *question
	for _, one := range p.open {
		if one.Name == name || strings.HasSuffix(one.Name, "/"+name) {
			q = one
		}
	}
	if q == nil {
		p.mu.Unlock()
		return fmt.Errorf("%s: %w", name, ErrNotHeld)
	}
	delete(p.open, q.hold)
	p.mu.Unlock()
	_, short, _ := strings.Cut(q.Name, "/")
	answer := &sidecarv1alpha1.ApprovalAnswer{
		Hold: q.hold, Name: short, Outcome: sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_DENIED, By: []string{by}, Reason: reason,
	}
	if approve {
		answer.Outcome, answer.Grant = sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_APPROVED, q.grant
	}
	p.broker.Answer(answer)
	return nil
}
