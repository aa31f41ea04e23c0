package distribute

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
)

// helloTimeout is how long a sidecar may take for its first word.
const helloTimeout = 10 * time.Second

// line is the two directions of a stream. Recordings are taken in beside the
// conversation, so that a slow disk delays no revocation.
type line struct {
	grpc grpc.BidiStreamingServer[sidecarv1alpha1.ConnectRequest, sidecarv1alpha1.ConnectResponse]
	s    *Server
	id   identity
	in   chan *sidecarv1alpha1.ConnectRequest
	out  chan *sidecarv1alpha1.ConnectResponse
	// budgets are requests that wait for lendAll.
	budgets chan *sidecarv1alpha1.BudgetRequest
	// recorder has what waits for recordAll.
	recorder *recorder
	received chan struct{} // closed when nothing is received any more
	stop     chan struct{} // closed when the conversation has ended
}

func newLine(stream grpc.BidiStreamingServer[sidecarv1alpha1.ConnectRequest, sidecarv1alpha1.ConnectResponse], s *Server, id identity) *line {
	return &line{
		grpc: stream, s: s, id: id,
		in:      make(chan *sidecarv1alpha1.ConnectRequest),
		out:     make(chan *sidecarv1alpha1.ConnectResponse, maxOut),
		budgets: make(chan *sidecarv1alpha1.BudgetRequest, maxBudgetRequests), recorder: newRecorder(), received: make(chan struct{}),
		stop: make(chan struct{}),
	}
}

// hello starts reading, and returns the first message.
func (l *line) hello(ctx context.Context) (*sidecarv1alpha1.Hello, error) {
	go l.receiveAll(ctx)
	timer := time.NewTimer(helloTimeout)
	defer timer.Stop()
	fail := func(err error) (*sidecarv1alpha1.Hello, error) {
		close(l.stop)
		return nil, err
	}
	select {
	case <-ctx.Done():
		return fail(ctx.Err())
	case <-timer.C:
		return fail(&refusal{codes.DeadlineExceeded, ReasonProtocol, "no Hello came"})
	case msg, open := <-l.in:
		if hello := msg.GetHello(); open && hello != nil {
			return hello, nil
		}
		return fail(outOfTurn("the first message is not a Hello"))
	}
}

// receiveAll reads until the stream ends, which closes in.
func (l *line) receiveAll(ctx context.Context) {
	defer close(l.received)
	defer close(l.in)
	for {
		msg, err := l.grpc.Recv()
		if err != nil {
			return
		}
		if chunk := msg.GetRecording(); chunk != nil {
			l.takeChunk(chunk)
			continue
		}
		if beat := msg.GetHeartbeat(); beat != nil {
			l.takeBeat(beat)
			continue
		}
		if r := msg.GetBudget(); r != nil {
			l.takeBudget(ctx, r)
			continue
		}
		select {
		case l.in <- msg:
		case <-l.stop:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (l *line) reply(ctx context.Context, ack *sidecarv1alpha1.RecordingAck) {
	if ack == nil {
		return
	}
	select {
	case l.out <- &sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_Recording{Recording: ack}}:
	case <-l.stop:
	case <-ctx.Done():
	}
}

// sendAll sends what is queued, and at the end what is left.
func (l *line) sendAll() {
	for {
		select {
		case msg := <-l.out:
			if err := l.grpc.Send(msg); err != nil && !errors.Is(err, io.EOF) {
				return // the stream is gone, as its context says
			}
		case <-l.stop:
			for {
				select {
				case msg := <-l.out:
					if l.grpc.Send(msg) != nil {
						return
					}
				default:
					return
				}
			}
		}
	}
}

// finish ends both directions. A peer that does not read is not waited for: when the
// handler returns, Send returns too.
func (l *line) finish(sending *sync.WaitGroup) {
	close(l.stop)
	done := make(chan struct{})
	go func() {
		sending.Wait()
		close(done)
	}()
	timer := time.NewTimer(2 * time.Second)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}
