package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

const countedSQL = shopSQL + `
INSERT INTO orders SELECT i, i % 100 FROM generate_series(11, 20000) i;
CREATE SCHEMA "Odd name";
CREATE TABLE "Odd name".orders AS SELECT i AS id FROM generate_series(1, 3000) i;
CREATE FUNCTION leak(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END';
CREATE SCHEMA seen;
CREATE VIEW seen.orders AS SELECT * FROM orders WHERE leak(1) = 2;
ANALYZE;`

func TestPeopleAreToldHowManyRowsAreExpected(t *testing.T) {
	d := openDesk(t)
	p := start(t, config{decider: askingFor("exports"), approver: d.broker, sql: countedSQL})
	conn := p.listening(t, "")
	for _, c := range []struct {
		sql         string
		least, most int64 // 0, 0: it is not known
	}{
		{"SELECT * FROM orders", 19_000, 21_000},
		{"COPY orders TO STDOUT", 19_000, 21_000},
		{`COPY "Odd name".orders TO STDOUT`, 2_900, 3_100},
		{"COPY (SELECT id FROM orders WHERE total = 7) TO STDOUT", 100, 400},
		{"SELECT count(*) FROM orders", 1, 1},
		{"SELECT 1 FROM orders WHERE leak(1) = 1", 0, 0}, // the planner would run it
		{"SELECT * FROM seen.orders", 0, 0},              // and so in a view
		{"COPY (SELECT * FROM orders LIMIT 1) TO STDOUT", 1, 1},
		{"COPY (SELECT * FROM orders LIMIT 15000) TO STDOUT", 14_000, 15_000}, // and not the number of the one before
		{"UPDATE orders SET id = 1", 0, 0},
		{"SELECT 1 FROM orders; SELECT 2 FROM orders", 0, 0},
	} {
		got := conn.begin(c.sql)
		r := d.pending(t, "r1")
		switch {
		case c.most == 0 && r.EstimatedRows != nil:
			t.Errorf("%s: %d rows, want none told", c.sql, r.GetEstimatedRows())
		case c.most > 0 && r.EstimatedRows == nil:
			t.Errorf("%s: no number", c.sql)
		case c.most > 0 && (r.GetEstimatedRows() < c.least || r.GetEstimatedRows() > c.most):
			t.Errorf("%s: %d rows, want %d to %d", c.sql, r.GetEstimatedRows(), c.least, c.most)
		}
		d.answer(r, "r1", access.AnswerDenied, nil)
		within(t, got, "result")
	}
}

func TestParametersNeedNoValuesForAnEstimate(t *testing.T) {
	d := openDesk(t)
	p := start(t, config{decider: askingFor("exports"), approver: d.broker, sql: countedSQL})
	conn := p.connect(t)
	done := make(chan error, 1)
	go func() {
		done <- conn.ExecParams(t.Context(), "SELECT * FROM orders WHERE total = $1 AND id > $2", [][]byte{[]byte("7"), []byte("0")}, nil, nil, nil).Read().Err
	}()
	r := d.pending(t, "r1")
	if rows := r.GetEstimatedRows(); rows < 20 || rows > 400 {
		t.Errorf("%d rows", rows)
	}
	d.answer(r, "r1", access.AnswerApproved, nil)
	if err := within(t, done, "result"); err != nil {
		t.Error(err)
	}
}

// sizing is policy that looks at how many rows are expected, and allows few.
type sizing struct{ seen chan *int64 }

func (sizing) Estimates() bool { return true }

func (z sizing) Decide(_ context.Context, _ access.Identity, op *access.Operation) (access.Decision, error) {
	rows := op.Statements[0].EstimatedRows
	z.seen <- rows
	if rows != nil && *rows > 1000 {
		return access.Decision{Policy: "data/p", Rule: "rego", Reason: "too many rows"}, nil
	}
	return access.Decision{Effect: access.Allow, Policy: "data/p", Rule: "read"}, nil
}

func TestPolicyDecidesByHowManyRowsAreExpected(t *testing.T) {
	z := sizing{make(chan *int64, 100)}
	p := start(t, config{decider: z, sql: countedSQL})
	conn := p.connect(t)
	for sql, want := range map[string]string{
		"SELECT * FROM orders":                       "too many rows",
		"COPY orders TO STDOUT":                      "too many rows",
		`SELECT * FROM "Odd name".orders LIMIT 10`:   "",
		"SELECT total FROM orders WHERE id = 1":      "",
		"SELECT leak(1), id FROM orders ORDER BY id": "", // not known
	} {
		_, err := conn.Exec(t.Context(), sql).ReadAll()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), "rego") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for len(z.seen) > 0 {
		if rows := <-z.seen; rows != nil && *rows < 1 {
			t.Errorf("%d rows", *rows)
		}
	}
}
