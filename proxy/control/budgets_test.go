package control

import (
	"context"
	"errors"
	"testing"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/test/operatortest"
)

func TestALoanIsAnsweredOverItsOwnStreamOrNotAtAll(t *testing.T) {
	o := operatortest.Start(t)
	c, l := run(t, o)
	want := session.Loan{DataSource: "data/orders", Policy: "data/p", Rule: "read", Budget: "rowsPerHour", Want: 5, Unused: 3, Over: 2}
	if _, err := c.Borrow(t.Context(), want); !errors.Is(err, session.ErrNotAsked) {
		t.Errorf("without a stream: %v", err)
	}
	s := o.Next(t)
	s.Snapshot(t, whole(o, 7, 60))
	l.wait(t, "lease true")
	attached(t, c)
	type result struct {
		lent session.Lent
		err  error
	}
	results := make(chan result, 1)
	borrow := func(ctx context.Context) *sidecarv1alpha1.BudgetRequest {
		go func() {
			lent, err := c.Borrow(ctx, want)
			results <- result{lent, err}
		}()
		return s.Until(t, func(m *sidecarv1alpha1.ConnectRequest) bool { return m.GetBudget() != nil }).GetBudget()
	}
	first := borrow(t.Context())
	if first.GetDataSource() != "data/orders" || first.GetRule().GetPolicy() != "data/p" || first.GetRule().GetRule() != "read" || first.GetBudget() != "rowsPerHour" ||
		first.GetWant() != 5 || first.GetUnused() != 3 || first.GetOverdrawn() != 2 {
		t.Errorf("asked %v", first)
	}
	s.Lend(t, &sidecarv1alpha1.BudgetAnswer{Sequence: first.GetSequence() + 1, Granted: 1 << 40}) // to what nobody has asked
	s.Lend(t, &sidecarv1alpha1.BudgetAnswer{Sequence: first.GetSequence(), Granted: 50, Seconds: 60, Left: 40, Limit: 100})
	if r := <-results; r.err != nil || r.lent != (session.Lent{Granted: 50, For: time.Minute, Left: 40, Limit: 100}) {
		t.Errorf("got %+v, %v", r.lent, r.err)
	}
	second := borrow(t.Context())
	if second.GetSequence() <= first.GetSequence() {
		t.Errorf("sequence %d after %d", second.GetSequence(), first.GetSequence())
	}
	s.Lend(t, &sidecarv1alpha1.BudgetAnswer{Sequence: second.GetSequence(), Granted: -7, RetrySeconds: 1 << 31})
	if r := <-results; r.err != nil || r.lent != (session.Lent{Retry: time.Hour}) {
		t.Errorf("got %+v, %v", r.lent, r.err)
	}
	// Whoever has heard a request may have taken back what it gave back: that is told apart.
	ctx, cancel := context.WithCancel(t.Context())
	borrow(ctx)
	cancel()
	if r := <-results; r.err == nil || errors.Is(r.err, session.ErrNotAsked) || r.lent.Granted != 0 {
		t.Errorf("given up: %+v, %v", r.lent, r.err)
	}
	borrow(t.Context())
	s.End(nil)
	if r := <-results; r.err == nil || errors.Is(r.err, session.ErrNotAsked) || r.lent.Granted != 0 {
		t.Errorf("the stream ended: %+v, %v", r.lent, r.err)
	}
}
