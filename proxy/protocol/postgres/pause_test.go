package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// person answers what results ask in the middle. asked gets what each is about; answer says what becomes of it.
type person struct {
	asked  chan access.Exceeded
	answer func(ctx context.Context, e access.Exceeded) error
}

func newPerson(answer func(context.Context, access.Exceeded) error) *person {
	return &person{asked: make(chan access.Exceeded, 100), answer: answer}
}

// Granted says that nothing was approved before.
func (p *person) Granted(*session.Question) (access.Answered, bool) { return access.Answered{}, false }

// Approve answers.
func (p *person) Approve(ctx context.Context, q *session.Question) (access.Answered, error) {
	op := q.Operation
	if op.Exceeded == nil || len(q.Rules) != 1 || q.Rules[0] != (access.RuleRef{Policy: "data/test", Rule: "read"}) {
		return access.Answered{}, fmt.Errorf("asked about %+v by %+v", op, q.Rules)
	}
	p.asked <- *op.Exceeded
	if err := p.answer(ctx, *op.Exceeded); err != nil {
		return access.Answered{Outcome: access.AnswerDenied}, err
	}
	return access.Answered{Outcome: access.AnswerApproved}, nil
}

func yes(context.Context, access.Exceeded) error { return nil }

func no(context.Context, access.Exceeded) error {
	return &access.Denial{Code: access.CodeLimit, What: "tidewaiter: the rest was denied (request r-1)"}
}

// never waits as long as it may.
func never(ctx context.Context, _ access.Exceeded) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func asking(l access.Limits, p *person, tags map[string]string, sql string) config {
	l.OnExceed = access.RequireApproval
	return config{decider: limited(l), tags: tags, sql: sql, pipeline: func(pipe *session.Pipeline) { pipe.Approver = p }}
}

const wideSQL = `
CREATE TABLE customers (id int PRIMARY KEY, name text, email text, ssn text);
INSERT INTO customers SELECT i, repeat('n', i % 97), 'p' || i || '@example.org', lpad(i::text, 9, '0') FROM generate_series(1, 3000) i;
CREATE TABLE large (id int PRIMARY KEY, ssn text, body text);
ALTER TABLE large ALTER body SET STORAGE EXTERNAL;
INSERT INTO large SELECT i, 's' || i, repeat(chr(96 + i), 3000000) FROM generate_series(1, 4) i;`

// ways are the ways in which rows reach a client. Each returns what came and how it ended.
var ways = map[string]func(c *pgconn.PgConn, table string) (string, error){
	"simple": func(c *pgconn.PgConn, table string) (string, error) {
		return collect(c.Exec(context.Background(), "select * from "+table+" order by id"))
	},
	"extended": func(c *pgconn.PgConn, table string) (string, error) {
		r := c.ExecParams(context.Background(), "select * from "+table+" order by id", nil, nil, nil, []int16{1})
		var out bytes.Buffer
		for r.NextRow() {
			fmt.Fprintf(&out, "%s\n", bytes.Join(r.Values(), []byte("|")))
		}
		_, err := r.Close()
		return out.String(), err
	},
	"cursor": func(c *pgconn.PgConn, table string) (string, error) {
		return collect(c.Exec(context.Background(), "begin; declare c cursor for select * from "+table+" order by id; fetch all from c; commit"))
	},
	"copy": func(c *pgconn.PgConn, table string) (string, error) {
		var out bytes.Buffer
		_, err := c.CopyTo(context.Background(), &out, "copy (select * from "+table+" order by id) to stdout")
		return out.String(), err
	},
	"copy csv": func(c *pgconn.PgConn, table string) (string, error) {
		var out bytes.Buffer
		_, err := c.CopyTo(context.Background(), &out, "copy "+table+" to stdout with (format csv, force_quote *)")
		return out.String(), err
	},
}

func collect(m *pgconn.MultiResultReader) (string, error) {
	var out bytes.Buffer
	for m.NextResult() {
		r := m.ResultReader()
		for r.NextRow() {
			fmt.Fprintf(&out, "%s\n", bytes.Join(r.Values(), []byte("|")))
		}
	}
	return out.String(), m.Close()
}

// protection are tags or none: rows that are masked take another way than those that are not.
var protection = map[string]map[string]string{
	"masked": {"public.customers.ssn": "pii/ssn", "public.large.ssn": "pii/ssn"},
	"shown":  nil,
}

