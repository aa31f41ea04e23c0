package session

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// ErrPause is what Take returns where the result has to stand still until Extend has found out whether it may go on.
var ErrPause = errors.New("session: the result stands still until it is known whether it may go on")

// lifts are the limits that a person has lifted for one exchange.
type lifts uint8

const (
	liftRowsPerStatement lifts = 1 << iota
	liftBytesPerStatement
	liftRowsPerHour
	liftBytesPerHour
)

func (l lifts) has(one lifts) bool { return l&one != 0 }

// flags are the remarks that the recording gets.
func (l lifts) flags() (out []string) {
	for _, b := range bounds {
		if l.has(b.lift) {
			out = append(out, "approved beyond "+b.name)
		}
	}
	return out
}

// bound is one of the limits.
type bound struct {
	name string
	lift lifts
	most func(l *access.Limits) int64
	unit string
}

var bounds = [...]bound{
	{access.LimitRowsPerStatement, liftRowsPerStatement, func(l *access.Limits) int64 { return l.RowsPerStatement }, "rows"},
	{access.LimitBytesPerStatement, liftBytesPerStatement, func(l *access.Limits) int64 { return l.BytesPerStatement }, "bytes"},
	{access.LimitRowsPerHour, liftRowsPerHour, func(l *access.Limits) int64 { return l.RowsPerHour }, "rows in an hour"},
	{access.LimitBytesPerHour, liftBytesPerHour, func(l *access.Limits) int64 { return l.BytesPerHour }, "bytes in an hour"},
}

// Places in bounds.
const (
	rowsPerStatement = iota
	bytesPerStatement
	rowsPerHour
	bytesPerHour
)

// pause is what an exchange stands still for.
type pause struct {
	bound *bound
	lease *lease // borrow from it first; nil: ask a person at once
	want  int64
}

func (x *Exchange) withinLimits(l *access.Limits, rows, bytes int64) error {
	if x.stopped != nil {
		return x.stopped
	}
	if l.RowsPerStatement > 0 && x.rows.Load()+rows > l.RowsPerStatement && !x.lifted.has(liftRowsPerStatement) {
		return x.reached(l, pause{bound: &bounds[rowsPerStatement]})
	}
	if l.BytesPerStatement > 0 && x.bytes.Load()+bytes > l.BytesPerStatement && !x.lifted.has(liftBytesPerStatement) {
		return x.reached(l, pause{bound: &bounds[bytesPerStatement]})
	}
	if l.RowsPerHour > 0 || l.BytesPerHour > 0 {
		switch x.withinHour(l, rows, bytes) {
		case SpentRows:
			return x.reached(l, pause{&bounds[rowsPerHour], x.hour.lease[0], rows})
		case SpentBytes:
			return x.reached(l, pause{&bounds[bytesPerHour], x.hour.lease[1], bytes})
		}
		x.sip(l)
	}
	return nil
}

// reached pauses where more can be borrowed, or somebody asked; otherwise the result is stopped.
func (x *Exchange) reached(l *access.Limits, p pause) error {
	if p.lease == nil && x.op == nil {
		x.stopped = x.limitDenial(l, p.bound, "")
		return x.stopped
	}
	x.paused = p
	return ErrPause
}

// Extend finds out whether a result that Take has paused may go on: it borrows, or asks a person where policy says so, which
// may take as long as people take. It waits until that is known or ctx ends; the error, which is the context's cause then, is
// what Take returns from then on. Where the operator that counts a budget cannot be asked, the result is stopped.
func (x *Exchange) Extend(ctx context.Context) error {
	p := x.paused
	x.paused = pause{}
	if p.bound == nil || x.stopped != nil {
		return nil //nolint:nilerr // Take says what there is to say
	}
	if err := x.extend(ctx, p); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		x.stopped = access.AsDenial(err)
		return x.stopped
	}
	return nil
}

