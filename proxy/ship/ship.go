package ship

import (
	"container/list"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
)

// maxChunk is the most of a segment that goes into one message, in bytes.
const maxChunk = 256 << 10

// Uplink sends a chunk and returns its acknowledgement.
type Uplink interface {
	SendRecording(ctx context.Context, chunk *sidecarv1alpha1.RecordingChunk) (*sidecarv1alpha1.RecordingAck, error)
}

// rejectedPause is how long a segment that was rejected is not offered again: the cause may be cured.
const rejectedPause = time.Minute

// errUplink is an error of the uplink, which is one for all recordings.
var errUplink = errors.New("ship: a part of a recording could not be sent")

// Ship seals journals and sends segments until ctx ends. Those of a recording go in their order, and one chunk is under way at
// a time. Nothing is sealed before Attested was called.
func (s *Spool) Ship(ctx context.Context, up Uplink) {
	var sealing sync.WaitGroup
	defer sealing.Wait()
	sealing.Go(func() { s.sealer.run(ctx) })
	every := time.NewTicker(s.opt.Every)
	defer every.Stop()
	for {
		if err := s.round(ctx, up); err != nil && ctx.Err() == nil {
			s.opt.Log.Debug("recordings wait in the spool", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		case <-s.ready:
		}
	}
}

// round sends every segment that can be sent. An error of the uplink ends it; the next begins with another recording.
func (s *Spool) round(ctx context.Context, up Uplink) error {
	for e := s.first(); e != nil; {
		l := e.Value.(*lane)
		after := s.after(e) // sending may take the lane away
		if !s.opt.Now().Before(l.again) {
			err := s.send(ctx, up, l)
			if errors.Is(err, errUplink) {
				s.yield(e)
				return err
			}
			if err != nil { // of this recording; the others are not to wait for it
				l.again = s.opt.Now().Add(s.opt.Every)
				s.opt.Log.Debug("a recording waits in the spool", "session", l.session, "error", err)
			}
		}
		e = after
	}
	return nil
}

// yield lets all other recordings go before one that was not answered for: what the operator cannot do may be about that one alone,
// such as an object of it in the store that nobody can read, and must not keep the others here until the spool is full.
func (s *Spool) yield(e *list.Element) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line.MoveToBack(e)
}

func (s *Spool) first() *list.Element {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.line.Front()
}

func (s *Spool) after(e *list.Element) *list.Element {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.Next()
}

// send sends the segments of a recording, one after the other, as far as they are taken.
func (s *Spool) send(ctx context.Context, up Uplink, l *lane) error {
	for {
		s.mu.Lock()
		var g *segment
		if len(l.segments) > 0 {
			g = l.segments[0]
		}
		s.mu.Unlock()
		if g == nil {
			return nil
		}
		done, err := s.bring(ctx, up, l, g)
		if err != nil || !done {
			return err
		}
		if err := os.Remove(g.path); err != nil {
			return fmt.Errorf("ship: %w", err)
		}
		l.rejected = ""
		s.mu.Lock()
		s.pop(l)
		s.mu.Unlock()
		s.free(g.size + perFile)
	}
}

// bring sends what the operator does not have of a segment, and reports whether it has all of it.
func (s *Spool) bring(ctx context.Context, up Uplink, l *lane, g *segment) (done bool, err error) {
	in, err := os.Open(g.path)
	if err != nil {
		return false, fmt.Errorf("ship: %w", err)
	}
	defer in.Close()
	if g.sum == nil {
		h := sha256.New()
		n, err := io.Copy(h, in)
		if err == nil && n != g.size {
			err = fmt.Errorf("it has %d bytes, and had %d", n, g.size)
		}
		if err != nil {
			return false, fmt.Errorf("ship: %s: %w", g.path, err)
		}
		g.sum = h.Sum(nil)
	}
	for {
		chunk, err := next(in, l, g)
		if err != nil {
			return false, err
		}
		ack, err := up.SendRecording(ctx, chunk)
		if err != nil {
			return false, fmt.Errorf("%w: %w", errUplink, err)
		}
		before := g.sent
		done, more, err := s.take(ack, l, g, chunk.GetComplete())
		if done || err != nil || !more {
			return done, err
		}
		if g.sent <= before { // it may hold less than was sent: another replica. One that makes no progress waits for the next round
			return false, nil
		}
	}
}

// next is the chunk at the place that the operator has reached; the last one says so.
func next(in io.ReaderAt, l *lane, g *segment) (*sidecarv1alpha1.RecordingChunk, error) {
	chunk := &sidecarv1alpha1.RecordingChunk{
		Id: l.session, DataSource: l.dataSource, Segment: g.number, Offset: uint64(g.sent), Data: make([]byte, min(g.size-g.sent, maxChunk)),
	}
	if _, err := in.ReadAt(chunk.Data, g.sent); err != nil {
		return nil, fmt.Errorf("ship: %s: %w", g.path, err)
	}
	if g.sent+int64(len(chunk.GetData())) == g.size {
		chunk.Complete, chunk.Sha256 = true, g.sum
	}
	return chunk, nil
}

// take does what an acknowledgement says.
func (s *Spool) take(ack *sidecarv1alpha1.RecordingAck, l *lane, g *segment, complete bool) (done, more bool, err error) {
	switch {
	case ack.GetRejected() != "":
		if l.rejected != ack.GetRejected() { // not the same line every minute
			s.opt.Log.Error("the operator does not take a segment of a recording, which stays in the spool",
				"dataSource", l.dataSource, "session", l.session, "segment", g.number, "reason", ack.GetRejected())
		}
		l.rejected, l.again, g.sent = ack.GetRejected(), s.opt.Now().Add(rejectedPause), 0
		return false, false, nil
	case ack.GetSize() > uint64(g.size):
		g.sent = 0
		return false, false, fmt.Errorf("ship: the operator says that it has %d bytes of segment %d of %s, which has %d", ack.GetSize(), g.number, l.session, g.size)
	case ack.GetComplete() && complete && ack.GetSize() == uint64(g.size):
		return true, false, nil
	default:
		g.sent = int64(ack.GetSize())
		return false, true, nil
	}
}
