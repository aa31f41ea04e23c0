package postgres_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// dammed is a connection to a server that stops taking anything once it is shut.
type dammed struct {
	net.Conn // our end of a pipe
	server   net.Conn
	shut     atomic.Bool
	stuck    chan struct{} // closed once a write has begun that will not end
}

func (d *dammed) Close() error {
	return errors.Join(d.server.Close(), d.Conn.Close())
}

// pump takes what is written byte by byte, so that a write lasts until the server has all of it.
func (d *dammed) pump(from net.Conn) {
	var b [1]byte
	for {
		if _, err := from.Read(b[:]); err != nil {
			return
		}
		if d.shut.Load() {
			close(d.stuck)
			return
		}
		if _, err := d.server.Write(b[:]); err != nil {
			return
		}
	}
}

// damming dams the first connection that is made, which is a session's.
type damming struct {
	session.Dialer
	first chan *dammed
}

func (d damming) Dial(ctx context.Context, id access.Identity) (*session.Upstream, error) {
	up, err := d.Dialer.Dial(ctx, id)
	if err != nil {
		return nil, err
	}
	ours, theirs := net.Pipe()
	conn := &dammed{Conn: ours, server: up.Conn, stuck: make(chan struct{})}
	select {
	case d.first <- conn:
		go conn.pump(theirs)
		go func() { _, _ = io.Copy(theirs, conn.server) }() // ends with either side
		up.Conn = conn
	default:
	}
	return up, nil
}

// The end of the test cuts the session off, as the end of the drain timeout does, and waits for it.
func TestASessionWhoseServerTakesNothingMoreCanBeCutOff(t *testing.T) {
	first := make(chan *dammed, 1)
	p := start(t, config{dialer: func(d session.Dialer) session.Dialer { return damming{d, first} }})
	conn := p.raw(t)
	send(t, conn, wire.Query(nil, "copy orders from stdin"))
	untilKind(t, conn, 'G')
	server := <-first
	server.shut.Store(true)
	send(t, conn, wire.Message(nil, 'd', []byte("4711\t1\n")))
	<-server.stuck
}
