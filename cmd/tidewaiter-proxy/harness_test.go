package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"sigs.k8s.io/yaml"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
	"github.com/tidewaiter/tidewaiter/test/operatortest"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// binary is the real command.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "tidewaiter-proxy-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "tidewaiter-proxy")
	out, err := exec.Command("go", "build", "-tags", "netgo,osusergo", "-ldflags", `-s -w -linkmode external -extldflags "-static"`, "-o", binary, ".").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "building the command: %v\n%s", err, out)
		os.Exit(1)
	}
	onExit(dir)
	postgrestest.Main(m)
}

// onExit removes a folder once this process has ended, which postgrestest.Main does by os.Exit.
func onExit(dir string) {
	cmd := exec.Command("sh", "-c", "cat >/dev/null; rm -rf -- \"$0\"", dir) // its input ends with us
	var err error
	if openUntilExit, err = cmd.StdinPipe(); err == nil {
		_ = cmd.Start() // at worst a folder stays
	}
}

var openUntilExit io.Closer // kept from the garbage collector

const shopSQL = `
CREATE TABLE customers (id int PRIMARY KEY, name text, ssn text);
INSERT INTO customers VALUES (1, 'Ada', '078-05-1120'), (2, 'Grace', '219-09-9999');`

// canary is a password that nobody but the database may see.
const canary = "canary-correct-horse-battery-staple"

const podUID = "0b5bd2b5-5a3b-4f51-a1fd-000000000001"

// pod is a sidecar with the operator and the database that belong to it.
type pod struct {
	operator *operatortest.Operator
	kept     *operatortest.Recordings
	database string
	port     int
	health   string
	spool    string
	role     string
	signer   operatortest.Signer
	revision uint64
	policy   string // a rule more or less, as YAML
	change   func(*compile.Input)

	cmd    *exec.Cmd
	log    *logTail
	ended  chan error
	stream *operatortest.Stream
}

// logTail keeps what a command says.
type logTail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logTail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logTail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newPod prepares everything but the sidecar itself.
func newPod(t *testing.T) *pod {
	t.Helper()
	pg := postgrestest.Shared(t)
	p := &pod{
		operator: operatortest.Start(t), kept: &operatortest.Recordings{}, database: pg.NewDatabase(t, shopSQL), port: freePort(t),
		health: "127.0.0.1:" + strconv.Itoa(freePort(t)), spool: t.TempDir(), revision: uint64(time.Now().UnixMilli()),
	}
	p.operator.Keep = p.kept
	p.signer = p.operator.Signer()
	p.role = p.newRole(t, "app_"+p.database)
	return p
}

// newRole makes a role that may read, with the canary as its password.
func (p *pod) newRole(t *testing.T, name string) string {
	t.Helper()
	sql := fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'; GRANT SELECT ON customers TO %s", name, canary, name)
	if err := postgrestest.Shared(t).Exec(t.Context(), p.database, sql); err != nil {
		t.Fatal(err)
	}
	return name
}

func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// start starts the sidecar with the arguments and the environment that injection gives it.
func (p *pod) start(t *testing.T, more ...string) {
	t.Helper()
	args := append([]string{
		"run", "--operator", p.operator.Address, "--identity", p.operator.Identity, "--spool", p.spool, "--health", p.health, "--log-level", "debug", "--data-source", "data/orders",
	}, more...)
	p.cmd, p.log, p.ended = exec.Command(binary, args...), &logTail{}, make(chan error, 1)
	p.cmd.Env = []string{"POD_NAME=report-7d9", "POD_NAMESPACE=shop", "POD_UID=" + podUID}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, ended, log := p.cmd, p.ended, p.log
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		if said := log.String(); strings.Contains(said, "panic") || strings.Contains(said, "DATA RACE") || t.Failed() {
			t.Errorf("the sidecar said:\n%s", said)
		}
	})
}

// stop ends the sidecar and returns how it ended.
func (p *pod) stop(t *testing.T, sig os.Signal) error {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.ended:
		return err
	case <-time.After(patience):
		t.Fatal("the sidecar did not end")
		return nil
	}
}

// serving starts the sidecar and gives it its first snapshot.
func serving(t *testing.T) *pod {
	t.Helper()
	p := newPod(t)
	p.start(t)
	p.stream = p.operator.Next(t)
	p.give(t)
	p.ready(t)
	return p
}

