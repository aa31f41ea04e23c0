package protocoltest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocoltest"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// toy is a protocol of lines: the client says "HELLO name", the server "READY";
// then each line is a statement and each has one line for an answer.
type toy struct{}

func (toy) Name() string { return "toy" }

func (toy) Accept(_ context.Context, client net.Conn) (session.Conversation, error) {
	c := &toyConversation{client: client, in: bufio.NewReader(client)}
	line, err := c.in.ReadString('\n')
	name, ok := strings.CutPrefix(strings.TrimSpace(line), "HELLO ")
	if err != nil || !ok {
		return nil, errors.New("toy: no HELLO")
	}
	c.name = name
	return c, nil
}

type toyConversation struct {
	client net.Conn
	in     *bufio.Reader
	name   string
}

func (c *toyConversation) Hello() access.Hello { return access.Hello{User: c.name} }

func (c *toyConversation) Open(_ context.Context, _ *session.Session, up *session.Upstream) (net.Conn, error) {
	if _, err := fmt.Fprintf(up.Conn, "LOGIN %s\n", up.Credential.Password); err != nil {
		return nil, err
	}
	_, err := c.client.Write([]byte("READY\n"))
	return up.Conn, err
}

func (c *toyConversation) Relay(ctx context.Context, s *session.Session) error {
	stop := context.AfterFunc(ctx, func() {
		var d *access.Denial
		if errors.As(context.Cause(ctx), &d) {
			_ = c.client.SetWriteDeadline(time.Now().Add(time.Second)) // it may not be listening
			_ = c.Refuse(d)
		}
		c.client.Close()
	})
	defer stop()
	go func() {
		select {
		case <-s.Draining():
			c.client.Close()
		case <-ctx.Done():
		}
	}()
	server := bufio.NewReader(s.Server())
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			select {
			case <-s.Draining():
				return session.ErrDrained
			default:
				return nil
			}
		}
		if err := c.statement(ctx, s, server, line); err != nil {
			return err
		}
	}
}

func (c *toyConversation) statement(ctx context.Context, s *session.Session, server *bufio.Reader, line string) error {
	text := strings.TrimSpace(line)
	x, err := s.Begin(ctx, &access.Operation{Protocol: "toy", Phase: access.PhaseRun, Text: text, Statements: []access.Statement{{Kind: "Line"}}})
	if err != nil {
		return c.Refuse(access.AsDenial(err))
	}
	var out session.Outbox
	if err := out.Append(x, []byte(line)); err != nil {
		return err
	}
	if err := s.Server().WriteFrom(&out); err != nil {
		return err
	}
	answer, err := server.ReadString('\n')
	if err != nil {
		return err
	}
	if err := x.Take(1, int64(len(answer)), 0); err != nil {
		return c.Refuse(access.AsDenial(err))
	}
	if _, err := c.client.Write([]byte(answer)); err != nil {
		return err
	}
	return x.End(access.Ended{Outcome: access.OutcomeDone})
}

func (c *toyConversation) Refuse(d *access.Denial) error {
	_, err := fmt.Fprintf(c.client, "ERROR %s\n", d.What)
	return err
}

// echo is a data source that answers every line with its length.
type echo struct{}

func (echo) Dial(context.Context, access.Identity) (*session.Upstream, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		in := bufio.NewReader(theirs)
		for first := true; ; first = false {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if first {
				continue // the login
			}
			if _, err := fmt.Fprintf(theirs, "%d\n", len(line)); err != nil {
				return
			}
		}
	}()
	return &session.Upstream{Conn: ours, Credential: session.Credential{User: "real", Password: "secret"}}, nil
}

type toyClient struct {
	conn net.Conn
	in   *bufio.Reader
}

func connectToy(t *testing.T, address string) protocoltest.Client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c := &toyClient{conn: conn, in: bufio.NewReader(conn)}
	if answer, _, err := c.Do("HELLO me"); err != nil || answer != "READY" {
		t.Fatalf("answer %q, error %v", answer, err)
	}
	return c
}

func (c *toyClient) Do(statement string) (answer, refused string, err error) {
	if _, err := fmt.Fprintf(c.conn, "%s\n", statement); err != nil {
		return "", "", err
	}
	line, err := c.in.ReadString('\n')
	line = strings.TrimSpace(line)
	if after, ok := strings.CutPrefix(line, "ERROR "); ok {
		return "", after, err
	}
	return line, "", err
}

func (c *toyClient) Close() error { return c.conn.Close() }

func TestTheToyProtocolPassesTheSuite(t *testing.T) {
	protocoltest.Run(t, protocoltest.Subject{
		Protocol: func(*testing.T) session.Protocol { return toy{} }, Dialer: echo{}, Connect: connectToy,
		Opening: []byte("HELLO me\n"), Harmless: "GET apples", Marked: "GET marzipan", Marker: "marzipan",
	})
}

func TestNothingCanBeSentWithoutPermission(t *testing.T) {
	var out session.Outbox
	for name, x := range map[string]*session.Exchange{"nil": nil, "zero": {}} {
		if err := out.Append(x, []byte("DROP")); !errors.Is(err, session.ErrNoPermission) || out.Len() != 0 {
			t.Errorf("%s exchange: %v, %d bytes", name, err, out.Len())
		}
	}
}
