package datasource

import (
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// Totals are what happened at a data source since the proxy began.
type Totals struct {
	Sessions   int64 // that began
	Open       int64 // that have not ended
	Statements int64 // that were to run, denied ones included
	Denied     int64 // statements that policy refused, or that could not be understood
	Held       int64 // that waited for approval
	Masked     int64 // values
	Rows       int64 // that reached clients
	Bytes      int64 // of results that reached clients
	Alarms     int64 // results dropped because the server contradicted the analysis
	Last       time.Time
}

// Add adds o's counts; Last becomes the later of the two.
func (t *Totals) Add(o Totals) {
	t.Sessions += o.Sessions
	t.Open += o.Open
	t.Statements += o.Statements
	t.Denied += o.Denied
	t.Held += o.Held
	t.Masked += o.Masked
	t.Rows += o.Rows
	t.Bytes += o.Bytes
	t.Alarms += o.Alarms
	if o.Last.After(t.Last) {
		t.Last = o.Last
	}
}

// Tally adds up Totals for each data source, beside what another observer does. It is safe for concurrent use.
type Tally struct {
	next session.Observer
	now  func() time.Time

	mu sync.Mutex
	by map[string]*Totals // bounded: data sources are configured
}

var _ session.Observer = (*Tally)(nil)

// NewTally returns a tally that tells next what it is told; now is the clock, nil: time.Now.
func NewTally(next session.Observer, now func() time.Time) *Tally {
	if now == nil {
		now = time.Now
	}
	return &Tally{next: next, now: now, by: map[string]*Totals{}}
}

// Totals of a data source.
func (t *Tally) Totals(dataSource string) Totals {
	t.mu.Lock()
	defer t.mu.Unlock()
	if got := t.by[dataSource]; got != nil {
		return *got
	}
	return Totals{}
}

// Sum of all data sources.
func (t *Tally) Sum() Totals {
	t.mu.Lock()
	defer t.mu.Unlock()
	var sum Totals
	for _, one := range t.by {
		sum.Add(*one)
	}
	return sum
}

func (t *Tally) add(dataSource string, f func(*Totals)) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.by[dataSource]
	if one == nil {
		one = &Totals{}
		t.by[dataSource] = one
	}
	one.Last = now
	f(one)
}

// Opened counts a session that began.
func (t *Tally) Opened(dataSource string) {
	t.next.Opened(dataSource)
	t.add(dataSource, func(s *Totals) { s.Sessions++; s.Open++ })
}

// Decided counts a statement that is to run.
func (t *Tally) Decided(dataSource string, op *access.Operation, d access.Decision) {
	t.next.Decided(dataSource, op, d)
	if op.Phase == access.PhaseRun {
		t.add(dataSource, func(s *Totals) { s.Statements++ })
	}
}

// Ended counts what a statement gave.
func (t *Tally) Ended(dataSource string, e access.Ended) {
	t.next.Ended(dataSource, e)
	t.add(dataSource, func(s *Totals) {
		if e.Outcome == access.OutcomeDenied {
			s.Denied++
		}
		s.Masked += e.Masked
		s.Rows += e.Rows
		s.Bytes += e.Bytes
	})
}

// Disagreed counts an alarm.
func (t *Tally) Disagreed(dataSource string) {
	t.next.Disagreed(dataSource)
	t.add(dataSource, func(s *Totals) { s.Alarms++ })
}

// Closed counts a session that ended, and what waited for approval in it.
func (t *Tally) Closed(dataSource string, c access.Closed) {
	t.next.Closed(dataSource, c)
	t.add(dataSource, func(s *Totals) { s.Open--; s.Held += c.Held })
}
