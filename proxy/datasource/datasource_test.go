package datasource_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"sigs.k8s.io/yaml"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/datasource"
	"github.com/tidewaiter/tidewaiter/proxy/identity"
	"github.com/tidewaiter/tidewaiter/proxy/policy"
	"github.com/tidewaiter/tidewaiter/proxy/protocol"
	"github.com/tidewaiter/tidewaiter/proxy/record"
	"github.com/tidewaiter/tidewaiter/proxy/server"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/proxy/upstream"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const shopSQL = `
CREATE TABLE customers (id int, name text, ssn text);
INSERT INTO customers VALUES (1, 'Ada', '078-05-1120');
GRANT SELECT ON customers TO PUBLIC;`

// configured is a database of the test's server, without any tag.
func configured(t *testing.T) datasource.Config {
	t.Helper()
	pg := postgrestest.Shared(t)
	database := pg.NewDatabase(t, shopSQL)
	return datasource.Config{
		Settings:   protocol.Settings{Protocol: "postgres", DataSource: "data/orders", Database: database, RecordRows: true, MaskKey: make([]byte, 32)},
		Target:     upstream.Options{Host: pg.Host, Port: uint16(pg.Port), Database: database, Mode: upstream.Disable},
		Credential: session.Credential{User: pg.Superuser, Password: pg.Password},
	}
}

// serving is a data source behind a port.
type serving struct {
	*datasource.Source
	tally    *datasource.Tally
	endpoint *server.Endpoint
	address  *net.TCPAddr
	database string
}

func serve(t *testing.T, c datasource.Config) *serving {
	t.Helper()
	gate := allowing(t)
	s := &serving{tally: datasource.NewTally(server.NewMetrics(), nil), database: c.Target.Database}
	dir := t.TempDir()
	var err error
	s.Source, err = datasource.New(c, datasource.Parts{
		Gate: gate, Identifier: identity.Fixed{Identity: access.Identity{Namespace: "data", ServiceAccount: "agent"}}, Observer: s.tally,
		Recorder: func(c *datasource.Config) (session.Recorder, error) {
			return record.New(record.Options{Dir: dir, Durability: c.Durability})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = ln.Addr().(*net.TCPAddr)
	srv := server.New(server.Options{DrainTimeout: 20 * time.Second, Log: slog.New(slog.DiscardHandler)})
	s.endpoint = srv.Open(s.Pipeline(), ln)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		s.Close()
	})
	return s
}

// allowing returns a gate that lets everybody read and masks what is tagged pii/ssn.
func allowing(t *testing.T) *datasource.Gate {
	t.Helper()
	var p v1alpha1.AccessPolicy
	if err := yaml.UnmarshalStrict([]byte(`
metadata: {name: reporting, namespace: data}
spec:
  dataSources: [{name: orders}]
  subjects: [{serviceAccounts: [agent]}]
  mode: Enforce
  rules: [{name: read, action: Allow, statements: [Select, BulkSelect, Session, Transaction], tables: ["public.*"]}]
  masks: [{tags: [pii/ssn], strategy: Redact}]
