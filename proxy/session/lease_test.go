package session

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// bank lends from one pot in parts. It is safe for concurrent use.
type bank struct {
	mu    sync.Mutex
	pot   int64
	part  int64
	err   error
	loans []Loan
}

func (b *bank) Borrow(_ context.Context, l Loan) (Lent, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.loans = append(b.loans, l)
	if b.err != nil {
		return Lent{}, b.err
	}
	b.pot += l.Unused - l.Over
	n := max(l.Want, b.part)
	if n > b.pot {
		n = l.Want
	}
	if l.Want <= 0 || n > b.pot {
		return Lent{Retry: 5 * time.Second}, nil
	}
	b.pot -= n
	return Lent{Granted: n, For: time.Minute}, nil
}

func (b *bank) last() Loan {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.loans[len(b.loans)-1]
}

func (b *bank) asked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.loans)
}

func (b *bank) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

// agreeing approves everything.
type agreeing struct{ asked []access.Exceeded }

func (a *agreeing) Granted(*Question) (access.Answered, bool) { return access.Answered{}, false }

func (a *agreeing) Approve(_ context.Context, q *Question) (access.Answered, error) {
	a.asked = append(a.asked, *q.Operation.Exceeded)
	return access.Answered{Outcome: access.AnswerApproved}, nil
}

// drawing is an exchange whose hours are lent, and its clock.
func drawing(t *testing.T, b *bank, l access.Limits, approver Approver) (x *Exchange, now *time.Time) {
	t.Helper()
	now = new(time.Time)
	*now = time.Unix(1_800_000_000, 0)
	l.Policy, l.Rule = "data/p", "read"
	p := &Pipeline{DataSource: "data/orders", Budgets: &Budgets{}, Approver: approver, Now: func() time.Time { return *now }}
	p.Decider = &script{decisions: []access.Decision{{Effect: access.Allow}}}
	p.Budgets.Lend(b)
	s := &Session{p: p, record: &script{}, identity: access.Identity{Namespace: "shop", ServiceAccount: "agent"}}
	x = &Exchange{s: s, decision: access.Decision{Effect: access.Allow, Limits: l}}
	if approver != nil {
		x.op = &access.Operation{Text: "select 1"}
	}
	return x, now
}

// takes is Take as a protocol calls it. It returns how often it had to wait.
func takes(t *testing.T, x *Exchange, rows int64) (waits int, err error) {
	t.Helper()
	for ; waits < 10; waits++ {
		if err = x.Take(rows, rows*10, 0); !errors.Is(err, ErrPause) {
			return waits, err
		}
		_ = x.Extend(t.Context()) // Take says what came of it
	}
	t.Fatal("it pauses for ever")
	return 0, nil
}

func TestALeaseIsUsedToItsEndAndThenReplaced(t *testing.T) {
	b := &bank{pot: 25, part: 10}
	x, _ := drawing(t, b, access.Limits{RowsPerHour: 25}, nil)
	got := 0
	for ; ; got++ {
		if _, err := takes(t, x, 1); err != nil {
			if d := access.AsDenial(err); d.Code != access.CodeLimit || !strings.Contains(d.What, "stopped after 25 rows in an hour") || !strings.Contains(d.Detail, "all pods of shop/agent") {
				t.Errorf("got %+v", d)
			}
			break
		}
	}
	if got != 25 || b.asked() > 8 {
		t.Errorf("%d rows by %d loans, want 25 by few", got, b.asked())
	}
	asked := b.asked()
	y := &Exchange{s: x.s, decision: x.decision}
	if _, err := takes(t, y, 1); err == nil || b.asked() != asked {
		t.Errorf("a spent budget was asked for again at once: %v", err)
	}
}

func TestALeaseThatIsOverIsGivenBack(t *testing.T) {
	b := &bank{pot: 100, part: 10}
	x, now := drawing(t, b, access.Limits{RowsPerHour: 100}, nil)
	if _, err := takes(t, x, 3); err != nil {
		t.Fatal(err)
	}
	*now = now.Add(time.Minute)
	if waits, err := takes(t, x, 1); err != nil || waits != 1 {
		t.Errorf("%d waits, %v", waits, err)
	}
	if l := b.last(); l.Unused != 7 || l.Want != 1 {
		t.Errorf("asked %+v", l)
	}
}

func TestWithoutAnAnswerNothingGoesAndNothingComesBack(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		left bool // what was left of the lease is still there
	}{"nobody heard": {ErrNotAsked, true}, "somebody may have": {errors.New("the stream ended"), false}} {
		t.Run(name, func(t *testing.T) {
			b := &bank{pot: 100, part: 10}
			x, now := drawing(t, b, access.Limits{RowsPerHour: 100, OnExceed: access.RequireApproval}, &agreeing{})
			if _, err := takes(t, x, 4); err != nil {
				t.Fatal(err)
			}
			b.fail(c.err)
			_, err := takes(t, x, 7)
			if d := access.AsDenial(err); d.Code != access.CodeUnavailable {
				t.Errorf("got %v, want that nobody can be asked", err)
			}
			*now = now.Add(2 * time.Second)
			y := &Exchange{s: x.s, decision: x.decision}
			if _, err := takes(t, y, 6); (err == nil) != c.left {
				t.Errorf("the 6 that were left: %v", err)
			}
			if _, err := takes(t, y, 1); err == nil {
				t.Error("more went than was lent")
			}
		})
	}
}

