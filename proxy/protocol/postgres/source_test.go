package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// masking is a policy that allows what is understood, and masks by one mask that may
// be changed.
type masking struct {
	mask     atomic.Pointer[access.Mask]
	revision atomic.Uint64
	inResult string // a tag that is redacted in results, whatever mask says
}

func maskingBy(m access.Mask) *masking {
	d := &masking{}
	d.use(m)
	return d
}

func (d *masking) use(m access.Mask) {
	d.revision.Add(1)
	d.mask.Store(&m)
}

func (d *masking) Masks(_ context.Context, tags []string) (map[string]access.Mask, uint64, error) {
	masks := map[string]access.Mask{}
	for _, tag := range tags {
		if masks[tag] = *d.mask.Load(); tag == d.inResult {
			masks[tag] = access.Mask{Strategy: "Redact"}
		}
	}
	return masks, d.revision.Load(), nil
}

func (d *masking) Decide(ctx context.Context, _ access.Identity, op *access.Operation) (access.Decision, error) {
	decision, err := allowUnderstood(op)
	for i := range op.Statements {
		for _, r := range op.Statements[i].Resources {
			more, _, _ := d.Masks(ctx, r.Tags)
			if decision.Masks == nil {
				decision.Masks = map[string]access.Mask{}
			}
			for tag, m := range more {
				decision.Masks[tag] = m
			}
		}
	}
	return decision, err
}

var redactAtSource = access.Mask{Strategy: "Redact", Mode: "Source"}

// rows runs a text by the simple protocol and returns its values, or its error.
func rows(conn *pgconn.PgConn, text string) string {
	results, err := conn.Exec(context.Background(), text).ReadAll()
	if err != nil {
		return err.Error()
	}
	var lines []string
	for _, r := range results {
		for _, row := range r.Rows {
			var values []string
			for _, v := range row {
				values = append(values, string(v))
			}
			lines = append(lines, strings.Join(values, " "))
		}
	}
	return strings.Join(lines, "|")
}

func TestAtTheSourceNothingInAStatementSeesARealValue(t *testing.T) {
	p := start(t, config{decider: maskingBy(redactAtSource), tags: shopTags})
	conn := p.connect(t)
	for _, c := range []struct{ text, want string }{
		{"SELECT id, ssn FROM customers ORDER BY id", "1 *****|2 *****"},
		{"SELECT count(*) FROM customers WHERE ssn = '078-05-1120'", "0"},
		{"SELECT count(*) FROM customers WHERE ssn = '*****'", "2"},
		{"SELECT length(ssn), reverse(email) FROM customers WHERE id = 1", "5 *****"},
		{"SELECT ssn, count(*) FROM customers GROUP BY ssn", "***** 2"},
		{"SELECT c FROM customers c WHERE id = 1", `(1,Ada,*****,*****)`},
		{"SELECT tax FROM contacts", "*****|*****"},
		{"ANALYZE customers; SELECT attname, most_common_vals, histogram_bounds FROM pg_stats WHERE tablename = 'customers' AND attname = 'ssn'", "ssn  "},
		{"SELECT count(*) FROM pg_stats WHERE tablename = 'customers' AND histogram_bounds::text LIKE '%078%'", "0"},
		{"SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_stat_activity%'", "0"},
		{"SELECT public.customers.ssn FROM public.customers WHERE public.customers.id = 1", "*****"},
		{"CREATE TEMP TABLE k AS SELECT * FROM customers; SELECT ssn FROM k", "*****|*****"},
		{"BEGIN; DECLARE k CURSOR FOR TABLE customers; FETCH 1 FROM k; COMMIT", "1 Ada ***** *****"},
		{"PREPARE q AS SELECT ssn FROM customers WHERE id = $1; EXECUTE q(2)", "*****"},
		{"EXECUTE q(1)", "*****"},
		{"INSERT INTO customers VALUES (3, 'Edith', 'e@example.org', '1') RETURNING id", "3"},
		{"UPDATE customers SET ssn = '2' WHERE id = 3 RETURNING name", "Edith"},
		{"SELECT id FROM customers WHERE id = 3 FOR UPDATE", "3"},
		{"DELETE FROM customers WHERE id = 3 RETURNING id", "3"},
	} {
		if got := rows(conn, c.text); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.text, got, c.want)
		}
	}
	if got := rows(conn, "UPDATE customers SET name = 'x' WHERE ssn = '078-05-1120'"); !strings.Contains(got, "UPDATE of public.customers would read column ssn") {
		t.Errorf("got %s", got)
	}
	var copied strings.Builder
	if _, err := conn.CopyTo(context.Background(), &copied, "COPY customers TO STDOUT (FORMAT csv)"); err != nil || copied.String() != "1,Ada,*****,*****\n2,Grace,*****,*****\n" {
		t.Errorf("COPY: %q, %v", copied.String(), err)
	}
	for _, e := range p.record.events {
		if e.Decided != nil && strings.Contains(e.Decided.Text, "CASE WHEN") {
			t.Errorf("the recording must have the client's own text, and has %q", e.Decided.Text)
		}
	}
}

