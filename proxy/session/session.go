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
}

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

// Begin decides op, holds it for a person where policy says so, and writes the
// intent record. Only the Exchange it returns permits to forward the operation.
// The error is an *access.Denial and has been recorded as far as that is
// possible. Whatever fails here refuses.
func (s *Session) Begin(ctx context.Context, op *access.Operation) (*Exchange, error) {
	op.DataSource = s.p.DataSource
	start := s.p.now()
	d, err := s.p.Decider.Decide(ctx, s.identity, op)
	if err != nil {
		d = access.Decision{Reason: "the policy could not be evaluated"}
	}
	if d.Effect != access.Deny {
		d = s.probe(ctx, op, d)
	}
	if s.p.Observer != nil {
		s.p.Observer.Decided(s.p.DataSource, op, d)
	}
	x := &Exchange{s: s, decision: d, started: start, live: true, touches: op.Touches}
	if d.Limits.OnExceed == access.RequireApproval && s.p.Approver != nil {
		x.op = op
	}
	if err := s.intend(x, op); err != nil {
		return nil, s.refused(x, recorderDown(err))
	}
	if err != nil {
		return nil, s.refused(x, policyDown(err))
	}
	switch d.Effect {
	case access.Allow:
		s.underWay.Add(1)
		return x, nil
	case access.RequireApproval:
		if err := s.approve(ctx, op, d); err != nil {
			return nil, s.refused(x, access.AsDenial(err))
		}
		s.underWay.Add(1)
		return x, nil
	default:
		return nil, s.refused(x, s.denial(ctx, op, d))
	}
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

func (s *Session) approve(ctx context.Context, op *access.Operation, d access.Decision) error {
	if s.p.Approver == nil {
		den := DenialFor(op, d)
		den.Detail = strings.TrimSpace(den.Detail + " Nobody can be asked here: approvals are not available in this proxy, so it was refused. Nothing was sent to the server.")
		return den
	}
	s.held.Add(1)
	return s.p.Approver.Approve(ctx, s, op, d)
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
	ended := access.Ended{Outcome: access.OutcomeDenied, Message: d.What, Duration: s.p.now().Sub(x.started)}
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
