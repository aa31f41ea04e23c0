package corpus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
)

// Target is where a client connects to.
type Target struct {
	Address  string // host:port
	Database string
	User     string
	Password string // "" where the other side trusts
	URL      string // instead of all others: a connection string, TLS included
}

// frame is one message from the server: its type and body (PostgreSQL documentation, "Message Formats").
type frame struct {
	kind byte
	body []byte
}

// maxFrame bounds what one message may make the judge allocate.
const maxFrame = 64 << 20

// patience bounds a row; the servers' statement_timeout is shorter.
const patience = 2 * 60 * time.Second

// client is a connection that keeps every byte it was sent since the last mark.
type client struct {
	conn     net.Conn
	received []byte
}

// connect logs in by pgconn and then takes the bare connection over.
func connect(ctx context.Context, target Target) (*client, error) {
	config, err := target.config()
	if err != nil {
		return nil, err
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := conn.SyncConn(context.Background()); err != nil { // or a background reader could take what comes next
		return nil, err
	}
	hijacked, err := conn.Hijack()
	if err != nil {
		return nil, err
	}
	return &client{conn: hijacked.Conn}, hijacked.Conn.SetDeadline(time.Now().Add(patience))
}

func (target Target) config() (*pgconn.Config, error) {
	if target.URL != "" {
		return pgconn.ParseConfig(target.URL)
	}
	host, port, err := net.SplitHostPort(target.Address)
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
	config.Host, config.Port, config.Database = host, uint16(number), target.Database
	config.User, config.Password = target.User, target.Password
	return config, nil
}

func (c *client) close() { _ = c.conn.Close() } // nothing is in flight that could be lost

func (c *client) send(messages ...pgproto3.FrontendMessage) error {
	var buffer []byte
	for _, message := range messages {
		var err error
		if buffer, err = message.Encode(buffer); err != nil {
			return err
		}
	}
	_, err := c.conn.Write(buffer)
	return err
}

// next reads one message.
func (c *client) next() (frame, error) {
	start := len(c.received)
	if err := c.read(5); err != nil {
		return frame{}, err
	}
	header := c.received[start:]
	length := binary.BigEndian.Uint32(header[1:])
	if length < 4 || length > maxFrame {
		return frame{}, fmt.Errorf("a message %q of %d bytes", header[0], length)
	}
	if err := c.read(int(length) - 4); err != nil {
		return frame{}, err
	}
	return frame{kind: c.received[start], body: c.received[start+5:]}, nil
}

func (c *client) read(n int) error {
	start := len(c.received)
	c.received = append(c.received, make([]byte, n)...)
	got, err := io.ReadFull(c.conn, c.received[start:])
	c.received = c.received[:start+got]
	return err
}

// untilReady reads up to and with ReadyForQuery. Where the server asks for data, it is told that there are none; inExtended
// sends another Sync then, because the server drops the one that came during the copy.
func (c *client) untilReady(inExtended bool) ([]frame, error) {
	var frames []frame
	for {
		f, err := c.next()
		if err != nil {
			return frames, err
		}
		frames = append(frames, f)
		switch f.kind {
		case 'G':
			answer := []pgproto3.FrontendMessage{&pgproto3.CopyDone{}}
			if inExtended {
				answer = append(answer, &pgproto3.Sync{})
			}
			if err := c.send(answer...); err != nil {
				return frames, err
			}
		case 'Z':
			return frames, nil
		}
	}
}

// simple runs SQL text by the simple protocol: results are text.
func (c *client) simple(sql string) ([]frame, error) {
	if err := c.send(&pgproto3.Query{String: sql}); err != nil {
		return nil, err
	}
	return c.untilReady(false)
}

// extended prepares, binds and executes a statement by the extended protocol, with results in the given format.
func (c *client) extended(sql string, format int16) ([]frame, error) {
	if err := c.send(&pgproto3.Parse{Query: sql}, &pgproto3.Describe{ObjectType: 'S'}, &pgproto3.Sync{}); err != nil {
		return nil, err
	}
	prepared, err := c.untilReady(true)
	if err != nil || firstError(prepared) != nil {
		return prepared, err
	}
	parameters, err := parametersFor(prepared)
	if err != nil {
		return prepared, err
	}
	if err := c.send(&pgproto3.Bind{Parameters: parameters, ResultFormatCodes: []int16{format}}, &pgproto3.Describe{ObjectType: 'P'},
		&pgproto3.Execute{}, &pgproto3.Sync{}); err != nil {
		return prepared, err
	}
	executed, err := c.untilReady(true)
	return append(prepared, executed...), err
}

// parametersFor invents a value, in text, for each parameter of a described statement.
func parametersFor(described []frame) ([][]byte, error) {
	for _, f := range described {
		if f.kind != 't' {
			continue
		}
		var description pgproto3.ParameterDescription
		if err := description.Decode(f.body); err != nil {
			return nil, err
		}
		values := make([][]byte, 0, len(description.ParameterOIDs))
		for _, oid := range description.ParameterOIDs {
			values = append(values, []byte(parameter(oid)))
		}
		return values, nil
	}
	return nil, errors.New("the server described no parameters")
}

// parameter is a value that fits the schema: the customer 7, and an e-mail address of hers for texts.
func parameter(oid uint32) string {
	switch oid {
	case pgtype.TextOID, pgtype.VarcharOID, pgtype.UnknownOID, pgtype.NameOID, pgtype.BPCharOID:
		return "user7@canary.example"
	case pgtype.TimestamptzOID, pgtype.TimestampOID, pgtype.DateOID:
		return "2020-01-01"
	case pgtype.BoolOID:
		return "true"
	case pgtype.Int2ArrayOID, pgtype.Int4ArrayOID, pgtype.Int8ArrayOID, pgtype.TextArrayOID:
		return "{7,8}"
	case pgtype.JSONOID, pgtype.JSONBOID:
		return "{}"
	case pgtype.UUIDOID:
		return "00000000-0000-0000-0000-000000000007"
	default:
		return "7"
	}
}

// firstError is the first ErrorResponse among frames, or nil.
func firstError(frames []frame) *pgproto3.ErrorResponse {
	for _, f := range frames {
		if f.kind == 'E' {
			response := &pgproto3.ErrorResponse{}
			if err := response.Decode(f.body); err != nil {
				response.Code, response.Message = "?????", "not decodable: "+err.Error()
			}
			return response
		}
	}
	return nil
}