func TestAResultThatIsApprovedInTheMiddleLosesNothing(t *testing.T) {
	for words, tags := range protection {
		direct := start(t, config{tags: tags, sql: wideSQL})
		for _, table := range []string{"customers", "large"} {
			for limit, l := range map[string]access.Limits{
				"rowsPerStatement": {RowsPerStatement: 2}, "bytesPerStatement": {BytesPerStatement: 50}, "rowsPerHour": {RowsPerHour: 3}, "bytesPerHour": {BytesPerHour: 40},
			} {
				p := newPerson(yes)
				proxy := start(t, asking(l, p, tags, wideSQL))
				for kind, run := range ways {
					t.Run(strings.Join([]string{words, table, limit, kind}, " "), func(t *testing.T) {
						want, err := run(direct.connect(t), table)
						if err != nil || len(want) < 1000 {
							t.Fatalf("without a limit: %d bytes, %v", len(want), err)
						}
						got, err := run(proxy.connect(t), table)
						if err != nil {
							t.Fatal(err)
						}
						if got != want {
							t.Errorf("what came differs: %d bytes, want %d", len(got), len(want))
						}
						select {
						case e := <-p.asked:
							if e.Limit != limit || strings.HasPrefix(limit, "rowsPerS") && e.Rows != 2 {
								t.Errorf("asked about %+v", e)
							}
						default:
							t.Error("nobody was asked")
						}
						if len(p.asked) > 0 {
							t.Errorf("asked again: %+v", <-p.asked)
						}
					})
				}
			}
		}
	}
}

func TestAResultStandsStillAtTheVeryRow(t *testing.T) {
	answers := make(chan error)
	p := newPerson(func(context.Context, access.Exceeded) error { return <-answers })
	proxy := start(t, asking(access.Limits{RowsPerStatement: 700}, p, shopTags, wideSQL))
	for name, approve := range map[string]bool{"approved": true, "denied": false} {
		t.Run(name, func(t *testing.T) {
			conn := proxy.connect(t)
			r := conn.ExecParams(t.Context(), "select id from customers order by id", nil, nil, nil, nil)
			for i := range 700 {
				if !r.NextRow() {
					t.Fatalf("row %d did not come before anybody was asked", i+1)
				}
			}
			if e := <-p.asked; e.Rows != 700 || e.Limit != "rowsPerStatement" || e.Bytes == 0 {
				t.Errorf("asked about %+v", e)
			}
			rows := make(chan int)
			go func() {
				n := 700
				for r.NextRow() {
					n++
				}
				rows <- n
			}()
			select {
			case n := <-rows:
				t.Fatalf("the result ended with row %d before the answer", n)
			case <-time.After(200 * time.Millisecond):
			}
			if approve {
				answers <- nil
			} else {
				answers <- no(t.Context(), access.Exceeded{})
			}
			n := <-rows
			_, err := r.Close()
			if approve && (n != 3000 || err != nil) {
				t.Errorf("%d rows, %v", n, err)
			}
			var pg *pgconn.PgError
			if !approve && (n != 700 || !asPgError(err, &pg) || pg.Code != "42501" || !strings.Contains(pg.Message, "request r-1")) {
				t.Errorf("%d rows, %v", n, err)
			}
			if got := query(t, conn, "select 'goes on'"); got != "goes on" {
				t.Errorf("then got %q", got)
			}
		})
	}
}

// busy reports whether the server runs a statement with the mark.
func busy(t *testing.T, admin *pgconn.PgConn, mark string) bool {
	return query(t, admin, "select count(*) from pg_stat_activity where state <> 'idle' and pid <> pg_backend_pid() and query like '%"+mark+"%'") != "0"
}

func TestACancelEndsAResultThatStandsStill(t *testing.T) {
	p := newPerson(never)
	proxy := start(t, asking(access.Limits{RowsPerStatement: 10}, p, nil, wideSQL))
	for size, from := range map[string]string{
		// The first hangs in a write that nobody takes; the second has sent all, and a cancel comes too late for it.
		"the server has more to send": "100000000", "the server has sent everything": "20",
	} {
		t.Run(size, func(t *testing.T) {
			conn := proxy.connect(t)
			for range 3 {
				done := make(chan error, 1)
				go func() {
					_, err := conn.ExecParams(context.Background(), "select generate_series(1, "+from+"), 'tsunami'", nil, nil, nil, nil).Close()
					done <- err
				}()
				<-p.asked
				if err := conn.CancelRequest(t.Context()); err != nil {
					t.Fatal(err)
				}
				select {
				case err := <-done:
					var pg *pgconn.PgError
					if !asPgError(err, &pg) || pg.Code != "57014" {
						t.Fatalf("got %v", err)
					}
				case <-time.After(20 * time.Second):
					t.Fatal("the cancel had no effect")
				}
				if got := query(t, conn, "select 'goes on'"); got != "goes on" {
					t.Errorf("then got %q", got)
				}
			}
		})
	}
}

