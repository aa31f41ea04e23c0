package control

import (
	"context"
	"errors"
	"sync"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
)

// ErrNoStream is what sending a recording returns when there is no stream to the operator, or when it ended first.
var ErrNoStream = errors.New("there is no stream to the operator")

// ErrNoAnswer is what it returns when the operator has not acknowledged a chunk: it could not keep it now, and may later.
var ErrNoAnswer = errors.New("the operator has not acknowledged a part of a recording")

// answerPatience is how long an acknowledgement may take.
const answerPatience = 10 * time.Second

// uplink sends chunks of recordings, one at a time, over the stream of the moment.
type uplink struct {
	patience time.Duration
	sending  sync.Mutex // one chunk at a time

	mu      sync.Mutex
	stream  context.Context // ends with the stream; nil: there was none yet
	out     outgoing
	awaited awaited // what is being sent
	answers chan *sidecarv1alpha1.RecordingAck
}

// awaited is a segment of a recording; the zero value is none.
type awaited struct {
	id      string
	segment uint64
}

func (u *uplink) attach(stream context.Context, out outgoing) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stream, u.out, u.answers = stream, out, make(chan *sidecarv1alpha1.RecordingAck, 1)
}

// answer takes an acknowledgement. One that nobody waits for is dropped.
func (u *uplink) answer(ack *sidecarv1alpha1.RecordingAck) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if (awaited{ack.GetId(), ack.GetSegment()}) != u.awaited {
		return
	}
	select {
	case u.answers <- ack:
		u.awaited = awaited{}
	default: // two for one chunk
	}
}

// SendRecording sends a chunk and waits for its acknowledgement. It returns ErrNoStream where there is no stream, and
// ErrNoAnswer where the operator says nothing.
func (c *Client) SendRecording(ctx context.Context, chunk *sidecarv1alpha1.RecordingChunk) (*sidecarv1alpha1.RecordingAck, error) {
	u := &c.uplink
	u.sending.Lock()
	defer u.sending.Unlock()
	u.mu.Lock()
	stream, out, answers := u.stream, u.out, u.answers
	if stream == nil || stream.Err() != nil {
		u.mu.Unlock()
		return nil, ErrNoStream
	}
	u.awaited = awaited{chunk.GetId(), chunk.GetSegment()}
	select {
	case <-answers: // of a chunk that was given up
	default:
	}
	u.mu.Unlock()
	out.put(stream, &sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Recording{Recording: chunk}})
	late := time.NewTimer(u.patience)
	defer late.Stop()
	select {
	case ack := <-answers:
		return ack, nil
	case <-late.C:
		return nil, ErrNoAnswer
	case <-stream.Done():
		return nil, ErrNoStream
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
