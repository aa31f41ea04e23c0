package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"sigs.k8s.io/yaml"

	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

const shopSQL = `
CREATE TABLE customers (id int PRIMARY KEY, name text, ssn text);
INSERT INTO customers VALUES (1, 'Ada', '078-05-1120');`

// password is that of the role that the proxy logs in as, and nobody else may see.
const password = "correct-horse-battery-staple"

// shop writes manifests of a database of the test's server, and returns their file.
func shop(t *testing.T) (file, database string) {
	t.Helper()
	server := postgrestest.Shared(t)
	database = server.NewDatabase(t, shopSQL)
	role := "role_" + database
	if err := server.Exec(t.Context(), database, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'; GRANT SELECT ON customers TO %s", role, password, role)); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "shop.yaml")
	text := fmt.Sprintf(`
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: shop}}}
---
apiVersion: tidewaiter.dev/v1alpha1
kind: DataSource
metadata: {name: orders, namespace: data}
spec:
  protocol: postgres
  postgres: {host: %s, port: %d, database: %s, tls: {mode: disable}}
  credentials: {secretRef: {name: orders-db}}
  allowedNamespaces: {selector: {matchLabels: {team: shop}}}
  listen: {port: 5432}
  classifications: [{columns: [public.customers.ssn], tags: [pii/ssn]}]
---
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessPolicy
metadata: {name: reporting, namespace: data}
spec:
  dataSources: [{name: orders}]
  subjects: [{namespaceSelector: {matchLabels: {team: shop}}, serviceAccounts: [report-agent]}]
  rules:
  - {name: read, action: Allow, statements: [Select, BulkSelect, Session], tables: ["public.*"]}
  - {name: exports, action: RequireApproval, statements: [CopyOut]}
---
{apiVersion: v1, kind: Secret, metadata: {name: orders-db, namespace: data}, stringData: {username: %s, password: %s}}
`, server.Host, server.Port, database, role, password)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, database
}

// command is the command as a process of its own. Its recordings go into a folder of the test.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1", "XDG_STATE_HOME="+t.TempDir(), "LC_ALL=C")
	return cmd
}

// finish runs a process to its end.
func finish(t *testing.T, cmd *exec.Cmd) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

func TestPsqlBehindTheProxySeesMaskedValuesAndOneSummaryLineFollows(t *testing.T) {
	file, _ := shop(t)
	cmd := command(t, "local", "-f", file, "--", "psql", "-XAt", "-c", "select name, ssn from customers", "-c", "delete from customers")
	code, out, errOut := finish(t, cmd)
	if code != 1 || out != "Ada|*****\n" {
		t.Errorf("exit code %d, output %q", code, out)
	}
	lines := strings.Split(strings.TrimSpace(errOut), "\n")
	last := lines[len(lines)-1]
	if !strings.HasPrefix(last, "2 statements, 1 denied, 1 value masked · recording: ") || !strings.HasSuffix(last, ".twr") {
		t.Errorf("the last line is %q", last)
	}
	if !strings.Contains(errOut, "tidewaiter: Delete on public.customers is denied (no rule allows it)") {
		t.Errorf("psql was not told why:\n%s", errOut)
	}
}

func TestTheExitStatusIsThatOfTheCommand(t *testing.T) {
	file, _ := shop(t)
	for _, c := range []struct {
		command []string
		want    int
		says    string
	}{
		{[]string{"true"}, 0, ""},
		{[]string{"sh", "-c", "exit 42"}, 42, ""},
		{[]string{"sh", "-c", "kill -9 $$"}, 128 + 9, ""},
		{[]string{"no-such-command-here"}, 127, "error: the command no-such-command-here cannot be run"},
		{[]string{"/etc/passwd"}, 126, "error: the command /etc/passwd cannot be run"},
	} {
		code, _, errOut := finish(t, command(t, append([]string{"local", "-q", "-f", file, "--"}, c.command...)...))
		if code != c.want || !strings.HasPrefix(errOut, c.says) || c.says == "" && errOut != "" {
			t.Errorf("%q: exit code %d, want %d; standard error: %q", c.command, code, c.want, errOut)
		}
	}
}

