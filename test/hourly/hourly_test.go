// Package hourly runs a small fleet against one hourly budget: the real protocol engine and PostgreSQL on one side, the real
// ledger and API server on the other. What is between them, the stream, is left out: a lender here asks the ledger itself.
package hourly

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/jackc/pgx/v5/pgconn"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/tidewaiter/tidewaiter/controllers/budget"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/identity"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres"
	"github.com/tidewaiter/tidewaiter/proxy/protocoltest"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/proxy/upstream"
	"github.com/tidewaiter/tidewaiter/test/kubetest"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := errors.Join(kubetest.StopShared(), postgrestest.StopShared()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

const limit = 10_000

// clock is one for everybody. It is safe for concurrent use.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(0, c.at.Load()) }

// fleet is pods of one workload and the replicas of an operator.
type fleet struct {
	clock    clock
	replicas []*budget.Ledger
	loans    atomic.Int64
	cut      atomic.Bool // nobody reaches an operator
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	server := kubetest.Shared(t)
	config := *server.Config
	config.QPS, config.Burst = 1000, 2000
	client, err := kubernetes.NewForConfig(&config)
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{}
	f.clock.at.Store(time.Unix(1_800_000_000, 0).UnixNano())
	maps := client.CoreV1().ConfigMaps(server.NewNamespace(t, nil))
	for range 2 {
		f.replicas = append(f.replicas, budget.New(budget.Options{ConfigMaps: maps, Now: f.clock.now, Log: logr.Discard()}))
	}
	return f
}

// lender is a pod's: it asks one of the replicas.
type lender struct {
	f   *fleet
	pod int
}

// Borrow does what controllers/distribute does with a request.
func (l lender) Borrow(ctx context.Context, loan session.Loan) (session.Lent, error) {
	if l.f.cut.Load() {
		return session.Lent{}, session.ErrNotAsked
	}
	n := l.f.loans.Add(1)
	namespace, name, _ := strings.Cut(loan.Policy, "/")
	got, err := l.f.replicas[n%2].Lend(ctx, budget.Key{
		DataSource: types.NamespacedName{Namespace: "data", Name: "shop"}, Namespace: "shop", ServiceAccount: "agent",
		Policy: types.NamespacedName{Namespace: namespace, Name: name}, Rule: loan.Rule, Budget: loan.Budget,
	}, budget.Ask{Pod: fmt.Sprint("pod-", l.pod), Limit: limit, Want: loan.Want, Unused: loan.Unused, Over: loan.Over})
	return session.Lent{Granted: got.Granted, For: budget.LeaseTime, Retry: got.Retry}, err
}

// pod is one sidecar in front of the database.
type pod struct {
	address string
	budgets *session.Budgets
}

func (f *fleet) pod(t *testing.T, i int, srv *postgrestest.Server, db string) *pod {
	t.Helper()
	up, err := upstream.New(upstream.Options{Host: srv.Host, Port: uint16(srv.Port), Database: db, Mode: upstream.Disable})
	if err != nil {
		t.Fatal(err)
	}
	up.Use(session.Credential{User: srv.Superuser, Password: srv.Password})
	engine := postgres.New(postgres.Options{DataSource: "data/shop", Database: db})
	p := &pod{budgets: &session.Budgets{}}
	p.budgets.Lend(lender{f, i})
	pipe := &session.Pipeline{
		DataSource: "data/shop", Protocol: engine, Dialer: up, Recorder: &protocoltest.Recorder{}, Budgets: p.budgets, Now: f.clock.now,
		Identifier: identity.Fixed{Identity: access.Identity{Namespace: "shop", ServiceAccount: "agent"}},
		Decider: protocoltest.Decide(func(op *access.Operation) (access.Decision, error) {
			d, err := protocoltest.Allow(op)
			d.Limits = access.Limits{RowsPerHour: limit, Policy: "data/p", Rule: "read"}
			return d, err
		}),
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.address = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { _ = pipe.Serve(ctx, conn, nil) }) // how sessions end is not what is tested
		}
	})
	t.Cleanup(func() { ln.Close(); cancel(); serving.Wait(); engine.Close() })
	return p
}

