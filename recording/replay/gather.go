package replay

import (
	"errors"
	"iter"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
)

// Statement is one operation with all that was recorded of it.
type Statement struct {
	Number   int64
	First    access.Event // that it was decided
	Decided  access.Decided
	Held     *access.Notice
	Answered *access.Answered
	// Results are what came back, each with its columns; More counts rows that were recorded and are not kept.
	Results []access.Rows
	More    int64
	Ended   *access.Ended // nil where no end is recorded
	Alarms  []string

	kept int
}

// gathered collects statements, each yielded once it is over, in the order in which they ended. At most rows of each are kept.
// Opened and Closed go to about. A *recording.BrokenError and errors of reading are yielded last.
func gathered(r Recording, rows int, about func(*access.Event)) iter.Seq2[*Statement, error] {
	return func(yield func(*Statement, error) bool) {
		g := gatherer{open: map[int64]*Statement{}, rows: rows}
		for rec, err := range r.Events() {
			if err != nil {
				if g.rest(yield) {
					yield(nil, err)
				}
				return
			}
			e := rec.Event
			if e.Opened != nil || e.Closed != nil {
				about(&e)
				continue
			}
			if over := g.add(&e); over != nil && !yield(over, nil) {
				return
			}
		}
		g.rest(yield)
	}
}

type gatherer struct {
	open  map[int64]*Statement
	order []*Statement
	rows  int
}

// add takes an event, and returns the statement that is over with it, or has to be given up for want of room.
func (g *gatherer) add(e *access.Event) *Statement {
	s := g.open[e.Statement]
	switch {
	case e.Decided != nil && s != nil && s.Answered != nil:
		s.Decided = *e.Decided
		return nil
	case e.Decided != nil:
		s = &Statement{Number: e.Statement, First: *e, Decided: *e.Decided}
		g.open[e.Statement], g.order = s, append(g.order, s)
		if len(g.order) > maxOpen {
			return g.over(g.order[0])
		}
		return nil
	case s == nil:
		return nil
	case e.Held != nil:
		s.Held = e.Held
	case e.Answered != nil:
		s.Answered = e.Answered
	case e.Rows != nil:
		s.add(e.Rows, g.rows)
	case e.Kind == access.EventDisagreed:
		s.Alarms = append(s.Alarms[:min(len(s.Alarms), maxAlarms-1)], e.Note)
	case e.Ended != nil:
		s.Ended = e.Ended
		return g.over(s)
	}
	return nil
}

func (g *gatherer) over(s *Statement) *Statement {
	if g.open[s.Number] == s {
		delete(g.open, s.Number)
	}
	for i := range g.order {
		if g.order[i] == s {
			g.order = append(g.order[:i], g.order[i+1:]...)
			break
		}
	}
	return s
}

func (g *gatherer) rest(yield func(*Statement, error) bool) bool {
	for _, s := range g.order {
		if !yield(s, nil) {
			return false
		}
	}
	return true
}

// add keeps a batch as far as there is room. Columns begin a new result.
func (s *Statement) add(r *access.Rows, most int) {
	if len(s.Results) == 0 || len(r.Columns) > 0 {
		s.Results = append(s.Results, access.Rows{Columns: r.Columns})
	}
	last := &s.Results[len(s.Results)-1]
	n := max(0, min(len(r.Values), most-s.kept))
	last.Values = append(last.Values, r.Values[:n]...)
	s.kept += n
	s.More += int64(len(r.Values) - n)
}

// Prepared reports whether the statement was only prepared, and did not run.
func (s *Statement) Prepared() bool { return s.Decided.Phase == access.PhasePrepare }

// brokenIsNoError leaves a broken recording to its report.
func brokenIsNoError(err error) error {
	if broken := (*recording.BrokenError)(nil); errors.As(err, &broken) {
		return nil
	}
	return err
}