// Which name is a WITH query and which the table is for the server to say; taken for
// the wrong one, the table would be read as it is.
func TestAtTheSourceNamesOfQueriesDoNotHideTheTable(t *testing.T) {
	p := start(t, config{decider: maskingBy(redactAtSource), tags: shopTags})
	conn := p.connect(t)
	for _, text := range []string{
		"WITH customers AS (SELECT * FROM customers) SELECT ssn || '!' FROM customers",
		"WITH a AS (SELECT ssn || '!' FROM customers), customers AS (SELECT 1) SELECT * FROM a",
		"WITH RECURSIVE a AS (SELECT * FROM customers), customers AS (SELECT '*****') SELECT * FROM a",
		"WITH customers AS (SELECT 1 AS ssn) SELECT ssn::text || '!' FROM public.customers",
		"SELECT (WITH customers AS (SELECT 1) SELECT count(*) FROM customers), ssn || '!' FROM customers",
		"SELECT * FROM (WITH customers AS (SELECT 1) TABLE customers) x, (SELECT ssn || '!' FROM customers) y",
		"WITH customers AS (SELECT 1) INSERT INTO orders SELECT 100 + row_number() OVER (), length(ssn) FROM public.customers RETURNING total",
		"WITH x AS (WITH customers AS (SELECT 1) SELECT * FROM customers) SELECT ssn || '!' FROM customers, x",
		"WITH customers AS MATERIALIZED (SELECT * FROM customers WHERE ssn IS NOT NULL) SELECT string_agg(ssn, ',') FROM customers",
		"WITH RECURSIVE customers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM customers WHERE n < 3) SELECT n, (SELECT max(c.ssn) || '!' FROM public.customers c) FROM customers",
		"WITH x AS (UPDATE orders SET total = length(ssn) FROM customers c WHERE orders.id = c.id RETURNING total) SELECT * FROM x",
		"SELECT customers.ssn || '!' FROM orders customers (id, ssn), customers c WHERE c.id = customers.id",
		"SELECT j.ssn || '!' FROM (customers c JOIN orders o USING (id)) j",
		"SELECT x || '!' FROM customers c, LATERAL (SELECT c.ssn) l (x)",
		"SELECT x || '!' FROM customers, unnest(ARRAY[ssn]) x",
		"SELECT ssn || '!' FROM customers NATURAL JOIN contacts",
		"SELECT c.row_to_json FROM customers c",
		"(SELECT ssn || '!' FROM customers LIMIT 1) UNION (SELECT tax || '!' FROM contacts) EXCEPT SELECT 'x'",
		"VALUES ((SELECT ssn || '!' FROM customers LIMIT 1))",
		"SELECT ARRAY(SELECT ssn FROM customers), ROW((SELECT email FROM customers LIMIT 1))",
	} {
		got := rows(conn, text)
		for _, secret := range []string{"078", "219", "11", "9999"} {
			if strings.Contains(got, secret) {
				t.Errorf("%s: %s", text, got)
			}
		}
		if !strings.Contains(got, "*****") && !strings.Contains(got, "5") && !strings.Contains(got, "1!") {
			t.Errorf("%s: nothing masked in %s", text, got)
		}
	}
}

