package postgres_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/protocoltest"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/proxy/upstream"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// behind runs an engine in front of the test server with another upstream.
func behind(t *testing.T, opt upstream.Options, user, password string) *proxy {
	t.Helper()
	p := start(t, config{})
	opt.Database = p.db
	if opt.Host == "" {
		opt.Host = "localhost"
	}
	opt.Port = uint16(p.server.Port)
	d, err := upstream.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	d.Use(session.Credential{User: user, Password: password})
	p.serve(t, &session.Pipeline{
		DataSource: "data/shop", Protocol: p.engine, Dialer: d, Decider: decide(allowUnderstood), Recorder: &protocoltest.Recorder{},
		Identifier: protocoltest.Identify{}, Budgets: &session.Budgets{},
	})
	return p
}

func TestEveryUpstreamAuthenticationWorksInEveryTLSMode(t *testing.T) {
	srv := postgrestest.Shared(t)
	ca := read(t, srv.CAFile)
	for _, role := range []string{srv.Superuser, postgrestest.RoleMD5, postgrestest.RoleCleartext, postgrestest.RoleSCRAM} {
		for _, mode := range []upstream.Mode{upstream.Disable, upstream.Require, upstream.VerifyCA, upstream.VerifyFull} {
			if role == postgrestest.RoleCleartext && (mode == upstream.Disable || mode == upstream.Require) {
				continue // see TestAServerThatHasNotProvenWhoItIsGetsNoPasswordInClearText
			}
			t.Run(role+" "+string(mode), func(t *testing.T) {
				p := behind(t, upstream.Options{Mode: mode, CA: ca}, role, srv.Password)
				conn := p.connect(t)
				if got := query(t, conn, "select current_user"); got != role {
					t.Errorf("the session is %s's, want the credential's", got)
				}
				encrypted := query(t, conn, "select ssl from pg_stat_ssl where pid = pg_backend_pid()")
				if (encrypted == "t") != (mode != upstream.Disable) {
					t.Errorf("encrypted: %s", encrypted)
				}
			})
		}
	}
	t.Run("by client certificate", func(t *testing.T) {
		p := behind(t, upstream.Options{
			Mode: upstream.VerifyFull, CA: ca, ClientCertificate: read(t, srv.ClientCertificate), ClientKey: read(t, srv.ClientKey),
		}, postgrestest.RoleCertificate, "")
		if got := query(t, p.connect(t), "select current_user"); got != postgrestest.RoleCertificate {
			t.Errorf("the session is %s's", got)
		}
	})
	t.Run("over a unix socket", func(t *testing.T) {
		p := behind(t, upstream.Options{Mode: upstream.Disable, Host: srv.SocketDir}, srv.Superuser, srv.Password)
		query(t, p.connect(t), "select 1")
	})
}

// Containers of a pod share /etc/hosts: the program behind the proxy, where it is root, can be the server by it.
func TestAServerThatHasNotProvenWhoItIsGetsNoPasswordInClearText(t *testing.T) {
	srv := postgrestest.Shared(t)
	for name, opt := range map[string]upstream.Options{
		"plain": {Mode: upstream.Disable}, "encrypted to whoever answers": {Mode: upstream.Require},
		"whoever has a certificate of the web's": {Mode: upstream.VerifyCA},
	} {
		t.Run(name, func(t *testing.T) {
			p := behind(t, opt, postgrestest.RoleCleartext, srv.Password)
			conn, err := pgconn.Connect(t.Context(), p.dsn())
			if err == nil {
				_ = conn.Close(t.Context())
				t.Fatal("the password was sent")
			}
			if strings.Contains(err.Error(), srv.Password) || strings.Contains(err.Error(), postgrestest.RoleCleartext) {
				t.Errorf("the error tells of the credential: %v", err)
			}
		})
	}
}

func TestAnUpstreamThatCannotBeTrustedOrOpenedIsRefusedWithoutASecret(t *testing.T) {
	srv := postgrestest.Shared(t)
	ca := read(t, srv.CAFile)
	other, _ := newCertificate(t)
	for name, c := range map[string]struct {
		opt      upstream.Options
		password string
		code     string
	}{
		"another authority":             {upstream.Options{Mode: upstream.VerifyCA, CA: other}, srv.Password, "42501"},
		"another authority, full":       {upstream.Options{Mode: upstream.VerifyFull, CA: other}, srv.Password, "42501"},
		"a name not in the certificate": {upstream.Options{Mode: upstream.VerifyFull, CA: ca, Host: "127.0.0.2"}, srv.Password, "42501"},
		"a wrong password":              {upstream.Options{Mode: upstream.VerifyFull, CA: ca}, "wrong-hunter2", "28000"},
	} {
		t.Run(name, func(t *testing.T) {
			p := behind(t, c.opt, srv.Superuser, c.password)
			_, err := pgconn.Connect(context.Background(), p.dsn())
			var pg *pgconn.PgError
			if !asPgError(err, &pg) || pg.Code != c.code || pg.Severity != "FATAL" {
				t.Fatalf("got %v", err)
			}
			if s := err.Error(); strings.Contains(s, c.password) || strings.Contains(s, srv.Superuser) {
				t.Errorf("the error tells of the credential: %s", s)
			}
		})
	}
}

func TestTheClientsNameIsAClaimAndNoCredential(t *testing.T) {
	p := start(t, config{})
	if got := query(t, p.connect(t), "select current_user || '/' || session_user"); got != p.server.Superuser+"/"+p.server.Superuser {
		t.Errorf("the session runs as %s", got)
	}
	out := p.psql(t, "select 1")
	if out != "1" {
		t.Errorf("psql says %q", out)
	}
}
