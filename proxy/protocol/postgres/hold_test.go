package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

func TestAHeldStatementRunsOnceItIsApproved(t *testing.T) {
	const text = "SELECT total FROM orders WHERE id = 3 AND 'secret' <> '' -- of 078-05-1120"
	for name, run := range map[string]func(n *noticed) <-chan string{
		"simple":   func(n *noticed) <-chan string { return n.begin(text) },
		"extended": func(n *noticed) <-chan string { return n.extended(text) },
	} {
		t.Run(name, func(t *testing.T) {
			d := openDesk(t)
			p := start(t, config{decider: askingFor("exports", "other"), approver: d.broker})
			conn := p.listening(t, "")
			got := run(conn)
			r := d.pending(t, "reporting-7k2p4")
			within(t, conn.come, "notice")
			conn.mu.Lock()
			n := conn.said[0]
			conn.mu.Unlock()
			if n.Severity != "NOTICE" || n.Code != "00000" || n.Hint != "An approver runs: kubectl tidewaiter approve -n data reporting-7k2p4" ||
				!strings.HasPrefix(n.Message, "tidewaiter: held for approval as data/reporting-7k2p4 (rule exports, until ") || !strings.HasSuffix(n.Message, " UTC)") {
				t.Errorf("the client is told %+v", n)
			}
			if len(r.GetHold()) != 32 || r.GetDataSource() != "data/shop" || len(r.GetRules()) != 2 || r.GetRules()[0].GetRule() != "exports" || len(r.GetDigest()) != 32 || len(r.GetShape()) != 32 {
				t.Errorf("asked: %v", r)
			}
			if r.GetText() != "SELECT total FROM orders WHERE id = ? AND ? <> ?" || r.GetSummary() != "Select on public.orders" || r.GetInTransaction() {
				t.Errorf("shown: %q, %q, in a transaction: %v", r.GetText(), r.GetSummary(), r.GetInTransaction())
			}
			select {
			case out := <-got:
				t.Fatalf("it did not wait: %s", out)
			default:
			}
			d.answer(r, "reporting-7k2p4", access.AnswerApproved, nil)
			if out := within(t, got, "result"); out != "3" {
				t.Errorf("got %s", out)
			}
			again := run(conn)
			r = d.pending(t, "reporting-2")
			within(t, conn.come, "notice")
			d.answer(r, "reporting-2", access.AnswerDenied, nil)
			if out := within(t, again, "result"); !strings.Contains(out, "needs approval (policy data/p, rule exports), and was denied by alice (data/reporting-2)") || !strings.Contains(out, "42501") {
				t.Errorf("a second time: %s", out)
			}
			if out := rows(conn.PgConn, "SELECT 1"); out != "1" {
				t.Errorf("the connection did not go on: %s", out)
			}
			d.quiet(t)
			p.told(t, "Decided RequireApproval, Held data/reporting-7k2p4, Answered Approved by alice, Decided RequireApproval, Ended Done")
			p.told(t, "Decided RequireApproval, Held data/reporting-2, Answered Denied by alice, Ended Denied")
		})
	}
}

// told fails unless a statement's record reads so.
func (p *proxy) told(t *testing.T, want string) {
	t.Helper()
	p.record.mu.Lock()
	defer p.record.mu.Unlock()
	by := map[int64][]string{}
	for _, e := range p.record.events {
		word := string(e.Kind)
		switch {
		case e.Decided != nil && e.Decided.Phase != access.PhasePrepare:
			word += " " + e.Decided.Effect
		case e.Held != nil:
			word += " " + e.Held.Request
		case e.Answered != nil:
			word += " " + string(e.Answered.Outcome)
			if len(e.Answered.By) > 0 {
				word += " by " + strings.Join(e.Answered.By, ", ")
			}
		case e.Ended != nil:
			word += " " + string(e.Ended.Outcome)
		}
		by[e.Statement] = append(by[e.Statement], word)
	}
	var all []string
	for _, words := range by {
		if got := strings.Join(words, ", "); got == want {
			return
		} else if strings.Contains(got, "Answered") {
			all = append(all, got)
		}
	}
	t.Errorf("nothing is recorded as %q, but %q", want, all)
}

