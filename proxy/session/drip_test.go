package session

import (
	"context"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

func TestReadingOnAndOnNearTheLimitIsASlowDrip(t *testing.T) {
	const limit = 6000
	start := time.Unix(1_800_000_000, 0)
	for name, c := range map[string]struct {
		rows    func(minute int) int64 // read in it
		touches uint64
		raised  bool // after three hours
	}{
		"a hundred rows a minute, for ever":        {func(int) int64 { return 99 }, 1, true},
		"the same of columns that nobody protects": {func(int) int64 { return 99 }, 0, false},
		"half of what is allowed":                  {func(int) int64 { return 50 }, 1, false},
		"all of it in ten minutes of every hour":   {func(m int) int64 { return []int64{0, 599}[min(1, max(0, m%60-49))] }, 1, false},
		"nearly all of it in every second minute":  {func(m int) int64 { return int64(m%2) * 198 }, 1, true},
		"nearly all of it, but seldom":             {func(m int) int64 { return []int64{0, 396}[max(0, m%4-2)] }, 1, false},
		"it has ended an hour ago":                 {func(m int) int64 { return []int64{99, 0}[min(1, m/120)] }, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			now := start
			for lent, p := range map[bool]*Pipeline{
				false: {Budgets: &Budgets{}, Now: func() time.Time { return now }}, true: {Budgets: &Budgets{}, Now: func() time.Time { return now }},
			} {
				now = start
				if lent {
					p.Budgets.Lend(&hourOf{now: &now, limit: limit})
				}
				s := &Session{p: p, identity: access.Identity{Namespace: "shop", ServiceAccount: "agent"}}
				for m := range 180 {
					now = start.Add(time.Duration(m) * time.Minute)
					x := &Exchange{s: s, touches: c.touches, decision: access.Decision{Limits: access.Limits{RowsPerHour: limit, Policy: "data/p", Rule: "read"}}}
					if n := c.rows(m); n > 0 {
						if _, err := takes(t, x, n); err != nil {
							t.Fatalf("minute %d: %v", m, err)
						}
					}
					p.Budgets.SlowDrip(now)
				}
				if since := p.Budgets.SlowDrip(now); since.IsZero() == c.raised {
					t.Errorf("lent %v: raised at %v, want %v", lent, since, c.raised)
				}
			}
		})
	}
}

// hourOf lends exactly what is wanted from an hour of its own.
type hourOf struct {
	now   *time.Time
	limit int64
	hour  window
}

func (h *hourOf) Borrow(_ context.Context, l Loan) (Lent, error) {
	minute := h.now.Unix() / 60
	used, _ := h.hour.used(minute)
	if used+l.Want > h.limit {
		return Lent{Retry: time.Second, Left: h.limit - used, Limit: h.limit}, nil
	}
	h.hour.add(minute, l.Want, 0)
	return Lent{Granted: l.Want, For: time.Minute, Left: h.limit - used - l.Want, Limit: h.limit}, nil
}
