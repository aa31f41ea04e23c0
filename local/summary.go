package local

import (
	"slices"
	"sync"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/server"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// Summary is what a proxy has done.
type Summary struct {
	Sessions   int64 // that began
	Statements int64 // that were to run, denied ones included
	Denied     int64 // statements that policy refused, or that could not be understood
	Held       int64 // that waited for approval
	Masked     int64 // values
	Rows       int64 // that reached clients
	Bytes      int64 // of results that reached clients
	// Recordings are the paths of the sessions' recordings in the order of their sessions, the first 1,000 of them.
	Recordings []string
}

// maxRecordings bounds the paths that a summary keeps.
const maxRecordings = 1000

// tally adds up a Summary. It is safe for concurrent use; its zero value is ready.
type tally struct {
	mu  sync.Mutex
	sum Summary
}

func (t *tally) summary() Summary {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := t.sum
	out.Recordings = slices.Clone(t.sum.Recordings)
	return out
}

func (t *tally) add(f func(*Summary)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.sum)
}

// observer adds to the metrics what the summary counts.
type observer struct {
	*server.Metrics
	tally *tally
}

var _ session.Observer = (*observer)(nil)

// Decided counts a statement that is to run.
func (o *observer) Decided(dataSource string, op *access.Operation, d access.Decision) {
	o.Metrics.Decided(dataSource, op, d)
	if op.Phase == access.PhaseRun {
		o.tally.add(func(s *Summary) { s.Statements++ })
	}
}

// Ended counts what a statement gave.
func (o *observer) Ended(dataSource string, e access.Ended) {
	o.Metrics.Ended(dataSource, e)
	o.tally.add(func(s *Summary) {
		if e.Outcome == access.OutcomeDenied {
			s.Denied++
		}
		s.Masked += e.Masked
		s.Rows += e.Rows
		s.Bytes += e.Bytes
	})
}

// Closed counts what waited for approval in a session.
func (o *observer) Closed(dataSource string, c access.Closed) {
	o.Metrics.Closed(dataSource, c)
	o.tally.add(func(s *Summary) { s.Held += c.Held })
}

// countingRecorder notes where recordings are.
type countingRecorder struct {
	recorder session.Recorder
	tally    *tally
}

// Open opens a session's recording.
func (c *countingRecorder) Open(o access.Opened) (session.Record, error) {
	r, err := c.recorder.Open(o)
	if err != nil {
		return nil, err
	}
	c.tally.add(func(s *Summary) {
		s.Sessions++
		if len(s.Recordings) < maxRecordings {
			s.Recordings = append(s.Recordings, r.Location())
		}
	})
	return r, nil
}
