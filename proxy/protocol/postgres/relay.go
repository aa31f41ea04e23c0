package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/core"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

const (
	readSize    = 64 << 10
	maxUnread   = 1 << 20 // bytes of answers made here that may wait for a client
	cancelLimit = 10 * time.Second

	// goodbye is how long an idle client that is about to be sent away may still say
	// goodbye itself: its last message may have come already.
	goodbye = 100 * time.Millisecond
)

// relay drives the core of one connection with two goroutines, one per direction.
// The core is only touched under mu. Writing has locks of its own, taken without
// waiting: who cannot have one leaves its bytes to whoever has, so that neither
// direction ever waits for the other's peer.
type relay struct {
	engine *Engine
	s      *session.Session
	client net.Conn
	key    *upstreamKey

	mu      sync.Mutex
	changed sync.Cond // broadcast whenever the core may have moved on
	core    *core.Conn
	over    bool
	drain   bool
	drained bool // the session was ended because of drain

	halfClosed bool // the client sends no more, but may still read

	toServer  sync.Mutex
	outbox    session.Outbox
	toClient  sync.Mutex
	clientBuf []byte

	cancels sync.WaitGroup

	// held ends the wait for people, where a statement waits for them; under mu.
	held context.CancelCauseFunc
	// unread is what the client has sent behind the statement that is being decided, and
	// early what came while one was held; early ends with earlyErr. Only the client's loop,
	// or what reads in its place, uses them.
	unread   []byte
	early    []byte
	earlyErr error
}

// Relay moves traffic until either side ends.
func (c *conversation) Relay(ctx context.Context, s *session.Session) error {
	r := &relay{engine: c.engine, s: s, client: c.conn, key: c.upstream, core: c.core}
	r.changed.L = &r.mu
	s.OnNotice(r.notice)
	c.upstream.hold(r.cancelHeld)
	defer c.engine.cancels.remove(c.upstream)
	defer c.engine.flights.gone(s)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	over, drained := make(chan struct{}), make(chan struct{})
	context.AfterFunc(ctx, func() {
		r.cutOff(context.Cause(ctx))
		close(over)
	})
	go r.watchDrain(ctx, s.Draining(), drained)

	server := make(chan error, 1)
	go func() { server <- r.serverLoop(ctx) }()
	err := r.clientLoop(ctx)
	r.key.pauses.close()
	if err != nil {
		r.interrupt()
	} else if cerr := s.Server().CloseWrite(); cerr != nil {
		r.interrupt() // the upstream transport cannot half-close: end it whole
	}
	err = errors.Join(err, <-server)
	cancel()
	<-drained
	<-over
	r.cancels.Wait()
	r.mu.Lock()
	r.core.End()
	if err == nil && r.drained {
		err = session.ErrDrained
	}
	r.mu.Unlock()
	return err
}

// interrupt makes both loops return.
func (r *relay) interrupt() {
	r.mu.Lock()
	r.over = true
	r.release(sessionEnded)
	r.key.pauses.close()
	r.changed.Broadcast()
	r.mu.Unlock()
	past := time.Unix(1, 0)
	_ = r.client.SetDeadline(past) // a connection that takes no deadline is closed already
	_ = r.s.Server().Interrupt()
}

// clientLoop reads the client. It returns nil when the client has ended its side.
func (r *relay) clientLoop(ctx context.Context) error {
	buf := make([]byte, readSize)
	for {
		n, err := r.readClient(buf)
		if ferr := r.fromClient(ctx, buf[:n]); ferr != nil {
			return r.farewell(ferr)
		}
		if r.ended() {
			return nil
		}
		if err != nil {
			if r.goesOn(err) {
				continue
			}
			if errors.Is(err, io.EOF) || r.isOver() {
				r.mu.Lock()
				r.halfClosed = true
				r.mu.Unlock()
				return nil
			}
			return err
		}
	}
}

func (r *relay) fromClient(ctx context.Context, p []byte) error {
	for len(p) > 0 {
		r.mu.Lock()
		if r.core.Idle() {
			r.key.pauses.idle()
		}
		used, err := r.core.FromClient(p)
		ask := r.core.Question()
		r.mu.Unlock()
		p = p[used:]
		r.unread = p
		if err == nil && ask != nil {
			err = r.answer(ctx, ask)
		}
		if ferr := r.flush(); err == nil {
			err = ferr
		}
		if err != nil {
			return err
		}
		if !r.wait() {
			return nil
		}
	}
	return nil
}

