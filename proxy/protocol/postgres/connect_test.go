package postgres

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// FuzzConnect lets a server say anything during authentication, SCRAM included:
// connecting ends, at the latest with its context, and with an error unless the
// server has really finished.
func FuzzConnect(f *testing.F) {
	sasl := wire.Message(nil, 'R', []byte("\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00"))
	first := wire.Message(nil, 'R', []byte("\x00\x00\x00\x0br=nonce,s=QSXCR+Q6sek8bf92,i=4096"))
	final := wire.Message(nil, 'R', []byte("\x00\x00\x00\x0cv=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="))
	f.Add(append(append(sasl, first...), final...))
	f.Add(wire.Message(nil, 'R', []byte("\x00\x00\x00\x05salt")))
	f.Add(wire.Message(nil, 'R', []byte("\x00\x00\x00\x03")))
	f.Add(wire.ReadyForQuery(wire.BackendKeyData(wire.AuthenticationOk(nil), 1, []byte{1, 2, 3, 4}), 'I'))
	f.Fuzz(func(t *testing.T, script []byte) {
		ours, theirs := net.Pipe()
		served := make(chan struct{})
		go func() {
			defer close(served)
			defer theirs.Close()
			heard := make(chan struct{})
			go func() { _, _ = io.Copy(io.Discard, theirs); close(heard) }()
			_, _ = theirs.Write(script) // the client may hang up at any point of it
			theirs.Close()
			<-heard
		}()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		up := &session.Upstream{Conn: ours, Host: "db", Port: 5432, Database: "shop", Credential: session.Credential{User: "u", Password: "p"}}
		server, err := connect(ctx, up, map[string]string{})
		if (server == nil) != (err != nil) {
			t.Fatal("neither a connection nor an error")
		}
		ours.Close()
		<-served
	})
}

// slowConn is a connection whose writes return late, as they do on a busy machine:
// the server has answered by then.
type slowConn struct{ net.Conn }

func (c slowConn) Write(p []byte) (int, error) {
	const longerThanPgconnWaits = 40 * time.Millisecond // it reads in the background from 15 ms on
	n, err := c.Conn.Write(p)
	<-time.After(longerThanPgconnWaits)
	return n, err
}

func TestNothingReadsBesidesTheRelayAfterASlowLogin(t *testing.T) {
	server := postgrestest.Shared(t)
	database := server.NewDatabase(t, "")
	raw, err := net.Dial("tcp", server.Address())
	if err != nil {
		t.Fatal(err)
	}
	up := &session.Upstream{
		Conn: slowConn{raw}, Host: server.Host, Port: uint16(server.Port), Database: database,
		Credential: session.Credential{User: server.Superuser, Password: server.Password},
	}
	conn, err := connect(t.Context(), up, map[string]string{})
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Conn.Write(wire.Query(nil, "SELECT 1")); err != nil {
		t.Fatal(err)
	}
	var header [wire.HeaderSize]byte
	if _, err := io.ReadFull(raw, header[:]); err != nil || header[0] != 'T' {
		t.Errorf("the first answer began with %q, %v; want that of the query", header[0], err)
	}
}
