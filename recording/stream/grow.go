package stream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// maxPiece is more than any segment has: what claims to be larger is refused when it is read.
const maxPiece = 3 * recording.MaxSegment

// pieces are the segments of a session, each an object of its own, one behind the other.
type pieces struct {
	ctx context.Context
	o   Options
	// open opens a segment by its number, from 1. The error is store.ErrNotFound where there is none.
	open func(number int) (io.ReadCloser, error)

	number int
	now    bytes.Reader
	ended  bool // a segment has said that it is the last: none is waited for any more
}

// Read reads on in the segment, or opens the next one. It is io.EOF where there is none.
func (p *pieces) Read(b []byte) (int, error) {
	for p.now.Len() == 0 {
		r, err := p.open(p.number + 1)
		switch {
		case errors.Is(err, store.ErrNotFound) && p.o.Follow && !p.ended && pause(p.ctx, p.o.every()):
			continue
		case errors.Is(err, store.ErrNotFound):
			return 0, io.EOF
		case err != nil:
			return 0, err
		}
		raw, err := io.ReadAll(io.LimitReader(r, maxPiece))
		if err = errors.Join(err, r.Close()); err != nil {
			return 0, err
		}
		p.number++
		p.now.Reset(raw)
		// What the segment is worth is found out by whoever reads it; here it only ends the waiting.
		s, err := recording.ReadSegment(bytes.NewReader(raw))
		p.ended = p.ended || err == nil && s.Head.End != recording.EndNone
	}
	return p.now.Read(b)
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
