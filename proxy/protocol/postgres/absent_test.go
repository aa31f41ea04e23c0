package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// shopOnly allows reading and writing customers and orders, nothing else, without
// comparing what is tagged.
func shopOnly(op *access.Operation) (access.Decision, error) {
	for i := range op.Statements {
		st := &op.Statements[i]
		if !slices.Contains([]string{"Select", "Insert", "Update", "CopyOut", "Session", "Transaction", "Explain"}, st.Kind) || len(st.PredicateTags) > 0 {
			return access.Decision{}, nil
		}
		for _, f := range st.Features {
			if !strings.HasPrefix(f.Name, "Bulk") && !strings.HasPrefix(f.Name, "Unbounded") {
				return access.Decision{Policy: "data/test", Rule: "guard " + f.Name}, nil
			}
		}
		for _, r := range st.Resources {
			if r.Schema != "public" || r.Name != "customers" && r.Name != "orders" {
				return access.Decision{}, nil
			}
		}
	}
	return access.Decision{Effect: access.Allow, Policy: "data/test", Rule: "shop"}, nil
}

const hiddenSQL = shopSQL + `
CREATE TABLE salaries (id int, amount numeric);
CREATE SCHEMA vault; CREATE TABLE vault.codes (id int, code text);
CREATE INDEX orders_total ON orders (total);
CREATE FUNCTION raise(i int) RETURNS int LANGUAGE plpgsql AS 'BEGIN EXECUTE ''SELECT 1''; RETURN i; END'`

// words are the fields of an error that a person or a driver acts on.
func words(t *testing.T, conn *pgconn.PgConn, sql string, extended bool) string {
	t.Helper()
	var err error
	if extended {
		err = conn.ExecParams(context.Background(), sql, nil, nil, nil, nil).Read().Err
	} else {
		_, err = conn.Exec(context.Background(), sql).ReadAll()
	}
	var pg *pgconn.PgError
	if !asPgError(err, &pg) {
		return fmt.Sprint(err)
	}
	return fmt.Sprintf("%s %s: %s, %s, %s, at %d", pg.Severity, pg.Code, pg.Message, pg.Detail, pg.Hint, pg.Position)
}

// mistyped are statements whose error must be PostgreSQL's own, word by word.
var mistyped = []string{
	"SELECT * FROM custmers",
	"SELECT 'ä', name FROM public.custmers",
	"SELECT * FROM vaults.codes",
	"SELECT * FROM customers JOIN ordres USING (id)",
	"SELECT (SELECT count(*) FROM ordres) FROM customers",
	"WITH c AS (SELECT * FROM custmers) SELECT * FROM c",
	"SELECT * FROM customers WHERE id IN (SELECT id FROM \"Orders\")",
	"EXPLAIN SELECT * FROM custmers",
	"INSERT INTO custmers SELECT * FROM ordres",
	"INSERT INTO orders (id, totel) SELECT id, email FROM customers",
	"UPDATE custmers SET name = ''",
	"UPDATE orders SET totel = 1",
	"UPDATE orders SET totel = (SELECT email FROM customers LIMIT 1)::int",
	"COPY custmers TO STDOUT",
	"COPY vaults.codes TO STDOUT",
	"SELECT ssm FROM customers",
	"SELECT 1 FROM customers WHERE ssm = 'x'",
	"SELECT 1 FROM customers c WHERE c.ssm = 'x'",
	"SELECT 1 FROM customers c WHERE d.ssn IS NULL",
	"SELECT nosuch()",
	"SELECT nosuch(1, 'x', 1.5, NULL, true, 4000000000)",
	"SELECT id FROM orders WHERE nosuch(2) = 1",
	"SELECT public.nosuch()",
	"SELECT vaults.nosuch(1)",
	"EXECUTE nosuch",
	"FETCH 3 FROM nosuch",
}

func TestAMistypedNameIsToldInPostgreSQLsOwnWords(t *testing.T) {
	p := start(t, config{tags: shopTags, decider: decide(shopOnly), sql: hiddenSQL})
	direct, err := pgconn.Connect(context.Background(), p.server.DSN(p.db))
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close(context.Background())
	through := p.connect(t)
	for _, sql := range mistyped {
		for _, extended := range []bool{false, true} {
			want, got := words(t, direct, sql, extended), words(t, through, sql, extended)
			if strings.Contains(want, "Perhaps you meant") {
				want, got = strings.SplitN(want, ", ,", 2)[0], strings.SplitN(got, ", ,", 2)[0] // the names of other columns are not ours to guess
			}
			if got != want {
				t.Errorf("%s (extended: %v)\n got: %s\nwant: %s", sql, extended, got, want)
			}
		}
	}
}