// manifest is the policy that is compiled, with p.policy in place of its rules.
func (p *pod) bundle(t *testing.T) []byte {
	t.Helper()
	rules := p.policy
	if rules == "" {
		rules = `[{name: read, action: Allow, statements: [Select, BulkSelect, Session, Transaction], tables: ["public.*"]}]`
	}
	var ap v1alpha1.AccessPolicy
	err := yaml.UnmarshalStrict([]byte(`
metadata: {name: reporting, namespace: data}
spec:
  dataSources: [{name: orders}]
  subjects: [{namespaceSelector: {}, serviceAccounts: [report-agent]}]
  mode: Enforce
  rules: `+rules+`
  masks: [{tags: [pii/ssn], strategy: Redact}]
`), &ap)
	if err != nil {
		t.Fatal(err)
	}
	ds := &v1alpha1.DataSource{}
	ds.Namespace, ds.Name = "data", "orders"
	ds.Spec.AllowedNamespaces.Selector = &v1alpha1.LabelSelector{}
	in := compile.Input{
		DataSource: ds, Policies: []v1alpha1.AccessPolicy{ap}, Subject: compile.Subject{Namespace: "shop", ServiceAccount: "report-agent"},
		Revision: p.revision, NotAfter: time.Now().Add(time.Hour), Audience: podUID, Key: p.signer.Key,
	}
	if p.change != nil {
		p.change(&in)
	}
	raw, err := compile.Bundle(in)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// snapshot is the next one, with everything that the sidecar needs.
func (p *pod) snapshot(t *testing.T) *sidecarv1alpha1.Snapshot {
	t.Helper()
	p.revision++
	pg := postgrestest.Shared(t)
	chain, key := p.operator.Listener("orders-db.data.svc").PEM(t)
	return &sidecarv1alpha1.Snapshot{
		Revision: p.revision, Lease: &sidecarv1alpha1.Lease{Seconds: 60}, BundleSigners: p.signer.Chain,
		DataSources: []*sidecarv1alpha1.DataSource{{
			Name: "data/orders", Bundle: p.bundle(t), MaskKey: make([]byte, 32),
			Listen:          &sidecarv1alpha1.Listen{Port: uint32(p.port), CertificateChain: chain, PrivateKey: key},
			Credential:      &sidecarv1alpha1.Credential{Username: p.role, Password: canary},
			Recording:       &sidecarv1alpha1.Recording{Rows: true},
			Classifications: []*sidecarv1alpha1.Classification{{Columns: []string{"public.customers.ssn"}, Tags: []string{"pii/ssn"}}},
			Identity:        &sidecarv1alpha1.Identity{Namespace: "shop", Pod: "report-7d9", PodUid: podUID, ServiceAccount: "report-agent"},
			Target: &sidecarv1alpha1.DataSource_Postgres{Postgres: &sidecarv1alpha1.Postgres{
				Host: pg.Host, Port: uint32(pg.Port), Database: p.database, Tls: &sidecarv1alpha1.TLS{Mode: sidecarv1alpha1.TLSMode_TLS_MODE_DISABLE},
			}},
		}},
	}
}

// give gives the next snapshot and waits until it is in force.
func (p *pod) give(t *testing.T) {
	t.Helper()
	snap := p.snapshot(t)
	p.stream.Snapshot(t, snap)
	if nack := p.stream.Verdict(t, snap.GetRevision()); nack != nil {
		t.Fatalf("the snapshot was refused: %v", nack)
	}
}

// readyz returns what the sidecar says about itself.
func (p *pod) readyz() (code int, body string) {
	client := http.Client{Timeout: time.Second}
	r, err := client.Get("http://" + p.health + "/readyz")
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(r.Body, 4096))
	return r.StatusCode, string(b)
}

// get returns a page of the health server.
func (p *pod) get(t *testing.T, path string) string {
	t.Helper()
	r, err := http.Get("http://" + p.health + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// ready waits until the sidecar is of use.
func (p *pod) ready(t *testing.T) {
	t.Helper()
	eventually(t, func() (string, bool) {
		code, body := p.readyz()
		return fmt.Sprintf("/readyz: %d %s", code, body), code == http.StatusOK
	})
}

// eventually waits until a condition holds.
func eventually(t *testing.T, holds func() (string, bool)) {
	t.Helper()
	var got string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		var ok bool
		if got, ok = holds(); ok {
			return
		}
	}
	t.Fatalf("it did not come to pass: %s", got)
}

// dial opens a connection through the sidecar.
func (p *pod) dial(settings string) (*pgconn.PgConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return pgconn.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d user=agent dbname=%s sslmode=disable %s", p.port, p.database, settings))
}

func (p *pod) connect(t *testing.T) *pgconn.PgConn {
	t.Helper()
	conn, err := p.dial("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// noise is text that cannot be compressed below half of its size.
func noise(size int) string {
	b := make([]byte, size/2)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// ask returns a query's only value, or the error.
func ask(conn *pgconn.PgConn, sql string) string {
	results, err := conn.Exec(context.Background(), sql).ReadAll()
	if err != nil {
		return word(err)
	}
	if len(results) == 0 || len(results[0].Rows) == 0 {
		return ""
	}
	return string(results[0].Rows[0][0])
}

// lastWord waits for what an idle connection hears at its end.
func lastWord(conn *pgconn.PgConn) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return word(conn.WaitForNotification(ctx))
}

// word returns an error of the server as severity, code and message.
func word(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Severity + " " + pg.Code + " " + pg.Message
	}
	return fmt.Sprint(err)
}

// status returns a line of /proc/PID/status, in kB.
func (p *pod) status(t *testing.T, name string) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s", name)
	return 0
}

// resident waits until the sidecar is at rest, which shows in its memory, and returns that in kB.
func (p *pod) resident(t *testing.T) (now int) {
	t.Helper()
	same := 0
	eventually(t, func() (string, bool) {
		before := now
		if now = p.status(t, "VmRSS"); now == before {
			same++
		} else {
			same = 0
		}
		return fmt.Sprintf("%d kB", now), same == 500 // looks, a millisecond or more apart
	})
	return now
}

var terminate = syscall.SIGTERM
