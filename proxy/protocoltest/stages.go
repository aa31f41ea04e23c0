package protocoltest

import (
	"context"
	"net"
	"sync"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// Decide is a policy in a line.
type Decide func(op *access.Operation) (access.Decision, error)

// Decide answers op.
func (d Decide) Decide(_ context.Context, _ access.Identity, op *access.Operation) (access.Decision, error) {
	return d(op)
}

// Allow is the policy that allows everything that was understood.
func Allow(op *access.Operation) (access.Decision, error) {
	for i := range op.Statements {
		if op.Statements[i].Kind == "" {
			return access.Decision{}, nil
		}
	}
	return access.Decision{Effect: access.Allow, Policy: "data/test", Rule: "all"}, nil
}

// Someone is the identity of every client.
var Someone = access.Identity{Namespace: "shop", ServiceAccount: "agent"}

// Identify returns Someone.
type Identify struct{}

// Identify returns Someone.
func (Identify) Identify(context.Context, net.Conn) (access.Identity, error) { return Someone, nil }

// Recorder records in memory. With Fail set, every Append returns it from then on.
// It is safe for concurrent use; its zero value is ready.
type Recorder struct {
	mu     sync.Mutex
	events []access.Event
	fail   error
}

// Open opens the recorder itself.
func (r *Recorder) Open(o access.Opened) (session.Record, error) {
	return r, r.Append(access.Event{Kind: access.EventOpened, Opened: &o})
}

// Append keeps e, or fails.
func (r *Recorder) Append(e access.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return r.fail
	}
	r.events = append(r.events, e)
	return nil
}

// Location returns "memory".
func (r *Recorder) Location() string { return "memory" }

// Close does nothing.
func (r *Recorder) Close() error { return nil }

// Fail makes every later Append return err; nil makes it work again.
func (r *Recorder) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = err
}

// Events returns what was recorded so far.
func (r *Recorder) Events() []access.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]access.Event(nil), r.events...)
}

// Tap is a Dialer that keeps what is sent upstream. It is safe for concurrent use.
type Tap struct {
	session.Dialer
	mu    sync.Mutex
	sent  []byte
	dials int
}

// Dial dials and taps the connection.
func (t *Tap) Dial(ctx context.Context, id access.Identity) (*session.Upstream, error) {
	t.mu.Lock()
	t.dials++
	t.mu.Unlock()
	up, err := t.Dialer.Dial(ctx, id)
	if err == nil {
		up.Conn = &tapped{Conn: up.Conn, tap: t}
	}
	return up, err
}

// Dialed returns how many connections were asked for.
func (t *Tap) Dialed() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dials
}

// Sent returns everything sent upstream so far, of all connections.
func (t *Tap) Sent() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.sent)
}

// hearing keeps what clients are told. It is safe for concurrent use; its zero value
// is ready.
type hearing struct {
	mu   sync.Mutex
	said []byte
}

// to returns the connection to a client whose hearing it is.
func (h *hearing) to(client net.Conn) net.Conn { return &heard{Conn: client, h: h} }

// String returns everything that was said so far.
func (h *hearing) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return string(h.said)
}

type heard struct {
	net.Conn
	h *hearing
}

func (c *heard) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.h.mu.Lock()
	c.h.said = append(c.h.said, p[:n]...) // what did not leave, nobody hears
	c.h.mu.Unlock()
	return n, err
}

type tapped struct {
	net.Conn
	tap *Tap
}

func (c *tapped) Write(p []byte) (int, error) {
	c.tap.mu.Lock()
	c.tap.sent = append(c.tap.sent, p...)
	c.tap.mu.Unlock()
	return c.Conn.Write(p)
}

// CloseWrite half-closes the connection below, where that can.
func (c *tapped) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
