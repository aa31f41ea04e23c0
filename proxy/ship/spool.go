package ship

import (
	"container/list"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/record"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/recording"
)

// ErrFull is why nothing more is recorded, and therefore refused.
var ErrFull = errors.New("ship: the spool of recordings is full, and the operator does not take them")

// DefaultLimit of a spool, in bytes.
const DefaultLimit = 192 << 20

const (
	// perFile is what a file costs beside its bytes, so that the number of small ones is bounded as well.
	perFile = 4 << 10
	// patience is how long the rows of a statement that is running may wait for room.
	patience = 30 * time.Second
)

// Options of a Spool. Only Dir is required.
type Options struct {
	Dir string
	// Limit is how many bytes may wait; with it reached, new sessions and statements are refused. What is running may
	// fill an eighth more. 0: DefaultLimit.
	Limit int64
	// Every is how often recordings that grow are looked at. 0: 1 s.
	Every time.Duration
	// Age is how old the first record that is not sealed may become. 0: 5 s.
	Age time.Duration
	// Now is the clock. nil: time.Now.
	Now func() time.Time
	// Log takes what operators must know. Default slog.Default().
	Log *slog.Logger
}

func (o *Options) complete() {
	if o.Limit <= 0 {
		o.Limit = DefaultLimit
	}
	if o.Every <= 0 {
		o.Every = time.Second
	}
	if o.Age <= 0 {
		o.Age = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
}

// Spool is a folder of journals and segments, one folder "namespace/name" for each data source in it. It is safe for
// concurrent use.
type Spool struct {
	opt    Options
	key    ed25519.PrivateKey // of this process, in its memory alone
	used   atomic.Int64
	missed atomic.Int64  // statements that ran unrecorded
	due    chan struct{} // journals are to be looked at
	ready  chan struct{} // there is something to send
	told   chan struct{} // closed once it is known what the operator says of the key
	sealer *sealer       // of the goroutine that seals

	mu     sync.Mutex
	active map[string]*journal // by path: those that are being written
	over   []*journal          // those that nobody writes to any more, and that are not sealed to their end
	lanes  map[string]*list.Element
	line   list.List // of *lane, in the order in which they came
	latest map[string]Latest
	freed  chan struct{} // closed when there is more room, and renewed
	seal   seal
	loss   loss
}

// Latest is a data source's latest finished recording.
type Latest struct {
	ID   string
	Head string // of its chain, in hex
}

// New returns a spool in a folder, which is made where it is missing, with a key of its own. What an earlier process left in
// it is sealed and shipped.
func New(o Options) (*Spool, error) {
	o.complete()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("ship: %w", err)
	}
	s := &Spool{
		opt: o, key: key, due: make(chan struct{}, 1), ready: make(chan struct{}, 1), told: make(chan struct{}), freed: make(chan struct{}),
		active: map[string]*journal{}, lanes: map[string]*list.Element{}, latest: map[string]Latest{},
	}
	if s.sealer, err = newSealer(s); err != nil {
		return nil, fmt.Errorf("ship: %w", err)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("ship: %w", err)
	}
	if err := s.recover(); err != nil {
		return nil, fmt.Errorf("ship: %w", err)
	}
	return s, nil
}

// Used is how many bytes wait in the spool.
func (s *Spool) Used() int64 { return s.used.Load() }

// Latest returns a data source's latest finished recording.
func (s *Spool) Latest(dataSource string) Latest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest[dataSource]
}

// Recorder records the sessions of a data source ("namespace/name") into the spool.
func (s *Spool) Recorder(dataSource string, d record.Durability, l record.Loss) (session.Recorder, error) {
	r := &recorder{s: s, dataSource: dataSource, loss: l, options: record.Options{
		Dir: filepath.Join(s.opt.Dir, filepath.FromSlash(dataSource)), Durability: d, Wrote: s.wrote, Now: s.opt.Now,
	}}
	if _, err := r.recorder(); err != nil && l != record.Serve { // otherwise each session tries again
		return nil, err
	}
	return r, nil
}

// wrote counts, and has the room looked at when it becomes scarce.
func (s *Spool) wrote(n int) {
	if s.used.Add(int64(n)) >= s.opt.Limit/2 {
		ask(s.due)
	}
}

// scarce reports whether it is time to make room.
func (s *Spool) scarce() bool { return s.used.Load() >= s.opt.Limit/2 }

// ask asks for another round.
func ask(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it has been asked already
	}
}

// wait holds the rows of a running statement back while the spool is over its hard bound: the shipping makes room, or the
// session ends.
func (s *Spool) wait() error {
	hard := s.opt.Limit + s.opt.Limit/8
	if s.used.Load() < hard {
		return nil
	}
	end := time.NewTimer(patience)
	defer end.Stop()
	for {
		s.mu.Lock()
		freed := s.freed
		s.mu.Unlock()
		if s.used.Load() < hard {
			return nil
		}
		select {
		case <-freed:
		case <-end.C:
			return ErrFull
		}
	}
}

// free gives room back.
func (s *Spool) free(n int64) {
	s.used.Add(-n)
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.freed)
	s.freed = make(chan struct{})
}

// errStill is why WaitEmpty gives up before its context does.
var errStill = errors.New("ship: the operator takes nothing")

// WaitEmpty returns once everything has been shipped, with an error once nothing at all was for as long as still, or with ctx's.
func (s *Spool) WaitEmpty(ctx context.Context, still time.Duration) error {
	late := time.NewTimer(still)
	defer late.Stop()
	for {
		s.mu.Lock()
		freed := s.freed
		s.mu.Unlock()
		if s.used.Load() <= 0 {
			return nil
		}
		select {
		case <-freed:
			late.Reset(still)
		case <-late.C:
			return errStill
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// name is whose recording something is: a data source, "namespace/name", and a session.
type name struct{ dataSource, session string }

// path of a file in the spool that belongs to a recording.
func (s *Spool) path(n name, suffix string) string {
	return filepath.Join(s.opt.Dir, filepath.FromSlash(n.dataSource), n.session+suffix)
}

func (s *Spool) journalPath(n name) string { return s.path(n, recording.Extension) }
