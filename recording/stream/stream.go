// Package stream reads the recording of one session, wherever and in whatever version it is: a file of version 1, segments in one
// file, a folder of segments, or a store; at once, or as it grows.
//
// It must not know what is done with events, nor who may read them.
package stream

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// Recording is the events of one session. It is read once, and not safe for concurrent use.
type Recording struct {
	events iter.Seq2[recording.Record, error]
	report func() recording.Report
	close  func() error
}

// Events goes through the events. What comes has been verified: its hash, its place in the chain, and with segments that body
// and head belong together. It ends with the first error, a *recording.BrokenError where the recording is not what was written, or
// that of reading. A recording without an end mark is no error; see Report.
func (r *Recording) Events() iter.Seq2[recording.Record, error] { return r.events }

// Report is the condition of what has been read, complete once Events is over.
func (r *Recording) Report() recording.Report { return r.report() }

// Close closes the file, where there is one.
func (r *Recording) Close() error {
	if r.close == nil {
		return nil
	}
	return r.close()
}

// Options say how a recording is read. The zero value reads what is there.
type Options struct {
	// Follow waits at the end of what is there for more of it, until the session's end or that of the context.
	Follow bool
	// Every is how often it is looked for more; 0 means once a second.
	Every time.Duration
	// Identity decrypts segments; nil where they are not encrypted. A store knows it by itself.
	Identity age.Identity
}

func (o Options) every() time.Duration {
	if o.Every <= 0 {
		return time.Second
	}
	return o.Every
}

// ErrNoKey is returned for what is encrypted to a key that is not at hand.
var ErrNoKey = errors.New("stream: the recording is encrypted, and there is no key for it: read it through the operator")

// New reads a recording of either version from r, of which nothing is read before Events is. The identity may be nil.
func New(r io.Reader, id age.Identity) *Recording {
	return read(r, func(*recording.Head) (age.Identity, error) {
		if id == nil {
			return nil, ErrNoKey
		}
		return id, nil
	})
}

// read leaves all that a recording must be to package recording.
func read(r io.Reader, identity func(*recording.Head) (age.Identity, error)) *Recording {
	in := recording.NewReader(r, recording.WithIdentity(identity))
	return &Recording{report: in.Report, events: func(yield func(recording.Record, error) bool) {
		for {
			rec, err := in.Next()
			if errors.Is(err, io.EOF) || !yield(rec, err) || err != nil {
				return
			}
		}
	}}
}

// Open reads a file of either version, or a folder of segments.
func Open(ctx context.Context, name string, o Options) (*Recording, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if info.IsDir() {
		_ = f.Close() // nothing was written
		return folder(ctx, name, o)
	}
	var in io.Reader = f
	t := &tail{ctx: ctx, r: f, every: o.every()}
	if o.Follow {
		in = t
	}
	r := New(in, o.Identity)
	all := r.events
	r.events = func(yield func(recording.Record, error) bool) {
		for rec, err := range all {
			t.ending = rec.Event.Kind == access.EventClosed
			if !yield(rec, err) {
				return
			}
		}
	}
	r.close = f.Close
	return r, nil
}

// folder reads the segments of a folder, in the order of their numbers.
func folder(ctx context.Context, name string, o Options) (*Recording, error) {
	pattern := filepath.Join(name, "*"+recording.SegmentExtension)
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 && !o.Follow {
		return nil, errors.Join(err, &os.PathError{Op: "open", Path: name, Err: errors.New("there is no segment (*" + recording.SegmentExtension + ") in the folder")})
	}
	return New(&pieces{ctx: ctx, o: o, open: func(number int) (io.ReadCloser, error) {
		if files, err = filepath.Glob(pattern); err != nil { // sorted
			return nil, err
		}
		if number > len(files) {
			return nil, store.ErrNotFound
		}
		return os.Open(files[number-1])
	}}, o.Identity), nil
}

// Session reads a session from a store.
func Session(ctx context.Context, from store.Source, s store.Session, o Options) (*Recording, error) {
	if !s.Valid() {
		return nil, errors.New("stream: " + strings.Join([]string{s.Namespace, s.UID, s.ID}, "/") + " cannot be the name of a session")
	}
	var identity age.Identity
	return read(&pieces{ctx: ctx, o: o, open: func(number int) (io.ReadCloser, error) {
		return from.Open(ctx, s.Segment(uint64(number)))
	}}, func(*recording.Head) (age.Identity, error) {
		var err error
		if identity == nil {
			identity, err = from.Identity(ctx, s)
		}
		return identity, err
	}), nil
}

// pause waits, and reports whether the context goes on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
