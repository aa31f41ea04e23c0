package session

import (
	"context"
	"errors"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// Lender lends parts of hourly budgets that all pods of a subject share. It is safe for concurrent use.
type Lender interface {
	// Borrow asks for a part of a budget. An error means that nothing was lent; with ErrNotAsked, that nobody has heard of
	// the loan, so that Unused and Over are still the caller's.
	Borrow(ctx context.Context, l Loan) (Lent, error)
}

// ErrNotAsked is what a Lender returns when a request has not left this process.
var ErrNotAsked = errors.New("session: the operator that counts hourly budgets cannot be reached")

// Loan asks for a part of an hourly budget.
type Loan struct {
	DataSource   string // "namespace/name"
	Policy, Rule string // Policy is "namespace/name"
	Budget       string // access.LimitRowsPerHour, LimitBytesPerHour or LimitProbesPerHour
	// Want is how much is needed at least; 0 gives back and reports alone.
	Want int64
	// Unused is what is given back of the lease before, Over what was used beyond any lease, because a person approved it.
	Unused, Over int64
}

// Lent is a part of a budget. It replaces the lease before.
type Lent struct {
	Granted int64
	For     time.Duration // how long it may be used, from when it was asked for
	Retry   time.Duration // with Granted 0: when there may be more
	// Left is what the budget has after this, of Limit in an hour.
	Left, Limit int64
}

const (
	// borrowPatience is how long an answer may take: statements wait for it.
	borrowPatience = 10 * time.Second
	// minRetry and maxRetry bound how long a refusal is believed: others give back, and owners raise limits.
	minRetry, maxRetry = time.Second, 15 * time.Second
	// tellOver is how soon what was used beyond leases is reported.
	tellOver = 5 * time.Second
)

// errSpent is why nothing was lent: there is nothing left.
var errSpent = errors.New("session: the budget is spent")

type leaseKey struct{ subject, policy, rule, budget string }

// lease is what this process may use of a budget without asking. It is guarded by Budgets.mu.
type lease struct {
	key        leaseKey
	dataSource string
	now        func() time.Time

	left     int64
	pool     int64 // what the budget itself has left, of limit, as it was last told
	limit    int64
	until    time.Time
	over     int64     // used beyond leases, and not reported yet
	debt     int64     // used without a lease, and still to be paid for: probes that failed
	retryAt  time.Time // nothing is to be had before
	failure  error     // of the last request, and when that was
	failedAt time.Time
	asking   chan struct{} // closed when the answer is there; nil: nobody asks
	timer    *time.Timer   // gives back what is left
	gone     bool          // it is no longer in leases
}

// Lend makes b draw on what l lends. It is called before b is used.
func (b *Budgets) Lend(l Lender) {
	b.lender = l
}

func (b *Budgets) lent() bool { return b.lender != nil }

// lease returns the lease of a budget; nil where too many are counted. b.mu is held.
func (b *Budgets) lease(p *Pipeline, key leaseKey) *lease {
	if l := b.leases[key]; l != nil {
		return l
	}
	if b.leases == nil {
		b.leases = map[leaseKey]*lease{}
	}
	if len(b.leases) >= maxBudgets {
		for k, l := range b.leases {
			if l.idle(p.now()) {
				l.gone = true
				delete(b.leases, k)
			}
		}
	}
	if len(b.leases) >= maxBudgets {
		return nil
	}
	l := &lease{key: key, dataSource: p.DataSource, now: p.now}
	b.leases[key] = l
	return l
}

// idle reports whether forgetting the lease forgets nothing.
func (l *lease) idle(now time.Time) bool {
	return l.asking == nil && l.over == 0 && l.debt == 0 && (l.left == 0 || !now.Before(l.until)) && !now.Before(l.retryAt)
}

func (l *lease) covers(now time.Time, n int64) bool { return l.left >= n && now.Before(l.until) }

// draw is spend for budgets that are lent: short means that more has to be borrowed. Nothing is taken from one budget where
// the other is short.
func (b *Budgets) draw(x *Exchange, l *access.Limits, rows, bytes int64) Spent {
	now := x.s.p.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	r, n := b.of(x, l, 0), b.of(x, l, 1)
	freeRows, freeBytes := x.lifted.has(liftRowsPerHour), x.lifted.has(liftBytesPerHour)
	if l.RowsPerHour > 0 && !freeRows && (r == nil || !r.covers(now, rows)) {
		return SpentRows
	}
	if l.BytesPerHour > 0 && !freeBytes && (n == nil || !n.covers(now, bytes)) {
		return SpentBytes
	}
	if r != nil {
		b.take(r, now, rows)
	}
	if n != nil {
		b.take(n, now, bytes)
	}
	return SpentNothing
}

// of returns the exchange's lease of rows (0) or bytes (1); nil: there is no such limit, or no place. b.mu is held.
func (b *Budgets) of(x *Exchange, l *access.Limits, which int) *lease {
	limit := [...]string{access.LimitRowsPerHour, access.LimitBytesPerHour}[which]
	if which == 0 && l.RowsPerHour == 0 || which == 1 && l.BytesPerHour == 0 {
		return nil
	}
	if have := x.hour.lease[which]; have != nil && !have.gone {
		return have
	}
	policy, rule := l.RuleFor(limit)
	x.hour.lease[which] = b.lease(x.s.p, leaseKey{x.s.identity.Subject(), policy, rule, limit})
	return x.hour.lease[which]
}

// take uses a lease, and counts what goes beyond it. b.mu is held.
func (b *Budgets) take(l *lease, now time.Time, n int64) {
	if l.covers(now, n) {
		l.left -= n
		return
	}
	if l.over == 0 {
		b.later(l, tellOver)
	}
	l.over += n
}

// later gives back what is left of the lease, and reports what was used beyond it, after a time. b.mu is held.
func (b *Budgets) later(l *lease, after time.Duration) {
	if l.timer != nil {
		l.timer.Stop()
	}
	l.timer = time.AfterFunc(after, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if l.asking == nil && (l.over > 0 || l.left > 0) {
			b.ask(l, 0)
		}
	})
}

