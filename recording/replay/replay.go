// Package replay prints a recording as a person wants to read it: who, then
// statement by statement what was asked, what was decided and what came back, and
// last whether the chain of the recording holds.
//
// Everything in a recording that a client or a server could choose is taken for
// hostile: it is shown with every character made visible, so that nobody hides a
// statement from an auditor by writing terminal escapes into it.
//
// It must not know files, clusters, policy or any protocol.
package replay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
)

// The defaults of Options.
const (
	DefaultWidth = 120 // columns
	DefaultRows  = 10
)

// minWidth leaves room for some of a statement's text.
const minWidth = 100

// NoRows as Options.Rows leaves rows out.
const NoRows = -1

// maxOpen is how many statements may be under way at the same time before the
// oldest is printed as it is. It bounds the memory of a replay.
const maxOpen = 256

// Options say how a recording is printed. The zero value prints all of it,
// without colors, for DefaultWidth columns.
type Options struct {
	Width      int    // columns of a line; 0 means DefaultWidth, less than 100 is taken as 100
	Color      bool   // for a terminal
	Statements string // which to print: "12", "11-12", "3,8-"; empty means all
	Rows       int    // at most this many rows of a statement; 0 means DefaultRows, NoRows none
	Prepares   bool   // also print what was only prepared, and neither denied nor failed
	Full       bool   // print whole statements on lines of their own, instead of one line cut to the width
	// Speed is how many times as fast as it happened it is told; 0 is at once. Wait is called with each pause, and reports whether
	// to go on; where it is set, what was said is written before it, and after each event.
	Speed float64
	Wait  func(time.Duration) bool
}

// Recording is what is replayed: a *stream.Recording.
type Recording interface {
	// Events are verified, and end with the first error.
	Events() iter.Seq2[recording.Record, error]
	// Report is the condition of what has been read.
	Report() recording.Report
}

// Play prints a recording to w, in memory that does not grow with it, and returns its condition. The error is that of w, of
// reading, or of the options; a recording that is broken is no error of Play, but its
// report says so, and so does the last line printed.
func Play(w io.Writer, r Recording, o Options) (recording.Report, error) {
	chosen, err := parseNumbers(o.Statements)
	if err != nil {
		return recording.Report{}, err
	}
	if o.Width == 0 {
		o.Width = DefaultWidth
	}
	if o.Rows == 0 {
		o.Rows = DefaultRows
	}
	o.Width = max(o.Width, minWidth)
	p := &replayer{Options: o, chosen: chosen, page: page{w: bufio.NewWriter(w), color: o.Color, blank: true}, open: map[int64]*statement{}}
	return p.replay(r)
}

// replayer follows the events of a recording.
type replayer struct {
	Options
	page
	chosen numbers
	day    string // of the last time printed

	// Statements in the order in which they began. They are printed in that order,
	// each once it and those before it have ended.
	queue []*statement
	open  map[int64]*statement
	total totals
}

// totals sums up what happened, from the events and not from what the session
// said of itself at its end.
type totals struct {
	statements, denied, masked, rows, bytes, folded int64
}

func (p *replayer) replay(r Recording) (recording.Report, error) {
	var err error
	var last time.Time
	for rec, e := range r.Events() {
		if e != nil {
			err = e
			break
		}
		if !p.paced(last, rec.Event.Time) {
			break
		}
		last = rec.Event.Time
		p.event(&rec.Event)
	}
	p.finish(err, r.Report())
	if broken := (*recording.BrokenError)(nil); errors.As(err, &broken) {
		err = nil
	}
	return r.Report(), errors.Join(err, p.w.Flush())
}

// paced waits as long as the session did, by the speed that is asked for.
func (p *replayer) paced(last, now time.Time) bool {
	if p.Wait == nil {
		return true
	}
	_ = p.w.Flush() // its error is kept for the last one
	if p.Speed <= 0 || last.IsZero() || !now.After(last) {
		return true
	}
	return p.Wait(time.Duration(float64(now.Sub(last)) / p.Speed))
}

