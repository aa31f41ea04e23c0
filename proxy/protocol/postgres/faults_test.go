package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

func query(t *testing.T, conn *pgconn.PgConn, sql string) string {
	t.Helper()
	res, err := conn.Exec(context.Background(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if len(res) == 0 || len(res[len(res)-1].Rows) == 0 {
		return ""
	}
	return string(res[len(res)-1].Rows[0][0])
}

// until waits for a condition that another goroutine brings about.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// hundredMillion is a result that nobody waits for to end.
const hundredMillion = "select generate_series(1, 100000000), repeat('x', 100)"

// untilKind reads messages up to one of a type and returns that.
func untilKind(t *testing.T, conn net.Conn, want byte) string {
	t.Helper()
	for {
		if kind, body := message(t, conn); kind == want {
			return string(body)
		}
	}
}

func TestASessionThatTheServerEndsInMidResultGetsTheServersOwnWords(t *testing.T) {
	// A server that is told to end while it waits for its client to read says nothing (ProcessClientWriteInterrupt in
	// PostgreSQL's postgres.c), and cuts a row in two. On a busy machine that is common, so it is asked more than once.
	const attempts = 10
	for range attempts {
		p := start(t, config{tags: shopTags})
		conn := p.raw(t)
		admin := p.connect(t)
		send(t, conn, wire.Query(nil, hundredMillion))
		untilKind(t, conn, 'D')
		query(t, admin, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like '%100000000%' and pid <> pg_backend_pid()")
		var out bytes.Buffer
		if _, err := io.Copy(&tail{to: &out}, conn); err != nil {
			t.Fatal(err)
		}
		if closed := p.closed(t); !strings.Contains(closed.Reason, "the server closed the connection") {
			t.Errorf("the record says that it ended because %s", closed.Reason)
		}
		said := out.String()
		if !strings.Contains(said, "SFATAL") {
			continue
		}
		if _, words, _ := strings.Cut(said, "SFATAL"); !strings.Contains(words, "C57P01") || strings.Contains(words, "SFATAL") || !strings.HasSuffix(words, "\x00\x00") {
			t.Errorf("the client was told %q", words)
		}
		return
	}
	t.Errorf("%d servers said nothing at their end", attempts)
}

func TestAServerKilledInMidResultIsTold(t *testing.T) {
	srv, err := postgrestest.Start(context.Background(), postgrestest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = srv.Stop() }()
	if err := srv.CreateDatabase(context.Background(), "shop", ""); err != nil {
		t.Fatal(err)
	}
	p := start(t, config{server: srv, database: "shop"})
	conn := p.raw(t)
	send(t, conn, wire.Query(nil, hundredMillion))
	untilKind(t, conn, 'D')
	if err := srv.Kill(); err != nil {
		t.Fatal(err)
	}
	// The kill may cut a row in two. Then nothing but the end of the connection can be told.
	var out bytes.Buffer
	if _, err := io.Copy(&tail{to: &out}, conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	if said := out.String(); strings.Contains(said, "SFATAL") && !strings.Contains(said, "C08006\x00Mtidewaiter: the server closed the connection unexpectedly") {
		t.Errorf("the client was told %q", said)
	}
	if closed := p.closed(t); !strings.Contains(closed.Reason, "the server closed the connection") && !strings.Contains(closed.Reason, "reset") {
		t.Errorf("the record says that it ended because %s", closed.Reason)
	}
	_, err = pgconn.Connect(context.Background(), p.dsn())
	var pg *pgconn.PgError
	if !asPgError(err, &pg) || pg.Severity != "FATAL" || !strings.Contains(pg.Message, "could not be reached") {
		t.Errorf("the next client was told %v", err)
	}
}

// tail keeps the end of what is written.
type tail struct{ to *bytes.Buffer }

func (w *tail) Write(p []byte) (int, error) {
	w.to.Write(p)
	if extra := w.to.Len() - 4096; extra > 0 {
		w.to.Next(extra)
	}
	return len(p), nil
}

// closed waits for the end of a session in the record and returns it.
func (p *proxy) closed(t *testing.T) access.Closed {
	t.Helper()
	var out *access.Closed
	until(t, "the session is recorded to its end", func() bool {
		p.record.mu.Lock()
		defer p.record.mu.Unlock()
		for _, e := range p.record.events {
			if e.Closed != nil {
				out = e.Closed
			}
		}
		return out != nil
	})
	return *out
}

// nobodyElse waits until the server has no session of the test's database but admin.
func nobodyElse(t *testing.T, admin *pgconn.PgConn) {
	t.Helper()
	until(t, "the server's session ends", func() bool {
		return query(t, admin, "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and application_name <> 'tidewaiter catalog'") == "0"
	})
}

func TestAClientGoneInMidCopyLeavesNothing(t *testing.T) {
	for _, end := range []string{"closed", "reset"} {
		t.Run("in, "+end, func(t *testing.T) {
			p := start(t, config{tags: shopTags})
			conn := p.raw(t)
			send(t, conn, wire.Query(nil, "copy orders from stdin"))
			if kind, _ := message(t, conn); kind != 'G' {
				t.Fatalf("got %q", kind)
			}
			send(t, conn, wire.Message(nil, 'd', []byte("4711\t1\n")))
			leave(t, conn, end)
			admin := p.connect(t)
			nobodyElse(t, admin)
			if n := query(t, admin, "select count(*) from orders where id = 4711"); n != "0" {
				t.Errorf("%s rows of the broken COPY stayed", n)
			}
		})
		t.Run("in, "+end+" within a message", func(t *testing.T) {
			p := start(t, config{tags: shopTags})
			conn := p.raw(t)
			send(t, conn, wire.Query(nil, "copy orders from stdin"))
			untilKind(t, conn, 'G')
			send(t, conn, []byte{'d', 0, 1, 0, 0, '4', '7', '1'})
			leave(t, conn, end)
			nobodyElse(t, p.connect(t))
		})
		t.Run("out, "+end, func(t *testing.T) {
			p := start(t, config{tags: shopTags})
			conn := p.raw(t)
			send(t, conn, wire.Query(nil, "copy ("+hundredMillion+") to stdout"))
			untilKind(t, conn, 'd')
			leave(t, conn, end)
			nobodyElse(t, p.connect(t))
		})
	}
}

// leave ends a client's connection, as a program does that is done or one that crashed.
func leave(t *testing.T, conn net.Conn, how string) {
	t.Helper()
	if how == "reset" {
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatCannotBeRecordedIsRefusedAndTheConnectionGoesOn(t *testing.T) {
	p := start(t, config{engine: func(o *postgresOptions) { o.Core.RecordRows = true }})
	conn := p.connect(t)
	query(t, conn, "select 1")
	p.record.set(errors.New("no space left on device"))
	_, err := conn.Exec(context.Background(), "select 'after'").ReadAll()
	var pg *pgconn.PgError
	if !asPgError(err, &pg) || pg.Code != "42501" || !strings.Contains(pg.Message, "could not be recorded") {
		t.Fatalf("got %v", err)
	}
	p.record.set(nil)
	if got := query(t, conn, "select 'again'"); got != "again" {
		t.Errorf("got %q", got)
	}
}

func TestTheRecorderFailingInMidResultEndsTheSession(t *testing.T) {
	for _, sql := range []string{hundredMillion, "copy (" + hundredMillion + ") to stdout"} {
		p := start(t, config{tags: shopTags, engine: func(o *postgresOptions) { o.Core.RecordRows = true }})
		conn := p.raw(t)
		send(t, conn, wire.Query(nil, sql))
		for kind := byte(0); kind != 'D' && kind != 'd'; {
			kind, _ = message(t, conn)
		}
		p.record.set(errors.New("no space left on device"))
		if said := untilKind(t, conn, 'E'); !strings.Contains(said, "SFATAL") || !strings.Contains(said, "C58000") || strings.Contains(said, "no space") {
			t.Errorf("the client was told %q", said)
		}
		if rest, _ := io.ReadAll(conn); len(rest) > 0 {
			t.Errorf("after the end came %d bytes", len(rest))
		}
		p.record.set(nil)
		nobodyElse(t, p.connect(t))
	}
}

// limited allows everything within limits.
func limited(l access.Limits) decide {
	return func(op *access.Operation) (access.Decision, error) {
		d, err := allowUnderstood(op)
		l.Policy, l.Rule = "data/test", "read"
		d.Limits = l
		return d, err
	}
}

func TestALimitStopsAResultInMidStream(t *testing.T) {
	p := start(t, config{decider: limited(access.Limits{RowsPerStatement: 100})})
	ctx := context.Background()
	for name, run := range map[string]func(*pgconn.PgConn) (rows int, err error){
		"simple": func(c *pgconn.PgConn) (int, error) {
			res := c.Exec(ctx, "select generate_series(1, 10000000)")
			res.NextResult()
			rows := 0
			for r := res.ResultReader(); r.NextRow(); rows++ {
			}
			return rows, res.Close()
		},
		"extended": func(c *pgconn.PgConn) (rows int, err error) {
			r := c.ExecParams(ctx, "select generate_series(1, 10000000)", nil, nil, nil, nil)
			for ; r.NextRow(); rows++ {
			}
			_, err = r.Close()
			return rows, err
		},
		"copy": func(c *pgconn.PgConn) (int, error) {
			var out bytes.Buffer
			_, err := c.CopyTo(ctx, &out, "copy (select generate_series(1, 10000000)) to stdout")
			return strings.Count(out.String(), "\n"), err
		},
		"in a transaction": func(c *pgconn.PgConn) (int, error) {
			query(t, c, "begin")
			r := c.ExecParams(ctx, "select generate_series(1, 101)", nil, nil, nil, nil)
			rows := 0
			for ; r.NextRow(); rows++ {
			}
			_, err := r.Close()
			if c.TxStatus() != 'E' {
				t.Errorf("the transaction's status is %q after the error", c.TxStatus())
			}
			query(t, c, "rollback")
			return rows, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn := p.connect(t)
			rows, err := run(conn)
			var pg *pgconn.PgError
			if !asPgError(err, &pg) || !strings.Contains(pg.Message, "stopped after 100 rows (policy data/test, rule read, limit rowsPerStatement)") {
				t.Fatalf("got %v", err)
			}
			if rows != 100 {
				t.Errorf("%d rows came, want 100", rows)
			}
			if got := query(t, conn, "select 'goes on'"); got != "goes on" {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestPortalsDoNotStepAroundALimit(t *testing.T) {
	p := start(t, config{decider: limited(access.Limits{RowsPerStatement: 100})})
	conn := p.raw(t)
	out := wire.Parse(nil, "", "select generate_series(1, 1000)")
	out, at := wire.Begin(out, 'B')
	out = wire.Finish(append(out, 0, 0, 0, 0, 0, 0, 0, 0), at)
	for range 20 {
		out = wire.Execute(out, "", 10)
	}
	send(t, conn, wire.Sync(out))
	rows := 0
	for {
		kind, body := message(t, conn)
		if kind == 'D' {
			rows++
		}
		if kind == 'E' && !strings.Contains(string(body), "rowsPerStatement") {
			t.Fatalf("got %q", body)
		}
		if kind == 'Z' {
			break
		}
	}
	if rows != 100 {
		t.Errorf("%d rows came, want 100", rows)
	}
}

func TestAnHourlyBudgetHoldsAcrossSessions(t *testing.T) {
	p := start(t, config{decider: limited(access.Limits{RowsPerHour: 15})})
	query(t, p.connect(t), "select generate_series(1, 10)")
	_, err := p.connect(t).Exec(context.Background(), "select generate_series(1, 10)").ReadAll()
	if err == nil || !strings.Contains(err.Error(), "15 rows in an hour") {
		t.Fatalf("got %v", err)
	}
}

func TestErrorsOfALaterCommitAreRedactedToo(t *testing.T) {
	p := start(t, config{tags: shopTags, sql: shopSQL + `
		ALTER TABLE customers ADD CONSTRAINT one_ssn UNIQUE (ssn) DEFERRABLE INITIALLY DEFERRED;`})
	conn := p.connect(t)
	ctx := context.Background()
	for _, batch := range []string{"begin; insert into customers values (3, 'Eve', 'e@x', '078-05-1120')", "commit"} {
		_, err := conn.Exec(ctx, batch).ReadAll()
		var pg *pgconn.PgError
		if batch == "commit" && (!asPgError(err, &pg) || pg.Code != "23505") {
			t.Fatalf("got %v", err)
		}
		if s := fmt.Sprintf("%+v", err); strings.Contains(s, "078-05") {
			t.Errorf("%s: a value got out: %s", batch, s)
		}
		if pg != nil && strings.Contains(pg.Detail, "078-05") {
			t.Errorf("%s: a value got out: %s", batch, pg.Detail)
		}
	}
}
