// Package login opens an authenticated session on a PostgreSQL server, over a
// connection that somebody else has opened. pgconn speaks the startup and all of
// PostgreSQL's password methods: cleartext, md5, SCRAM-SHA-256 and, inside of TLS,
// SCRAM-SHA-256-PLUS; see docs/adr/0005-pgconn-for-upstream-authentication.md.
//
// It must not know policy, clients or what the session is for, and nothing in the
// environment or the home folder of the process has a say in what it does.
package login

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// maxMessage bounds a message of the server, in bytes: pgconn makes room for as much
// as the header claims. It is far more than any row of a catalog has.
const maxMessage = 64 << 20

// Connect authenticates on a fresh upstream connection with the upstream's own
// credential, and gives the session the settings. The connection is the caller's
// to close if it fails.
func Connect(ctx context.Context, up *session.Upstream, settings map[string]string) (*pgconn.PgConn, error) {
	cfg, err := config(up, settings)
	if err != nil {
		return nil, err
	}
	return pgconn.ConnectConfig(ctx, cfg)
}

// Take authenticates as Connect does and hands the bare session over, idle, for
// somebody who speaks the protocol from here on: nothing of pgconn reads from it any
// more. The connection is the caller's to close if it fails.
func Take(ctx context.Context, up *session.Upstream, settings map[string]string) (*pgconn.HijackedConn, error) {
	cfg, err := config(up, settings)
	if err != nil {
		return nil, err
	}
	var in io.Reader
	cfg.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		in = r
		return pgproto3.NewFrontend(r, w)
	}
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	server, err := conn.Hijack()
	if err != nil {
		return nil, err
	}
	if n := server.Frontend.ReadBufferLen(); n > 0 {
		return nil, fmt.Errorf("the server sent %d bytes unasked", n)
	}
	return server, silence(server.Conn, in)
}

// silence ends the reader that pgconn starts in the background when a write takes
// long, as it does on a busy machine: it would take the first answers away from
// whoever reads the connection next. (PgConn.SyncConn pings until that reader has
// stopped by itself, which it does not while writes stay slow.) in is what pgconn has
// read through. With a deadline that is past, a pending read returns without bytes,
// and that of in only after it.
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

func config(up *session.Upstream, settings map[string]string) (*pgconn.Config, error) {
	if errBlank != nil {
		return nil, errBlank
	}
	cfg := blank.Copy()
	cfg.Host, cfg.Port, cfg.Database = up.Host, up.Port, up.Database
	cfg.User, cfg.Password = up.Credential.User, up.Credential.Password
	cfg.TLSConfig, cfg.RuntimeParams = up.TLS, settings
	if !up.Proven {
		// Containers of a pod share /etc/hosts, so that the program behind the proxy may
		// be who answers, and ask for the password.
		cfg.RequireAuth = "!password"
	}
	cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) { return up.Conn, nil }
	return cfg, nil
}

// blank is the configuration that every connection starts from. pgconn takes none
// that its ParseConfig has not made, and ParseConfig reads whatever PG… variable is
// set and the files that they name. To overwrite the fields afterwards does not do:
// a PGSERVICE of somebody's shell fails the parsing, and PGCHANNELBINDING or
// PGREQUIREAUTH would decide how the proxy logs in. So it is called once, while
// nothing but package initialisation runs, with none of these variables set.
var blank, errBlank = parseWithoutEnvironment()

func parseWithoutEnvironment() (*pgconn.Config, error) {
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "PG") {
			_ = os.Unsetenv(name) // fails for impossible names only, and this one was possible
			defer func() { _ = os.Setenv(name, value) }()
		}
	}
	// A socket's folder, a user and a password keep it from looking for certificates,
	// for who runs this process, and for ~/.pgpass.
	cfg, err := pgconn.ParseConfig("host=/ user=nobody password=none sslmode=disable passfile=/dev/null")
	if err != nil {
		return nil, err
	}
	cfg.MaxProtocolMessageBodyLen = maxMessage
	cfg.Fallbacks, cfg.ValidateConnect, cfg.AfterConnect = nil, nil, nil
	return cfg, nil
}
