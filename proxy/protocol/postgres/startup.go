package postgres

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// Codes that stand where a startup message has its version (PostgreSQL
// documentation, "Message Formats").
const (
	codeCancel = 80877102
	codeSSL    = 80877103
	codeGSS    = 80877104

	protocol30 = 3 << 16
	protocol32 = 3<<16 | 2

	// majorOfProtocol32 is the first PostgreSQL that speaks protocol 3.2.
	majorOfProtocol32 = 18

	// maxStartup is PostgreSQL's own bound on a startup message, in bytes
	// (MAX_STARTUP_PACKET_LENGTH).
	maxStartup = 10_000
)

// opening reads what a client says before its session. Nothing that came in plain
// text behind an SSLRequest is ever believed after the handshake (CVE-2021-23214):
// what is there with the request refuses it, as in PostgreSQL, and what comes later
// is taken for the handshake and fails there, since no byte more is read than the
// message has.
type opening struct {
	conn  net.Conn
	tls   *tls.Config
	isTLS bool
	gss   bool
	first []byte // a byte read to tell direct TLS
}

func (o *opening) accept(ctx context.Context, e *Engine) (session.Conversation, error) {
	if err := o.directTLS(ctx); err != nil {
		return nil, err
	}
	for range 3 { // at most GSSENCRequest, SSLRequest, startup
		body, err := o.message()
		if err != nil {
			return nil, err
		}
		switch code := binary.BigEndian.Uint32(body); code {
		case codeSSL:
			err = o.encrypt(ctx)
		case codeGSS:
			err = o.refuseGSS()
		case codeCancel:
			return o.cancelRequest(e, body[4:])
		default:
			return o.startup(e, code, body[4:])
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the client asks for encryption again and again")
}

// directTLS handles a client that begins with a TLS handshake (PostgreSQL 17,
// sslnegotiation=direct), which the first byte tells.
func (o *opening) directTLS(ctx context.Context) error {
	var b [1]byte
	if _, err := io.ReadFull(o.conn, b[:]); err != nil {
		return err
	}
	o.first = b[:]
	if b[0] != 0x16 {
		return nil
	}
	if o.tls == nil {
		return errors.New("the client begins with TLS, and no certificate is configured")
	}
	cfg := o.tls.Clone()
	cfg.NextProtos = []string{"postgresql"}
	if err := o.handshake(ctx, cfg); err != nil {
		return err
	}
	if o.conn.(*tls.Conn).ConnectionState().NegotiatedProtocol != "postgresql" {
		return errors.New("direct TLS without ALPN postgresql") // as PostgreSQL requires, against cross-protocol attacks
	}
	return nil
}

func (o *opening) handshake(ctx context.Context, cfg *tls.Config) error {
	c := tls.Server(&prefixed{Conn: o.conn, first: o.first}, cfg)
	o.first = nil
	if err := c.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS with the client: %w", err)
	}
	o.conn, o.isTLS = c, true
	return nil
}

// message reads a startup-phase message, however it is cut, and returns what
// follows its length.
func (o *opening) message() ([]byte, error) {
	var head [4]byte
	n := copy(head[:], o.first)
	o.first = nil
	if _, err := io.ReadFull(o.conn, head[n:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size < 8 || size > maxStartup {
		return nil, o.fatal("08P01", "invalid length of startup packet")
	}
	if size == 8 {
		return o.request()
	}
	body := make([]byte, size-4)
	_, err := io.ReadFull(o.conn, body)
	return body, err
}

// request reads the rest of a request for encryption: a message of this size is
// nothing else. The client waits for its answer before it sends more, so that more
// bytes are somebody's attempt to slip them in.
func (o *opening) request() ([]byte, error) {
	var body [64]byte
	n, err := io.ReadAtLeast(o.conn, body[:], 4)
	if err != nil {
		return nil, err
	}
	if n > 4 {
		what := "SSL request"
		if binary.BigEndian.Uint32(body[:]) == codeGSS {
			what = "GSSAPI encryption request"
		}
		return nil, o.fatal("08P01", "received unencrypted data after "+what)
	}
	return body[:4], nil
}

func (o *opening) encrypt(ctx context.Context) error {
	if o.isTLS {
		return o.fatal("08P01", "SSLRequest inside of TLS")
	}
	if o.tls == nil {
		_, err := o.conn.Write([]byte{'N'})
		return err
	}
	if _, err := o.conn.Write([]byte{'S'}); err != nil {
		return err
	}
	return o.handshake(ctx, o.tls)
}

func (o *opening) refuseGSS() error {
	if o.gss || o.isTLS {
		return o.fatal("08P01", "unexpected GSSENCRequest")
	}
	o.gss = true
	_, err := o.conn.Write([]byte{'N'})
	return err
}

func (o *opening) cancelRequest(e *Engine, body []byte) (session.Conversation, error) {
	if len(body) < 8 || len(body) > 4+256 {
		return nil, errors.New("invalid cancel request")
	}
	return &cancelConversation{engine: e, pid: binary.BigEndian.Uint32(body), key: body[4:]}, nil
}

// startup reads a startup message of protocol 3.x.
func (o *opening) startup(e *Engine, version uint32, body []byte) (session.Conversation, error) {
	if version>>16 != 3 {
		return nil, o.fatal("0A000", fmt.Sprintf("unsupported frontend protocol %d.%d: server supports 3.0 to 3.2", version>>16, version&0xffff))
	}
	params, ok := startupParameters(body)
	if !ok {
		return nil, o.fatal("08P01", "invalid startup packet layout: expected terminator as last byte")
	}
	c := &conversation{engine: e, conn: o.conn, settings: map[string]string{}}
	var unknown []string
	for _, p := range params {
		switch {
		case strings.HasPrefix(p[0], "_pq_."):
			unknown = append(unknown, p[0])
		case p[0] == "user":
			c.hello.User = p[1]
		case p[0] == "database":
			c.hello.Database = p[1]
		case p[0] == "replication":
			c.replication = p[1]
		case p[0] == "options":
			c.options = p[1]
		default:
			c.settings[p[0]] = p[1]
		}
	}
	return o.negotiated(c, version, unknown)
}

// negotiated completes what the client says of itself. The protocol version is
// settled for good when the server is known.
func (o *opening) negotiated(c *conversation, version uint32, unknown []string) (session.Conversation, error) {
	c.version, c.unknown = version, unknown
	served := c.serve(0)
	c.hello.Protocol = fmt.Sprintf("%d.%d", served>>16, served&0xffff)
	c.hello.Application = c.settings["application_name"]
	c.hello.Settings = recordedSettings(c.settings)
	if c.hello.User == "" {
		return nil, o.fatal("28000", "no PostgreSQL user name specified in startup packet")
	}
	if c.hello.Database == "" {
		c.hello.Database = c.hello.User
		c.defaulted = true
	}
	return c, nil
}

// serve settles which protocol version a client gets in front of a server of a
// major version (0: not known yet), and returns it. 3.0 is always served, and 3.2
// where the server has it as well, so that a client sees what it would without us.
// A newer minor version or unknown options are answered with what is (3.1 was never
// used).
func (c *conversation) serve(server int) uint32 {
	served := min(c.version, protocol32)
	if served == protocol30|1 || (server > 0 && server < majorOfProtocol32) {
		served = protocol30
	}
	c.keySize = 4
	if served == protocol32 {
		c.keySize = 32
	}
	c.negotiate = nil
	if served != c.version || len(c.unknown) > 0 {
		c.negotiate = wire.NegotiateProtocolVersion(nil, served, c.unknown)
	}
	return served
}

// startupParameters splits the name and value pairs of a startup message.
func startupParameters(body []byte) (pairs [][2]string, ok bool) {
	r := wire.Reader{Rest: body}
	for {
		name := r.String()
		if r.Bad {
			return nil, false
		}
		if name == "" {
			return pairs, len(r.Rest) == 0
		}
		pairs = append(pairs, [2]string{name, r.String()})
	}
}

// fatal tells the client why it is turned away, and returns that as an error.
func (o *opening) fatal(code, message string) error {
	e := wire.Error{Severity: "FATAL", Code: code, Message: message}
	_, err := o.conn.Write(e.Append(nil, 'E'))
	return errors.Join(errors.New(message), err)
}

// prefixed is a connection of which some bytes were read already.
type prefixed struct {
	net.Conn
	first []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.first) > 0 {
		n := copy(b, p.first)
		p.first = p.first[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// openError is a FATAL error of the opening that clients read as PostgreSQL's own.
type openError struct{ code, message, detail, hint string }

func (e *openError) Error() string { return e.message }
