package sessions

import (
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/plugin/table"
)

// quiet is for how long a rate is shown after the counters last changed: the operator writes them at most once a minute,
// and not at all while nothing happens.
const quiet = 90 * time.Second

// Rates are statements per second, from two readings of a Session's counters. The zero value is ready. It is not for
// concurrent use.
type Rates struct {
	of map[string]*reading
}

type reading struct {
	statements int64
	at         time.Time
	perSecond  float64
	known      bool
}

// Seen takes readings, and forgets Sessions that are gone.
func (r *Rates) Seen(all []*v1alpha1.Session, now time.Time) {
	next := make(map[string]*reading, len(all))
	for _, s := range all {
		uid, n := string(s.UID), s.Status.Statements
		last := r.of[uid]
		switch {
		case last == nil || n < last.statements: // counters begin again with the sidecar's process
			last = &reading{statements: n, at: now}
		case n > last.statements && now.After(last.at):
			last = &reading{statements: n, at: now, perSecond: float64(n-last.statements) / now.Sub(last.at).Seconds(), known: true}
		case last.known && now.Sub(last.at) > quiet:
			last.perSecond = 0
		}
		next[uid] = last
	}
	r.of = next
}

// Of writes a Session's rate: 4.2, or - until its counters have changed for the first time.
func (r *Rates) Of(s *v1alpha1.Session, now time.Time) string {
	one := r.of[string(s.UID)]
	switch {
	case one == nil || !one.known:
		return table.None
	case now.Sub(one.at) > quiet:
		return "0"
	case one.perSecond >= 100:
		return table.Number(int64(one.perSecond + 0.5))
	default:
		return fmt.Sprintf("%.1f", one.perSecond)
	}
}