// answer decides without holding the core, so that the server side goes on.
func (r *relay) answer(ctx context.Context, ask *core.Ask) error {
	if err := r.flush(); err != nil {
		return err
	}
	ans, held := r.engine.decide(ctx, r.s, r.guarded(ask), nil)
	waited := held != nil
	for held != nil {
		if err := r.hold(ctx, held); err != nil {
			ans = core.Answer{Denial: access.AsDenial(err)}
			break
		}
		r.mu.Lock()
		ask = r.core.Again()
		r.mu.Unlock()
		ans, held = r.engine.decide(ctx, r.s, r.guarded(ask), held)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.core.Answer(ans)
	if waited {
		r.sendAway() // the proxy may have been waiting for this
	}
	return err
}

// guarded returns a question whose looks at the session's names take the lock.
func (r *relay) guarded(ask *core.Ask) *core.Ask {
	ask.Session.Prepared = r.locked(ask.Session.Prepared)
	ask.Session.Cursor = r.locked(ask.Session.Cursor)
	return ask
}

func (r *relay) locked(f func(string) []*analysis.Statement) func(string) []*analysis.Statement {
	return func(name string) []*analysis.Statement {
		r.mu.Lock()
		defer r.mu.Unlock()
		return f(name)
	}
}

// wait holds the client side back while the core says so, or while the client
// does not read what it was already told. It reports false when the session is
// over.
func (r *relay) wait() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for (r.core.Blocked() || len(r.core.ToClient) > maxUnread) && !r.over && !r.core.Closed() {
		r.changed.Wait()
	}
	return !r.over && !r.core.Closed()
}

func (r *relay) ended() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.Closed() || r.over || r.halfClosed
}

func (r *relay) isOver() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.over
}

// serverLoop reads the server until it ends, and then ends the client.
func (r *relay) serverLoop(ctx context.Context) error {
	buf := make([]byte, readSize)
	for {
		n, err := r.s.Server().Read(buf)
		if n > 0 {
			if ferr := r.fromServer(ctx, buf[:n]); ferr != nil {
				ferr = r.farewell(ferr)
				r.interrupt()
				return ferr
			}
		}
		if err == nil {
			continue
		}
		ended := r.ended()
		if !ended {
			r.lost()
			r.mu.Lock()
			r.release(serverGone)
			r.mu.Unlock()
		}
		r.interrupt()
		if ended {
			return nil
		}
		return fmt.Errorf("the server closed the connection: %w", err)
	}
}

func (r *relay) fromServer(ctx context.Context, p []byte) error {
	r.mu.Lock()
	err := r.core.FromServer(p)
	for err == nil {
		check, paused := r.core.Check(), r.core.Paused()
		if check == nil && paused == nil {
			break
		}
		r.mu.Unlock() // the client side goes on meanwhile
		if paused != nil {
			err = r.extend(ctx, paused)
			r.mu.Lock()
			if err == nil {
				err = r.core.Resume()
			}
			continue
		}
		same, nothing := r.engine.unchanged(ctx, r.s, check)
		r.mu.Lock()
		err = r.core.Checked(same, nothing)
	}
	if r.core.Skipping() {
		r.release(skipped)
	}
	if r.core.Idle() {
		r.key.pauses.idle()
	}
	cancel := r.core.WantsCancel()
	r.changed.Broadcast()
	r.sendAway()
	r.mu.Unlock()
	if cancel {
		r.cancels.Add(1)
		go r.cancel()
	}
	if ferr := r.flush(); err == nil {
		err = ferr
	}
	return err
}

// cancel stops what runs upstream. The client side stands still until the server
// has taken the request.
func (r *relay) cancel() {
	defer r.cancels.Done()
	ctx, stop := context.WithTimeout(context.Background(), cancelLimit)
	defer stop()
	up, err := r.s.Dial(ctx)
	if err == nil {
		err = sendCancel(ctx, up, r.key)
	}
	r.mu.Lock()
	r.core.Canceled()
	r.changed.Broadcast()
	r.mu.Unlock()
	if err != nil && ctx.Err() != nil {
		r.interrupt() // the result cannot be stopped, so the session is
	}
}

// flush writes what waits for either side. Bytes whose writer is busy are left to
// it.
func (r *relay) flush() error {
	return errors.Join(r.flushServer(), r.flushClient())
}

func (r *relay) flushServer() error {
	for r.toServer.TryLock() {
		r.mu.Lock()
		r.core.ToServer.Swap(&r.outbox)
		r.mu.Unlock()
		var err error
		if r.outbox.Len() > 0 {
			err = r.s.Server().WriteFrom(&r.outbox)
		}
		r.toServer.Unlock()
		r.mu.Lock()
		empty := r.core.ToServer.Len() == 0
		r.mu.Unlock()
		if err != nil || empty {
			return err
		}
	}
	return nil
}

func (r *relay) flushClient() error {
	for r.toClient.TryLock() {
		if empty, err := r.writeClient(); err != nil || empty {
			return err
		}
	}
	return nil
}

// writeClient writes what waits for the client, and reports whether that was all. It
// is called with toClient held, and lets go of it.
func (r *relay) writeClient() (empty bool, err error) {
	r.mu.Lock()
	r.core.ToClient, r.clientBuf = r.clientBuf[:0], r.core.ToClient
	r.mu.Unlock()
	if len(r.clientBuf) > 0 {
		_, err = r.client.Write(r.clientBuf)
	}
	if cap(r.clientBuf) > 4*readSize {
		r.clientBuf = nil
	}
	r.toClient.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed.Broadcast()
	return len(r.core.ToClient) == 0, err
}
