package session

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// maxRounds bounds how often one operation is held: rules that ask, one after the
// other, for as long as somebody changes them would hold it for ever.
const maxRounds = 3

// NoWait in a client's application name says that it does not wait for approval: it
// is refused with the request's name, and comes again. It is a claim, and can only
// make its client wait less.
const NoWait = "tidewaiter.dev/no-wait"

// Question is what an Approver is asked.
type Question struct {
	DataSource string // "namespace/name"
	Session    string
	Identity   access.Identity
	Operation  *access.Operation
	// What says what is asked for and by which rule, as a refusal would.
	What string
	// Rules that ask, the one that the client is told of first.
	Rules []access.RuleRef
	// Timeout is how long it may wait.
	Timeout time.Duration
	// Refuse: the client does not wait, but comes again.
	Refuse bool
	// Notify takes what the client may be told while it waits. Approve calls it at most
	// once, before it returns.
	Notify func(access.Notice)
}

// Hold is an operation that runs only after an approval. Whoever has one asks
// Granted, else calls Wait and then Again, until there is an exchange or an error:
// what was approved is decided anew, since hours may lie between. It is not safe for
// concurrent use.
type Hold struct {
	s        *Session
	x        *Exchange
	op       *access.Operation
	rules    []access.RuleRef   // that ask now
	approved []access.RuleRef   // that have been approved for statements
	facts    []access.Statement // what they were approved for
	rounds   int
}

// OnNotice has f called, from the goroutine that waits, with what the client is to
// be told while an operation of its is held. It is called before the first Begin.
func (s *Session) OnNotice(f func(access.Notice)) { s.notice = f }

// Begin decides op, holds it for a person where policy says so, and writes the
// intent record. Only the Exchange it returns permits to forward the operation.
// The error is an *access.Denial and has been recorded as far as that is
// possible. Whatever fails here refuses.
func (s *Session) Begin(ctx context.Context, op *access.Operation) (*Exchange, error) {
	x, hold, err := s.Ask(ctx, op)
	for hold != nil {
		if x = hold.Granted(); x != nil {
			return x, nil
		}
		if err = hold.Wait(ctx); err != nil {
			return nil, err
		}
		x, hold, err = hold.Again(ctx, op)
	}
	return x, err
}

// hold begins to hold an operation, or refuses it where nobody can be asked.
func (s *Session) hold(op *access.Operation, x *Exchange) (*Exchange, *Hold, error) {
	switch {
	case s.p.Approver == nil:
		den := DenialFor(op, x.decision)
		den.Detail = strings.TrimSpace(den.Detail + " Nobody can be asked here: approvals are not available in this proxy, so it was refused. Nothing was sent to the server.")
		return nil, nil, s.refused(x, den)
	case op.Phase == access.PhasePrepare: // it is held when it is to run: once, and with its parameters
		s.permit(x)
		return x, nil, nil
	}
	rules := x.decision.Asking()
	if len(rules) == 0 {
		return nil, nil, s.refused(x, DenialFor(op, x.decision))
	}
	s.held.Add(1)
	return nil, &Hold{s: s, x: x, op: op, rules: rules}, nil
}

// Granted returns the exchange of an operation that was approved before, by a grant
// or because it has come again; else nil.
func (h *Hold) Granted() *Exchange {
	answered, ok := h.s.p.Approver.Granted(h.question())
	if !ok || answered.Outcome != access.AnswerApproved {
		return nil
	}
	if h.answered(answered) != nil {
		return nil // Wait meets the same recorder, and says so
	}
	h.s.permit(h.x)
	return h.x
}

