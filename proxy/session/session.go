package session

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// recordedText is how many bytes of a statement's text a record keeps.
const recordedText = 64 << 10

// Session is one client's connection through the pipeline. Its methods are safe
// for concurrent use: a protocol's two directions both call them.
type Session struct {
	p        *Pipeline
	name     string
	identity access.Identity
	hello    access.Hello
	client   net.Conn
	server   *Server
	record   Record
	control  Exchange
	draining <-chan struct{}
	opened   func() bool // lets the protocol, not the pipeline, end the client

	mu     sync.Mutex // orders sequence numbers and their records
	seq    int64
	closed bool

	underWay atomic.Int64 // exchanges that have not ended

	probeLock sync.Mutex
	probes    probeSet

	statements, denied, masked, held, rows, bytes atomic.Int64

	notice func(access.Notice) // nil: nobody is told
}

// Name is the session's unique name, as recordings have it.
func (s *Session) Name() string { return s.name }

// Identity returns who is at the other end.
func (s *Session) Identity() access.Identity { return s.identity }

// Client returns the client's connection.
func (s *Session) Client() net.Conn { return s.client }

// Server returns the upstream connection, once Open has returned it.
func (s *Session) Server() *Server { return s.server }

// Draining is closed when the proxy is to end as soon as nothing is under way.
func (s *Session) Draining() <-chan struct{} { return s.draining }

// Dial opens another upstream connection for the same identity, for the
// protocol's own needs: its catalog, a cancel request.
func (s *Session) Dial(ctx context.Context) (*Upstream, error) {
	return s.p.Dialer.Dial(ctx, s.identity)
}

// Control is the standing exchange of the protocol's own control traffic, which
// carries no operation: end of pipeline, flush, terminate.
func (s *Session) Control() *Exchange { return &s.control }

// UnderWay returns how many exchanges have not ended.
func (s *Session) UnderWay() int64 { return s.underWay.Load() }

// Ask decides op and writes the intent record, as Begin does, but does not wait: it
// returns an exchange, a Hold where a person has to approve first, or an error. Held
// operations are for protocols that have something to do meanwhile.
func (s *Session) Ask(ctx context.Context, op *access.Operation) (*Exchange, *Hold, error) {
	op.DataSource = s.p.DataSource
	start := s.p.now()
	d, err := s.decision(ctx, op)
	if s.p.Observer != nil {
		s.p.Observer.Decided(s.p.DataSource, op, d)
	}
	x := &Exchange{s: s, decision: d, started: start, touches: op.Touches, hides: op.Hides}
	x.asks(op)
	if err := s.intend(x, op); err != nil {
		return nil, nil, s.refused(x, recorderDown(err))
	}
	if err != nil {
		return nil, nil, s.refused(x, policyDown(err))
	}
	switch d.Effect {
	case access.Allow:
		s.permit(x)
		return x, nil, nil
	case access.RequireApproval:
		return s.hold(op, x)
	default:
		return nil, nil, s.refused(x, s.denial(ctx, op, d))
	}
}

// decision asks policy, and counts what op asks of tagged columns. An error comes
// with a denial.
func (s *Session) decision(ctx context.Context, op *access.Operation) (access.Decision, error) {
	op.DataSource = s.p.DataSource
	d, err := s.p.Decider.Decide(ctx, s.identity, op)
	if err != nil {
		return access.Decision{Reason: "the policy could not be evaluated"}, err
	}
	if d.Effect != access.Deny {
		d = s.probe(ctx, op, d)
	}
	return d, nil
}

// permit makes an exchange the permission that it is.
func (s *Session) permit(x *Exchange) {
	x.live = true
	s.underWay.Add(1)
}

// Masks returns what policy does to values of tags, and the revision that says so,
// for preparing an operation: nothing may be done by it that Begin does not permit.
// It is nil where policy cannot say; the decision then still can.
func (s *Session) Masks(ctx context.Context, tags []string) (masks map[string]access.Mask, revision uint64) {
	m, ok := s.p.Decider.(Masker)
	if !ok || len(tags) == 0 {
		return nil, 0
	}
	masks, revision, err := m.Masks(ctx, tags)
	if err != nil {
		return nil, 0
	}
	return masks, revision
}

// WantsSize reports whether policy looks at how many rows an operation is expected to
// return.
func (s *Session) WantsSize() bool {
	z, ok := s.p.Decider.(Sizer)
	return ok && z.Estimates()
}