`), &p); err != nil {
		t.Fatal(err)
	}
	ds := &v1alpha1.DataSource{}
	ds.Namespace, ds.Name = "data", "orders"
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := compile.Bundle(compile.Input{
		DataSource: ds, Policies: []v1alpha1.AccessPolicy{p}, Subject: compile.Subject{Namespace: "data", ServiceAccount: "agent"},
		Revision: 1, NotAfter: time.Now().Add(time.Hour), Audience: "pod-1", Key: private,
	})
	if err != nil {
		t.Fatal(err)
	}
	gate := datasource.NewGate(policy.Options{PublicKey: public, Audience: "pod-1", DataSource: "data/orders", Deadline: 10 * time.Second})
	if err := gate.Use(raw); err != nil {
		t.Fatal(err)
	}
	return gate
}

func (s *serving) connect(t *testing.T) *pgconn.PgConn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := pgconn.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d user=agent dbname=%s sslmode=disable", s.address.Port, s.database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// ask returns a query's only value, or the error.
func ask(conn *pgconn.PgConn, sql string) string {
	results, err := conn.Exec(context.Background(), sql).ReadAll()
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Severity + " " + pg.Code + " " + pg.Message
	}
	if err != nil {
		return err.Error()
	}
	if len(results) == 0 || len(results[0].Rows) == 0 {
		return ""
	}
	return string(results[0].Rows[0][0])
}

const ssn = "select ssn from customers"

func TestANewTagBindsTheNextStatementOfAnOpenConnection(t *testing.T) {
	c := configured(t)
	s := serve(t, c)
	conn := s.connect(t)
	prepared, err := conn.Prepare(t.Context(), "before", ssn, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(conn, ssn); got != "078-05-1120" {
		t.Fatalf("before: %s", got)
	}
	c.Settings.Classifications = []protocol.Classification{{Columns: []string{"public.customers.ssn"}, Tags: []string{"pii/ssn"}}}
	retire, err := s.Change(c)
	if err != nil || retire != nil {
		t.Fatalf("%v, and the pipeline is another one: %v", err, retire != nil)
	}
	if got := ask(conn, ssn); got != "*****" {
		t.Errorf("after: %s", got)
	}
	if r := conn.ExecPrepared(t.Context(), prepared.Name, nil, nil, nil).Read(); r.Err != nil || string(r.Rows[0][0]) != "*****" {
		t.Errorf("what was prepared before: %q, %v", r.Rows, r.Err)
	}
}

func TestANewCredentialIsForNewConnectionsAndOpenOnesGoOn(t *testing.T) {
	c := configured(t)
	s := serve(t, c)
	before := s.connect(t)
	c.Credential = session.Credential{User: postgrestest.RoleSCRAM, Password: c.Credential.Password}
	if retire, err := s.Change(c); err != nil || retire != nil {
		t.Fatalf("%v, and the pipeline is another one: %v", err, retire != nil)
	}
	after := s.connect(t)
	for conn, want := range map[*pgconn.PgConn]string{before: "postgres", after: postgrestest.RoleSCRAM} {
		if got := ask(conn, "select current_user"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestAnotherTargetEndsOpenConnectionsAndServesNewOnes(t *testing.T) {
	c := configured(t)
	s := serve(t, c)
	conn := s.connect(t)
	if got := ask(conn, "begin"); got != "" {
		t.Fatalf("before: %s", got)
	}
	next := configured(t)
	ended := make(chan struct{})
	retire, err := s.Change(next)
	if err != nil || retire == nil {
		t.Fatalf("%v, and the pipeline is another one: %v", err, retire != nil)
	}
	s.endpoint.Replace(s.Pipeline(), func() { retire(); close(ended) })
	for _, sql := range [][2]string{{"select name from customers", "Ada"}, {"commit", ""}} {
		if got := ask(conn, sql[0]); got != sql[1] {
			t.Errorf("the transaction that is under way does not finish: %s", got)
		}
	}
	<-ended
	if got := ask(conn, "select name from customers"); got == "Ada" {
		t.Error("the open connection goes on with the old target")
	}
	s.database = next.Target.Database
	if got := ask(s.connect(t), "select current_database()"); got != next.Target.Database {
		t.Errorf("a new connection is at %s", got)
	}
}

func TestAChangeThatCannotBeMadeChangesNothing(t *testing.T) {
	c := configured(t)
	s := serve(t, c)
	bad := c
	bad.Target.Mode = "sometimes"
	bad.Credential = session.Credential{User: "nobody", Password: "x"}
	if _, err := s.Change(bad); err == nil || !strings.Contains(err.Error(), `DataSource data/orders: upstream: TLS mode "sometimes"`) {
		t.Errorf("got %v", err)
	}
	other := c
	other.Settings.DataSource = "data/other"
	if _, err := s.Change(other); err == nil {
		t.Error("it became another data source")
	}
	if got := ask(s.connect(t), "select name from customers"); got != "Ada" {
		t.Errorf("got %s", got)
	}
}

func TestABarRefusesEverythingWithItsReasonUntilItIsLifted(t *testing.T) {
	s := serve(t, configured(t))
	conn := s.connect(t)
	s.Gate().Bar("the pod may not any more", "ask the owner")
	if got := ask(conn, ssn); !strings.HasPrefix(got, "ERROR 42501") {
		t.Errorf("got %s", got)
	}
	s.Gate().Lift()
	if got := ask(conn, "select name from customers"); got != "Ada" {
		t.Errorf("got %s", got)
	}
}

func TestTheTallyCountsForEachDataSource(t *testing.T) {
	s := serve(t, configured(t))
	conn := s.connect(t)
	ask(conn, ssn)
	ask(conn, "delete from customers")
	got := s.tally.Totals("data/orders")
	if got.Sessions != 1 || got.Open != 1 || got.Statements != 2 || got.Denied != 1 || got.Rows != 1 || got.Last.IsZero() {
		t.Errorf("got %+v", got)
	}
	if other := s.tally.Totals("data/other"); other != (datasource.Totals{}) || s.tally.Sum() != got {
		t.Errorf("another has %+v, the sum is %+v", other, s.tally.Sum())
	}
}

func TestAConfigurationPrintsNoSecret(t *testing.T) {
	c := datasource.Config{Credential: session.Credential{Password: "canary"}}
	c.Settings.DataSource, c.Settings.MaskKey, c.Target.ClientKey = "data/orders", []byte("canary"), []byte("canary")
	var b strings.Builder
	slog.New(slog.NewJSONHandler(&b, nil)).Info("told", "config", c)
	for _, text := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), b.String()} {
		if strings.Contains(text, "canary") || strings.Contains(text, "99 97 110") || !strings.Contains(text, "data/orders") {
			t.Errorf("it prints as %s", text)
		}
	}
}
