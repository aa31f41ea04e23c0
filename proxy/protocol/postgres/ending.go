package postgres

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/core"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

// How a relay ends, and what the client hears of it.

// cutOff ends the session at once. Where the cause is for the client to know, it is
// told, if it listens, and what runs upstream is canceled: the server would notice
// only when it next writes, and an update would have been done by then.
func (r *relay) cutOff(cause error) {
	var d *access.Denial
	if errors.As(cause, &d) {
		_ = r.client.SetWriteDeadline(time.Now().Add(goodbye)) // fails on a closed connection, which hears nothing
		e := core.Render(d)
		e.Severity = "FATAL"
		r.tellLast(e)
		r.mu.Lock()
		busy := !r.core.Idle()
		r.mu.Unlock()
		if busy {
			r.cancels.Add(1)
			go r.cancel()
		}
	}
	r.interrupt()
}

// farewell tells the client why its connection ends, where it can be told.
func (r *relay) farewell(err error) error {
	if r.isOver() {
		return nil
	}
	var netErr net.Error
	if !errors.As(err, &netErr) {
		r.tell(core.Farewell(err))
	}
	return err
}

// lost tells the client that the server is gone, unless the server has said so.
func (r *relay) lost() {
	r.mu.Lock()
	told := r.core.ServerSaidFarewell()
	r.mu.Unlock()
	if told {
		return
	}
	r.tell(&wire.Error{
		Severity: "FATAL", Code: "08006", Message: "tidewaiter: the server closed the connection unexpectedly",
		Hint: "What ran may or may not have happened; connect again and look.",
	})
}

// sendAway makes the client's loop end the session, if the proxy is stopping and
// nothing is under way, once the client has had the time to do so. It is called
// under mu, so that it and goesOn cannot undo each other.
func (r *relay) sendAway() {
	if r.drain && !r.over && r.core.Idle() {
		_ = r.client.SetReadDeadline(time.Now().Add(goodbye)) // fails on a closed connection, which ends the session too
	}
}

// goesOn reports whether the client is to be read again after an error: the time to
// say goodbye is over, but something is under way again. If nothing is, it tells
// the client why its session ends.
func (r *relay) goesOn(err error) bool {
	r.mu.Lock()
	if !errors.Is(err, os.ErrDeadlineExceeded) || r.over || !r.drain {
		r.mu.Unlock()
		return false
	}
	if !r.core.Idle() {
		_ = r.client.SetReadDeadline(time.Time{}) // sendAway sets it again
		r.mu.Unlock()
		return true
	}
	r.drained = true
	r.mu.Unlock()
	e := core.Render(&access.Denial{Code: access.CodeShutdown, What: "tidewaiter: terminating connection because the proxy is stopping"})
	e.Severity = "FATAL"
	r.tellLast(e)
	r.interrupt()
	return false
}

// tell appends a last message for the client, unless it is in the middle of
// another.
func (r *relay) tell(e *wire.Error) {
	r.append(e)
	_ = r.flushClient() // there is nobody else to tell
}

// tellLast is tell for when the client is about to be interrupted: it waits for the
// other direction to have written what it writes, so that it does not lose the
// message to the interruption. A deadline, or an interruption, ends the wait.
func (r *relay) tellLast(e *wire.Error) {
	r.append(e)
	r.toClient.Lock()
	_, _ = r.writeClient() // there is nobody else to tell
}

func (r *relay) append(e *wire.Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.core.BetweenMessages() {
		r.core.ToClient = e.Append(r.core.ToClient, 'E')
	}
}

// watchDrain ends the session once the proxy drains and nothing is under way.
func (r *relay) watchDrain(ctx context.Context, draining <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	select {
	case <-ctx.Done():
	case <-draining:
		r.mu.Lock()
		r.drain = true
		r.release(stopping)
		r.sendAway()
		r.mu.Unlock()
	}
}
