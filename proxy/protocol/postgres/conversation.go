package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/core"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// conversation is one client that wants a session.
type conversation struct {
	engine *Engine
	conn   net.Conn // the client, inside of TLS where it asked for that

	hello       access.Hello
	defaulted   bool // the client named no database
	version     uint32
	negotiate   []byte // NegotiateProtocolVersion to send first, if any
	keySize     int
	replication string
	options     string
	settings    map[string]string

	core     *core.Conn
	upstream *upstreamKey
}

// Hello returns what the client says of itself.
func (c *conversation) Hello() access.Hello { return c.hello }

// Open decides on what the client asks for in its startup message, connects and
// authenticates upstream, and makes the client ready.
func (c *conversation) Open(ctx context.Context, s *session.Session, up *session.Upstream) (net.Conn, error) {
	if c.replication != "" && c.replication != "false" && c.replication != "off" && c.replication != "0" {
		return nil, &access.Denial{What: "tidewaiter: replication connections are not allowed", Hint: "Connect without the replication parameter."}
	}
	if !c.defaulted && c.hello.Database != c.engine.opt.Database {
		return nil, wrongDatabase(c.hello.Database)
	}
	cat, err := c.engine.catalog.get(ctx, s, false)
	if err != nil {
		return nil, err
	}
	settings, err := c.startupSettings(ctx, s, cat)
	if err != nil {
		return nil, err
	}
	server, err := connect(ctx, up, settings)
	if err != nil {
		return nil, upstreamError(c.engine.opt.DataSource, err)
	}
	for name, value := range server.ParameterStatuses {
		if !core.SafeParameter(name, value) {
			server.Conn.Close()
			return nil, &access.Denial{What: fmt.Sprintf("tidewaiter: the server insists on %s = %s, under which statements cannot be read safely", name, value)}
		}
	}
	c.core = core.New(c.engine.opt.Core, s.Control(), cat)
	if err := c.welcome(server); err != nil {
		server.Conn.Close()
		return nil, err
	}
	return server.Conn, nil
}

// welcome tells the client that it may begin. The process ID is the server's, for
// clients that compare it with pg_backend_pid(); the cancel key is our own, so
// that the server's never leaves the proxy.
func (c *conversation) welcome(server *pgconn.HijackedConn) error {
	key := make([]byte, c.keySize)
	_, _ = rand.Read(key) // never fails, see crypto/rand
	c.upstream = c.engine.cancels.add(server.PID, key, server.SecretKey)

	out := wire.AuthenticationOk(c.negotiate)
	names := make([]string, 0, len(server.ParameterStatuses))
	for name := range server.ParameterStatuses {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		out = wire.ParameterStatus(out, name, server.ParameterStatuses[name])
	}
	out = wire.BackendKeyData(out, server.PID, key)
	_, err := c.conn.Write(wire.ReadyForQuery(out, 'I'))
	return err
}

// Refuse ends the connection with a FATAL error.
func (c *conversation) Refuse(d *access.Denial) error {
	e := core.Render(d)
	var own *openError
	if errors.As(d.Cause, &own) {
		e = &wire.Error{Code: own.code, Message: own.message, Detail: own.detail, Hint: own.hint}
	}
	e.Severity = "FATAL"
	_, err := c.conn.Write(e.Append(c.negotiate, 'E'))
	return err
}

// connect authenticates on a fresh upstream connection. pgconn speaks the startup
// and all of PostgreSQL's password methods: cleartext, md5, SCRAM-SHA-256 and,
// inside of TLS, SCRAM-SHA-256-PLUS.
func connect(ctx context.Context, up *session.Upstream, settings map[string]string) (*pgconn.HijackedConn, error) {
	var in io.Reader
	conn, err := dialPgconn(ctx, up, settings, &in)
	if err != nil {
		return nil, err
	}
	server, err := conn.Hijack()
	if err != nil {
		return nil, err
	}
	if n := server.Frontend.ReadBufferLen(); n > 0 {
		server.Conn.Close()
		return nil, fmt.Errorf("the server sent %d bytes unasked", n)
	}
	if err := silence(server.Conn, in); err != nil {
		server.Conn.Close()
		return nil, err
	}
	return server, nil
}

// silence ends the reader that pgconn starts in the background when a write takes
// long, as it does on a busy machine: it would take the first answers away from
// whoever reads the connection next. in is what pgconn has read through. With a
// deadline that is past, a pending read returns without bytes, and that of in only
// after it.
func silence(conn net.Conn, in io.Reader) error {
	if err := conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return err
	}
	n, err := in.Read(make([]byte, 1))
	if n > 0 {
		return errors.New("the server sent something unasked")
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("taking the connection over: %w", err)
	}
	return conn.SetReadDeadline(time.Time{})
}

// dialPgconn connects by pgconn. Where in is given it becomes what pgconn reads
// through.
func dialPgconn(ctx context.Context, up *session.Upstream, settings map[string]string, in *io.Reader) (*pgconn.PgConn, error) {
	cfg, err := pgconn.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, err
	}
	// Everything that the environment could have said is set here.
	cfg.Host, cfg.Port, cfg.Database = up.Host, up.Port, up.Database
	cfg.User, cfg.Password = up.Credential.User, up.Credential.Password
	cfg.TLSConfig, cfg.Fallbacks, cfg.RuntimeParams = up.TLS, nil, settings
	cfg.ValidateConnect, cfg.AfterConnect = nil, nil
	cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) { return up.Conn, nil }
	if in != nil {
		cfg.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
			*in = r
			return pgproto3.NewFrontend(r, w)
		}
	}
	return pgconn.ConnectConfig(ctx, cfg)
}

// upstreamError words a failed connection. That the credential was refused is told
// without saying whose it is.
func upstreamError(dataSource string, err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return &access.Denial{
			Code: access.CodeUnavailable, Cause: errors.New("connecting upstream failed"),
			What: fmt.Sprintf("tidewaiter: no session with DataSource %s could be opened", dataSource),
			Hint: "Check the DataSource's tls settings and that the server runs; the DataSource's condition Reachable says more.",
		}
	}
	if pg.Code == "28P01" || pg.Code == "28000" {
		return &openError{
			code: "28000", message: fmt.Sprintf("tidewaiter: the server refused the credential of DataSource %s", dataSource),
			hint: "The owner of the DataSource has to correct the Secret that credentials.secretRef names.",
		}
	}
	return &openError{code: pg.Code, message: pg.Message, detail: pg.Detail, hint: pg.Hint}
}
