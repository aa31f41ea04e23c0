package ship

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
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
	// Now is the clock. nil: time.Now.
	Now func() time.Time
	// Log takes what operators must know. Default slog.Default().
	Log *slog.Logger
}

// Spool is a folder of recordings, one folder "namespace/name" for each data source in it. It is safe for concurrent use.
type Spool struct {
	opt  Options
	used atomic.Int64
	kick chan struct{} // something has ended

	mu     sync.Mutex
	active map[string]struct{} // paths that are being written
	latest map[string]Latest
	freed  chan struct{}        // closed when there is more room, and renewed
	left   map[string]*progress // of what an earlier process has begun to ship
}

// Latest is a data source's latest finished recording.
type Latest struct {
	ID   string
	Head string // of its chain, in hex
}

// New returns a spool in a folder, which is made where it is missing. What an earlier process left in it is shipped.
func New(o Options) (*Spool, error) {
	if o.Limit <= 0 {
		o.Limit = DefaultLimit
	}
	if o.Every <= 0 {
		o.Every = time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Spool{opt: o, kick: make(chan struct{}, 1), active: map[string]struct{}{}, latest: map[string]Latest{}, freed: make(chan struct{}), left: map[string]*progress{}}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("ship: %w", err)
	}
	files, err := s.files()
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		info, err := os.Stat(f.path)
		if err != nil {
			return nil, fmt.Errorf("ship: %w", err)
		}
		p, err := read(f.path)
		if err != nil {
			return nil, fmt.Errorf("ship: %w: remove it and its recording, of which a part cannot be shipped", err)
		}
		s.left[f.path] = p
		s.used.Add(info.Size() - int64(p.freed) + perFile)
	}
	return s, nil
}

// begun is the progress of a recording that is seen for the first time.
func (s *Spool) begun(path string) *progress {
	if p := s.left[path]; p != nil {
		delete(s.left, path)
		return p
	}
	return newProgress()
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
func (s *Spool) Recorder(dataSource string, d record.Durability) (session.Recorder, error) {
	r, err := record.New(record.Options{
		Dir: filepath.Join(s.opt.Dir, filepath.FromSlash(dataSource)), Durability: d, Wrote: s.wrote,
	})
	return &recorder{Recorder: r, s: s, dataSource: dataSource}, err
}

// wrote counts, and has the room looked at when it becomes scarce.
func (s *Spool) wrote(n int) {
	if s.used.Add(int64(n)) >= s.opt.Limit/2 {
		s.look()
	}
}

// look asks for another round of shipping.
func (s *Spool) look() {
	select {
	case s.kick <- struct{}{}:
	default: // it has been asked already
	}
}

// recorder refuses what the spool has no room for.
type recorder struct {
	*record.Recorder
	s          *Spool
	dataSource string
}

// Open opens a recording, if there is room for one.
func (r *recorder) Open(o access.Opened) (session.Record, error) {
	if r.s.used.Load() >= r.s.opt.Limit {
		return nil, ErrFull
	}
	path := filepath.Join(r.s.opt.Dir, filepath.FromSlash(r.dataSource), o.Session+recording.Extension)
	r.s.begin(path) // before the file is there, so that it never looks finished
	inner, err := r.Recorder.Open(o)
	if err != nil {
		r.s.end(path)
		return nil, err
	}
	r.s.used.Add(perFile)
	return &spooled{Record: inner, s: r.s, path: path, dataSource: r.dataSource}, nil
}

// spooled is a recording that is being written.
type spooled struct {
	session.Record
	s          *Spool
	path       string
	dataSource string
}

// Append takes an event, if there is room for it. The ends of what is running are always taken: they are small.
func (r *spooled) Append(e access.Event) error {
	switch e.Kind {
	case access.EventDecided:
		if r.s.used.Load() >= r.s.opt.Limit {
			return ErrFull
		}
	case access.EventRows:
		if err := r.s.wait(); err != nil {
			return err
		}
	}
	return r.Record.Append(e)
}

// Close ends the recording, which can then be shipped to its end.
func (r *spooled) Close() error {
	err := r.Record.Close()
	latest := Latest{ID: idOf(r.path)}
	if h, ok := r.Record.(interface{ Head() recording.Hash }); ok {
		latest.Head = h.Head().String()
	}
	r.s.mu.Lock()
	r.s.latest[r.dataSource] = latest
	r.s.mu.Unlock()
	r.s.end(r.path)
	return err
}

func (s *Spool) begin(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active[path] = struct{}{}
}

func (s *Spool) end(path string) {
	s.mu.Lock()
	delete(s.active, path)
	s.mu.Unlock()
	s.look()
}

func (s *Spool) isActive(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.active[path]
	return ok
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

// spooledFile is a recording in the folder.
type spooledFile struct {
	path, id, dataSource string
}

// WaitEmpty returns once everything has been shipped, or with ctx's error.
func (s *Spool) WaitEmpty(ctx context.Context) error {
	for {
		s.mu.Lock()
		freed := s.freed
		s.mu.Unlock()
		if s.used.Load() <= 0 {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// files lists the recordings, data source by data source and in the order of their sessions.
func (s *Spool) files() ([]spooledFile, error) {
	var out []spooledFile
	err := filepath.WalkDir(s.opt.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || filepath.Ext(path) != recording.Extension {
			return err
		}
		dir, err := filepath.Rel(s.opt.Dir, filepath.Dir(path))
		if err != nil {
			return err
		}
		if dataSource := filepath.ToSlash(dir); strings.Count(dataSource, "/") == 1 {
			out = append(out, spooledFile{path: path, id: idOf(path), dataSource: dataSource})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ship: %w", err)
	}
	return out, nil
}

// idOf is the id of a recording: its session.
func idOf(path string) string { return strings.TrimSuffix(filepath.Base(path), recording.Extension) }
