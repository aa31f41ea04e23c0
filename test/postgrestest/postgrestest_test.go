package postgrestest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnvironment) != "" {
		runUntilKilled()
	}
	Main(m)
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func queryText(t *testing.T, config *pgconn.Config, sql string) (string, error) {
	t.Helper()
	conn, err := pgconn.ConnectConfig(testContext(t), config)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(context.Background()) }()
	results, err := conn.Exec(testContext(t), sql).ReadAll()
	if err != nil {
		return "", err
	}
	return string(results[0].Rows[0][0]), nil
}

func config(t *testing.T, dsn string) *pgconn.Config {
	t.Helper()
	c, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEveryRoleLogsInInItsOwnWay(t *testing.T) {
	server := Shared(t)
	for _, test := range []struct{ role, stored string }{
		{server.Superuser, "SCRAM-SHA-256"},
		{RoleSCRAM, "SCRAM-SHA-256"},
		{RoleMD5, "md5"},
		{RoleCleartext, "SCRAM-SHA-256"},
	} {
		t.Run(test.role, func(t *testing.T) {
			if user, err := queryText(t, config(t, server.DSNFor(test.role, "")), "SELECT current_user"); err != nil || user != test.role {
				t.Errorf("logged in as %q, %v", user, err)
			}
			wrong := config(t, server.DSNFor(test.role, ""))
			wrong.Password = "wrong"
			if _, err := queryText(t, wrong, "SELECT 1"); !isCode(err, "28P01") {
				t.Errorf("a wrong password: %v; want SQLSTATE 28P01", err)
			}
			verifier, err := queryText(t, config(t, server.DSN("")),
				"SELECT rolpassword FROM pg_authid WHERE rolname = '"+test.role+"'")
			if err != nil || !strings.HasPrefix(verifier, test.stored) {
				t.Errorf("stored verifier %.20q, %v; want %s", verifier, err, test.stored)
			}
		})
	}
}

func TestTheCertificateRoleNeedsItsCertificateAndTheServersIsValid(t *testing.T) {
	server := Shared(t)
	c := config(t, server.DSNFor(RoleCertificate, ""))
	c.Password = ""
	if _, err := queryText(t, c, "SELECT 1"); !isCode(err, "28000") {
		t.Errorf("without TLS: %v; want SQLSTATE 28000", err)
	}
	ca, err := server.CA()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	certificate, err := tls.LoadX509KeyPair(server.ClientCertificate, server.ClientKey)
	if err != nil {
		t.Fatal(err)
	}
	c.TLSConfig = &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	if user, err := queryText(t, c, "SELECT current_user"); err != nil || user != RoleCertificate {
		t.Errorf("logged in as %q, %v", user, err)
	}
}

func isCode(err error, sqlstate string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == sqlstate
}

func TestADatabaseOfATestIsGoneAfterIt(t *testing.T) {
	server := Shared(t)
	var name string
	t.Run("during", func(t *testing.T) {
		name = server.NewDatabase(t, "CREATE TABLE t AS SELECT 7 AS seven")
		if seven, err := queryText(t, config(t, server.DSN(name)), "SELECT seven FROM t"); err != nil || seven != "7" {
			t.Errorf("got %q, %v", seven, err)
		}
	})
	if _, err := queryText(t, config(t, server.DSN(name)), "SELECT 1"); !isCode(err, "3D000") {
		t.Errorf("after: %v; want SQLSTATE 3D000", err)
	}
}

func TestAKilledServerComesBackOnItsPortWithItsData(t *testing.T) {
	ctx := testContext(t)
	server, err := Start(ctx, Options{Parameters: map[string]string{"application_name": "it's ours"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	// Synchronous: the data of a test server is otherwise only safe once written behind.
	if err := server.Exec(ctx, "", "SET synchronous_commit = on; CREATE TABLE kept AS SELECT 1"); err != nil {
		t.Fatal(err)
	}
	conn, err := pgconn.Connect(ctx, server.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "SELECT 1").ReadAll(); err == nil {
		t.Error("a connection outlived the killed server")
	}
	if server.PID() != 0 {
		t.Errorf("a killed server has PID %d", server.PID())
	}
	for _, way := range []string{"after a kill", "while running"} {
		if err := server.Restart(ctx); err != nil {
			t.Fatalf("%s: %v", way, err)
		}
		if err := server.Exec(ctx, "", "SELECT * FROM kept"); err != nil {
			t.Errorf("%s: %v", way, err)
		}
	}
	if name, err := queryText(t, config(t, server.DSN("")), "SHOW application_name"); err != nil || name != "it's ours" {
		t.Errorf("the parameter is %q, %v", name, err)
	}
}

func TestAServerThatCannotStartSaysWhy(t *testing.T) {
	_, err := Start(testContext(t), Options{Parameters: map[string]string{"no_such_setting": "1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("got %v; want the server's own words about no_such_setting", err)
	}
}

// childEnvironment makes the test binary start a server and wait to be killed.
const childEnvironment = "POSTGRESTEST_RUN_UNTIL_KILLED"

func runUntilKilled() {
	server, err := Start(context.Background(), Options{})
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString(server.dir + "\n")
	select {}
}

func TestAServerDiesWithTheProcessThatStartedItAndTheNextOneCleansUp(t *testing.T) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnvironment+"=1")
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 4096)
	n, err := stdout.Read(line)
	if err != nil {
		t.Fatalf("the child did not start a server: %v", err)
	}
	dir := strings.TrimSpace(string(line[:n]))
	pid := postmasterOf(t, dir)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed: its status says so
	waitUntilGone(t, pid)
	removeAbandoned()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there (%v)", dir, err)
	}
}

func postmasterOf(t *testing.T, dir string) int {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "data/postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid := 0
	for _, c := range content {
		if c < '0' || c > '9' {
			break
		}
		pid = pid*10 + int(c-'0')
	}
	return pid
}

// waitUntilGone waits for a process that is no child of ours, so that there is nothing to wait on but its absence.
func waitUntilGone(t *testing.T, pid int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx := testContext(t); syscall.Kill(pid, 0) == nil && !isZombie(pid); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the postmaster %d still runs", pid)
		}
	}
}