func TestAPipelineIsHeldAtTheStatementThatNeedsIt(t *testing.T) {
	d := openDesk(t)
	p := start(t, config{decider: askingFor("exports"), approver: d.broker})
	for _, outcome := range []access.AnswerOutcome{access.AnswerApproved, access.AnswerDenied} {
		conn := p.listening(t, "")
		pipe := conn.StartPipeline(t.Context())
		pipe.SendQueryParams("SELECT 'before'", nil, nil, nil, nil)
		pipe.SendQueryParams("SELECT total FROM orders WHERE id = $1::int", [][]byte{[]byte("3")}, nil, nil, nil)
		pipe.SendQueryParams("SELECT 'behind'", nil, nil, nil, nil)
		if err := pipe.Sync(); err != nil {
			t.Fatal(err)
		}
		out := make(chan string, 1)
		go func() {
			var all []string
			for {
				next, err := pipe.GetResults()
				if reader, ok := next.(*pgconn.ResultReader); ok && err == nil {
					r := reader.Read()
					if err = r.Err; err == nil {
						all = append(all, string(r.Rows[0][0]))
					}
				}
				var pg *pgconn.PgError
				if errors.As(err, &pg) {
					all = append(all, pg.Code)
				} else if _, synced := next.(*pgconn.PipelineSync); synced || err != nil || next == nil {
					break
				}
			}
			out <- strings.Join(all, " ")
		}()
		r := d.pending(t, "r1")
		if !r.GetInTransaction() || len(r.GetParametersDigest()) != 32 {
			t.Errorf("asked: %v", r)
		}
		d.answer(r, "r1", outcome, nil)
		want := map[access.AnswerOutcome]string{access.AnswerApproved: "before 3 behind", access.AnswerDenied: "before 42501"}[outcome]
		if got := within(t, out, "end of the pipeline"); got != want {
			t.Errorf("%s: got %q, want %q", outcome, got, want)
		}
		if err := pipe.Close(); err != nil && outcome == access.AnswerApproved {
			t.Error(err)
		}
		if got := rows(conn.PgConn, "SELECT 1"); got != "1" {
			t.Errorf("%s: the connection did not go on: %s", outcome, got)
		}
	}
	d.quiet(t)
}

func TestAStatementIsPreparedWithoutAskingAndHeldWhenItRuns(t *testing.T) {
	d := openDesk(t)
	p := start(t, config{decider: askingFor("exports"), approver: d.broker})
	conn := p.listening(t, "")
	if _, err := conn.Prepare(t.Context(), "q", "SELECT total FROM orders WHERE id = $1", nil); err != nil {
		t.Fatal(err)
	}
	d.quiet(t)
	for _, id := range []string{"4", "5"} {
		out := make(chan *pgconn.Result, 1)
		go func() {
			out <- conn.ExecPrepared(context.Background(), "q", [][]byte{[]byte(id)}, nil, nil).Read()
		}()
		d.answer(d.pending(t, "r"+id), "r"+id, access.AnswerApproved, nil)
		if r := within(t, out, "result"); r.Err != nil || string(r.Rows[0][0]) != id {
			t.Errorf("%s: %v", id, r)
		}
	}
	d.quiet(t)
}

func TestADenialInATransactionFailsItAndTheTimeoutIsShorterThere(t *testing.T) {
	d := openDesk(t)
	policy := askingFor("exports")
	p := start(t, config{decider: policy, approver: d.broker})
	a := *policy.approval.Load()
	a.TransactionTimeout = 50 * time.Millisecond
	policy.approval.Store(&a)
	conn := p.listening(t, "")
	if got := rows(conn.PgConn, "BEGIN"); got != "" {
		t.Fatal(got)
	}
	got := conn.begin("UPDATE orders SET total = 0")
	if r := d.pending(t, "r1"); !r.GetInTransaction() {
		t.Error("the request does not say that locks are kept")
	}
	if out := within(t, got, "result"); !strings.Contains(out, "and nobody answered in 0s (data/r1)") || conn.TxStatus() != 'E' {
		t.Errorf("got %s, status %c", out, conn.TxStatus())
	}
	if w := d.withdrawn(t); w.GetReason() != "nobody has answered in time" {
		t.Errorf("withdrawn: %v", w)
	}
	if got := rows(conn.PgConn, "ROLLBACK"); got != "" {
		t.Error(got)
	}
	policy.ask(50*time.Millisecond, false, "exports")
	if out := within(t, conn.begin("SELECT total FROM orders"), "result"); !strings.Contains(out, "and nobody could be asked") && !strings.Contains(out, "nobody answered") {
		t.Errorf("outside: %s", out)
	}
	policy.effect.Store(uint32(access.Allow))
	if got := rows(conn.PgConn, "SELECT sum(total) FROM orders"); got != "55" {
		t.Errorf("what timed out has run: %s", got)
	}
}

