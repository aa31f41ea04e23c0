package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sort"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/core"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/login"
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
	unknown     []string // protocol options that it asks for and that are not served
	negotiate   []byte   // NegotiateProtocolVersion to send first, if any
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
	c.serve(cat.Server)
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

// connect authenticates on a fresh upstream connection and takes the bare session.
func connect(ctx context.Context, up *session.Upstream, settings map[string]string) (*pgconn.HijackedConn, error) {
	server, err := login.Take(ctx, up, settings)
	if err != nil {
		up.Conn.Close()
		return nil, err
	}
	return server, nil
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
