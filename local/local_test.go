package local_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidewaiter/tidewaiter/api/manifest"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
	"github.com/tidewaiter/tidewaiter/local"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const shopSQL = `
CREATE TABLE customers (id int PRIMARY KEY, name text, ssn text);
INSERT INTO customers VALUES (1, 'Ada', '078-05-1120'), (2, 'Grace', '219-09-9999');`

// agent is whom shop lets in.
var agent = compile.Subject{Namespace: "shop", NamespaceLabels: map[string]string{"team": "shop"}, ServiceAccount: "report-agent"}

// shop are the manifests of a database of the test's server, with a policy that masks the column ssn. Pairs of old and
// new text change them.
func shop(t *testing.T, database string, changes ...string) *manifest.Set {
	t.Helper()
	server := postgrestest.Shared(t)
	text := fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
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
  inject: {env: [{name: DATABASE_URL, value: "postgres://$(USER)@$(HOST):$(PORT)/$(DATABASE)"}]}
  classifications: [{columns: [public.customers.ssn], tags: [pii/ssn]}]
---
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessPolicy
metadata: {name: reporting, namespace: data}
spec:
  dataSources: [{name: orders}]
  subjects: [{namespaceSelector: {matchLabels: {team: shop}}, serviceAccounts: [report-agent]}]
  rules: [{name: read, action: Allow, statements: [Select, BulkSelect, Session], tables: ["public.*"]}]
  masks: [{tags: [pii/ssn], strategy: Redact}]
---
apiVersion: v1
kind: Secret
metadata: {name: orders-db, namespace: data}
stringData: {username: %s, password: %s}
`, server.Host, server.Port, database, server.Superuser, server.Password)
	for i := 0; i+1 < len(changes); i += 2 {
		if !strings.Contains(text, changes[i]) {
			t.Fatalf("the manifests have no %q", changes[i])
		}
		text = strings.Replace(text, changes[i], changes[i+1], 1)
	}
	set, err := manifest.Parse("shop.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// start runs a proxy for the agent until the test ends.
func start(t *testing.T, o local.Options) *local.Proxy {
	t.Helper()
	if o.Set == nil {
		o.Set = shop(t, postgrestest.Shared(t).NewDatabase(t, shopSQL))
	}
	o.Subject, o.RecordDir, o.Server.DrainTimeout = agent, t.TempDir(), 10*time.Second
	p, err := local.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func connect(t *testing.T, target string) *pgconn.PgConn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := pgconn.Connect(ctx, target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// ask returns a query's only value, or the error's first line.
func ask(conn *pgconn.PgConn, sql string) string {
	results, err := conn.Exec(context.Background(), sql).ReadAll()
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code + " " + pg.Message
	}
	if err != nil {
		return err.Error()
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return fmt.Sprintf("%d results", len(results))
	}
	return string(results[0].Rows[0][0])
}

func TestAProgramFindsTheProxyByItsEnvironmentAndSeesMaskedValues(t *testing.T) {
	p := start(t, local.Options{})
	e, err := p.Endpoint("")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(e.Port)
	want := []string{
		"PGHOST=127.0.0.1", "PGPORT=" + port, "PGUSER=report-agent", "PGDATABASE=" + e.Database, "PGSSLMODE=disable",
		"DATABASE_URL=postgres://report-agent@127.0.0.1:" + port + "/" + e.Database,
	}
	if got := e.Env(); !slices.Equal(got, want) {
		t.Errorf("the environment is\n%q, want\n%q", got, want)
	}
	conn := connect(t, e.ConnectionString())
	if got := ask(conn, "select ssn from customers where id = 1"); got != "*****" {
		t.Errorf("the SSN is shown as %q", got)
	}
	if got := ask(conn, "delete from customers"); !strings.HasPrefix(got, "42501 tidewaiter: Delete on public.customers is denied") {
		t.Errorf("DELETE: %s", got)
	}
}

func TestBothLoopbackAddressesAndTheUnixSocketLeadToTheProxy(t *testing.T) {
	dir := t.TempDir()
	p := start(t, local.Options{SocketDir: dir})
	e := p.Endpoints()[0]
	targets := []string{e.ConnectionString(), strings.Replace(e.ConnectionString(), e.Host, dir, 1)}
	if ln, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		_ = ln.Close()
		targets = append(targets, strings.Replace(e.ConnectionString(), e.Host, "::1", 1))
	}
	for _, target := range targets {
		if got := ask(connect(t, target), "select name from customers where id = 2"); got != "Grace" {
			t.Errorf("%s: %s", target, got)
		}
	}
}

func TestTheSummaryAddsUpWhatSessionsDid(t *testing.T) {
	p := start(t, local.Options{})
	for range 2 {
		conn := connect(t, p.Endpoints()[0].ConnectionString())
		ask(conn, "select ssn from customers")
		ask(conn, "delete from customers")
		_ = conn.Close(context.Background())
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	got := p.Summary()
	if got.Sessions != 2 || got.Statements != 4 || got.Denied != 2 || got.Masked != 4 || got.Rows != 4 || len(got.Recordings) != 2 {
		t.Errorf("the summary is %+v", got)
	}
	for _, path := range got.Recordings {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), "078-05") {
			t.Errorf("%s holds a masked value", path)
		}
	}
}

func TestWhatADataSourceSaysOfRecordingsHoldsHereOrIsSaid(t *testing.T) {
	for _, c := range []struct {
		recording v1alpha1.Recording
		has, not  string
		logged    int
	}{
		{v1alpha1.Recording{Rows: v1alpha1.RecordRowsMasked}, `"text":"Grace"`, `"digest"`, 0},
		{v1alpha1.Recording{Rows: v1alpha1.RecordRowsDigests, OnRecorderLoss: v1alpha1.RecorderLossServe}, `"digest":{"count":1,`, `"text":"Grace"`, 1},
		{v1alpha1.Recording{Rows: v1alpha1.RecordRowsNone, Retention: &metav1.Duration{Duration: time.Hour}}, `"rows":1`, "Grace", 1},
	} {
		set := shop(t, postgrestest.Shared(t).NewDatabase(t, shopSQL))
		set.DataSources[0].Spec.Recording = c.recording
		var log bytes.Buffer
		p := start(t, local.Options{Set: set, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
		conn := connect(t, p.Endpoints()[0].ConnectionString())
		ask(conn, "select name from customers where id = 2")
		_ = conn.Close(context.Background())
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(p.Summary().Recordings[0])
		if err != nil {
			t.Fatal(err)
		}
		if text := string(content); !strings.Contains(text, c.has) || strings.Contains(text, c.not) {
			t.Errorf("rows %s: has %v, has not %v", c.recording.Rows, strings.Contains(text, c.has), !strings.Contains(text, c.not))
		}
		if got := strings.Count(log.String(), "spec.recording."); got != c.logged {
			t.Errorf("rows %s: %d notes: %s", c.recording.Rows, got, &log)
		}
	}
}

func TestAnotherSetOfPoliciesIsInForceAtOnceForOpenSessions(t *testing.T) {
	database := postgrestest.Shared(t).NewDatabase(t, shopSQL)
	set := shop(t, database)
	p := start(t, local.Options{Set: set})
	conn := connect(t, p.Endpoints()[0].ConnectionString())
	const sql = "select ssn from customers where id = 1"
	for _, c := range []struct {
		what, old, new, want string
	}{
		{"the first policies", "", "", "*****"},
		{"a rule is gone", "Select, BulkSelect, Session", "Session", "42501 tidewaiter: Select on public.customers is denied (no rule allows it)"},
		{"the value is revealed", "strategy: Redact", "strategy: Reveal", "078-05-1120"},
		{"the namespace lost its label", "labels: {team: shop}", "labels: {team: none}", "42501 tidewaiter: Select on public.customers is denied (no rule allows it)"},
		{"and has it again", "", "", "*****"},
		{"the policy is gone", "report-agent]", "nobody]", "42501 tidewaiter: Select on public.customers is denied (no rule allows it)"},
	} {
		next := set
		if c.old != "" {
			next = shop(t, database, c.old, c.new)
		}
		if err := p.Replace(next); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if got := ask(conn, sql); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

func TestWhatIsSettledAtTheStartCannotBeReplaced(t *testing.T) {
	database := postgrestest.Shared(t).NewDatabase(t, shopSQL)
	p := start(t, local.Options{Set: shop(t, database)})
	err := p.Replace(shop(t, database, "tags: [pii/ssn]", "tags: [pii/other]"))
	if err == nil || !strings.Contains(err.Error(), "DataSource data/orders: only spec.allowedNamespaces can change") {
		t.Errorf("got %v", err)
	}
	if got := ask(connect(t, p.Endpoints()[0].ConnectionString()), "select ssn from customers where id = 1"); got != "*****" {
		t.Errorf("after a refused change the SSN is %q", got)
	}
}

func TestPoliciesAreReplacedUnderLoadWithoutAnUndecidedStatement(t *testing.T) {
	database := postgrestest.Shared(t).NewDatabase(t, shopSQL)
	masked, denied := shop(t, database), shop(t, database, "Select, BulkSelect, Session", "Session")
	p := start(t, local.Options{Set: masked})
	stop, answers := make(chan struct{}), make(chan map[string]int)
	for range 4 {
		conn := connect(t, p.Endpoints()[0].ConnectionString())
		go func() {
			seen := map[string]int{}
			for {
				select {
				case <-stop:
					answers <- seen
					return
				default:
					seen[ask(conn, "select ssn from customers where id = 1")]++
				}
			}
		}()
	}
	for i := range 20 {
		if err := p.Replace([]*manifest.Set{denied, masked}[i%2]); err != nil {
			t.Fatal(err)
		}
		for decided := p.Summary(); i < 19 && p.Summary().Statements < decided.Statements+4; { // some are under it
		}
	}
	close(stop)
	seen := map[bool]int{}
	for range 4 {
		for answer, times := range <-answers {
			seen[answer == "*****"] += times
			if answer != "*****" && !strings.HasPrefix(answer, "42501 tidewaiter: Select on public.customers is denied") {
				t.Errorf("an answer is neither masked nor denied: %s", answer)
			}
		}
	}
	if seen[true] == 0 || seen[false] == 0 {
		t.Errorf("only one of the two policies was seen at work: %d masked, %d denied", seen[true], seen[false])
	}
}

func TestNothingIsLeftBehindWhenItEnds(t *testing.T) {
	postgrestest.Shared(t) // its goroutines are not ours
	before := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(context.Background())
	p, err := local.Start(ctx, local.Options{Set: shop(t, "postgres"), Subject: agent, RecordDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	e := p.Endpoints()[0]
	conn, err := pgconn.Connect(ctx, e.ConnectionString())
	if err != nil {
		t.Fatal(err)
	}
	cancel() // as a signal does; the idle session is told to go
	<-p.Done()
	_ = conn.Close(context.Background())
	if _, err := net.Dial("tcp", net.JoinHostPort(e.Host, fmt.Sprint(e.Port))); err == nil {
		t.Error("the port is still open")
	}
	goleak.VerifyNone(t, before)
}

func TestHealthAndMetricsAreServed(t *testing.T) {
	p := start(t, local.Options{})
	ask(connect(t, p.Endpoints()[0].ConnectionString()), "select ssn from customers where id = 1")
	for path, want := range map[string]string{
		"/healthz": "ok", "/readyz": "ok", "/metrics": `tidewaiter_sessions{datasource="data/orders"} 1`,
	} {
		w := httptest.NewRecorder()
		p.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s lacks %q:\n%s", path, want, w.Body)
		}
	}
}

func TestWhatIsWrongIsNamedWithItsCureAndWithoutSecrets(t *testing.T) {
	const password = "a-password-that-nobody-may-see"
	for _, c := range []struct {
		what    string
		changes []string
		options func(*local.Options)
		want    string
	}{
		{"no Secret", []string{"name: orders-db, namespace: data", "name: other, namespace: data"}, nil, "orders-db"},
		{"an empty password", []string{"password: " + password, `password: ""`}, nil, "password"},
		{"a short mask key", []string{"password: ", "maskKey: short, password: "}, nil, "Secret data/orders-db: maskKey is shorter than 16 bytes"},
		{"a certificate that is none", []string{"listen: {port: 5432}", "listen: {port: 5432, tlsSecretRef: {name: orders-db}}", "password: ", "tls.crt: x, tls.key: " + password + ", password: "}, nil, "tls.crt and tls.key of Secret data/orders-db are not a PEM certificate"},
		{"a namespace that may not attach", []string{"labels: {team: shop}}", "labels: {team: other}}"}, func(o *local.Options) { o.Subject.NamespaceLabels = nil }, "namespace shop may attach to none of data/orders"},
		{"a DataSource that is not there", nil, func(o *local.Options) { o.DataSources = []string{"data/other"} }, "DataSource data/other is not in the manifests"},
		{"no folder for recordings", nil, func(o *local.Options) { o.RecordDir = "" }, "no folder for recordings"},
	} {
		t.Run(c.what, func(t *testing.T) {
			server := postgrestest.Shared(t)
			o := local.Options{Set: shop(t, "postgres", append([]string{"password: " + server.Password, "password: " + password}, c.changes...)...), Subject: agent, RecordDir: t.TempDir()}
			if c.options != nil {
				c.options(&o)
			}
			p, err := local.Start(t.Context(), o)
			if err == nil {
				_ = p.Close()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), password) {
				t.Errorf("got %q, want it to say %q and no secret", err, c.want)
			}
		})
	}
}

func TestACredentialFromElsewhereNeedsNoSecret(t *testing.T) {
	server := postgrestest.Shared(t)
	database := server.NewDatabase(t, shopSQL)
	set := shop(t, database, "name: orders-db, namespace: data", "name: other, namespace: data")
	p := start(t, local.Options{Set: set, Credential: &session.Credential{User: server.Superuser, Password: server.Password}})
	if got := ask(connect(t, p.Endpoints()[0].ConnectionString()), "select name from customers where id = 1"); got != "Ada" {
		t.Error(got)
	}
}

func TestHashesAreTheSameInEveryRunOnlyWithAMaskKey(t *testing.T) {
	database := postgrestest.Shared(t).NewDatabase(t, shopSQL)
	hash := func(changes ...string) string {
		p := start(t, local.Options{Set: shop(t, database, append([]string{"strategy: Redact", "strategy: Hash"}, changes...)...)})
		return ask(connect(t, p.Endpoints()[0].ConnectionString()), "select ssn from customers where id = 1")
	}
	keyed := []string{"password: ", "maskKey: sixteen bytes or more, password: "}
	if a, b := hash(keyed...), hash(keyed...); a != b || strings.Contains(a, "078") || a == "*****" {
		t.Errorf("with a maskKey the hashes are %q and %q", a, b)
	}
	if a, b := hash(), hash(); a == b {
		t.Errorf("without a maskKey two runs give the same hash %q", a)
	}
}

func TestClientsAreOfferedTLSWhereACertificateIsConfigured(t *testing.T) {
	server := postgrestest.Shared(t)
	certificate, err := os.ReadFile(server.ClientCertificate)
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(server.ClientKey)
	if err != nil {
		t.Fatal(err)
	}
	set := shop(t, server.NewDatabase(t, shopSQL),
		"listen: {port: 5432}", "listen: {port: 5432, tlsSecretRef: {name: orders-db}}",
		"password: ", fmt.Sprintf("tls.crt: %q, tls.key: %q, password: ", certificate, key))
	p := start(t, local.Options{Set: set})
	target := strings.Replace(p.Endpoints()[0].ConnectionString(), "sslmode=disable", "sslmode=require", 1)
	if got := ask(connect(t, target), "select ssn from customers where id = 1"); got != "*****" {
		t.Error(got)
	}
}