// probeLease is the lease of a subject's probes; nil: no place.
func (b *Budgets) probeLease(s *Session, bound access.Bound) *lease {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lease(s.p, leaseKey{s.identity.Subject(), bound.Policy, ruleProbes, access.LimitProbesPerHour})
}

// owe notes what was used before anybody could be asked. It is to be paid for before anything else.
func (b *Budgets) owe(l *lease, n int64) {
	if l == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	l.debt += n
}

// pay draws n and all that is owed, borrowing what that takes. The errors are those of borrow.
func (b *Budgets) pay(ctx context.Context, l *lease, n int64) error {
	for {
		b.mu.Lock()
		if due := n + l.debt; due == 0 || l.covers(l.now(), due) {
			l.left, l.debt = l.left-due, 0
			b.mu.Unlock()
			return nil
		}
		b.mu.Unlock()
		if err := b.borrow(ctx, l, n); err != nil {
			return err
		}
	}
}

// borrow waits until the lease covers want and all that is owed. It returns errSpent where there is nothing left, and the
// lender's error where it cannot be asked.
func (b *Budgets) borrow(ctx context.Context, l *lease, want int64) error {
	for {
		wait, err := b.tryBorrow(l, want)
		if wait == nil {
			return err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// tryBorrow returns what to wait for before it is to be called again; nil: that is the outcome.
func (b *Budgets) tryBorrow(l *lease, want int64) (wait <-chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := l.now()
	switch {
	case l.covers(now, want+l.debt):
		return nil, nil
	case l.asking != nil:
		return l.asking, nil
	case l.failure != nil && now.Sub(l.failedAt) < minRetry: // whoever waited with others need not find out again
		return nil, l.failure
	case now.Before(l.retryAt):
		return nil, errSpent
	}
	return b.ask(l, want+l.debt), nil
}

// ask sends a request in the background: it goes on when whoever needed it is gone, since what is lent then is there for the
// next. All that is left is given back with it. b.mu is held.
func (b *Budgets) ask(l *lease, want int64) (done chan struct{}) {
	loan := Loan{
		DataSource: l.dataSource, Policy: l.key.policy, Rule: l.key.rule, Budget: l.key.budget,
		Want: want, Unused: l.left, Over: l.over,
	}
	until, asked := l.until, l.now()
	l.left, l.over = 0, 0
	done, lender := make(chan struct{}), b.lender
	l.asking = done
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), borrowPatience)
		defer cancel()
		lent, err := lender.Borrow(ctx, loan)
		b.mu.Lock()
		defer b.mu.Unlock()
		l.failure, l.failedAt = err, l.now()
		if err != nil {
			b.failed(l, loan, until, err)
		} else {
			b.granted(l, want, asked, lent)
		}
		l.asking = nil
		close(done)
	}()
	return done
}

// failed takes back what nobody has heard of. What may have been heard of as given back is lost, and what was used beyond
// leases is reported again: both count against this process, never for it. b.mu is held.
func (b *Budgets) failed(l *lease, loan Loan, until time.Time, err error) {
	l.over += loan.Over
	if errors.Is(err, ErrNotAsked) {
		l.left, l.until = loan.Unused, until
	}
	if l.over > 0 {
		b.later(l, maxRetry)
	}
}

// granted takes what was lent. It may be used for a time from when it was asked for, which was before it was lent. b.mu is
// held.
func (b *Budgets) granted(l *lease, want int64, asked time.Time, lent Lent) {
	now := l.now()
	l.pool, l.limit = lent.Left, lent.Limit
	l.left, l.until = max(lent.Granted, 0), asked.Add(max(lent.For, 0))
	if l.left < want || l.left > 0 && lent.For <= 0 {
		l.retryAt = now.Add(min(max(lent.Retry, minRetry), maxRetry))
	}
	if l.left > 0 {
		b.later(l, max(lent.For, time.Millisecond))
	} else if l.over > 0 {
		b.later(l, tellOver)
	}
}

// Return gives back what is left of every lease, for when the process is about to end. It waits until that is done, or ctx
// ends.
func (b *Budgets) Return(ctx context.Context) {
	var waits []<-chan struct{}
	b.mu.Lock()
	for _, l := range b.leases {
		if l.timer != nil {
			l.timer.Stop()
		}
		if l.asking == nil && (l.left > 0 || l.over > 0) {
			b.ask(l, 0)
		}
		if l.asking != nil {
			waits = append(waits, l.asking)
		}
	}
	b.mu.Unlock()
	for _, w := range waits {
		select {
		case <-w:
		case <-ctx.Done():
			return
		}
	}
}
