package login_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/login"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// address makes the test binary log in to a server, with the password in its standard input, and say as whom.
const address = "TIDEWAITER_TEST_LOGIN"

func TestMain(m *testing.M) {
	if at := os.Getenv(address); at != "" {
		os.Exit(logIn(at))
	}
	postgrestest.Main(m)
}

func logIn(at string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var user, password string
	if _, err := fmt.Scan(&user, &password); err != nil {
		fmt.Println(err)
		return 1
	}
	conn, err := net.Dial("tcp", at)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer conn.Close()
	host, port, _ := net.SplitHostPort(at)
	number, _ := strconv.Atoi(port)
	session, err := login.Connect(ctx, &session.Upstream{
		Conn: conn, Host: host, Port: uint16(number), Database: "postgres", Credential: session.Credential{User: user, Password: password},
	}, map[string]string{"application_name": "proxy"})
	if err != nil {
		fmt.Println("login:", err)
		return 1
	}
	for _, sql := range []string{
		"select current_user, current_database(), current_setting('application_name'), current_setting('statement_timeout'), current_setting('TimeZone')",
	} {
		r := session.ExecParams(ctx, sql, nil, nil, nil, nil).Read()
		if r.Err != nil {
			fmt.Println(r.Err)
			return 1
		}
		fmt.Printf("%s\n", bytes.Join(r.Rows[0], []byte("|")))
	}
	fmt.Println(os.Getenv("PGSERVICE")) // what others of this process find there is none of our business
	return 0
}

// runLogIn logs in from a process of its own with some variables set, and returns what it says.
func runLogIn(t *testing.T, home string, variables ...string) string {
	t.Helper()
	srv := postgrestest.Shared(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Stdin = strings.NewReader(srv.Superuser + " " + srv.Password)
	cmd.Env = append([]string{address + "=" + srv.Address(), "HOME=" + home}, variables...)
	out, _ := cmd.CombinedOutput() // a login that fails says so
	return string(out)
}

func TestNothingAroundTheProcessHasASayInALogin(t *testing.T) {
	home := t.TempDir()
	for name, content := range map[string]string{
		".pgpass":                    "*:*:*:*:wrong",
		".pg_service.conf":           "[evil]\nhost=192.0.2.1\nuser=mallory\npassword=wrong\n",
		".postgresql/root.crt":       "no certificate",
		".postgresql/postgresql.crt": "no certificate",
		".postgresql/postgresql.key": "no key",
	} {
		file := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	plain := strings.TrimSuffix(runLogIn(t, home), "\n\n")
	if !strings.HasPrefix(plain, "postgres|postgres|proxy|0|") {
		t.Fatalf("without any variable: %s", plain)
	}
	for _, variable := range []string{
		"PGSERVICE=nowhere", "PGSERVICE=evil", "PGSERVICEFILE=/nonexistent", "PGPASSFILE=/nonexistent", "PGHOST=192.0.2.1", "PGHOSTADDR=192.0.2.1",
		"PGPORT=no port", "PGUSER=mallory", "PGPASSWORD=wrong", "PGDATABASE=nowhere", "PGAPPNAME=evil", "PGOPTIONS=-c statement_timeout=1",
		"PGTZ=Asia/Tokyo", "PGCONNECT_TIMEOUT=never", "PGTARGETSESSIONATTRS=standby", "PGCHANNELBINDING=require", "PGREQUIREAUTH=none",
		"PGSSLMODE=verify-full", "PGSSLMODE=nonsense", "PGSSLROOTCERT=/nonexistent", "PGSSLCERT=/nonexistent", "PGSSLNEGOTIATION=direct",
		"PGSSLCERTMODE=require", "PGMINPROTOCOLVERSION=latest", "PGMAXPROTOCOLVERSION=nonsense", "PGKRBSRVNAME=evil",
	} {
		t.Run(variable, func(t *testing.T) {
			kept, _ := strings.CutPrefix(variable, "PGSERVICE=")
			if kept == variable {
				kept = ""
			}
			if got, want := runLogIn(t, home, variable), plain+"\n"+kept+"\n"; got != want {
				t.Errorf("got:\n%swant:\n%s", got, want)
			}
		})
	}
}