func TestTheCommandGetsNoCredential(t *testing.T) {
	file, database := shop(t)
	for _, from := range [][]string{nil, {"--credentials-from-env"}} {
		args := append([]string{"local", "-f", file}, from...)
		cmd := command(t, append(args, "--", "sh", "-c", "env; psql -XAtc 'select name from customers'")...)
		cmd.Env = append(cmd.Env, userVariable+"=role_"+database, passwordVariable+"="+password, "PGPASSWORD="+password, "DATABASE_URL_BACKUP=none")
		code, out, errOut := finish(t, cmd)
		if code != 0 || !strings.Contains(out, "\nAda\n") || !strings.Contains(out, "PGUSER=report-agent\n") {
			t.Errorf("%q: exit code %d\n%s%s", from, code, out, errOut)
		}
		for _, secret := range []string{password, "role_" + database} {
			if strings.Contains(out+errOut, secret) {
				t.Errorf("%q: the command got to see %q", from, secret)
			}
		}
	}
}

func TestCredentialsFromTheEnvironmentHaveToBeThere(t *testing.T) {
	file, _ := shop(t)
	code, _, errOut := finish(t, command(t, "local", "-f", file, "--credentials-from-env", "--", "true"))
	if code != 1 || errOut != "error: --credentials-from-env: set TIDEWAITER_USER and TIDEWAITER_PASSWORD\n" {
		t.Errorf("exit code %d, %q", code, errOut)
	}
}

func TestASignalGoesOnToTheCommand(t *testing.T) {
	file, _ := shop(t)
	cmd := command(t, "local", "-q", "-f", file, "--", "sh", "-c", "trap 'echo told; exit 7' TERM; echo ready; while :; do sleep 0.05; done")
	lines := begin(t, cmd)
	await(t, lines, "ready")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(t, lines, "told")
	if code := end(t, cmd, lines); code != 7 {
		t.Errorf("exit code %d, want the command's 7", code)
	}
}

// begin starts a process and returns its standard output.
func begin(t *testing.T, cmd *exec.Cmd) *bufio.Reader {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(out)
}

// await reads lines up to one with some text in it, and returns that.
func await(t *testing.T, lines *bufio.Reader, text string) string {
	t.Helper()
	for {
		line, err := lines.ReadString('\n')
		if strings.Contains(line, text) {
			return line
		}
		if err != nil {
			t.Fatalf("the output ended before %q: %v", text, err)
		}
	}
}

