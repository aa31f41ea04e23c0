package session

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// budgeted is a pipeline whose policy allows everything within bounds of probes.
type budgeted struct {
	bounds access.Probes
	now    time.Time
	events []access.Event
}

func (b *budgeted) Decide(context.Context, access.Identity, *access.Operation) (access.Decision, error) {
	return access.Decision{Effect: access.Allow, Policy: "data/p", Rule: "read", Probes: b.bounds}, nil
}
func (b *budgeted) Append(e access.Event) error { b.events = append(b.events, e); return nil }
func (b *budgeted) Location() string            { return "" }
func (b *budgeted) Close() error                { return nil }

func (b *budgeted) open(p *Pipeline) *Session {
	return &Session{p: p, identity: access.Identity{Namespace: "shop", ServiceAccount: "agent"}, record: b}
}

func (b *budgeted) pipeline() *Pipeline {
	return &Pipeline{DataSource: "data/orders", Decider: b, Budgets: &Budgets{}, Now: func() time.Time { return b.now }}
}

func run(t *testing.T, s *Session, touches uint64, probes ...uint64) (*Exchange, *access.Denial) {
	t.Helper()
	x, err := s.Begin(t.Context(), &access.Operation{Phase: access.PhaseRun, Probes: probes, Touches: touches, Statements: []access.Statement{{Kind: "Select"}}})
	if err != nil {
		return nil, access.AsDenial(err)
	}
	return x, nil
}

func TestDistinctProbesAreCountedAndTheNextIsRefused(t *testing.T) {
	b := &budgeted{bounds: access.Probes{PerSession: access.Bound{Most: 2, Policy: "data/strict"}}, now: time.Unix(1_800_000_000, 0)}
	p := b.pipeline()
	s := b.open(p)
	for _, probe := range []uint64{1, 2, 1, 2, 2} {
		if _, d := run(t, s, 9, probe); d != nil {
			t.Fatalf("probe %d: %v", probe, d)
		}
	}
	_, d := run(t, s, 9, 3)
	if d == nil {
		t.Fatal("a third distinct probe was let through")
	}
	for _, want := range []string{"data/strict", "rule probes"} {
		if !strings.Contains(d.What, want) {
			t.Errorf("%q does not say %q", d.What, want)
		}
	}
	if !strings.Contains(d.Detail, "2 distinct probes") || !strings.Contains(d.Detail, "in one session") || d.Hint == "" {
		t.Errorf("the refusal does not say count, window and cure: %q %q", d.Detail, d.Hint)
	}
	recorded := b.events[len(b.events)-2].Decided
	if recorded.Effect != "Deny" || recorded.Rule != ruleProbes || len(recorded.Flags) != 1 {
		t.Errorf("recorded: %+v", recorded)
	}
	if _, d := run(t, s, 9); d != nil {
		t.Errorf("what uses tagged data and compares nothing was refused: %v", d)
	}
	if _, d := run(t, b.open(p), 9, 3); d != nil {
		t.Errorf("another session has its own bound: %v", d)
	}
	if got := s.distinctProbes(); got != 2 {
		t.Errorf("counted %d", got)
	}
}

func TestAnHourOfProbesIsTheSubjectsAndSlides(t *testing.T) {
	b := &budgeted{bounds: access.Probes{PerHour: access.Bound{Most: 2, Policy: "data/p"}}, now: time.Unix(1_800_000_000, 0)}
	p := b.pipeline()
	run(t, b.open(p), 9, 1)
	b.now = b.now.Add(30 * time.Minute)
	run(t, b.open(p), 9, 2)
	if _, d := run(t, b.open(p), 9, 3); d == nil || !strings.Contains(d.Detail, "in an hour (probes.perHour)") {
		t.Fatalf("a third probe within the hour: %v", d)
	}
	b.now = b.now.Add(31 * time.Minute) // the first has left the hour
	if _, d := run(t, b.open(p), 9, 3); d != nil {
		t.Fatal(d)
	}
	if _, d := run(t, b.open(p), 9, 4); d == nil {
		t.Fatal("more than the bound is within the hour")
	}
}

func TestOneOperationOfManyProbesIsCountedWholeOrNotAtAll(t *testing.T) {
	b := &budgeted{bounds: access.Probes{PerSession: access.Bound{Most: 3, Policy: "data/p"}, PerHour: access.Bound{Most: 2, Policy: "data/p"}}, now: time.Unix(1_800_000_000, 0)}
	s := b.open(b.pipeline())
	if _, d := run(t, s, 9, 1, 2, 3); d == nil {
		t.Fatal("three probes in one operation passed a bound of two")
	}
	if got := s.distinctProbes(); got != 0 {
		t.Errorf("what was refused was counted: %d", got)
	}
	if _, d := run(t, s, 9, 1, 1, 2); d != nil {
		t.Errorf("two distinct ones: %v", d)
	}
}

func TestAFailureIsAProbeAndBeyondTheBoundClosesTaggedData(t *testing.T) {
	b := &budgeted{bounds: access.Probes{PerSession: access.Bound{Most: 2, Policy: "data/p"}}, now: time.Unix(1_800_000_000, 0)}
	s := b.open(b.pipeline())
	for _, touches := range []uint64{10, 11, 12} {
		x, d := run(t, s, touches)
		if d != nil {
			t.Fatalf("before the bound: %v", d)
		}
		x.Told()
		x.Told() // counted once
		if err := x.End(access.Ended{Outcome: access.OutcomeFailed, Code: "22012"}); err != nil {
			t.Fatal(err)
		}
		if flags := b.events[len(b.events)-1].Ended.Flags; len(flags) != 1 || flags[0] != flagFailed {
			t.Errorf("recorded flags %q", flags)
		}
	}
	if _, d := run(t, s, 13); d == nil {
		t.Error("one bit more by failing: tagged data was still open")
	}
	if _, d := run(t, s, 0); d != nil {
		t.Errorf("a statement without tagged data was refused: %v", d)
	}
}

func TestSubjectsWithProbesAreBoundedAndFailClosed(t *testing.T) {
	var h hours
	for i := range maxBudgets {
		h.of(string(rune(i)), 1).add([]uint64{1}, 1)
	}
	if h.of("one more", 1) != nil {
		t.Error("more subjects than places")
	}
	if h.of("one more", 62) == nil {
		t.Error("an hour later there is no room")
	}
}