func TestWhatIsApprovedBeyondAnHourIsReported(t *testing.T) {
	b, a := &bank{pot: 10, part: 10}, &agreeing{}
	x, _ := drawing(t, b, access.Limits{RowsPerHour: 10, OnExceed: access.RequireApproval}, a)
	for range 17 {
		if _, err := takes(t, x, 1); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.asked) != 1 || a.asked[0] != (access.Exceeded{Limit: "rowsPerHour", Rows: 10, Bytes: 100}) {
		t.Errorf("asked about %+v", a.asked)
	}
	x.s.p.Budgets.Return(t.Context())
	if l := b.last(); l.Over != 7 {
		t.Errorf("reported %+v, want 7 beyond", l)
	}
	if b.pot != -7 {
		t.Errorf("the pot has %d", b.pot)
	}
}

func TestBothHoursAreTakenFromOrNeither(t *testing.T) {
	b := &bank{pot: 1000, part: 100} // one pot for both
	x, _ := drawing(t, b, access.Limits{RowsPerHour: 100, BytesPerHour: 100, BytesPolicy: "data/q", BytesRule: "small"}, nil)
	if _, err := takes(t, x, 10); err != nil { // 10 rows of 100 bytes
		t.Fatal(err)
	}
	if b.loans[0].Rule != "read" || b.loans[1].Rule != "small" || b.loans[1].Policy != "data/q" || b.loans[1].Budget != "bytesPerHour" {
		t.Errorf("asked %+v", b.loans)
	}
	b.pot = 0
	_, err := takes(t, x, 1)
	if err == nil || !strings.Contains(err.Error(), "100 bytes in an hour (policy data/q, rule small, limit bytesPerHour)") {
		t.Fatalf("got %v", err)
	}
	x.s.p.Budgets.Return(t.Context())
	if b.pot != 90 {
		t.Errorf("%d were given back, want the 90 rows", b.pot)
	}
}

func TestTheSameProbeIsPaidForOnce(t *testing.T) {
	bank := &bank{pot: 3, part: 1}
	b := &budgeted{bounds: access.Probes{PerHour: access.Bound{Most: 3, Policy: "data/p"}}, now: time.Unix(1_800_000_000, 0)}
	p := b.pipeline()
	p.Budgets.Lend(bank)
	s := b.open(p)
	for i, step := range []struct {
		probe uint64
		pot   int64
		ok    bool
	}{{1, 2, true}, {1, 2, true}, {2, 1, true}, {3, 0, true}, {2, 0, true}, {4, 0, false}} {
		_, d := run(t, s, 7, step.probe)
		if (d == nil) != step.ok || bank.pot != step.pot {
			t.Errorf("step %d: refused %v, the pot has %d", i, d, bank.pot)
		}
	}
	if l := bank.loans[0]; l.Budget != "probesPerHour" || l.Rule != "probes" || l.Policy != "data/p" {
		t.Errorf("asked %+v", l)
	}
	// Another pod of the same subject has nothing left of it.
	other := b.pipeline()
	other.Budgets.Lend(bank)
	if _, d := run(t, b.open(other), 7, 9); d == nil || !strings.Contains(d.What+d.Detail, "all of its pods") {
		t.Errorf("another pod got %v", d)
	}
}

func TestAFailureIsPaidForBeforeAnythingElse(t *testing.T) {
	bank := &bank{pot: 2, part: 1}
	b := &budgeted{bounds: access.Probes{PerHour: access.Bound{Most: 2, Policy: "data/p"}}, now: time.Unix(1_800_000_000, 0)}
	p := b.pipeline()
	p.Budgets.Lend(bank)
	s := b.open(p)
	x, d := run(t, s, 7)
	if d != nil || bank.pot != 2 {
		t.Fatalf("a statement without a probe: %v, the pot has %d", d, bank.pot)
	}
	x.Told()
	if _, d := run(t, s, 8, 1); d != nil || bank.pot != 0 {
		t.Fatalf("the failure and a probe: %v, the pot has %d", d, bank.pot)
	}
	bank.fail(ErrNotAsked)
	b.now = b.now.Add(time.Hour)
	if _, d := run(t, s, 8, 2); d == nil || !strings.Contains(d.What+d.Detail, "cannot be reached") {
		t.Errorf("without the operator: %v", d)
	}
}
