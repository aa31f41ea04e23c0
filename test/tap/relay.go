package tap

import (
	"fmt"
	"io"
	"net"
	"sync"
)

// Finding is something that must not happen on a connection.
type Finding struct {
	// Kind is "leak", "out of step" or "lost": the connection ended while the client wanted to go on.
	Kind string
	// What says what was seen, Query during which statement.
	What, Query string
}

// Relay accepts clients on a loopback port and connects each to one target. OnAnswer and OnFinding may be called from several
// goroutines at a time; a slow one slows its connection down.
type Relay struct {
	Needles   *Needles
	OnAnswer  func(Answer)
	OnFinding func(Finding)

	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex
	open  map[net.Conn]bool
	bytes int64
	ended bool
}

// Listen makes the relay serve; Close ends it.
func (r *Relay) Listen(target string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r.target, r.listener, r.open = target, listener, map[net.Conn]bool{}
	r.wg.Add(1)
	go r.accept()
	return nil
}

// Port is where clients connect to, on 127.0.0.1.
func (r *Relay) Port() int { return r.listener.Addr().(*net.TCPAddr).Port }

// Bytes is how much clients have received.
func (r *Relay) Bytes() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes
}

// Close ends all connections.
func (r *Relay) Close() error {
	r.mu.Lock()
	r.ended = true
	for conn := range r.open {
		_ = conn.Close() // what is in flight is given up
	}
	r.mu.Unlock()
	err := r.listener.Close()
	r.wg.Wait()
	return err
}

func (r *Relay) accept() {
	defer r.wg.Done()
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return // closed
		}
		server, err := net.Dial("tcp", r.target)
		if err != nil {
			_ = client.Close()
			r.finding(Finding{Kind: "lost", What: fmt.Sprintf("the proxy takes no connection: %v", err)})
			continue
		}
		if !r.keep(client, server) {
			return
		}
		r.serve(client, server)
	}
}

// keep notes connections, so that Close ends them; false if it was called already.
func (r *Relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		r.open[conn] = true
		if r.ended {
			_ = conn.Close()
		}
	}
	return !r.ended
}

func (r *Relay) drop(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
		delete(r.open, conn)
	}
}

func (r *Relay) finding(f Finding) {
	r.mu.Lock()
	ended := r.ended
	r.mu.Unlock()
	if !ended || f.Kind != "lost" {
		r.OnFinding(f)
	}
}

// serve relays one connection in two goroutines.
func (r *Relay) serve(client, server net.Conn) {
	c := newConversation(r.OnAnswer)
	r.wg.Add(2)
	go func() {
		defer r.wg.Done()
		if err := relay(server, client, c.fromClient); err != nil {
			r.finding(Finding{Kind: "out of step", What: "the client's side: " + err.Error()})
		}
		_ = server.(*net.TCPConn).CloseWrite() // the server may have more to say
	}()
	go func() {
		defer r.wg.Done()
		scanner := r.Needles.Scanner()
		err := relay(client, server, func(piece []byte) error {
			query, _ := c.current()
			for _, hit := range scanner.Scan(piece) {
				r.finding(Finding{Kind: "leak", What: fmt.Sprintf("%s as %q in %q", hit.Marker, hit.Form, hit.Around), Query: query})
			}
			r.mu.Lock()
			r.bytes += int64(len(piece))
			r.mu.Unlock()
			return c.fromServer(piece)
		})
		query, quit := c.current()
		switch {
		case err != nil:
			r.finding(Finding{Kind: "out of step", What: err.Error(), Query: query})
		case !quit && query != "":
			r.finding(Finding{Kind: "lost", What: "the connection ended during a query", Query: query})
		}
		r.drop(client, server)
	}()
}

// relay copies until the end of one side; look sees each piece before it goes on. The error is look's.
func relay(to io.Writer, from io.Reader, look func([]byte) error) error {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if err := look(buffer[:n]); err != nil {
				return err
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return nil //nolint:nilerr // the other side is gone, which its own goroutine judges
			}
		}
		if err != nil {
			return nil //nolint:nilerr // its end, or cut: the same here
		}
	}
}
