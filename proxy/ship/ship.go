package ship

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
)

// maxChunk is the most of a file that goes into one message, in bytes.
const maxChunk = 256 << 10

// Uplink sends a chunk and returns its acknowledgement.
type Uplink interface {
	SendRecording(ctx context.Context, chunk *sidecarv1alpha1.RecordingChunk) (*sidecarv1alpha1.RecordingAck, error)
}

// rejectedPause is how long a recording that was rejected is not offered again: the cause may be cured.
const rejectedPause = time.Minute

// errUplink is an error of the uplink, which is one for all recordings.
var errUplink = errors.New("ship: a part of a recording could not be sent")

// Ship streams recordings up until ctx ends: those that are finished, and those that grow, so that little is lost with the
// pod. One chunk is under way at a time.
func (s *Spool) Ship(ctx context.Context, up Uplink) {
	known := map[string]*progress{}
	every := time.NewTicker(s.opt.Every)
	defer every.Stop()
	for {
		if err := s.round(ctx, up, known); err != nil && ctx.Err() == nil {
			s.opt.Log.Debug("recordings wait in the spool", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		case <-s.kick:
		}
	}
}

// round brings every recording as far as it can be brought. An error of the uplink ends it.
func (s *Spool) round(ctx context.Context, up Uplink, known map[string]*progress) error {
	files, err := s.files()
	if err != nil {
		return err
	}
	there := make(map[string]*progress, len(files))
	for _, f := range files {
		if there[f.path] = known[f.path]; there[f.path] == nil {
			there[f.path] = s.begun(f.path)
		}
	}
	clear(known)
	for path, p := range there {
		known[path] = p
	}
	for _, f := range files {
		if p := known[f.path]; s.opt.Now().After(p.again) {
			err := s.bring(ctx, up, f, p)
			if errors.Is(err, errUplink) {
				return err
			}
			if err != nil { // of this file; the others are not to wait for it
				p.again = s.opt.Now().Add(s.opt.Every)
				s.opt.Log.Debug("a recording waits in the spool", "recording", f.id, "error", err)
			}
		}
	}
	return nil
}

// bring sends what the operator does not have of a recording.
func (s *Spool) bring(ctx context.Context, up Uplink, f spooledFile, p *progress) error {
	active := s.isActive(f.path) // before the size: what is not being written does not grow any more
	in, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	size := uint64(info.Size())
	for goOn := p.size < size || !active; goOn; {
		chunk, err := next(in, f, p, size, active)
		if err != nil {
			return err
		}
		ack, err := up.SendRecording(ctx, chunk)
		if err != nil {
			return fmt.Errorf("%w: %w", errUplink, err)
		}
		before := p.size
		if goOn, err = s.take(ack, f, p, size, chunk.GetComplete()); err != nil {
			return err
		}
		goOn = goOn && p.size > before // one that makes no progress waits for the next round
		goOn = goOn && (p.size < size || !active)
	}
	return s.release(in, f, p)
}

// next is the chunk at an offset; the last one of a file that is finished says so.
func next(in io.ReaderAt, f spooledFile, p *progress, size uint64, active bool) (*sidecarv1alpha1.RecordingChunk, error) {
	offset := p.size
	chunk := &sidecarv1alpha1.RecordingChunk{
		Id: f.id, DataSource: f.dataSource, Offset: offset, Data: make([]byte, min(size-offset, maxChunk)),
	}
	if _, err := in.ReadAt(chunk.Data, int64(offset)); err != nil {
		return nil, fmt.Errorf("ship: %s: %w", f.path, err)
	}
	if active || offset+uint64(len(chunk.GetData())) < size {
		return chunk, nil
	}
	if err := p.sumTo(in, size); err != nil {
		return nil, fmt.Errorf("ship: %s: %w", f.path, err)
	}
	chunk.Complete, chunk.Sha256 = true, p.sum.Sum(nil)
	return chunk, nil
}

// take does what an acknowledgement says, and reports whether there is more to send.
func (s *Spool) take(ack *sidecarv1alpha1.RecordingAck, f spooledFile, p *progress, size uint64, complete bool) (more bool, err error) {
	switch {
	case ack.GetRejected() != "":
		if p.rejected != ack.GetRejected() { // not the same line every minute
			s.opt.Log.Error("the operator does not take a recording, which stays in the spool", "recording", f.id, "dataSource", f.dataSource, "reason", ack.GetRejected())
		}
		p.rejected, p.again = ack.GetRejected(), s.opt.Now().Add(rejectedPause)
		return false, nil
	case ack.GetSize() > size:
		return false, fmt.Errorf("ship: the operator says that it has %d bytes of %s, which has %d", ack.GetSize(), f.id, size)
	case ack.GetComplete() && complete && ack.GetSize() == size:
		if err := remove(f.path); err != nil {
			return false, fmt.Errorf("ship: %w", err)
		}
		s.free(int64(size-p.freed) + perFile)
		return false, nil
	case ack.GetSize() < p.freed:
		p.again = s.opt.Now().Add(rejectedPause)
		s.opt.Log.Error("the operator has less of a recording than it acknowledged, and the rest is not here any more: its replicas need one folder for recordings",
			"recording", f.id, "dataSource", f.dataSource, "has", ack.GetSize(), "acknowledged", p.freed)
		return false, nil
	default: // it may hold less than was sent: another replica, with a folder of its own
		p.size = ack.GetSize()
		return true, nil
	}
}
