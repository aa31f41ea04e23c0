package catalog_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// reload loads, runs SQL, and loads again as the proxy does.
func reload(t *testing.T, sql string, then ...catalog.Classification) (before, after *catalog.Snapshot) {
	t.Helper()
	server := postgrestest.Shared(t)
	name := server.NewDatabase(t, shop+`CREATE TABLE customers_new (id int, ssn text); CREATE SCHEMA app;
		CREATE VIEW tax AS SELECT id, ssn FROM customers`)
	conn := connect(t, server.DSN(name))
	before = loadWith(t, conn, catalog.Options{Classifications: sensitive})
	if err := server.Exec(t.Context(), name, sql); err != nil {
		t.Fatal(err)
	}
	if then == nil {
		then = sensitive
	}
	return before, loadWith(t, conn, catalog.Options{Classifications: then, Previous: before})
}

func loadWith(t *testing.T, conn *pgconn.PgConn, options catalog.Options) *catalog.Snapshot {
	t.Helper()
	s, err := catalog.LoadWith(t.Context(), conn, options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTagsStayWithTheColumnWhateverItIsCalled(t *testing.T) {
	for _, test := range []struct{ name, sql, schema, relation, want string }{
		{"a column renamed", `ALTER TABLE customers RENAME ssn TO tax`, "public", "customers", "id name email[pii/email] tax[pii/ssn] notes"},
		{"a table renamed", `ALTER TABLE customers RENAME TO clients`, "public", "clients", "id name email[pii/email] ssn[pii/ssn] notes"},
		{"a table moved", `ALTER TABLE customers SET SCHEMA app`, "app", "customers", "id name email[pii/email] ssn[pii/ssn] notes"},
		{"a schema renamed", `ALTER TABLE customers SET SCHEMA app; ALTER SCHEMA app RENAME TO shop`, "shop", "customers", "id name email[pii/email] ssn[pii/ssn] notes"},
		{"a view renamed, and its column", `ALTER VIEW tax RENAME COLUMN ssn TO x; ALTER VIEW tax RENAME TO y`, "public", "y", "id x[pii/ssn]"},
		{"another type", `DROP VIEW tax; ALTER TABLE customers ALTER ssn TYPE bytea USING NULL, ALTER email TYPE int USING 1`, "public", "customers", "id name email[pii/email] ssn[pii/ssn] notes"},
		{
			"two tables swap their names: the old one",
			`ALTER TABLE customers RENAME TO customers_old; ALTER TABLE customers_new RENAME TO customers`,
			"public", "customers_old", "id name email[pii/email] ssn[pii/ssn] notes",
		},
		{
			"two tables swap their names: the new one",
			`ALTER TABLE customers RENAME TO customers_old; ALTER TABLE customers_new RENAME TO customers`,
			"public", "customers", "id ssn[pii/ssn]",
		},
		{
			"two columns swap their names", `ALTER TABLE customers RENAME ssn TO x; ALTER TABLE customers RENAME notes TO ssn; ALTER TABLE customers RENAME x TO notes`,
			"public", "customers", "id name email[pii/email] notes[pii/ssn] ssn[pii/ssn]",
		},
		{
			"a column dropped and another added", `DROP VIEW tax; ALTER TABLE customers DROP ssn, ADD tax text, ADD ssn int`,
			"public", "customers", "id name email[pii/email]  notes tax ssn[pii/ssn]",
		},
		{
			"a table dropped and made again", `DROP TABLE customers CASCADE; CREATE TABLE customers (ssn int, name text)`,
			"public", "customers", "ssn[pii/ssn] name",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, after := reload(t, test.sql)
			if got := tagged(t, after, test.schema, test.relation); got != test.want {
				t.Errorf("%s\n got %s\nwant %s", test.sql, got, test.want)
			}
		})
	}
}

func TestARenamedColumnIsFollowedFromLoadToLoad(t *testing.T) {
	server := postgrestest.Shared(t)
	name := server.NewDatabase(t, shop)
	conn := connect(t, server.DSN(name))
	s := loadWith(t, conn, catalog.Options{Classifications: sensitive})
	for _, rename := range []string{`ALTER TABLE customers RENAME ssn TO a`, `SELECT`, `ALTER TABLE customers RENAME a TO b`} {
		if err := server.Exec(t.Context(), name, rename); err != nil {
			t.Fatal(err)
		}
		s = loadWith(t, conn, catalog.Options{Classifications: sensitive, Previous: s})
	}
	if got := tagged(t, s, "public", "customers"); got != "id name email[pii/email] b[pii/ssn] notes" {
		t.Errorf("got %s", got)
	}
	if !slices.Equal(s.Unmatched, []string{"public.customers.ssn"}) {
		t.Errorf("a proxy that starts anew would not know the column; unmatched: %v", s.Unmatched)
	}
}

func TestAPatternThatTheOwnerWithdrewIsNotFollowed(t *testing.T) {
	_, after := reload(t, `ALTER TABLE customers RENAME ssn TO tax`, sensitive[1])
	if got := tagged(t, after, "public", "customers"); got != "id name email[pii/email] tax notes" {
		t.Errorf("got %s", got)
	}
	_, after = reload(t, `ALTER TABLE customers RENAME ssn TO tax`,
		catalog.Classification{Columns: []string{"public.customers.ssn"}, Tags: []string{"other"}})
	if got := tagged(t, after, "public", "customers"); got != "id name email tax[other] notes" {
		t.Errorf("the tags are those that the pattern has now; got %s", got)
	}
}

func TestColumnsThatHoldRowsOfATaggedTableAreTagged(t *testing.T) {
	s := load(t, `
		CREATE DOMAIN one AS customers; CREATE TYPE pair AS (a customers, b int);
		CREATE TABLE history (id int, old customers, many customers[], checked one, pairs pair[], free int[]);
		CREATE TABLE log (at int, entry history)`)
	const both = "[pii/email pii/ssn]"
	if got, want := tagged(t, s, "public", "history"), "id old"+both+" many"+both+" checked"+both+" pairs"+both+" free"; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if got, want := tagged(t, s, "public", "log"), "at entry"+both; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestTheProbeNoticesWhateverChangesWhatACatalogSays(t *testing.T) {
	server := postgrestest.Shared(t)
	name := server.NewDatabase(t, shop+`CREATE SCHEMA app; CREATE VIEW v AS SELECT 1 AS a; CREATE TYPE mood AS ENUM ('ok');
		CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TABLE other (id int);
		CREATE TRIGGER first BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION tf(); CREATE DOMAIN dom AS int;
		CREATE TYPE comp AS (a int)`)
	conn := connect(t, server.DSN(name))
	mark := func() string {
		m, err := catalog.Probe(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	before := mark()
	for _, ddl := range []string{
		`CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT $1'`,
		`CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 2'`,
		`ALTER FUNCTION f(int) SET search_path = app`, `ALTER FUNCTION f(int) SECURITY DEFINER`, `ALTER FUNCTION f(int) RENAME TO g`,
		`ALTER FUNCTION g(int) SET SCHEMA app`, `DROP FUNCTION app.g(int)`,
		`CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION tf()`, `ALTER TABLE orders DISABLE TRIGGER t`,
		`ALTER TRIGGER t ON orders RENAME TO u`, `DROP TRIGGER u ON orders`,
		`CREATE RULE r AS ON INSERT TO orders DO ALSO NOTHING`, `ALTER RULE r ON orders RENAME TO s`, `DROP RULE s ON orders`,
		`CREATE OR REPLACE VIEW v AS SELECT 2 AS a`, `ALTER VIEW v RENAME TO w`, `ALTER VIEW w SET SCHEMA app`,
		`ALTER TYPE mood ADD VALUE 'sad'`, `ALTER TYPE mood RENAME VALUE 'sad' TO 'low'`, `ALTER TYPE mood RENAME TO temper`,
		`ALTER TYPE comp ADD ATTRIBUTE b text`, `ALTER TYPE comp SET SCHEMA app`,
		`ALTER DOMAIN dom ADD CONSTRAINT c CHECK (VALUE > 0)`, `ALTER DOMAIN dom DROP CONSTRAINT c`,
		`ALTER TABLE orders ALTER total SET DEFAULT 1`, `ALTER TABLE orders ALTER total SET DEFAULT 2`,
		`ALTER TABLE orders ADD CHECK (total > 0)`, `ALTER TABLE customers RENAME ssn TO tax`, `ALTER TABLE customers RENAME TO c`,
		`ALTER TABLE c SET SCHEMA app`, `ALTER SCHEMA app RENAME TO bpp`, `CREATE TABLE kid () INHERITS (other)`, `ALTER TABLE kid NO INHERIT other`,
		`CREATE OPERATOR === (FUNCTION = pg_catalog.int4eq, LEFTARG = int, RIGHTARG = int)`, `DROP OPERATOR === (int, int)`,
		`CREATE CAST (temper AS int) WITH INOUT`, `ALTER ROLE postgres IN DATABASE ` + name + ` SET search_path = bpp`,
	} {
		if err := server.Exec(t.Context(), name, ddl); err != nil {
			t.Fatalf("%s: %v", ddl, err)
		}
		after := mark()
		if after == before {
			t.Errorf("%s goes unnoticed", ddl)
		}
		before = after
	}
	if err := server.Exec(t.Context(), name, `ANALYZE`); err != nil { // notes that other has no children any more
		t.Fatal(err)
	}
	before = mark()
	if err := server.Exec(t.Context(), name, `INSERT INTO public.orders SELECT i FROM generate_series(1, 100) i; ANALYZE`); err != nil {
		t.Fatal(err)
	}
	if mark() != before {
		t.Error("writing and analyzing are taken for DDL")
	}
}

func TestRoutinesAreLoadedWithAllThatACallNeeds(t *testing.T) {
	s := load(t, `
		CREATE SCHEMA app; CREATE EXTENSION citext;
		CREATE FUNCTION app.find(who int, INOUT n text DEFAULT 'x' || 1, OUT ssn text, VARIADIC rest int[] DEFAULT '{}') RETURNS SETOF record
			LANGUAGE sql STABLE SECURITY DEFINER SET search_path = app, "Odd, one" SET work_mem = '1MB' AS 'SELECT n, ssn FROM public.customers';
		CREATE FUNCTION app.find(int) RETURNS TABLE (a int, b text) LANGUAGE plpgsql AS 'BEGIN RETURN; END';
		CREATE FUNCTION bound(a int) RETURNS int BEGIN ATOMIC SELECT id FROM customers WHERE id = a; END;
		CREATE FUNCTION native(text) RETURNS text LANGUAGE internal AS 'upper';
		CREATE PROCEDURE pay(IN a int, OUT b int) LANGUAGE plpgsql AS 'BEGIN END';
		CREATE FUNCTION long() RETURNS text LANGUAGE sql AS $$ SELECT 1::text $$;
		CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
		CREATE TRIGGER tr BEFORE INSERT ON orders FOR EACH ROW WHEN (bound(NEW.id) > 0) EXECUTE FUNCTION tf();
		CREATE TRIGGER off BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION tf(); ALTER TABLE orders DISABLE TRIGGER off;
		CREATE RULE r AS ON DELETE TO orders DO INSTEAD NOTHING;
		CREATE DOMAIN small AS int CHECK (bound(VALUE) < 9); CREATE TABLE parts (id int, s small[]); CREATE TABLE kid (n int DEFAULT bound(1)) INHERITS (parts);
		CREATE OPERATOR === (FUNCTION = bound, RIGHTARG = int)`)
	if got := s.Routines("find"); len(got) != 2 {
		t.Fatalf("%d routines called find", len(got))
	}
	f := s.Routines("find")[0]
	if f.Schema != "app" || f.Kind != 'f' || f.Language != "sql" || !strings.Contains(f.Source, "FROM public.customers") || f.Atomic || f.Volatility != 's' ||
		!f.Definer || f.Owner != "postgres" || !slices.Equal(f.Settings, []string{`search_path=app, "Odd, one"`, "work_mem=1MB"}) || !f.Set {
		t.Errorf("%+v", f)
	}
	var modes, names string
	for _, a := range f.Arguments {
		modes, names = modes+string(a.Mode), names+a.Name+" "
	}
	if least, most := f.Inputs(); modes != "ibov" || names != "who n ssn rest " || f.Arguments[1].Default != "('x'::text || 1)" || least != 1 || most < 1000 {
		t.Errorf("%s %s %+v %d %d", modes, names, f.Arguments, least, most)
	}
	bound := s.Routines("bound")[0]
	if !bound.Atomic || !strings.Contains(bound.Source, "FROM public.customers") {
		t.Errorf("names of a body that is bound are qualified: %+v", bound)
	}
	if pay := s.Routines("pay")[0]; pay.Kind != 'p' || s.Routines("native")[0].Source != "" || s.Routines("citext_eq") != nil {
		t.Errorf("%+v", pay)
	}
	if least, most := s.Routines("pay")[0].Inputs(); least != 2 || most != 2 {
		t.Errorf("a procedure is called with its outputs: %d to %d", least, most)
	}
	orders, parts := s.Lookup("public", "orders").OID, s.Lookup("public", "parts").OID
	if tr := s.Triggers(orders); len(tr) != 1 || tr[0].Name != "tr" || tr[0].Type != 1|2|4 || tr[0].Routine != s.Routines("tf")[0].OID {
		t.Errorf("triggers: %+v", tr)
	}
	if r := s.Rules(orders); len(r) != 1 || r[0].Event != 4 || !r[0].Instead || !strings.Contains(r[0].Text, "DO INSTEAD NOTHING") {
		t.Errorf("rules: %+v", r)
	}
	if got := s.Runs(orders); !slices.Equal(got, []uint32{bound.OID}) {
		t.Errorf("the condition of a trigger runs %v", got)
	}
	if got := s.Runs(parts); len(got) != 3 || got[0] != bound.OID { // its own domain, the child's default and the child's domain
		t.Errorf("a domain, and the default of a child: %v", got)
	}
	if got := s.OperatorRoutines("==="); !slices.Equal(got, []uint32{bound.OID}) {
		t.Errorf("the function of an operator: %v", got)
	}
}