func TestWhatPolicyHidesOrForbidsIsDeniedWhateverElseIsMistyped(t *testing.T) {
	p := start(t, config{tags: shopTags, decider: decide(shopOnly), sql: hiddenSQL})
	conn := p.connect(t)
	for _, sql := range []string{
		"SELECT * FROM salaries",
		"SELECT * FROM vault.codes",
		"SELECT nosuch FROM salaries",
		"SELECT * FROM salaries, custmers",
		"SELECT nosuch(amount) FROM salaries",
		"SELECT raise(1), nosuch(1)",
		"SELECT pg_read_file('x'), nosuch(1)",
		"DELETE FROM custmers",
		"DROP TABLE custmers",
		"SELECT * FROM orders_total",
		"SELECT 1 FROM customers WHERE ssn = 'x' AND ssm = 'x'",
		"INSERT INTO orders (id, totel) SELECT 1, 1; SELECT * FROM salaries",
		"SELECT * FROM pg_temp.custmers",
	} {
		for _, extended := range []bool{false, true} {
			if extended && strings.Contains(sql, ";") {
				continue
			}
			if got := words(t, conn, sql, extended); !strings.HasPrefix(got, "ERROR 42501: tidewaiter: ") {
				t.Errorf("%s (extended: %v)\n got: %s\nwant a denial", sql, extended, got)
			}
		}
	}
}

func TestATableMadeAMomentAgoPastTheProxyIsFound(t *testing.T) {
	p := start(t, config{tags: shopTags, sql: hiddenSQL, decider: decide(func(op *access.Operation) (access.Decision, error) {
		for _, r := range op.Statements[0].Resources {
			if r.Schema != "public" {
				return access.Decision{}, nil
			}
		}
		return access.Decision{Effect: access.Allow}, nil
	})})
	conn := p.connect(t)
	if got := words(t, conn, "SELECT * FROM just_made", false); !strings.Contains(got, "42P01") {
		t.Fatalf("before there is a table: %s", got)
	}
	direct, err := pgconn.Connect(context.Background(), p.server.DSN(p.db))
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close(context.Background())
	if _, err := direct.Exec(context.Background(), "CREATE TABLE just_made AS SELECT 1 AS id").ReadAll(); err != nil {
		t.Fatal(err)
	}
	if got := words(t, conn, "SELECT * FROM just_made", false); got != "<nil>" {
		t.Errorf("a table made a moment ago: %s", got)
	}
}

func TestAMistypedNameIsRecordedAsARefusal(t *testing.T) {
	p := start(t, config{decider: decide(shopOnly)})
	words(t, p.connect(t), "SELECT * FROM custmers", false)
	var said []string
	p.record.mu.Lock()
	defer p.record.mu.Unlock()
	for _, e := range p.record.events {
		if e.Decided != nil {
			said = append(said, e.Decided.Effect+" "+e.Decided.Text)
		}
		if e.Ended != nil {
			said = append(said, string(e.Ended.Outcome)+" "+e.Ended.Message)
		}
	}
	want := []string{"Deny SELECT * FROM custmers", `Denied relation "custmers" does not exist`}
	if !slices.Equal(said, want) {
		t.Errorf("recorded %q, want %q", said, want)
	}
}

// A protocol statement "EXECUTE q" runs whatever q is by then, also where SQL's own
// EXECUTE runs it.
func TestAStatementThatExecutesANameIsNotTakenForWhatTheNameWas(t *testing.T) {
	for name, before := range map[string]string{"the name was harmless": "PREPARE q AS SELECT 'x'::text", "the name was not there": "SELECT 1"} {
		p := start(t, config{tags: shopTags})
		conn := p.connect(t)
		ctx := context.Background()
		if _, err := conn.Exec(ctx, before).ReadAll(); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Prepare(ctx, "s1", "EXECUTE q", nil); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := conn.Prepare(ctx, "s2", "CREATE TABLE kept AS EXECUTE q", nil); err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Exec(ctx, "DEALLOCATE q").ReadAll()
		if _, err := conn.Exec(ctx, "PREPARE q AS SELECT ssn || '' FROM customers").ReadAll(); err != nil {
			t.Fatal(err)
		}
		for _, run := range []string{"EXECUTE s1", "EXPLAIN ANALYZE EXECUTE s1", "EXECUTE s2"} {
			results, err := conn.Exec(ctx, run).ReadAll()
			if err == nil {
				t.Errorf("%s: %s ran", name, run)
			}
			for _, r := range results {
				if strings.Contains(fmt.Sprintf("%s", r.Rows), "078") {
					t.Errorf("%s: %s let a value out", name, run)
				}
			}
		}
		if rows := conn.ExecPrepared(ctx, "s1", nil, nil, nil).Read().Rows; len(rows) == 0 || string(rows[0][0]) != "*****" {
			t.Errorf("%s: by the protocol it gave %q", name, rows)
		}
	}
}
