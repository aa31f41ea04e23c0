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
	"net"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// maxMessage bounds a message of the server, in bytes: pgconn makes room for as much
// as the header claims. It is far more than any row of a catalog has.
const maxMessage = 64 << 20

// Connect authenticates on a fresh upstream connection with the upstream's own
// credential, and gives the session the settings. The connection is the caller's
// to close if it fails.
func Connect(ctx context.Context, up *session.Upstream, settings map[string]string) (*pgconn.PgConn, error) {
	if errBlank != nil {
		return nil, errBlank
	}
	cfg := blank.Copy()
	cfg.Host, cfg.Port, cfg.Database = up.Host, up.Port, up.Database
	cfg.User, cfg.Password = up.Credential.User, up.Credential.Password
	cfg.TLSConfig, cfg.RuntimeParams = up.TLS, settings
	cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) { return up.Conn, nil }
	return pgconn.ConnectConfig(ctx, cfg)
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
