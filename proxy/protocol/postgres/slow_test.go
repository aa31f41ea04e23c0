package postgres_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocoltest"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/proxy/upstream"
)

// loginMessages is how many messages a login by SCRAM-SHA-256 takes.
const loginMessages = 3

// slowDialer dials connections whose first writes take until the answer is there and somebody reads on: as on a machine so busy that
// the writer is stopped right after it has written.
type slowDialer struct{ session.Dialer }

func (d slowDialer) Dial(ctx context.Context, id access.Identity) (*session.Upstream, error) {
	up, err := d.Dialer.Dial(ctx, id)
	if err == nil {
		slow := &slowConn{Conn: up.Conn, slow: loginMessages}
		slow.changed.L = &slow.mu
		up.Conn = slow
	}
	return up, err
}

type slowConn struct {
	net.Conn
	mu      sync.Mutex
	changed sync.Cond
	slow    int // writes that are still slow
	reading bool
	reads   int
	over    bool
}

func (c *slowConn) Read(p []byte) (int, error) {
	c.note(func() { c.reading = true })
	n, err := c.Conn.Read(p)
	c.note(func() { c.reading, c.reads, c.over = false, c.reads+1, c.over || err != nil })
	return n, err
}

func (c *slowConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	before := c.reads
	c.mu.Unlock()
	n, err := c.Conn.Write(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slow--
	for c.slow >= 0 && err == nil && !c.over && (c.reads == before || !c.reading) {
		c.changed.Wait()
	}
	return n, err
}

func (c *slowConn) Close() error {
	c.note(func() { c.over = true })
	return c.Conn.Close()
}

func (c *slowConn) note(what func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what()
	c.changed.Broadcast()
}

func TestALoginOverASlowConnectionLosesNothingOfTheFirstAnswer(t *testing.T) {
	p := start(t, config{})
	d, err := upstream.New(upstream.Options{Host: "localhost", Port: uint16(p.server.Port), Database: p.db, Mode: upstream.Disable})
	if err != nil {
		t.Fatal(err)
	}
	d.Use(session.Credential{User: p.server.Superuser, Password: p.server.Password})
	p.serve(t, &session.Pipeline{
		DataSource: "data/shop", Protocol: p.engine, Dialer: slowDialer{d}, Decider: decide(allowUnderstood), Recorder: &protocoltest.Recorder{},
		Identifier: protocoltest.Identify{}, Budgets: &session.Budgets{},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	res, err := p.connect(t).Exec(ctx, "select 1").ReadAll()
	if err != nil || len(res) != 1 || string(res[0].Rows[0][0]) != "1" {
		t.Errorf("%v, %v", res, err)
	}
}