func end(t *testing.T, cmd *exec.Cmd, rest io.Reader) int {
	t.Helper()
	if _, err := io.Copy(io.Discard, rest); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

func TestWithoutACommandItStaysAndDrainsOnSIGTERM(t *testing.T) {
	file, database := shop(t)
	health := freeAddress(t)
	cmd := command(t, "local", "-f", file, "--health", health)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	lines := begin(t, cmd)
	line := strings.TrimSpace(await(t, lines, "data/orders  psql "))
	target := strings.Trim(strings.TrimPrefix(line, "data/orders  psql "), `"`)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if status := get(t, "http://"+health+"/readyz"); status != http.StatusOK {
		t.Errorf("/readyz answers %d", status)
	}
	busy, idle := dial(t, ctx, target), dial(t, ctx, target)
	answer := make(chan string)
	go func() {
		result := busy.ExecParams(ctx, "select pg_sleep(1), name from customers", nil, nil, nil, nil).Read()
		if result.Err != nil {
			answer <- result.Err.Error()
			return
		}
		answer <- string(result.Rows[0][1])
	}()
	untilActive(t, ctx, database)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := <-answer; got != "Ada" {
		t.Errorf("the statement under way got %q", got)
	}
	if code := end(t, cmd, lines); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := idle.Exec(ctx, "select 1").ReadAll(); err == nil {
		t.Error("the idle session goes on")
	}
	if !strings.Contains(errOut.String(), "1 statement, 0 denied, 0 values masked · 2 recordings: ") {
		t.Errorf("standard error:\n%s", &errOut)
	}
}

func dial(t *testing.T, ctx context.Context, target string) *pgconn.PgConn {
	t.Helper()
	conn, err := pgconn.Connect(ctx, target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func get(t *testing.T, url string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// untilActive waits until the server runs the statement that sleeps.
func untilActive(t *testing.T, ctx context.Context, database string) {
	t.Helper()
	server := postgrestest.Shared(t)
	conn := dial(t, ctx, server.DSN("postgres"))
	sql := fmt.Sprintf("select 1 from pg_stat_activity where datname = '%s' and state = 'active' and query like '%%pg_sleep%%'", database)
	for {
		result := conn.ExecParams(ctx, sql, nil, nil, nil, nil).Read()
		if result.Err != nil {
			t.Fatal(result.Err)
		}
		if len(result.Rows) > 0 {
			return
		}
	}
}

func TestExplainTellsTheDecisionByItsExitCode(t *testing.T) {
	file, _ := shop(t)
	for _, c := range []struct {
		sql  string
		want int
		says string
	}{
		{"select ssn from customers", 0, "masked: Redact, because no mask of a policy is for it"},
		{"delete from customers", 3, "DENY   no rule allows it"},
		{"selec 1", 3, "DENY"},
		{"copy customers to stdout", 4, "NEEDS APPROVAL   data/reporting, rule exports"},
	} {
		code, out, errOut := run("explain", "-f", file, c.sql)
		if code != c.want || !strings.Contains(out, c.says) || errOut != "" {
			t.Errorf("%s: exit code %d\n%s%s", c.sql, code, out, errOut)
		}
	}
}

func TestExplainWritesJSONAndYAML(t *testing.T) {
	file, _ := shop(t)
	for format, unmarshal := range map[string]func([]byte, any) error{
		"json": json.Unmarshal,
		"yaml": func(raw []byte, to any) error { return yaml.Unmarshal(raw, to) },
	} {
		_, out, errOut := run("explain", "-f", file, "-o", format, "select ssn from customers")
		var report struct {
			Effect     string
			Statements []struct{ Columns []struct{ Name, Mask string } }
		}
		if err := unmarshal([]byte(out), &report); err != nil {
			t.Fatalf("%s: %v\n%s%s", format, err, out, errOut)
		}
		if report.Effect != "Allow" || report.Statements[0].Columns[0].Mask != "Redact" {
			t.Errorf("%s: %+v", format, report)
		}
	}
	if code, _, errOut := run("explain", "-f", file, "-o", "xml", "select 1"); code != 1 || errOut != "error: -o xml: it is one of json, yaml\n" {
		t.Errorf("-o xml: %d, %s", code, errOut)
	}
}

func TestReplayShowsWhatWasRecordedAndFindsOutAChange(t *testing.T) {
	file, _ := shop(t)
	dir := t.TempDir()
	code, _, errOut := finish(t, command(t, "local", "-f", file, "--recordings", dir, "--", "psql", "-XAt", "-c", "select ssn from customers"))
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, errOut)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.twr"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d recordings, %v", len(files), err)
	}
	code, out, _ := run("replay", files[0], "--width", "140")
	if code != 0 || !strings.Contains(out, "select ssn from customers") || !strings.Contains(out, "1 value masked") || strings.Contains(out, "\x1b") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if _, out, _ := run("replay", files[0], "--color", "always"); !strings.Contains(out, "\x1b[") {
		t.Error("--color always gives no color")
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(dir, "changed.twr")
	if err := os.WriteFile(changed, bytes.Replace(content, []byte("from customers"), []byte("from innocents"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := run("replay", changed); code != 1 || !strings.Contains(errOut, "is not as it was written") {
		t.Errorf("a changed recording: exit code %d, %s", code, errOut)
	}
}
