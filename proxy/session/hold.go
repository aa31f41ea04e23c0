package session

import (
	"context"
	"crypto/sha256"
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
	if h.rounds == 0 {
		h.s.held.Add(1)
	}
	if err := h.s.people(ctx, h.x, h.question()); err != nil {
		return h.s.refused(h.x, access.AsDenial(err))
	}
	h.approved = append(h.approved, h.rules...)
	h.facts = access.Unsized(h.op.Statements)
	return nil
}

// people asks, and records what comes of it. A nil error is an approval.
func (s *Session) people(ctx context.Context, x *Exchange, q *Question) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var unrecorded error
	q.Notify = func(n access.Notice) {
		n.Rules = q.Rules
		if unrecorded = s.append(access.Event{Kind: access.EventHeld, Statement: x.seq, Held: &n}); unrecorded != nil {
			cancel(recorderDown(unrecorded))
		} else if s.notice != nil {
			s.notice(n)
		}
	}
	answered, err := s.p.Approver.Approve(ctx, q)
	if unrecorded == nil {
		unrecorded = s.append(access.Event{Kind: access.EventAnswered, Statement: x.seq, Answered: &answered})
	}
	switch {
	case unrecorded != nil:
		return recorderDown(unrecorded)
	case err == nil && answered.Outcome != access.AnswerApproved:
		return &access.Denial{What: "tidewaiter: " + q.What} // an approver that says neither
	}
	return err
}

// asks keeps op where people are asked about what its result exceeds.
func (x *Exchange) asks(op *access.Operation) {
	if x.op = nil; x.decision.Limits.OnExceed == access.RequireApproval && x.s.p.Approver != nil {
		x.op = op
	}
}

// exceed asks whether an operation that runs, whose result has reached the limit
// op.Exceeded, may go on: nothing that was approved before is good for that, and the
// client has to wait. d names the limit's policy and rule, and how it is approved. The
// error is an *access.Denial.
func (s *Session) exceed(ctx context.Context, x *Exchange, op *access.Operation, d access.Decision) error {
	d.Effect = access.RequireApproval
	q := s.question(op, &d, d.Asking())
	q.What = fmt.Sprintf("%s needs approval to go on beyond %s (%s)", Summary(op), op.Exceeded.Limit, source(d))
	q.Refuse, q.Timeout = false, min(d.Approval.Timeout, d.Approval.TransactionTimeout)
	op.Held.InTransaction = true
	if len(op.Held.Digest) == 0 {
		digest := sha256.Sum256(fmt.Appendf(nil, "%s %d %s", s.name, x.seq, op.Text)) // like no other: op.Text lacks constants
		op.Held.Digest = digest[:]
	}
	s.held.Add(1)
	return s.people(ctx, x, q)
}

// Again decides op, which was read anew, after an approval: what is denied by now is
// denied, what asks for the same runs, and rules that have not been asked are. Then
// there is a Hold to go on with.
func (h *Hold) Again(ctx context.Context, op *access.Operation) (*Exchange, *Hold, error) {
	s, x := h.s, h.x
	d, err := s.decision(ctx, op)
	x.decision, x.touches, x.hides = d, op.Touches, x.hides || op.Hides
	x.asks(op)
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
	if !reflect.DeepEqual(h.facts, access.Unsized(op.Statements)) {
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

func (h *Hold) question() *Question { return h.s.question(h.op, &h.x.decision, h.rules) }

func (s *Session) question(op *access.Operation, d *access.Decision, rules []access.RuleRef) *Question {
	q := &Question{
		DataSource: s.p.DataSource, Session: s.name, Identity: s.identity, Operation: op,
		What: strings.TrimPrefix(DenialFor(op, *d).What, "tidewaiter: "), Rules: rules, Timeout: d.Approval.Timeout,
		Refuse: d.Approval.Refuse || strings.Contains(s.hello.Application, NoWait),
	}
	if op.Held.InTransaction && !q.Refuse {
		q.Timeout = min(q.Timeout, d.Approval.TransactionTimeout)
	}
	if op.Held.Summary == "" {
		op.Held.Summary = Summary(op)
	}
	if op.Held.Text == "" {
		op.Held.Text = op.Held.Summary // never the text itself, which has constants
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
