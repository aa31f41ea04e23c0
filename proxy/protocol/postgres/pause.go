package postgres

import (
	"context"
	"sync"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// A result that stands still in the middle waits in the goroutine that reads the server, which therefore reads nothing more.
// The client is watched by the other one all the while. What ends the wait early is the client's end, its CancelRequest, and
// the session's end; the result is then stopped as if by a limit, so that the server is told to stop, too: it may hang in a
// write that nobody takes, and would not hear of a cancel there.

// pauses is what can end the waiting of one session's result. It is safe for concurrent use; its zero value is ready.
type pauses struct {
	mu      sync.Mutex
	end     context.CancelCauseFunc // of the result that stands still
	gone    error                   // why none may stand still any more
	cancels int                     // CancelRequests so far
	seen    int                     // of these, how many were about what has ended
}

// begin says that a result stands still. The context ends when it must no longer; done has to be called.
func (p *pauses) begin(ctx context.Context) (paused context.Context, done func()) {
	ctx, end := context.WithCancelCause(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end = end
	switch {
	case p.gone != nil:
		end(p.gone)
	case p.cancels > p.seen: // it came while rows were on their way
		end(canceled)
	}
	return ctx, func() {
		p.mu.Lock()
		p.end = nil
		p.mu.Unlock()
		end(nil)
	}
}

// canceled words the end of a result by a CancelRequest as PostgreSQL does.
var canceled = &access.Denial{Code: access.CodeCanceled, What: "canceling statement due to user request"}

// clientGone is what nobody reads.
var clientGone = &access.Denial{Code: access.CodeCanceled, What: "tidewaiter: the client has gone"}

// cancel notes a CancelRequest of the client, and ends the waiting.
func (p *pauses) cancel() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancels++
	if p.end != nil {
		p.end(canceled)
	}
}

// close ends the waiting for good.
func (p *pauses) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = clientGone
	if p.end != nil {
		p.end(clientGone)
	}
}

// idle says that nothing is under way: what was canceled so far has ended.
func (p *pauses) idle() {
	p.mu.Lock()
	p.seen = p.cancels
	p.mu.Unlock()
}

// extend waits until it is known whether a result goes on. The client has got by then what came before.
func (r *relay) extend(ctx context.Context, x *session.Exchange) error {
	if err := r.flush(); err != nil {
		return err
	}
	ctx, done := r.key.pauses.begin(ctx)
	defer done()
	_ = x.Extend(ctx) // the core hears it when it takes the row again
	return nil
}
