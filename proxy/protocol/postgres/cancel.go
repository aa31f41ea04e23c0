package postgres

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// cancelKeys maps the keys that clients hold to the server's. It is safe for
// concurrent use; its zero value is empty.
type cancelKeys struct {
	mu    sync.Mutex
	byPID map[uint32]*upstreamKey
}

// upstreamKey is what cancels one upstream connection.
type upstreamKey struct {
	pid    uint32
	ours   []byte // what the client holds
	secret []byte // what the server wants
	pauses pauses // of the session that it cancels in

	held atomic.Pointer[func() bool] // cancels what is held before it is sent
}

// hold says how what is held is canceled.
func (u *upstreamKey) hold(cancel func() bool) { u.held.Store(&cancel) }

// cancelHeld cancels what is held, and reports whether there was something.
func (u *upstreamKey) cancelHeld() bool {
	cancel := u.held.Load()
	return cancel != nil && (*cancel)()
}

func (k *cancelKeys) add(pid uint32, ours, secret []byte) *upstreamKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byPID == nil {
		k.byPID = map[uint32]*upstreamKey{}
	}
	u := &upstreamKey{pid: pid, ours: ours, secret: secret}
	k.byPID[pid] = u
	return u
}

func (k *cancelKeys) remove(u *upstreamKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byPID[u.pid] == u {
		delete(k.byPID, u.pid)
	}
}

// find returns what cancels for a client that shows pid and key, or nil.
func (k *cancelKeys) find(pid uint32, key []byte) *upstreamKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	u := k.byPID[pid]
	if u == nil || subtle.ConstantTimeCompare(u.ours, key) != 1 {
		return nil
	}
	return u
}

// cancelConversation is a connection that only asks to cancel. It never gets an
// answer, right or wrong, as PostgreSQL gives none.
type cancelConversation struct {
	engine *Engine
	pid    uint32
	key    []byte
}

func (c *cancelConversation) Hello() access.Hello { return access.Hello{} }

func (c *cancelConversation) Open(context.Context, *session.Session, *session.Upstream) (net.Conn, error) {
	return nil, errors.New("a cancel request opens no session")
}

func (c *cancelConversation) Relay(context.Context, *session.Session) error { return nil }

func (c *cancelConversation) Refuse(*access.Denial) error { return nil }

// Cancel passes the request on with the server's key. It returns once the server
// has taken it, and the client's connection stays open until then: so a client
// that waits for its end, as libpq does, knows that its next statement is safe.
func (c *cancelConversation) Cancel(ctx context.Context, dial func(context.Context) (*session.Upstream, error)) error {
	u := c.engine.cancels.find(c.pid, c.key)
	if u == nil || u.cancelHeld() { // the server has nothing of what is held
		return nil
	}
	defer u.pauses.cancel() // behind the server: a result that stands still here has to go on, for its error to come through
	up, err := dial(ctx)
	if err != nil {
		return err
	}
	return sendCancel(ctx, up, u)
}

// sendCancel sends a CancelRequest on a fresh connection and waits for the server
// to close it, which it does after the signal was sent.
func sendCancel(ctx context.Context, up *session.Upstream, u *upstreamKey) error {
	defer up.Conn.Close()
	stop := context.AfterFunc(ctx, func() { up.Conn.Close() })
	defer stop()
	conn := up.Conn
	if up.TLS != nil {
		var err error
		if conn, err = encryptUpstream(ctx, conn, up.TLS); err != nil {
			return err
		}
	}
	msg := binary.BigEndian.AppendUint32(nil, uint32(12+len(u.secret)))
	msg = binary.BigEndian.AppendUint32(msg, codeCancel)
	msg = binary.BigEndian.AppendUint32(msg, u.pid)
	if _, err := conn.Write(append(msg, u.secret...)); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, io.LimitReader(conn, 1024))
	return err
}

// encryptUpstream asks the server for TLS, as before any startup message.
func encryptUpstream(ctx context.Context, conn net.Conn, cfg *tls.Config) (net.Conn, error) {
	msg := binary.BigEndian.AppendUint32(nil, 8)
	if _, err := conn.Write(binary.BigEndian.AppendUint32(msg, codeSSL)); err != nil {
		return nil, err
	}
	var answer [1]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return nil, err
	}
	if answer[0] != 'S' {
		return nil, errors.New("the server does not speak TLS")
	}
	c := tls.Client(conn, cfg)
	return c, c.HandshakeContext(ctx)
}
