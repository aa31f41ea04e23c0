package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/identity"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/proxy/upstream"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// decide is a policy in a line.
type decide func(op *access.Operation) (access.Decision, error)

func (d decide) Decide(_ context.Context, _ access.Identity, op *access.Operation) (access.Decision, error) {
	return d(op)
}

// allowUnderstood allows what is understood and has no feature called "Program".
func allowUnderstood(op *access.Operation) (access.Decision, error) {
	for i := range op.Statements {
		st := &op.Statements[i]
		if st.Kind == "" {
			return access.Decision{}, nil
		}
		for _, f := range st.Features {
			if f.Name == "Program" {
				return access.Decision{Policy: "data/test", Rule: "guard Program"}, nil
			}
		}
	}
	return access.Decision{Effect: access.Allow, Policy: "data/test", Rule: "all"}, nil
}

// memory records in memory; with fail set it refuses to.
type memory struct {
	mu     sync.Mutex
	events []access.Event
	fail   error
}

func (m *memory) Open(access.Opened) (session.Record, error) { return m, nil }
func (m *memory) Location() string                           { return "memory" }
func (m *memory) Close() error                               { return nil }

func (m *memory) set(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func (m *memory) Append(e access.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, e)
	return m.fail
}

type postgresOptions = postgres.Options

// proxy is an engine in front of a real server.
type proxy struct {
	addr   string
	db     string
	server *postgrestest.Server
	record *memory
	engine *postgres.Engine
	drain  <-chan struct{}
}

type config struct {
	decider  session.Decider
	tags     map[string]string // column pattern -> tag
	engine   func(*postgres.Options)
	sql      string
	server   *postgrestest.Server // nil: the shared one, with a database of the test's own
	database string               // of server
	dialer   func(session.Dialer) session.Dialer
	recorder session.Recorder // nil: in memory
	approver session.Approver // nil: what needs approval is refused
	drain    <-chan struct{}  // of the proxy; nil: never
	pipeline func(*session.Pipeline)
}

// through puts the test's own dialer in front of the real one.
func (c config) through(d session.Dialer) session.Dialer {
	if c.dialer == nil {
		return d
	}
	return c.dialer(d)
}

const shopSQL = `
CREATE TABLE customers (id int PRIMARY KEY, name text, email text, ssn text);
INSERT INTO customers VALUES (1, 'Ada', 'ada@example.org', '078-05-1120'), (2, 'Grace', 'grace@example.org', '219-09-9999');
CREATE VIEW contacts AS SELECT id, ssn AS tax FROM customers;
CREATE TABLE orders (id int PRIMARY KEY, total numeric);
INSERT INTO orders SELECT i, i FROM generate_series(1, 10) i;`

var shopTags = map[string]string{"public.customers.ssn": "pii/ssn", "public.customers.email": "pii/email"}

func start(t *testing.T, c config) *proxy {
	t.Helper()
	if c.decider == nil {
		c.decider = decide(allowUnderstood)
	}
	if c.sql == "" {
		c.sql = shopSQL
	}
	srv := c.server
	if srv == nil {
		srv = postgrestest.Shared(t)
		c.database = srv.NewDatabase(t, c.sql)
	}
	p := &proxy{server: srv, db: c.database, record: &memory{}}
	if c.recorder == nil {
		c.recorder = p.record
	}
	opt := postgres.Options{DataSource: "data/shop", Database: p.db}
	for col, tag := range c.tags {
		opt.Classifications = append(opt.Classifications, catalog.Classification{Columns: []string{col}, Tags: []string{tag}})
	}
	if c.engine != nil {
		c.engine(&opt)
	}
	p.engine = postgres.New(opt)
	up, err := upstream.New(upstream.Options{Host: srv.Host, Port: uint16(srv.Port), Database: p.db, Mode: upstream.Disable})
	if err != nil {
		t.Fatal(err)
	}
	up.Use(session.Credential{User: srv.Superuser, Password: srv.Password})
	pipe := &session.Pipeline{
		DataSource: "data/shop", Protocol: p.engine, Dialer: c.through(up), Decider: c.decider, Recorder: c.recorder, Budgets: &session.Budgets{}, Approver: c.approver,
		Identifier: identity.Fixed{Identity: access.Identity{Namespace: "shop", ServiceAccount: "agent"}},
	}
	p.drain = c.drain
	if c.pipeline != nil {
		c.pipeline(pipe)
	}
	p.serve(t, pipe)
	return p
}

