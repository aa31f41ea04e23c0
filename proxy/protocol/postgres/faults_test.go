package postgres_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
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

func TestAServerThatDiesInMidResultIsTold(t *testing.T) {
	p := start(t, config{tags: shopTags})
	conn := p.raw(t)
	admin := p.connect(t)
	send(t, conn, wire.Query(nil, "select g, pg_sleep(0.0001), pg_backend_pid() from generate_series(1, 100000000) g"))
	kind, _ := message(t, conn)
	for kind != 'D' {
		kind, _ = message(t, conn)
	}
	query(t, admin, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like '%100000000%' and pid <> pg_backend_pid()")
	for kind != 'E' {
		kind, _ = message(t, conn)
	}
}

func TestAServerThatSaysWhyItEndsASessionHasTheLastWord(t *testing.T) {
	p := start(t, config{})
	conn := p.raw(t)
	send(t, conn, wire.Query(nil, "select pg_terminate_backend(pg_backend_pid())"))
	told, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	var errs []wire.Error
	for len(told) >= wire.HeaderSize {
		size := 1 + int(binary.BigEndian.Uint32(told[1:]))
		if told[0] == 'E' {
			errs = append(errs, wire.ParseError(told[wire.HeaderSize:size]))
		}
		told = told[size:]
	}
	if len(errs) != 1 || errs[0].Severity != "FATAL" || errs[0].Code != "57P01" {
		t.Errorf("the client was told %+v, not the server's FATAL error alone", errs)
	}
}

func TestAClientGoneInMidCopyLeavesNothing(t *testing.T) {
	p := start(t, config{tags: shopTags})
	conn := p.raw(t)
	send(t, conn, wire.Query(nil, "copy orders from stdin"))
	if kind, _ := message(t, conn); kind != 'G' {
		t.Fatalf("got %q", kind)
	}
	send(t, conn, wire.Message(nil, 'd', []byte("4711\t1\n")))
	conn.Close()
	admin := p.connect(t)
	until(t, "the server's session ends", func() bool {
		return query(t, admin, "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and application_name <> 'tidewaiter catalog'") == "0"
	})
	if n := query(t, admin, "select count(*) from orders where id = 4711"); n != "0" {
		t.Errorf("%s rows of the broken COPY stayed", n)
	}
}

func TestTheRecorderFailingInMidResultEndsTheSession(t *testing.T) {
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