func (x *Exchange) extend(ctx context.Context, p pause) error {
	l, shared := &x.decision.Limits, ""
	if p.lease != nil {
		err := x.s.p.Budgets.borrow(ctx, p.lease, p.want)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, errSpent):
			return countDown(l, p.bound, err)
		}
		shared = fmt.Sprintf("It is shared by all pods of %s.", x.s.identity.Subject())
	}
	if x.op == nil {
		return x.limitDenial(l, p.bound, shared)
	}
	if err := x.ask(ctx, l, p.bound); err != nil {
		return err
	}
	x.lifted |= p.bound.lift
	return nil
}

// ask asks a person whether this one result may go on beyond a limit.
func (x *Exchange) ask(ctx context.Context, l *access.Limits, b *bound) error {
	op, d := *x.op, x.decision
	op.Exceeded = &access.Exceeded{Limit: b.name, Rows: x.rows.Load(), Bytes: x.bytes.Load()}
	d.Effect, d.Observed = access.RequireApproval, false
	d.Policy, d.Rule = l.RuleFor(b.name)
	d.Reason = fmt.Sprintf("It has reached the limit of %d %s (policy %s, rule %s, limit %s).", b.most(l), b.unit, d.Policy, d.Rule, b.name)
	waiting, end := context.WithCancelCause(ctx)
	defer end(nil)
	go func() {
		select {
		case <-x.s.draining: // a proxy that ends lets results come to their end, but not wait for people
			end(stopping)
		case <-waiting.Done():
		}
	}()
	if err := x.s.exceed(waiting, x, &op, d); err != nil {
		return err
	}
	return x.still(ctx)
}

// stopping is why a result does not wait for people any longer when the proxy ends.
var stopping = &access.Denial{
	What: "tidewaiter: the proxy is stopping, so the result that waited for approval was stopped",
	Hint: "Connect again and run it again.",
}

// still decides once more what a person has let go on: an approval can never permit what policy denies by then, and rows
// must not leave by masks that are no more. What runs cannot be read anew, so that other masks end it.
func (x *Exchange) still(ctx context.Context) error {
	d, err := x.s.p.Decider.Decide(ctx, x.s.identity, x.op)
	what := "tidewaiter: stopped, although it was approved: "
	switch {
	case err != nil:
		return &access.Denial{Code: access.CodeForbidden, Cause: err, What: what + "the policy could not be evaluated any more"}
	case d.Effect != access.Allow && d.Effect != access.RequireApproval:
		return &access.Denial{Code: access.CodeForbidden, What: what + "it is denied by now (" + source(d) + ")", Detail: d.Reason, Hint: d.Hint}
	case !maps.Equal(d.Masks, x.decision.Masks):
		return &access.Denial{Code: access.CodeUnavailable, What: what + "what is done to its values has changed meanwhile", Hint: "Run it again."}
	}
	return nil
}

func (x *Exchange) limitDenial(l *access.Limits, b *bound, detail string) *access.Denial {
	policy, rule := l.RuleFor(b.name)
	d := &access.Denial{
		Code:   access.CodeLimit,
		What:   fmt.Sprintf("tidewaiter: stopped after %d %s (policy %s, rule %s, limit %s)", b.most(l), b.unit, policy, rule, b.name),
		Detail: detail,
		Hint:   "Add a WHERE or LIMIT, or ask the owner of the DataSource for access.",
	}
	if l.OnExceed == access.RequireApproval {
		d.Detail = "The rule asks for approval beyond this limit (onExceed: RequireApproval); approvals are not available in this proxy, so it was stopped."
	}
	return d
}

// countDown is for when nobody can say how much of an hour is left: then nothing is.
func countDown(l *access.Limits, b *bound, err error) *access.Denial {
	policy, rule := l.RuleFor(b.name)
	return &access.Denial{
		Code: access.CodeUnavailable, Cause: err,
		What:   fmt.Sprintf("tidewaiter: stopped, because the operator that counts %s cannot be reached (policy %s, rule %s, limit %s)", b.unit, policy, rule, b.name),
		Detail: "What this pod had borrowed of the budget is used up, and how much is left is known to the operator alone.",
		Hint:   "Try again in a minute; if it stays, ask the operator of Tidewaiter whether tidewaiter-operator runs and can be reached from this pod.",
	}
}
