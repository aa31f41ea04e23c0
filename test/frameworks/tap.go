package main

import (
	"io"
	"net"
	"sync"
)

// tap stands between a client and the proxy, changes nothing and keeps every byte that the client receives.
type tap struct {
	host, port string

	to       string
	listener net.Listener
	done     sync.WaitGroup

	mutex    sync.Mutex
	received []*recorder
	open     map[net.Conn]bool
	closed   bool
}

// recorder keeps what is written through it.
type recorder struct {
	mutex sync.Mutex
	bytes []byte
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.bytes = append(r.bytes, p...)
	return len(p), nil
}

func newTap(to string) (*tap, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, err
	}
	t := &tap{host: host, port: port, to: to, listener: listener, open: map[net.Conn]bool{}}
	t.done.Go(t.accept)
	return t, nil
}

func (t *tap) accept() {
	for {
		client, err := t.listener.Accept()
		if err != nil {
			return // closed
		}
		server, err := net.Dial("tcp", t.to)
		if err != nil {
			client.Close()
			continue // the client sees it
		}
		heard := t.register(client, server)
		t.done.Go(func() { pass(server, client) })
		t.done.Go(func() { pass(io.MultiWriter(heard, client), server); client.Close(); server.Close() })
	}
}

// register remembers a pair of connections, which close ends. After close they are ended at once.
func (t *tap) register(client, server net.Conn) *recorder {
	heard := &recorder{}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.received = append(t.received, heard)
	for _, conn := range []net.Conn{client, server} {
		t.open[conn] = true
		if t.closed {
			conn.Close()
		}
	}
	return heard
}

// pass copies until either end closes, and tells the other side of an end of input.
func pass(to io.Writer, from io.Reader) {
	_, _ = io.Copy(to, from) // an end that hurries is the client's or the proxy's business
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// close ends all connections and returns what their clients received.
func (t *tap) close() [][]byte {
	t.listener.Close()
	t.mutex.Lock()
	t.closed = true
	for conn := range t.open {
		conn.Close()
	}
	t.mutex.Unlock()
	t.done.Wait()
	var all [][]byte
	for _, heard := range t.received {
		all = append(all, heard.bytes)
	}
	return all
}