// denial words a refusal. A name that is not there has no rule for it either, and
// somebody who mistyped one is helped by hearing that, not by hearing of rules.
// What the caller may not do whatever the name, and what cannot be decided, stays
// with the rule.
func (s *Session) denial(ctx context.Context, op *access.Operation, d access.Decision) *access.Denial {
	if op.Absent == "" || len(op.Without) == 0 {
		return DenialFor(op, d)
	}
	rest := *op
	rest.Statements, rest.Without, rest.Absent, rest.ID = op.Without, nil, "", 0
	allowed, err := s.p.Decider.Decide(ctx, s.identity, &rest)
	if err != nil || allowed.Effect != access.Allow {
		return DenialFor(op, d)
	}
	return &access.Denial{Code: access.CodeAbsent, What: op.Absent}
}

// intend numbers the exchange and writes its intent record, as one step, so that
// records are in the order of their numbers.
func (s *Session) intend(x *Exchange, op *access.Operation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	x.seq = s.seq
	if op.Phase == access.PhaseRun {
		s.statements.Add(1)
	}
	return s.appendLocked(access.Event{Kind: access.EventDecided, Statement: x.seq, Decided: decided(op, x.decision)})
}

func (s *Session) refused(x *Exchange, d *access.Denial) *access.Denial {
	x.live = false
	s.denied.Add(1)
	ended := access.Ended{Outcome: access.OutcomeDenied, Message: x.worded(d), Duration: s.p.now().Sub(x.started)}
	if s.p.Observer != nil {
		s.p.Observer.Ended(s.p.DataSource, ended)
	}
	if err := s.append(access.Event{Kind: access.EventEnded, Statement: x.seq, Ended: &ended}); err != nil && d.Code != access.CodeUnavailable {
		return recorderDown(err)
	}
	hint := fmt.Sprintf("Recorded as statement %d.", x.seq)
	if d.Code != access.CodeUnavailable && d.Code != access.CodeAbsent { // that one has the server's own words
		d.Hint = strings.TrimSpace(d.Hint + " " + hint)
	}
	return d
}

// worded is what is recorded of a denial. Where names or tokens of the statement are its words, one of them may be a value
// that somebody forgot to quote.
func (x *Exchange) worded(d *access.Denial) string {
	if x.hides && (d.Code == access.CodeAbsent || d.Code == access.CodeUnreadable) {
		return "tidewaiter: the words of the refusal name a part of the statement that is not recorded"
	}
	return d.What
}

func (s *Session) append(e access.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.appendLocked(e)
}

func (s *Session) appendLocked(e access.Event) error {
	if s.closed {
		return net.ErrClosed
	}
	e.Time = s.p.now()
	return s.record.Append(e)
}

// close writes the closing record. It is called once, by the pipeline.
func (s *Session) close(reason string) error {
	c := access.Closed{
		Reason: reason, Statements: s.statements.Load(), Denied: s.denied.Load(), Masked: s.masked.Load(),
		Held: s.held.Load(), Rows: s.rows.Load(), Bytes: s.bytes.Load(), Probes: s.distinctProbes(),
	}
	if s.p.Observer != nil {
		s.p.Observer.Closed(s.p.DataSource, c)
	}
	err := s.append(access.Event{Kind: access.EventClosed, Closed: &c})
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	if cerr := s.record.Close(); err == nil {
		err = cerr
	}
	return err
}

func decided(op *access.Operation, d access.Decision) *access.Decided {
	out := &access.Decided{
		Phase: op.Phase, Text: op.Text, Parameters: op.Parameters, Effect: d.Effect.String(), Policy: d.Policy,
		Rule: d.Rule, Reason: d.Reason, Observed: d.Observed, Flags: d.Flags, Revision: d.Revision,
	}
	if len(op.Text) > recordedText {
		out.Text, out.TextSize = strings.ToValidUTF8(op.Text[:recordedText], ""), int64(len(op.Text))
	}
	if op.TextSize > 0 {
		out.TextSize = op.TextSize
	}
	for i := range op.Statements {
		st := &op.Statements[i]
		out.Kinds = append(out.Kinds, st.Kind)
		for _, f := range st.Features {
			out.Features = append(out.Features, f.Name)
		}
		for _, r := range st.Resources {
			out.Resources = append(out.Resources, string(r.Access)+" "+r.Schema+"."+r.Name)
		}
		out.Tags = append(out.Tags, st.Tags...)
	}
	return out
}

// now is the pipeline's clock.
func (p *Pipeline) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}
