package local

import (
	"slices"
	"sync"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/datasource"
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

// tally adds up a Summary. It is safe for concurrent use.
type tally struct {
	*datasource.Tally

	mu         sync.Mutex
	recordings []string
}

func (t *tally) summary() Summary {
	sum := t.Sum()
	t.mu.Lock()
	defer t.mu.Unlock()
	return Summary{
		Sessions: sum.Sessions, Statements: sum.Statements, Denied: sum.Denied, Held: sum.Held, Masked: sum.Masked,
		Rows: sum.Rows, Bytes: sum.Bytes, Recordings: slices.Clone(t.recordings),
	}
}

func (t *tally) recorded(location string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.recordings) < maxRecordings {
		t.recordings = append(t.recordings, location)
	}
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
	c.tally.recorded(r.Location())
	return r, nil
}
