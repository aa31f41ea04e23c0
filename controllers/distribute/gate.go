package distribute

import (
	"container/list"
	"context"
	"net"
	"sync"

	"google.golang.org/grpc/peer"
)

// gate bounds the connections. Whoever reaches the port can open some without a
// token, so those that carry no sidecar's stream are strangers: where there are too
// many connections, a stranger has to go, the oldest of the address with the most of
// them. Who keeps many therefore loses its own, and a sidecar needs only moments
// until it is no stranger. It is safe for concurrent use.
type gate struct {
	limit   int
	crowded func() // told of each that had to go

	mu     sync.Mutex
	guests map[string]*guest     // by the address of the far end
	rows   map[string]*list.List // strangers by host, the oldest first
}

// guest is one connection.
type guest struct {
	net.Conn
	gate          *gate
	address, host string
	streams       int
	place         *list.Element // among the strangers; nil, it is none
}

func newGate(limit int, crowded func()) *gate {
	return &gate{limit: limit, crowded: crowded, guests: map[string]*guest{}, rows: map[string]*list.List{}}
}

// over returns a listener whose connections go through the gate.
func (g *gate) over(l net.Listener) net.Listener { return gated{l, g} }

type gated struct {
	net.Listener
	gate *gate
}

// Accept never waits for others to leave: who comes next may be a sidecar.
func (l gated) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c, leaving := l.gate.enter(conn)
	if leaving != nil {
		l.gate.crowded()
		_ = leaving.Conn.Close() // it may be closed already
	}
	return c, nil
}

// enter takes a connection in, and returns the one that has to go for it.
func (g *gate) enter(conn net.Conn) (c, leaving *guest) {
	address := conn.RemoteAddr().String()
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address // no TCP: all such are one host
	}
	c = &guest{Conn: conn, gate: g, address: address, host: host}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.guests[address] = c
	g.line(c)
	if len(g.guests) > g.limit {
		if leaving = g.oldest(); leaving != nil {
			g.remove(leaving)
		}
	}
	return c, leaving
}

// line puts a connection among the strangers, as the newest.
func (g *gate) line(c *guest) {
	if g.rows[c.host] == nil {
		g.rows[c.host] = list.New()
	}
	c.place = g.rows[c.host].PushBack(c)
}

func (g *gate) unline(c *guest) {
	if c.place == nil {
		return
	}
	row := g.rows[c.host]
	if row.Remove(c.place); row.Len() == 0 {
		delete(g.rows, c.host)
	}
	c.place = nil
}

// oldest stranger of the host with the most.
func (g *gate) oldest() *guest {
	var longest *list.List
	for _, row := range g.rows {
		if longest == nil || row.Len() > longest.Len() {
			longest = row
		}
	}
	if longest == nil {
		return nil
	}
	c, _ := longest.Front().Value.(*guest) // nothing else is in it
	return c
}

func (g *gate) remove(c *guest) {
	g.unline(c)
	if g.guests[c.address] == c {
		delete(g.guests, c.address)
	}
}

// know makes a call's connection no stranger until done is called.
func (g *gate) know(ctx context.Context) (done func()) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return func() {}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.guests[p.Addr.String()]
	if c == nil {
		return func() {} // it has gone, and the call with it
	}
	c.streams++
	g.unline(c)
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if c.streams--; c.streams == 0 && g.guests[c.address] == c {
			g.line(c)
		}
	}
}

// Close implements net.Conn.
func (c *guest) Close() error {
	c.gate.mu.Lock()
	c.gate.remove(c)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}