// A held statement has nothing under way that others would wait for.
func TestOtherConnectionsGoOnWhileOneIsHeld(t *testing.T) {
	d := openDesk(t)
	p := start(t, config{decider: askingFor("exports"), approver: d.broker, tags: shopTags, sql: shopSQL + "CREATE TABLE notes (v text);"})
	held, other := p.listening(t, ""), p.listening(t, "")
	got := held.extended("SELECT total FROM orders WHERE id = $1::int", "8")
	r := d.pending(t, "r1")
	begun := time.Now()
	// The value's tag goes to a column without one, for which all other sessions have to be settled.
	if out := rows(other.PgConn, "INSERT INTO notes SELECT ssn FROM customers"); out != "" {
		t.Errorf("got %s", out)
	}
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("it waited for %s", took)
	}
	d.answer(r, "r1", access.AnswerApproved, nil)
	if out := within(t, got, "result"); out != "8" {
		t.Errorf("got %s", out)
	}
}

func TestManyHoldsAreBounded(t *testing.T) {
	d := openDesk(t)
	p := start(t, config{decider: askingFor("exports"), approver: d.broker})
	const clients = 40
	var conns []*noticed
	for range clients {
		conns = append(conns, p.listening(t, ""))
	}
	ends := make([]<-chan string, clients)
	for i, c := range conns {
		ends[i] = c.begin("SELECT total FROM orders WHERE id = 1")
	}
	seen := map[string]bool{}
	for range clients {
		r := d.next(t)
		seen[r.GetHold()] = true
		if open := len(d.asked); open > 10 {
			t.Errorf("%d are asked at a time", open)
		}
		d.answer(r, "r", access.AnswerApproved, nil)
	}
	for _, end := range ends {
		if out := within(t, end, "result"); out != "1" {
			t.Errorf("got %s", out)
		}
	}
	if len(seen) != clients {
		t.Errorf("%d requests for %d holds", len(seen), clients)
	}
}

func TestPeopleAreShownWhatRunsAndNoConstant(t *testing.T) {
	const secret = "78120781" // too long to be in a random name or digest by chance
	d := openDesk(t)
	p := start(t, config{decider: askingFor("exports"), approver: d.broker})
	conn := p.listening(t, "")
	for _, c := range []struct{ run, text, summary string }{
		{"COPY orders TO STDOUT", "COPY orders TO STDOUT", "COPY public.orders TO STDOUT"},
		{"PREPARE q (int) AS SELECT total FROM orders WHERE id = $1 AND '78120781' <> ''", "PREPARE q (int) AS SELECT total FROM orders WHERE id = $1 AND ? <> ?", ""},
		{"EXECUTE q(78120781)", "EXECUTE q(?)\n-- runs: PREPARE q (int) AS SELECT total FROM orders WHERE id = $1 AND ? <> ?", ""},
		{"SELECT 1; DELETE FROM orders WHERE id = 78120781", "SELECT ?; DELETE FROM orders WHERE id = ?", "2 statements, the first Select"},
	} {
		got := conn.begin(c.run)
		r := d.pending(t, "r1")
		if !strings.HasPrefix(r.GetText(), c.text) || strings.Contains(r.String(), secret) || c.summary != "" && r.GetSummary() != c.summary {
			t.Errorf("%s: shown %q, %q", c.run, r.GetText(), r.GetSummary())
		}
		outcome := access.AnswerApproved
		if c.summary != "" {
			outcome = access.AnswerDenied
		}
		d.answer(r, "r1", outcome, nil)
		if out := within(t, got, "result"); strings.Contains(out, "denied by alice") != (outcome == access.AnswerDenied) {
			t.Errorf("%s: got %s", c.run, out)
		}
	}
}