// Wait holds the operation until people have answered. An error is an
// *access.Denial that has been recorded: it does not run. Otherwise Again decides.
// Where the context ends with an *access.Denial as its cause, that is the answer.
func (h *Hold) Wait(ctx context.Context) error {
	s := h.s
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	q := h.question()
	var unrecorded error
	q.Notify = func(n access.Notice) {
		n.Rules = h.rules
		if unrecorded = s.append(access.Event{Kind: access.EventHeld, Statement: h.x.seq, Held: &n}); unrecorded != nil {
			cancel(recorderDown(unrecorded))
		} else if s.notice != nil {
			s.notice(n)
		}
	}
	answered, err := s.p.Approver.Approve(ctx, q)
	if err == nil && answered.Outcome != access.AnswerApproved {
		err = DenialFor(h.op, h.x.decision) // an approver that says neither
	}
	if unrecorded == nil {
		unrecorded = h.answered(answered)
	}
	if unrecorded != nil {
		err = recorderDown(unrecorded)
	}
	if err != nil {
		return s.refused(h.x, access.AsDenial(err))
	}
	h.approved = append(h.approved, h.rules...)
	h.facts = h.op.Statements
	return nil
}

// Again decides op, which was read anew, after an approval: what is denied by now is
// denied, what asks for the same runs, and rules that have not been asked are. Then
// there is a Hold to go on with.
func (h *Hold) Again(ctx context.Context, op *access.Operation) (*Exchange, *Hold, error) {
	s, x := h.s, h.x
	d, err := s.decision(ctx, op)
	x.decision, x.touches = d, op.Touches
	if rerr := s.append(access.Event{Kind: access.EventDecided, Statement: x.seq, Decided: decided(op, d)}); rerr != nil {
		return nil, nil, s.refused(x, recorderDown(rerr))
	}
	switch {
	case err != nil:
		return nil, nil, s.refused(x, policyDown(err))
	case d.Effect == access.Allow:
		s.permit(x)
		return x, nil, nil
	case d.Effect != access.RequireApproval:
		return nil, nil, s.refused(x, s.denial(ctx, op, d))
	}
	if !reflect.DeepEqual(h.facts, op.Statements) {
		h.approved = nil // what was approved is not what would run
	}
	asking := d.Asking()
	h.rules = slices.DeleteFunc(asking, func(r access.RuleRef) bool { return slices.Contains(h.approved, r) })
	if len(h.rules) == 0 && len(h.approved) > 0 {
		s.permit(x)
		return x, nil, nil
	}
	if h.rounds++; h.rounds >= maxRounds || len(h.rules) == 0 {
		den := DenialFor(op, d)
		den.Detail = "It was approved, but what it means, or what asks for approval, has changed meanwhile. Nothing was sent to the server."
		return nil, nil, s.refused(x, den)
	}
	h.op = op
	return nil, h, nil
}

// Refused refuses an operation that was held, for a reason that its protocol has.
func (h *Hold) Refused(d *access.Denial) *access.Denial { return h.s.refused(h.x, d) }

// Operation that is held. Its Held is to be filled in before Granted and Wait.
func (h *Hold) Operation() *access.Operation { return h.op }

func (h *Hold) question() *Question {
	s, d := h.s, &h.x.decision
	q := &Question{
		DataSource: s.p.DataSource, Session: s.name, Identity: s.identity, Operation: h.op,
		What: strings.TrimPrefix(DenialFor(h.op, *d).What, "tidewaiter: "), Rules: h.rules, Timeout: d.Approval.Timeout,
		Refuse: d.Approval.Refuse || strings.Contains(s.hello.Application, NoWait),
	}
	if h.op.Held.InTransaction && !q.Refuse {
		q.Timeout = min(q.Timeout, d.Approval.TransactionTimeout)
	}
	if h.op.Held.Summary == "" {
		h.op.Held.Summary = Summary(h.op)
	}
	if h.op.Held.Text == "" {
		h.op.Held.Text = h.op.Held.Summary // never the text itself, which has constants
	}
	return q
}

func (h *Hold) answered(a access.Answered) error {
	return h.s.append(access.Event{Kind: access.EventAnswered, Statement: h.x.seq, Answered: &a})
}

// Summary says in a few words what op is, such as "CopyOut on public.orders".
func Summary(op *access.Operation) string {
	what, _ := describe(op, access.Decision{})
	if len(op.Statements) > 1 {
		what = fmt.Sprintf("%d statements, the first %s", len(op.Statements), describeOne(&op.Statements[0]))
	}
	return what
}