func TestACancelBeforeTheStatementIsNotForIt(t *testing.T) {
	p := newPerson(yes)
	proxy := start(t, asking(access.Limits{RowsPerStatement: 10}, p, nil, wideSQL))
	conn := proxy.connect(t)
	if err := conn.CancelRequest(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // for the server, which has no answer to it
	r := conn.ExecParams(t.Context(), "select generate_series(1, 20)", nil, nil, nil, nil).Read()
	if r.Err != nil || len(r.Rows) != 20 {
		t.Errorf("%d rows, %v", len(r.Rows), r.Err)
	}
}

func TestAClientThatGoesAwayEndsWhatStandsStill(t *testing.T) {
	p := newPerson(never)
	proxy := start(t, asking(access.Limits{RowsPerStatement: 10}, p, nil, wideSQL))
	admin := proxy.connect(t)
	for _, how := range []string{"close", "terminate"} {
		t.Run(how, func(t *testing.T) {
			conn := proxy.raw(t)
			send(t, conn, framed('Q', "select generate_series(1, 100000000), 'tornado'\x00"))
			<-p.asked
			if how == "terminate" {
				send(t, conn, framed('X', ""))
			} else {
				conn.Close()
			}
			until(t, "the server to stop", func() bool { return !busy(t, admin, "torn"+"ado") })
		})
	}
}

// lender is a budget that is lent in parts. It is safe for concurrent use.
type lender struct {
	mu    sync.Mutex
	left  int64
	part  int64
	lent  int64
	asked int
	down  error
}

// Borrow lends a part.
func (l *lender) Borrow(_ context.Context, loan session.Loan) (session.Lent, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if l.down != nil {
		return session.Lent{}, l.down
	}
	l.left += loan.Unused - loan.Over
	n := min(max(loan.Want, l.part), l.left)
	if n < loan.Want || loan.Want == 0 {
		return session.Lent{Retry: time.Minute}, nil
	}
	l.left -= n
	l.lent += n
	return session.Lent{Granted: n, For: time.Minute}, nil
}

func TestSessionsShareWhatIsLentToTheLastRow(t *testing.T) {
	l := &lender{left: 1000, part: 37}
	p := start(t, config{sql: wideSQL, tags: shopTags, decider: limited(access.Limits{RowsPerHour: 1000}), pipeline: func(pipe *session.Pipeline) { pipe.Budgets.Lend(l) }})
	var all sync.WaitGroup
	var mu sync.Mutex
	rows, told := 0, 0
	for range 4 {
		conn := p.connect(t)
		all.Go(func() {
			out, err := collect(conn.Exec(context.Background(), "select id, email from customers"))
			mu.Lock()
			defer mu.Unlock()
			rows += strings.Count(out, "\n")
			if err != nil && strings.Contains(err.Error(), "stopped after 1000 rows in an hour") {
				told++
			}
		})
	}
	all.Wait()
	if rows != 1000 || told != 4 {
		t.Errorf("%d rows came, and %d of 4 were told why no more", rows, told)
	}
	if l.asked > 1000/37+20 {
		t.Errorf("it was asked %d times", l.asked)
	}
}

func TestWithoutTheOperatorOnlyWhatWasLentIsUsed(t *testing.T) {
	l := &lender{left: 1000, part: 50}
	p := start(t, config{sql: wideSQL, decider: limited(access.Limits{RowsPerHour: 1000, OnExceed: access.RequireApproval}), pipeline: func(pipe *session.Pipeline) { pipe.Budgets.Lend(l) }})
	conn := p.connect(t)
	if out, err := collect(conn.Exec(t.Context(), "select id from customers limit 20")); err != nil || strings.Count(out, "\n") != 20 {
		t.Fatalf("%q, %v", out, err)
	}
	l.mu.Lock()
	l.down = session.ErrNotAsked
	l.mu.Unlock()
	out, err := collect(conn.Exec(t.Context(), "select id from customers"))
	if n := strings.Count(out, "\n"); n != 30 || err == nil || !strings.Contains(err.Error(), "the operator that counts rows in an hour cannot be reached") {
		t.Errorf("%d rows came, want the 30 that were left: %v", n, err)
	}
	if out, err := collect(conn.Exec(t.Context(), "select id from customers")); out != "" || err == nil {
		t.Errorf("a row came past the budget: %q, %v", out, err)
	}
	l.mu.Lock()
	l.down = nil
	l.mu.Unlock()
	until(t, "it to go on with the operator", func() bool {
		out, err := collect(conn.Exec(t.Context(), "select id from customers limit 1"))
		return err == nil && out != ""
	})
}