func (p *replayer) event(e *access.Event) {
	switch {
	case e.Opened != nil:
		p.opened(e.Time, e.Opened)
	case e.Decided != nil:
		p.decided(e)
	case e.Held != nil:
		if s := p.open[e.Statement]; s != nil {
			s.held(e.Held)
		}
	case e.Answered != nil:
		if s := p.open[e.Statement]; s != nil {
			s.answered(e.Answered)
		}
	case e.Rows != nil:
		if s := p.open[e.Statement]; s != nil {
			s.addRows(e.Rows, p.Rows)
		}
	case e.Ended != nil:
		p.ended(e.Statement, e.Ended)
	case e.Kind == access.EventDisagreed:
		p.disagreed(e)
	case e.Closed != nil:
		p.rest()
		p.printClosed(e.Time, e.Closed)
	default:
		p.rest()
		p.line(alarm, "An event of the unknown kind %s is recorded at %s.", visible(string(e.Kind), 40), clock(e.Time))
	}
}

func (p *replayer) decided(e *access.Event) {
	if s := p.open[e.Statement]; s != nil && s.answer != "" { // after people had answered
		s.again(e.Decided)
		return
	}
	if e.Decided.Phase != access.PhasePrepare {
		p.total.statements++
	}
	s := newStatement(e, p.Full)
	if old := p.open[s.number]; old != nil {
		old.over = true // a number twice: not ours, but print both
	}
	p.queue = append(p.queue, s)
	p.open[s.number] = s
	if len(p.queue) > maxOpen {
		p.queue[0].over = true
	}
	p.printOver()
}

func (p *replayer) ended(number int64, e *access.Ended) {
	p.total.masked += e.Masked
	p.total.rows += e.Rows
	p.total.bytes += e.Bytes
	if e.Outcome == access.OutcomeDenied {
		p.total.denied++
	}
	if s := p.open[number]; s != nil {
		s.end(e)
		p.printOver()
	}
}

// disagreed keeps an alarm with its statement, or prints it at once where that is
// over or was none.
func (p *replayer) disagreed(e *access.Event) {
	if s := p.open[e.Statement]; s != nil {
		s.alarms = append(s.alarms[:min(len(s.alarms), maxAlarms-1)], visible(e.Note, maxNote))
		return
	}
	p.rest()
	p.line(alarm, "ALARM at %s, statement %s: %s", clock(e.Time), count(e.Statement), visible(e.Note, maxNote))
}

// printOver prints the statements that are over and have nothing before them that
// is not.
func (p *replayer) printOver() {
	for len(p.queue) > 0 && p.queue[0].over {
		s := p.queue[0]
		p.queue[0] = nil
		p.queue = p.queue[1:]
		if p.open[s.number] == s {
			delete(p.open, s.number)
		}
		p.printOne(s)
	}
}

// rest prints every statement that is left, over or not.
func (p *replayer) rest() {
	for _, s := range p.queue {
		s.over = true
	}
	p.printOver()
}

func (p *replayer) printOne(s *statement) {
	switch {
	case !p.chosen.has(s.number):
	case s.uneventful() && !p.Prepares:
		p.total.folded++
	default:
		p.date(s.time)
		p.printStatement(s)
	}
}

// date says once for each day which day it is, and the first time also that
// times are UTC.
func (p *replayer) date(t time.Time) {
	day := t.UTC().Format(time.DateOnly)
	if day == p.day {
		return
	}
	suffix := ""
	if p.day == "" {
		suffix = "  (times are UTC)"
	}
	p.line(faint, "%s%s", day, suffix)
	p.day = day
}

// finish prints the totals and the chain's state, which is the last word.
func (p *replayer) finish(err error, r recording.Report) {
	p.rest()
	t := &p.total
	if !p.blank {
		p.line(plainly, "")
	}
	line := fmt.Sprintf("%s, %s denied, %s masked, %s, %s", plural(t.statements, "statement"), count(t.denied), plural(t.masked, "value"),
		plural(t.rows, "row"), size(t.bytes))
	if t.folded > 0 {
		line += fmt.Sprintf("; %s folded away", plural(t.folded, "prepare"))
	}
	p.line(strong, "%s", line)
	switch r.State {
	case recording.Complete:
		look := good
		if r.Version == recording.SegmentVersion && !r.Verified() { // it should be signed by whom it says, and all be there
			look = alarm
		}
		p.line(look, "%s: %s, head %s", r, plural(r.Records, "record"), r.Head)
	case recording.Unread:
		if err == nil {
			err = errors.New("it was not waited for")
		}
		p.line(alarm, "%s: %s", r, visible(err.Error(), maxNote))
	default:
		p.line(alarm, "%s", visible(r.String(), maxNote))
	}
}
