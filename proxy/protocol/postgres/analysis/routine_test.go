package analysis_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

const routineSchema = `
CREATE TABLE customers (id int PRIMARY KEY, name text, email text, ssn text, note text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, total numeric, note text);
CREATE TABLE log (at timestamptz DEFAULT now(), what text, who int);
CREATE SCHEMA hidden; CREATE TABLE hidden.orders (id int, note text);
`

// routineDatabase is one database for all tests of routines, which each makes anew.
var routineDatabase struct {
	once sync.Once
	conn *pgconn.PgConn
}

// withRoutines loads a catalog with these routines.
func withRoutines(t *testing.T, sql string) *catalog.Snapshot {
	t.Helper()
	return withViews(t, sql, nil)
}

func withViews(t *testing.T, sql string, views func(string, *catalog.Snapshot, []string) ([][]string, bool)) *catalog.Snapshot {
	t.Helper()
	server, d := postgrestest.Shared(t), &routineDatabase
	d.once.Do(func() {
		const name = "routines"
		if err := server.CreateDatabase(context.Background(), name, ""); err != nil {
			t.Fatal(err)
		}
		conn, err := pgconn.Connect(context.Background(), server.DSN(name))
		if err != nil {
			t.Fatal(err)
		}
		d.conn = conn
	})
	const anew = `RESET ALL; SET client_min_messages = error; DROP SCHEMA public CASCADE; DROP SCHEMA IF EXISTS hidden CASCADE; CREATE SCHEMA public;`
	if _, err := d.conn.Exec(t.Context(), anew+routineSchema+sql).ReadAll(); err != nil {
		t.Fatal(err)
	}
	s, err := catalog.LoadWith(t.Context(), d.conn, catalog.Options{Views: views, Classifications: []catalog.Classification{
		{Columns: []string{"public.customers.ssn", "hidden.orders.note"}, Tags: []string{"ssn"}},
		{Columns: []string{"public.*.email"}, Tags: []string{"email"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// summary renders what a statement is, in one line.
func summary(t *testing.T, cat *catalog.Snapshot, text string, st *analysis.State) string {
	t.Helper()
	result, err := analysis.Analyze(text, st, cat, analysis.Options{})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	s := result.Statements[len(result.Statements)-1]
	parts := []string{s.Kind}
	for _, f := range s.Features {
		parts = append(parts, "+"+f.Name)
	}
	for _, inner := range s.Inner {
		for _, r := range inner.Resources {
			if r.Access == access.AccessWrite {
				parts = append(parts, inner.Kind+":"+r.Schema+"."+r.Name)
			}
		}
	}
	slices.Sort(parts[1:])
	if s.Outputs == nil && len(s.Derived) > 0 {
		parts = append(parts, "all["+strings.Join(s.Derived, " ")+"]")
	}
	for _, o := range s.Outputs {
		parts = append(parts, o.Name+"["+strings.Join(o.Tags, " ")+"]")
	}
	if len(s.PredicateTags) > 0 {
		parts = append(parts, "where["+strings.Join(s.PredicateTags, " ")+"]")
	}
	if s.Touches {
		parts = append(parts, "touches")
	}
	return strings.Join(parts, " ")
}

func TestARoutineIsWhatItsBodyDoes(t *testing.T) {
	for _, test := range []struct{ name, sql, statement, want string }{
		{"computes", `CREATE FUNCTION f(a int, b int) RETURNS int LANGUAGE sql AS 'SELECT a + $2'`, `SELECT f(1, 2)`, `Select f[]`},
		{"of a protected argument", `CREATE FUNCTION f(a text) RETURNS text LANGUAGE sql AS 'SELECT upper(a)'`, `SELECT f(ssn) FROM customers WHERE id = 1`, `Select f[ssn] touches`},
		{"reads", `CREATE FUNCTION f(a int) RETURNS text LANGUAGE sql AS 'SELECT name FROM customers WHERE id = a'`, `SELECT f(1)`, `Select f[] touches`},
		{"reads what is protected", `CREATE FUNCTION f(a int) RETURNS text LANGUAGE sql AS 'SELECT ssn FROM customers WHERE id = a'`, `SELECT f(1)`, `Select f[ssn] touches`},
		{"BEGIN ATOMIC", `CREATE FUNCTION f(a int) RETURNS text BEGIN ATOMIC SELECT 1; SELECT ssn FROM customers WHERE id = a; END`, `SELECT f(1)`, `Select f[ssn] touches`},
		{"RETURN", `CREATE FUNCTION f(a text) RETURNS text RETURN upper(a) || 'x'`, `SELECT f(email), f('y') FROM customers WHERE id = 2`, `Select f[email] f[] touches`},
		{"a table", `CREATE FUNCTION f(a int) RETURNS TABLE (x int, y text, z text) LANGUAGE sql AS 'SELECT id, name, ssn FROM customers WHERE id > a'`, `SELECT * FROM f(1)`, `Select x[] y[] z[ssn] touches`},
		{"a table under other names", `CREATE FUNCTION f(a int) RETURNS TABLE (x int, y text, z text) LANGUAGE sql AS 'SELECT id, name, ssn FROM customers WHERE id > a'`, `SELECT q, r FROM f(1) AS t(p, q, r)`, `Select q[] r[ssn] touches`},
		{"rows of a protected table", `CREATE FUNCTION f() RETURNS SETOF customers LANGUAGE sql AS 'SELECT * FROM customers WHERE id > 1'`, `SELECT id, ssn FROM f()`, `Select id[] ssn[ssn] touches`},
		{"one row value", `CREATE FUNCTION f() RETURNS customers LANGUAGE sql AS 'SELECT c FROM customers c WHERE id = 1'`, `SELECT id FROM f()`, `Select id[email ssn] touches`},
		{"writes", `CREATE FUNCTION f(a text) RETURNS void LANGUAGE sql AS 'INSERT INTO log (what) VALUES (a)'`, `SELECT f('x')`, `Select Insert:public.log f[]`},
		{"launders its argument", `CREATE FUNCTION f(a text) RETURNS void LANGUAGE sql AS 'INSERT INTO log (what) VALUES (a)'`, `SELECT f(ssn) FROM customers WHERE id = 1`, `Select +Laundering Insert:public.log f[ssn] touches`},
		{"launders what it reads", `CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'INSERT INTO log (what) SELECT ssn FROM customers WHERE id = 1'`, `SELECT f()`, `Select +Laundering Insert:public.log f[] touches`},
		{"reads files", `CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT pg_read_file('/etc/passwd') $$`, `SELECT f()`, `Select +File f[email ssn] touches`},
		{"a default that reads", `CREATE FUNCTION g() RETURNS text LANGUAGE sql AS 'SELECT ssn FROM customers WHERE id = 1'; CREATE FUNCTION f(a text DEFAULT g()) RETURNS text LANGUAGE sql AS 'SELECT a'`, `SELECT f()`, `Select +UnknownFunction f[email ssn] touches`},
		{"calls another", `CREATE FUNCTION g(a text) RETURNS text LANGUAGE sql AS 'SELECT a || name FROM customers WHERE id = 1'; CREATE FUNCTION f(a text) RETURNS text LANGUAGE sql AS 'SELECT g(a)'`, `SELECT f(email) FROM customers WHERE id = 1`, `Select f[email] touches`},
		{"calls itself", `CREATE FUNCTION f(a int) RETURNS int LANGUAGE plpgsql AS 'BEGIN IF a < 1 THEN RETURN 0; END IF; RETURN f(a - 1); END'`, `SELECT f(3)`, `Select f[email ssn] touches`},
		{"overloads: the union", `CREATE FUNCTION f(a int) RETURNS text LANGUAGE sql AS 'SELECT ssn FROM customers WHERE id = a'; CREATE FUNCTION f(a text) RETURNS text LANGUAGE sql AS 'SELECT a'`, `SELECT f('1')`, `Select f[ssn] touches`},
		{"overloads: one is not understood", `CREATE FUNCTION f(a int) RETURNS text LANGUAGE internal AS 'int4out'; CREATE FUNCTION f(a text) RETURNS text LANGUAGE sql AS 'SELECT a'`, `SELECT f('1')`, `Select +UnknownFunction f[email ssn] touches`},
		{"overloads: another number of arguments", `CREATE FUNCTION f(a int, b int) RETURNS text LANGUAGE internal AS 'int4out'; CREATE FUNCTION f(a text) RETURNS text LANGUAGE sql AS 'SELECT a'`, `SELECT f('1')`, `Select f[]`},
		{"its own path", `CREATE FUNCTION f() RETURNS text LANGUAGE sql SET search_path = hidden AS 'SELECT note FROM orders WHERE id = 1'`, `SELECT f()`, `Select f[ssn] touches`},
		{"the caller's path", `CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT note FROM orders WHERE id = 1'`, `SELECT f()`, `Select f[]`},
		{"the path of who calls it", `CREATE FUNCTION g() RETURNS text LANGUAGE sql AS 'SELECT note FROM orders WHERE id = 1'; CREATE FUNCTION f() RETURNS text LANGUAGE sql SET search_path = hidden AS 'SELECT public.g()'`, `SELECT f()`, `Select f[ssn] touches`},
		{"the session's path below a body that is bound", `CREATE FUNCTION g() RETURNS text LANGUAGE sql AS 'SELECT note FROM orders WHERE id = 1'; CREATE FUNCTION f() RETURNS text RETURN public.g()`, `SELECT f()`, `Select f[]`},
		{"a setting that changes the reading", `CREATE FUNCTION f() RETURNS text LANGUAGE sql SET standard_conforming_strings = off AS 'SELECT 1::text'`, `SELECT f()`, `Select +UnknownFunction f[email ssn] touches`},
		{"hides a built-in function", `CREATE FUNCTION lower(a int) RETURNS text LANGUAGE sql AS 'SELECT ssn FROM customers WHERE id = a'`, `SELECT lower('X')`, `Select lower[ssn] touches`},
		{"hides a dangerous one", `CREATE FUNCTION pg_read_file(a int) RETURNS text LANGUAGE sql AS 'SELECT 1::text'`, `SELECT pg_read_file('/etc/passwd')`, `Select +UnknownFunction pg_read_file[email ssn] touches`},
		{"an oracle over rows", `CREATE FUNCTION f(a text) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM customers WHERE ssn = a'`, `SELECT f(note) FROM orders WHERE id = 1`, `Select +Inference f[] where[ssn] touches`},
		{"a question", `CREATE FUNCTION f(a text) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM customers WHERE ssn = a'`, `SELECT f('1-2-3')`, `Select f[] where[ssn] touches`},
		{"a column of the parameter's name wins", `CREATE FUNCTION f(ssn int) RETURNS text LANGUAGE sql AS 'SELECT ssn FROM customers WHERE id = 1'`, `SELECT f(1)`, `Select f[ssn] touches`},
		{"where its arguments are unknown", `CREATE FUNCTION f(a text) RETURNS text LANGUAGE sql AS 'SELECT a'`, `CREATE TABLE x (a text DEFAULT f('1'))`, `DDL +UnknownFunction touches`},
		{"sets the path", `CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT set_config('search_path', 'hidden', false) $$`, `SELECT f()`, `Select +UnknownFunction f[email ssn] touches`},
		{"in COPY", `CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT ssn FROM customers WHERE id = 1'`, `COPY (SELECT f()) TO STDOUT`, `CopyOut f[ssn] touches`},
		{"in a prepared statement", `CREATE FUNCTION f(a int) RETURNS text LANGUAGE sql AS 'SELECT ssn FROM customers WHERE id = a'`, `PREPARE p(int) AS SELECT f($1); EXECUTE p(1)`, `Select f[ssn] touches`},
		{"in EXPLAIN", `CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'INSERT INTO log (what) VALUES (1) RETURNING what'`, `EXPLAIN ANALYZE SELECT f()`, `Explain Insert:public.log Select:public.log`},
		{"in a plan, which shows what an immutable one returns", `CREATE FUNCTION f() RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT ssn FROM customers WHERE id = 1'`, `EXPLAIN VERBOSE SELECT f()`, `Explain all[email ssn] touches`},
		{"in a cursor", `CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT ssn FROM customers WHERE id = 1'`, `DECLARE c CURSOR FOR SELECT f(); FETCH c`, `Select f[ssn] touches`},
		{"in a new table", `CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT ssn FROM customers WHERE id = 1'`, `CREATE TABLE x AS SELECT f()`, `DDL +Laundering touches`},
		{"in an argument of EXECUTE", `CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT ssn FROM customers WHERE id = 1'`, `PREPARE p(text) AS SELECT $1; EXECUTE p(f())`, `Select +Laundering all[ssn] touches`},
		{"in field notation", `CREATE FUNCTION f(c customers) RETURNS text LANGUAGE sql AS 'SELECT c.ssn'`, `SELECT (c).f, c.f FROM customers c WHERE id = 1`, `Select +UnknownFunction f[email ssn] f[email ssn] touches`},
		{"a row as its argument", `CREATE FUNCTION f(c customers) RETURNS text LANGUAGE sql AS 'SELECT c.name'`, `SELECT f(c) FROM customers c WHERE id = 1`, `Select f[email ssn] touches`},
		{"a field of what it returns", `CREATE FUNCTION f() RETURNS customers LANGUAGE sql AS 'SELECT * FROM customers WHERE id = 1'`, `SELECT (f()).name, (f()).*`, `Select all[email ssn] touches`},
		{"beside another in FROM", `CREATE FUNCTION f(a int) RETURNS TABLE (x int, y text) LANGUAGE sql AS 'SELECT id, ssn FROM customers WHERE id = a'`, `SELECT * FROM ROWS FROM (f(1), generate_series(1, 2)) WITH ORDINALITY AS t(a, b, c, d)`, `Select a[] b[ssn] c[] d[ssn] touches`},
		{"of every row", `CREATE FUNCTION f(a int) RETURNS TABLE (x int, y text) LANGUAGE sql AS 'SELECT id, ssn FROM customers WHERE id = a'`, `SELECT o.id, t.y FROM orders o, LATERAL f(o.customer_id) t WHERE o.id = 1`, `Select id[] y[ssn] touches`},
		{"a procedure", `CREATE PROCEDURE p(a int) LANGUAGE sql AS 'UPDATE orders SET total = 0 WHERE id = a'`, `CALL p(1)`, `Select Update:public.orders`},
		{"a procedure that returns", `CREATE PROCEDURE p(a int, INOUT b text) LANGUAGE plpgsql AS 'BEGIN SELECT ssn INTO b FROM customers WHERE id = a; END'`, `CALL p(1, NULL)`, `Select all[ssn] touches`},
		{"a procedure that commits", `CREATE PROCEDURE p() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'`, `CALL p()`, `DDL +UnknownFunction all[email ssn] touches`},
		{"in another language", `CREATE FUNCTION f(text) RETURNS text LANGUAGE internal AS 'upper'`, `SELECT f('x')`, `Select +UnknownFunction f[email ssn] touches`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := summary(t, withRoutines(t, test.sql), test.statement, nil); got != test.want {
				t.Errorf("%s\n%s\n got %s\nwant %s", test.sql, test.statement, got, test.want)
			}
		})
	}
}

func TestPLpgSQLIsReadByItsStatements(t *testing.T) {
	for _, test := range []struct{ name, body, want string }{
		{"arithmetic", `DECLARE b int := a * 2; c CONSTANT text NOT NULL DEFAULT 'x'; BEGIN b := b + 1; b = b+1; RETURN b || c; END`, `Select f[]`},
		{"a protected value through variables", `DECLARE v text; w text; BEGIN SELECT ssn INTO STRICT v FROM customers WHERE id = a; w := v; RETURN w; END`, `Select f[ssn] touches`},
		{"INTO first", `DECLARE v text; w text; BEGIN SELECT INTO v, w ssn, name FROM customers WHERE id = a; RETURN w; END`, `Select f[] touches`},
		{"what is not protected", `DECLARE r record; BEGIN SELECT id, name INTO r FROM customers WHERE id = a; RETURN r.name; END`, `Select f[] touches`},
		{"through a condition", `DECLARE v text; b int; BEGIN v := ssn FROM customers WHERE id = a; IF v = '1' THEN b := 1; ELSIF v > '2' THEN b := 2; ELSE b := 3; END IF; RETURN b; END`, `Select f[ssn] where[ssn] touches`},
		{"in a loop over rows", `DECLARE r record; n text; BEGIN <<l>> FOR r IN SELECT * FROM customers LOOP n := r.ssn; EXIT l WHEN a > 2; END LOOP l; RETURN n; END`, `Select +BulkSelect f[email ssn] touches`},
		{"in a loop over integers", `DECLARE n int := 0; BEGIN FOR i IN REVERSE 10..1 BY 2 LOOP n := n + i; CONTINUE WHEN n > 5; END LOOP; RETURN n; END`, `Select f[]`},
		{"in a loop over integers, comparing", `BEGIN FOR i IN 1..999 LOOP PERFORM 1 FROM customers WHERE ssn = i::text; IF found THEN RETURN i; END IF; END LOOP; END`, `Select +Inference f[] where[ssn] touches`},
		{"in a loop over an array", `DECLARE x int; n int; BEGIN FOREACH x SLICE 0 IN ARRAY ARRAY[1, 2] LOOP n := x; END LOOP; RETURN n; END`, `Select f[]`},
		{"a cursor", `DECLARE c CURSOR (k int) FOR SELECT email FROM customers WHERE id = k; v text; BEGIN FOR r IN c(a) LOOP v := r.email; END LOOP; RETURN v; END`, `Select f[email] touches`},
		{"a portal", `DECLARE c CURSOR FOR SELECT email FROM customers WHERE id = 1; BEGIN OPEN c; RETURN 'x'; END`, `Select +UnknownFunction f[email ssn] touches`},
		{"CASE", `BEGIN CASE a WHEN 1, 2 THEN RETURN 'x'; ELSE NULL; END CASE; WHILE a < 3 LOOP a := a + 1; END LOOP; LOOP EXIT; END LOOP; RETURN CASE WHEN a > 1 THEN 'y' END; END`, `Select f[]`},
		{"dynamic SQL", `BEGIN EXECUTE 'SELECT 1'; RETURN 1; END`, `Select +UnknownFunction f[email ssn] touches`},
		{"dynamic SQL in a loop", `DECLARE r record; BEGIN FOR r IN EXECUTE 'SELECT 1' LOOP END LOOP; RETURN 1; END`, `Select +UnknownFunction f[email ssn] touches`},
		{"RAISE", `BEGIN RAISE NOTICE 'ssn %, %', (SELECT ssn FROM customers WHERE id = a), a USING HINT = 'x', ERRCODE := '22000'; RETURN 1; END`, `Select +Laundering f[] touches`},
		{"RAISE after a look", `DECLARE v text; BEGIN SELECT ssn INTO v FROM customers WHERE id = a; IF v LIKE '1%' THEN RAISE EXCEPTION 'no'; END IF; RETURN 1; END`, `Select f[ssn] where[ssn] touches`},
		{"the text of an error", `BEGIN PERFORM ssn::int FROM customers WHERE id = a; RETURN 1; EXCEPTION WHEN invalid_text_representation OR SQLSTATE '22000' THEN RETURN SQLERRM; END`, `Select f[email ssn] touches`},
		{"a write", `BEGIN UPDATE orders SET note = 'x' WHERE id = a; DELETE FROM log WHERE who = a; RETURN 1; END`, `Select Delete:public.log Update:public.orders f[]`},
		{"RETURNING INTO", `DECLARE v text; BEGIN UPDATE customers SET name = 'x' WHERE id = a RETURNING ssn INTO v; RETURN v; END`, `Select Update:public.customers f[ssn] touches`},
		{"a copy", `DECLARE v text; BEGIN SELECT ssn INTO v FROM customers WHERE id = a; INSERT INTO log (what) VALUES (v); RETURN 1; END`, `Select +Laundering Insert:public.log f[] touches`},
		{"a copy that is made before the value is there", `DECLARE v text; BEGIN FOR i IN 1..2 LOOP INSERT INTO log (what) VALUES (v); SELECT ssn INTO v FROM customers WHERE id = a; END LOOP; RETURN 1; END`, `Select +Laundering Insert:public.log f[] touches`},
		{"DDL", `BEGIN CREATE TEMP TABLE t (a int); RETURN 1; END`, `Select +UnknownFunction f[email ssn] touches`},
		{"a temporary change of the path", `BEGIN PERFORM set_config('search_path', 'hidden', true); RETURN 1; END`, `Select +UnknownFunction f[email ssn] touches`},
		{"DO", `BEGIN DO 'BEGIN END'; RETURN 1; END`, `Select +UnknownFunction f[email ssn] touches`},
		{"an array", `DECLARE v int[]; BEGIN v[a] := 1; v[1:2] := ARRAY[1, 2]; RETURN v[1]; END`, `Select f[]`},
		{"a row", `#variable_conflict use_column
			DECLARE r customers; x customers.ssn%TYPE; z orders%ROWTYPE; BEGIN r.name := 'x'; SELECT * INTO z FROM orders WHERE id = a; RETURN z.note; END`, `Select f[]`},
		{"a nested block", `<<b>> DECLARE v int; BEGIN DECLARE v text; BEGIN SELECT email INTO v FROM customers WHERE id = f.a; RETURN v; END; END b;`, `Select f[email] touches`},
		{"strings and comments", `BEGIN /* EXECUTE '' */ RETURN 'EXECUTE ''x'';' || $q$ ; EXECUTE $q$; -- EXECUTE
			END`, `Select f[]`},
		{"GET DIAGNOSTICS", `DECLARE n int; BEGIN DELETE FROM log WHERE who = a; GET DIAGNOSTICS n = ROW_COUNT; RETURN n; END`, `Select Delete:public.log f[]`},
		{"ASSERT", `BEGIN ASSERT a > 0, 'no'; RETURN 1; END`, `Select f[]`},
		{"CALL of what is not known", `BEGIN CALL nobody(1); RETURN 1; END`, `Select +UnknownFunction f[email ssn] touches`},
	} {
		t.Run(test.name, func(t *testing.T) {
			cat := withRoutines(t, `SET check_function_bodies = off; CREATE FUNCTION f(a int) RETURNS text LANGUAGE plpgsql AS $body$ `+test.body+` $body$`)
			if got := summary(t, cat, `SELECT f(1)`, nil); got != test.want {
				t.Errorf("%s\n got %s\nwant %s", test.body, got, test.want)
			}
		})
	}
}

func TestReturnQueryKeepsColumnsApart(t *testing.T) {
	cat := withRoutines(t, `
		CREATE FUNCTION rows(a int) RETURNS TABLE (x int, y text) LANGUAGE plpgsql AS $$ DECLARE v text; BEGIN
			RETURN QUERY SELECT id, ssn FROM customers WHERE id = a; RETURN QUERY SELECT 1, 'x'; RETURN; END $$;
		CREATE FUNCTION next(a int) RETURNS TABLE (x int, y text) LANGUAGE plpgsql AS $$ BEGIN
			SELECT email INTO y FROM customers WHERE id = a; x := 1; RETURN NEXT; END $$`)
	for statement, want := range map[string]string{
		`SELECT * FROM rows(1)`: `Select x[] y[ssn] touches`,
		`SELECT * FROM next(1)`: `Select x[] y[email] touches`,
	} {
		if got := summary(t, cat, statement, nil); got != want {
			t.Errorf("%s\n got %s\nwant %s", statement, got, want)
		}
	}
}

func TestARoutineThatMayHaveChangedIsNotUnderstood(t *testing.T) {
	cat := withRoutines(t, `CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT note FROM orders WHERE id = 1'`)
	for name, test := range map[string]struct {
		st   *analysis.State
		text string
		want string
	}{
		"as it was":                    {nil, `SELECT f()`, `Select f[]`},
		"DDL before, in another text":  {&analysis.State{Unsettled: true}, `SELECT f()`, `Select +UnknownFunction f[email ssn] touches`},
		"DDL before, in the same text": {nil, `CREATE OR REPLACE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT ssn FROM customers'; SELECT f()`, `Select +UnknownFunction f[email ssn] touches`},
		"another path":                 {&analysis.State{PathChanged: true}, `SELECT f()`, `Select f[ssn] where[ssn] touches`},
		"a temporary table":            {&analysis.State{Temp: map[string]bool{"orders": true}}, `SELECT f()`, `Select f[]`},
	} {
		if got := summary(t, cat, test.text, test.st); got != test.want {
			t.Errorf("%s\n got %s\nwant %s", name, got, test.want)
		}
	}
}

func TestAPreparedStatementIsNotTakenForWhatItsFunctionsWere(t *testing.T) {
	before := withRoutines(t, `CREATE FUNCTION g() RETURNS text LANGUAGE sql AS 'SELECT name FROM customers WHERE id = 1'; CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT g()'`)
	result, err := analysis.Analyze(`PREPARE p AS SELECT f()`, nil, before, analysis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	prepared := result.Statements[0].Effects[0].Statement
	st := &analysis.State{Prepared: func(string) []*analysis.Statement { return []*analysis.Statement{prepared} }}
	if got := summary(t, before, `EXECUTE p`, st); got != `Select f[] touches` {
		t.Errorf("as it was: %s", got)
	}
	after := withRoutines(t, `CREATE FUNCTION g() RETURNS text LANGUAGE sql AS 'SELECT ssn FROM customers WHERE id = 1'; CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT g()'`)
	if got := summary(t, after, `EXECUTE p`, st); !strings.Contains(got, "+UnknownFunction") {
		t.Errorf("changed: %s", got)
	}
	st.Unsettled = true
	if got := summary(t, before, `EXECUTE p`, st); !strings.Contains(got, "+UnknownFunction") {
		t.Errorf("in a transaction with DDL: %s", got)
	}
}