// What runs inside the database reads the table itself: nobody rewrites the body of a
// function. Its values have to be masked in the result, whatever is known of it.
func TestAtTheSourceAFunctionsOwnReadingIsMaskedInTheResult(t *testing.T) {
	p := start(t, config{decider: maskingBy(redactAtSource), tags: shopTags, sql: shopSQL + `
CREATE FUNCTION number_of(n int) RETURNS text STABLE LANGUAGE sql AS 'SELECT ssn FROM public.customers WHERE id = n';
CREATE FUNCTION spelled(n int) RETURNS text STABLE LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT reverse(ssn) FROM public.customers WHERE id = n); END'`})
	conn := p.connect(t)
	for _, text := range []string{
		"SELECT number_of(1)", "SELECT number_of(id) || '' FROM customers", "SELECT * FROM number_of(2)", "SELECT spelled(id), ssn FROM customers",
		"SELECT string_agg(number_of(id), ',') FROM orders WHERE id < 3", "SELECT number_of(1)::int",
	} {
		got := rows(conn, text)
		for _, secret := range []string{"078", "219", "0211", "9999"} {
			if strings.Contains(got, secret) {
				t.Errorf("%s: %s", text, got)
			}
		}
	}
}

func TestATableMayHaveMasksOfBothModes(t *testing.T) {
	d := maskingBy(access.Mask{Strategy: "Null", Mode: "Source"})
	d.inResult = "pii/email"
	p := start(t, config{decider: d, tags: shopTags})
	conn := p.connect(t)
	for text, want := range map[string]string{
		"SELECT email, ssn, id FROM customers ORDER BY id":                                    "*****  1|*****  2",
		"SELECT id FROM customers WHERE email = 'ada@example.org'":                            "1",
		"SELECT count(*) FROM customers WHERE ssn IS NULL":                                    "2",
		"SELECT upper(email) || ssn, upper(email) FROM customers LIMIT 1":                     " *****",
		"PREPARE q AS SELECT email, ssn FROM customers; EXECUTE q":                            "***** |***** ",
		"UPDATE customers SET name = 'x' WHERE email = 'ada@example.org' RETURNING email, id": "***** 1",
	} {
		if got := rows(conn, text); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	var copied strings.Builder
	if _, err := conn.CopyTo(context.Background(), &copied, "COPY customers (email, id, ssn) TO STDOUT"); err != nil || copied.String() != "*****\t2\t\\N\n*****\t1\t\\N\n" {
		t.Errorf("COPY: %q, %v", copied.String(), err)
	}
}

func TestAtTheSourceAPreparedStatementKeepsItsParameters(t *testing.T) {
	p := start(t, config{decider: maskingBy(access.Mask{Strategy: "Partial", KeepLast: 4, Mode: "Source"}), tags: shopTags})
	conn := p.connect(t)
	for _, format := range []int16{0, 1} {
		r := conn.ExecParams(context.Background(), "SELECT ssn FROM customers WHERE id = $1 AND ssn = $2", [][]byte{[]byte("1"), []byte("***1120")}, nil, nil, []int16{format}).Read()
		if r.Err != nil || len(r.Rows) != 1 || string(r.Rows[0][0]) != "***1120" {
			t.Errorf("format %d: %q, %v", format, r.Rows, r.Err)
		}
	}
	typed := conn.ExecParams(context.Background(), "SELECT $1, ssn FROM customers WHERE id = 1", [][]byte{[]byte("7")}, []uint32{20}, nil, nil).Read()
	if typed.Err != nil || typed.FieldDescriptions[0].DataTypeOID != 20 {
		t.Errorf("the type of a parameter was not kept: %+v, %v", typed.FieldDescriptions, typed.Err)
	}
}

func TestAtTheSourceAnErrorHasNoPlaceInATextThatTheClientDoesNotKnow(t *testing.T) {
	p := start(t, config{decider: maskingBy(redactAtSource), tags: shopTags})
	conn := p.connect(t)
	for _, run := range []func(string) error{
		func(text string) error { _, err := conn.Exec(context.Background(), text).ReadAll(); return err },
		func(text string) error { _, err := conn.Prepare(context.Background(), "", text, nil); return err },
	} {
		var failure *pgconn.PgError
		if err := run("SELECT ssn::nosuch FROM customers"); !errors.As(err, &failure) || failure.Position != 0 || failure.Code != "42704" {
			t.Errorf("got %+v", failure)
		}
	}
}

func TestAtTheSourceWhatWasPreparedUnderAnotherPolicyIsPreparedAgain(t *testing.T) {
	d := maskingBy(access.Mask{Strategy: "Redact"})
	p := start(t, config{decider: d, tags: shopTags})
	conn := p.connect(t)
	const text = "SELECT ssn FROM customers ORDER BY id"
	run := func() string {
		r := conn.ExecPrepared(context.Background(), "s", nil, nil, nil).Read()
		if r.Err != nil {
			return r.Err.Error()
		}
		return fmt.Sprintf("%s", slices.Concat(r.Rows...))
	}
	prepare := func(name string) {
		t.Helper()
		if _, err := conn.Prepare(context.Background(), name, text, nil); err != nil {
			t.Fatal(err)
		}
	}
	prepare("s")
	rows(conn, "PREPARE q AS "+text)
	if got := run(); got != "[***** *****]" {
		t.Fatalf("got %s", got)
	}
	d.use(access.Mask{Strategy: "Null", Mode: "Source"})
	if got := run(); !strings.Contains(got, "26000") {
		t.Errorf("masked in the result, it runs under a policy that masks at the source: %s", got)
	}
	if got := rows(conn, "EXECUTE q"); !strings.Contains(got, "0A000") {
		t.Errorf("EXECUTE: %s", got)
	}
	rows(conn, "DEALLOCATE s")
	prepare("s")
	if got := run(); got != "[ ]" {
		t.Errorf("prepared again: %s", got)
	}
	d.use(redactAtSource)
	if got := run(); !strings.Contains(got, "26000") {
		t.Errorf("the masks have changed: %s", got)
	}
}

// A policy that changes between the question for masks and the decision must not let
// a statement run that was prepared for the other.
func TestAtTheSourceAPolicyThatChangesMeanwhileRefuses(t *testing.T) {
	d := maskingBy(redactAtSource)
	p := start(t, config{decider: changing{d}, tags: shopTags})
	conn := p.connect(t)
	if got := rows(conn, "SELECT ssn FROM customers"); !strings.Contains(got, "the policy has changed") {
		t.Errorf("got %s", got)
	}
	if got := rows(conn, "SELECT 1"); got != "1" {
		t.Errorf("got %s", got)
	}
}

// changing says of masks what its policy will not say when it decides.
type changing struct{ *masking }

func (c changing) Masks(ctx context.Context, tags []string) (map[string]access.Mask, uint64, error) {
	masks, revision, err := c.masking.Masks(ctx, tags)
	for tag := range masks {
		masks[tag] = access.Mask{Strategy: "Redact"}
	}
	return masks, revision, err
}

// The catalog is some seconds old when somebody renames columns past the proxy. Until
// it is loaded again, a name in a sub-select may stand for the protected column, and
// the server's word is what shows it.
func TestAtTheSourceAColumnThatTheServerAttestsToBeRealIsNotShown(t *testing.T) {
	for name, run := range map[string]func(*pgconn.PgConn) string{
		"simple": func(conn *pgconn.PgConn) string { return rows(conn, "SELECT name FROM customers WHERE id = 1") },
		"extended": func(conn *pgconn.PgConn) string {
			r := conn.ExecParams(context.Background(), "SELECT name FROM customers WHERE id = $1", [][]byte{[]byte("1")}, nil, nil, nil).Read()
			return fmt.Sprintf("%s %v", r.Rows, r.Err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, config{decider: maskingBy(redactAtSource), tags: shopTags})
			conn := p.connect(t)
			if got := rows(conn, "SELECT name FROM customers WHERE id = 1"); got != "Ada" {
				t.Fatalf("got %s", got)
			}
			if err := p.server.Exec(context.Background(), p.db, "ALTER TABLE customers RENAME name TO n; ALTER TABLE customers RENAME ssn TO name; ALTER TABLE customers RENAME n TO ssn"); err != nil {
				t.Fatal(err)
			}
			if got := run(conn); strings.Contains(got, "078") || !strings.Contains(got, "the result was dropped") {
				t.Errorf("got %s; want the result dropped", got)
			}
		})
	}
}
