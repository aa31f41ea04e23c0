package control

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// maxLoans bounds the requests that wait for an answer.
const maxLoans = 64

// budgets asks for parts of hourly budgets over the stream of the moment. A request belongs to the stream that it was sent
// over: what the operator lent is lost with it.
type budgets struct {
	mu       sync.Mutex
	stream   context.Context // ends with the stream; nil: there was none yet
	out      outgoing
	sequence uint64
	waiting  map[uint64]chan *sidecarv1alpha1.BudgetAnswer
}

func (b *budgets) attach(stream context.Context, out outgoing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stream, b.out, b.waiting = stream, out, map[uint64]chan *sidecarv1alpha1.BudgetAnswer{}
}

// answer hands an answer to whoever waits for it. One that nobody waits for is dropped.
func (b *budgets) answer(a *sidecarv1alpha1.BudgetAnswer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w := b.waiting[a.GetSequence()]; w != nil {
		delete(b.waiting, a.GetSequence())
		w <- a // there is room for the one
	}
}

// loan is a request under way.
type loan struct {
	stream   context.Context
	out      outgoing
	sequence uint64
	answer   chan *sidecarv1alpha1.BudgetAnswer
}

// begin numbers a request. It is not sent yet.
func (b *budgets) begin() (*loan, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stream == nil || b.stream.Err() != nil || len(b.waiting) >= maxLoans {
		return nil, session.ErrNotAsked
	}
	b.sequence++
	l := &loan{b.stream, b.out, b.sequence, make(chan *sidecarv1alpha1.BudgetAnswer, 1)}
	b.waiting[b.sequence] = l.answer
	return l, nil
}

func (b *budgets) forget(sequence uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting, sequence)
}

var _ session.Lender = (*Client)(nil)

// errUnanswered is why it is not known what the operator has made of a request.
var errUnanswered = errors.New("the operator has not answered before the stream ended")

// Borrow asks the operator for a part of a budget, see session.Lender.
func (c *Client) Borrow(ctx context.Context, l session.Loan) (session.Lent, error) {
	asked, err := c.budgets.begin()
	if err != nil {
		return session.Lent{}, err
	}
	defer c.budgets.forget(asked.sequence)
	msg := &sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Budget{Budget: &sidecarv1alpha1.BudgetRequest{
		DataSource: l.DataSource, Rule: &sidecarv1alpha1.RuleReference{Policy: l.Policy, Rule: l.Rule}, Budget: l.Budget,
		Want: l.Want, Unused: l.Unused, Overdrawn: l.Over, Sequence: asked.sequence,
	}}}
	select {
	case asked.out <- msg:
	case <-asked.stream.Done():
		return session.Lent{}, session.ErrNotAsked
	case <-ctx.Done():
		return session.Lent{}, fmt.Errorf("%w: it does not read what it is sent", session.ErrNotAsked)
	}
	select {
	case a := <-asked.answer:
		return session.Lent{
			Granted: max(a.GetGranted(), 0), For: seconds(a.GetSeconds()), Retry: seconds(a.GetRetrySeconds()), Left: a.GetLeft(), Limit: a.GetLimit(),
		}, nil
	case <-asked.stream.Done():
		return session.Lent{}, errUnanswered
	case <-ctx.Done():
		return session.Lent{}, fmt.Errorf("the operator has not answered: %w", ctx.Err())
	}
}

func seconds(n uint32) time.Duration { return time.Duration(min(n, 3600)) * time.Second }