// read reads as fast as it can until it is stopped, and returns the rows that came.
func (p *pod) read(t *testing.T, db, sql string) (rows int64, why string) {
	host, port, _ := net.SplitHostPort(p.address)
	conn, err := pgconn.Connect(context.Background(), fmt.Sprintf("host=%s port=%s user=agent dbname=%s sslmode=disable", host, port, db))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer conn.Close(context.Background())
	r := conn.ExecParams(context.Background(), sql, nil, nil, nil, nil)
	for r.NextRow() {
		rows++
	}
	_, err = r.Close()
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return rows, pg.Message
	}
	if err != nil {
		t.Error(err)
	}
	return rows, ""
}

// all lets every pod read at the same time.
func all(t *testing.T, pods []*pod, db, sql string) (total int64, each []int64, why []string) {
	each, why = make([]int64, len(pods)), make([]string, len(pods))
	var reading sync.WaitGroup
	for i, p := range pods {
		reading.Go(func() { each[i], why[i] = p.read(t, db, sql) })
	}
	reading.Wait()
	for _, n := range each {
		total += n
	}
	return total, each, why
}

func TestFivePodsTogetherGetWhatOneMayHave(t *testing.T) {
	f, srv := newFleet(t), postgrestest.Shared(t)
	db := srv.NewDatabase(t, "SELECT 1")
	var pods []*pod
	for i := range 5 {
		pods = append(pods, f.pod(t, i, srv, db))
	}
	const endless = "select generate_series(1, 100000)"
	began := time.Now()
	total, each, why := all(t, pods, db, endless)
	loans := f.loans.Load()
	t.Logf("five pods, %d rows an hour: %d rows came %v, overspend %d, %d loans, %v", limit, total, each, max(total-limit, 0), loans, time.Since(began))
	if total != limit {
		t.Errorf("%d rows came, want %d", total, limit)
	}
	for i, w := range why {
		if !strings.Contains(w, "stopped after 10000 rows in an hour (policy data/p, rule read, limit rowsPerHour)") {
			t.Errorf("pod %d was told %q", i, w)
		}
	}
	if loans > 400 {
		t.Errorf("%d loans for %d rows", loans, limit)
	}
	// The whole of it is back when none of it can have been used within the last hour, and nothing before.
	for _, step := range []struct {
		after time.Duration
		want  int64
	}{{61*time.Minute + 59*time.Second, 0}, {62 * time.Minute, limit}} {
		f.clock.at.Store(time.Unix(1_800_000_000, 0).Add(step.after).UnixNano())
		if total, each, _ := all(t, pods, db, endless); total != step.want {
			t.Errorf("after %v: %d rows came %v, want %d", step.after, total, each, step.want)
		}
	}
}

func TestAPodThatIsCutOffUsesWhatItWasLentAndNoMore(t *testing.T) {
	f, srv := newFleet(t), postgrestest.Shared(t)
	db := srv.NewDatabase(t, "SELECT 1")
	pods := []*pod{f.pod(t, 0, srv, db), f.pod(t, 1, srv, db)}
	if total, _, why := all(t, pods, db, "select generate_series(1, 100)"); total != 200 || why[0]+why[1] != "" {
		t.Fatalf("%d rows, %q", total, why)
	}
	f.cut.Store(true)
	alone, each, why := all(t, pods, db, "select generate_series(1, 100000)")
	if alone != 2*(limit/20-100) {
		t.Errorf("cut off, %d rows came %v, want what was left of two leases of %d", alone, each, limit/20)
	}
	for _, w := range why {
		if !strings.Contains(w, "the operator that counts rows in an hour cannot be reached") {
			t.Errorf("told %q", w)
		}
	}
	f.cut.Store(false)
	f.clock.at.Add(int64(2 * time.Second)) // a failure is believed for a second
	rest, _, _ := all(t, pods, db, "select generate_series(1, 100000)")
	if got := 200 + alone + rest; got != limit {
		t.Errorf("%d rows came in the hour, want %d", got, limit)
	}
}

func TestAPodThatEndsLeavesTheRestToTheOthers(t *testing.T) {
	f, srv := newFleet(t), postgrestest.Shared(t)
	db := srv.NewDatabase(t, "SELECT 1")
	first, second := f.pod(t, 0, srv, db), f.pod(t, 1, srv, db)
	one, _ := first.read(t, db, "select generate_series(1, 10)")
	first.budgets.Return(t.Context())
	two, _ := second.read(t, db, "select generate_series(1, 100000)")
	if one != 10 || one+two != limit {
		t.Errorf("%d and %d rows came, want %d together", one, two, limit)
	}
}
