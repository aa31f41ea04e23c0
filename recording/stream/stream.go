// Package stream reads the recording of one session, wherever and in whatever version it is: a file of version 1, segments in one
// file, a folder of segments, or a store; at once, or as it grows.
//
// It must not know what is done with events, nor who may read them.
package stream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
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

// New reads a recording of either version from r, of which nothing is read before Events is. The identity may be nil.
func New(r io.Reader, id age.Identity) *Recording {
	var inner *Recording
	return &Recording{
		report: func() recording.Report {
			if inner == nil {
				return recording.Report{}
			}
			return inner.report()
		},
		events: func(yield func(recording.Record, error) bool) {
			in := bufio.NewReaderSize(r, 64<<10)
			begin, _ := in.Peek(len(magic)) // an error comes again when it is read
			if string(begin) == magic {
				inner = segments(func(bool) (*recording.Segment, error) { return recording.ReadSegment(in) }, func(*recording.Head) (age.Identity, error) { return id, nil })
			} else {
				inner = chained(recording.NewReader(in))
			}
			inner.events(yield)
		},
	}
}

// magic is what a segment begins with.
const magic = "\x89TWS\r\n\x1a\n"

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
	files, err := filepath.Glob(filepath.Join(name, "*"+recording.SegmentExtension))
	if err != nil || len(files) == 0 && !o.Follow {
		return nil, errors.Join(err, &os.PathError{Op: "open", Path: name, Err: errors.New("there is no segment (*" + recording.SegmentExtension + ") in the folder")})
	}
	slices.Sort(files)
	at := 0
	next := func(wait bool) (*recording.Segment, error) {
		for at >= len(files) {
			if !wait || !o.Follow || !pause(ctx, o.every()) {
				return nil, io.EOF
			}
			again, err := filepath.Glob(filepath.Join(name, "*"+recording.SegmentExtension))
			if err != nil {
				return nil, err
			}
			slices.Sort(again)
			files = again
		}
		at++
		return readFile(files[at-1])
	}
	return segments(next, func(*recording.Head) (age.Identity, error) { return o.Identity, nil }), nil
}

func readFile(name string) (*recording.Segment, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return whole(f)
}

// whole reads the one segment of an object.
func whole(r io.Reader) (*recording.Segment, error) {
	s, err := recording.ReadSegment(r)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errors.New("recording: the segment is cut off")
	}
	return s, err
}

// Session reads a session from a store.
func Session(ctx context.Context, from store.Source, s store.Session, o Options) (*Recording, error) {
	if !s.Valid() {
		return nil, errors.New("stream: " + strings.Join([]string{s.Namespace, s.UID, s.ID}, "/") + " cannot be the name of a session")
	}
	number := uint64(1)
	next := func(wait bool) (*recording.Segment, error) {
		for {
			r, err := from.Open(ctx, s.Segment(number))
			switch {
			case errors.Is(err, store.ErrNotFound) && wait && o.Follow && pause(ctx, o.every()):
				continue
			case errors.Is(err, store.ErrNotFound):
				return nil, io.EOF
			case err != nil:
				return nil, err
			}
			number++
			segment, err := whole(r)
			return segment, errors.Join(err, r.Close())
		}
	}
	var identity age.Identity
	return segments(next, func(*recording.Head) (age.Identity, error) {
		if identity != nil {
			return identity, nil
		}
		var err error
		identity, err = from.Identity(ctx, s)
		return identity, err
	}), nil
}

// chained reads a file of version 1.
func chained(in *recording.Reader) *Recording {
	return &Recording{report: in.Report, events: func(yield func(recording.Record, error) bool) {
		for {
			rec, err := in.Next()
			if errors.Is(err, io.EOF) || !yield(rec, err) || err != nil {
				return
			}
		}
	}}
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

// tail is a file that grows: it waits where the file ends.
type tail struct {
	ctx    context.Context
	r      io.Reader
	every  time.Duration
	ending bool // the session is over: what comes now comes soon
	calm   int
}

// Read returns io.EOF once the session is over and nothing came for a while, or the context ended.
func (t *tail) Read(b []byte) (int, error) {
	for {
		n, err := t.r.Read(b)
		if n > 0 || !errors.Is(err, io.EOF) {
			t.calm = 0
			return n, err
		}
		if t.calm++; t.ending && t.calm > 2 || !pause(t.ctx, t.every) {
			return 0, io.EOF
		}
	}
}
