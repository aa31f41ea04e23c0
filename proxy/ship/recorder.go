package ship

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/record"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/recording"
)

// recorder refuses what the spool has no room for, or serves it unrecorded.
type recorder struct {
	s          *Spool
	dataSource string
	loss       record.Loss
	options    record.Options

	mu   sync.Mutex
	made *record.Recorder // nil: its folder could not be made yet
}

// recorder returns what writes journals.
func (r *recorder) recorder() (*record.Recorder, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.made == nil {
		made, err := record.New(r.options)
		if err != nil {
			return nil, fmt.Errorf("ship: DataSource %s: %w", r.dataSource, err)
		}
		r.made = made
	}
	return r.made, nil
}

// Open opens a recording, if there is room for one.
func (r *recorder) Open(o access.Opened) (session.Record, error) {
	rec, err := r.open(o)
	if err != nil && r.loss == record.Serve {
		r.s.lost(r.dataSource, o.Session, err)
		lost := &spooled{r: r}
		lost.lost.Store(true)
		return lost, nil
	}
	if err != nil {
		return nil, err
	}
	return rec, nil
}

func (r *recorder) open(o access.Opened) (*spooled, error) {
	if r.s.used.Load() >= r.s.opt.Limit {
		return nil, ErrFull
	}
	made, err := r.recorder()
	if err != nil {
		return nil, err
	}
	inner, err := made.Open(o)
	if err != nil {
		return nil, err
	}
	j := &journal{name: name{r.dataSource, o.Session}, path: inner.Location()}
	j.mark.Place, j.mark.Offset = recording.Start(), recording.HeaderSize
	r.s.used.Add(perFile)
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.active[j.path] = j
	return &spooled{inner: inner, r: r, j: j}, nil
}

// spooled is a session's record: a journal that is being written, or nothing any more.
type spooled struct {
	inner session.Record // nil: there never was one
	r     *recorder
	j     *journal
	lost  atomic.Bool // what comes is not recorded, and served
	once  sync.Once   // the journal is given up, or finished
}

// Location of the journal; empty where there is none.
func (r *spooled) Location() string {
	if r.inner == nil {
		return ""
	}
	return r.inner.Location()
}

// Append takes an event, if there is room for it.
func (r *spooled) Append(e access.Event) error {
	if !r.lost.Load() {
		err := r.append(e)
		// Only a full or failing disk is served past: an event that is too large would be the agent's own way out.
		if err == nil || r.r.loss != record.Serve || errors.Is(err, recording.ErrTooLarge) {
			return err
		}
		if r.lose(err); !r.lost.Load() { // it was closed before
			return err
		}
	}
	if e.Kind == access.EventDecided {
		r.r.s.missed.Add(1)
	}
	return nil
}

// append records an event. The ends of what is running are always taken: they are small.
func (r *spooled) append(e access.Event) error {
	s := r.r.s
	switch e.Kind {
	case access.EventDecided:
		if s.used.Load() >= s.opt.Limit {
			return ErrFull
		}
	case access.EventRows:
		if err := s.wait(); err != nil {
			return err
		}
	}
	return r.inner.Append(e)
}

// lose gives the recording up, for it must have no hole: it stays without an end mark.
func (r *spooled) lose(err error) {
	r.once.Do(func() {
		r.lost.Store(true)
		r.r.s.lost(r.r.dataSource, r.j.session, err)
		if c, ok := r.inner.(interface{ Cut(error) }); ok {
			c.Cut(err)
		}
		go func() { // beside: the disk may be what hangs
			_ = r.inner.Close() // it says again why it was cut
			r.r.s.end(r.j)
		}()
	})
}

// Close ends the recording, which can then be sealed and shipped to its end.
func (r *spooled) Close() (err error) {
	if r.inner != nil {
		r.once.Do(func() { err = r.finish() })
	}
	if r.lost.Load() {
		r.r.s.forgotten()
	}
	return err
}

func (r *spooled) finish() error {
	err := r.inner.Close()
	if h, ok := r.inner.(interface{ Head() recording.Hash }); ok && err == nil {
		r.r.s.mu.Lock()
		r.r.s.latest[r.j.dataSource] = Latest{ID: r.j.session, Head: h.Head().String()}
		r.r.s.mu.Unlock()
	}
	r.r.s.end(r.j)
	return err
}

// end says that nobody writes to a journal any more.
func (s *Spool) end(j *journal) {
	s.mu.Lock()
	delete(s.active, j.path)
	s.over = append(s.over, j)
	s.mu.Unlock()
	ask(s.due)
}