// serve runs a pipeline until the test ends, and then makes sure that no goroutine
// is left of it.
func (p *proxy) serve(t *testing.T, pipe *session.Pipeline) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Add(1)
	go func() {
		defer all.Done()
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			all.Add(1)
			go func() {
				defer all.Done()
				if err := pipe.Serve(ctx, conn, p.drain); err != nil {
					t.Logf("session: %v", err)
				}
			}()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		cancel()
		all.Wait()
		p.engine.Close()
		goleak.VerifyNone(t, before) // whatever a test has done to its sessions
	})
}

func (p *proxy) dsn() string {
	host, port, _ := net.SplitHostPort(p.addr)
	return fmt.Sprintf("host=%s port=%s user=agent dbname=%s sslmode=disable", host, port, p.db)
}

func (p *proxy) connect(t *testing.T) *pgconn.PgConn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := pgconn.Connect(ctx, p.dsn())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// psql runs statements in psql and returns everything it prints.
func (p *proxy) psql(t *testing.T, sql ...string) string {
	t.Helper()
	args := []string{"-X", "-A", "-t", p.dsn()}
	for _, s := range sql {
		args = append(args, "-c", s)
	}
	cmd := exec.Command("psql", args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, _ := cmd.CombinedOutput() // a statement that fails is part of what is looked at
	return strings.TrimSpace(string(out))
}

func TestAMaskFollowsTheColumnWhateverItIsCalled(t *testing.T) {
	p := start(t, config{tags: shopTags})
	for _, c := range []struct{ sql, want string }{
		{"select name, ssn from customers order by id", "Ada|*****\nGrace|*****"},
		{"select ssn as id from customers where id = 1", "*****"},
		{"select upper(ssn) from customers where id = 1", "*****"},
		{"select tax from contacts where id = 1", "*****"},
		{"copy customers to stdout", "1\tAda\t*****\t*****\n2\tGrace\t*****\t*****"},
		{"copy (select name, ssn from customers order by id) to stdout", "Ada\t*****\nGrace\t*****"},
		{"select count(*) from customers", "2"},
		{"select id, total from orders where id < 3 order by id", "1|1\n2|2"},
	} {
		if got := p.psql(t, c.sql); got != c.want {
			t.Errorf("%s\n got: %s\nwant: %s", c.sql, got, c.want)
		}
	}
	out := p.psql(t, "select ssn::int from customers", "select row_to_json(c) from customers c", "select c from customers c")
	if strings.Contains(out, "078") || strings.Contains(out, "ada@") {
		t.Errorf("a value got out:\n%s", out)
	}
	t.Log(out)
}

func TestADenialIsAnOrdinaryErrorAndTheConnectionGoesOn(t *testing.T) {
	p := start(t, config{tags: shopTags})
	conn := p.connect(t)
	ctx := context.Background()
	_, err := conn.Exec(ctx, "copy customers to program 'cat'").ReadAll()
	var pg *pgconn.PgError
	if !asPgError(err, &pg) || pg.Code != "42501" || !strings.Contains(pg.Message, "guard Program") {
		t.Fatalf("got %v", err)
	}
	res, err := conn.Exec(ctx, "select 1").ReadAll()
	if err != nil || string(res[0].Rows[0][0]) != "1" {
		t.Fatalf("the connection did not go on: %v", err)
	}
	if _, err := conn.Exec(ctx, "begin").ReadAll(); err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Exec(ctx, "copy customers to program 'cat'").ReadAll()
	if conn.TxStatus() != 'E' {
		t.Fatalf("inside a transaction the status is %q, not failed", conn.TxStatus())
	}
	if _, err := conn.Exec(ctx, "rollback").ReadAll(); err != nil || conn.TxStatus() != 'I' {
		t.Fatalf("rollback: %v, status %q", err, conn.TxStatus())
	}
}

func asPgError(err error, target **pgconn.PgError) bool {
	return errors.As(err, target)
}
