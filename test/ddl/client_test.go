package ddl_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tidewaiter/tidewaiter/test/conformance/localproxy"
	"github.com/tidewaiter/tidewaiter/test/tap"
)

// patience bounds what a client waits for.
const patience = 20 * time.Second

// client speaks the protocol message by message and has every byte that it receives looked at.
type client struct {
	conn    net.Conn
	scanner *tap.Scanner
	needles *tap.Needles
	leaks   []tap.Hit
	codes   []string // of the errors received
	rows    int
}

// dial connects through the proxy.
func dial(ctx context.Context, proxy *localproxy.Proxy) (*client, error) {
	host, port, err := net.SplitHostPort(proxy.Address)
	if err != nil {
		return nil, err
	}
	config, err := pgconn.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	config.Host, config.Port, config.User, config.Database = host, uint16(number), proxy.User, proxy.Database
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := conn.SyncConn(ctx); err != nil {
		return nil, err
	}
	bare, err := conn.Hijack()
	if err != nil {
		return nil, err
	}
	needles := tap.NewNeedles("Zq7XkWv")
	return &client{conn: bare.Conn, needles: needles, scanner: needles.Scanner()}, nil
}

func newClient(t *testing.T, proxy *localproxy.Proxy) *client {
	t.Helper()
	c, err := dial(t.Context(), proxy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func (c *client) close() { _ = c.conn.Close() }

// send writes messages in one piece.
func (c *client) send(messages ...pgproto3.FrontendMessage) error {
	var buffer []byte
	for _, message := range messages {
		var err error
		if buffer, err = message.Encode(buffer); err != nil {
			return err
		}
	}
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := c.conn.Write(buffer)
	return err
}

// until reads messages up to one of a type. ReadyForQuery and, without a Sync, ErrorResponse end it as well.
func (c *client) until(kinds string) error {
	for {
		header := make([]byte, 5)
		if _, err := io.ReadFull(c.conn, header); err != nil {
			return fmt.Errorf("waiting for one of %q: %w", kinds, err)
		}
		body := make([]byte, int(binary.BigEndian.Uint32(header[1:]))-4)
		if _, err := io.ReadFull(c.conn, body); err != nil {
			return err
		}
		c.leaks = append(c.leaks, c.scanner.Scan(header)...)
		c.leaks = append(c.leaks, c.scanner.Scan(body)...)
		switch header[0] {
		case 'D', 'd':
			c.rows++
		case 'E':
			var e pgproto3.ErrorResponse
			if err := e.Decode(body); err != nil {
				return err
			}
			c.codes = append(c.codes, e.Code+" "+e.Message)
		}
		for _, kind := range []byte(kinds) {
			if header[0] == kind || header[0] == 'Z' {
				return nil
			}
		}
	}
}
