package catalog_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const shop = `
CREATE TABLE customers (id int PRIMARY KEY, name text, email text, ssn text, notes text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers (id), total numeric);
`

var sensitive = []catalog.Classification{
	{Columns: []string{"public.customers.ssn"}, Tags: []string{"pii/ssn"}},
	{Columns: []string{"*.*.email"}, Tags: []string{"pii/email"}},
}

func load(t *testing.T, sql string, trusted ...string) *catalog.Snapshot {
	t.Helper()
	server := postgrestest.Shared(t)
	conn := connect(t, server.DSN(server.NewDatabase(t, shop+sql)))
	s, err := catalog.Load(t.Context(), conn, sensitive, trusted...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func connect(t *testing.T, dsn string) *pgconn.PgConn {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// tagged renders a relation's columns as "id name email[pii/email]".
func tagged(t *testing.T, s *catalog.Snapshot, schema, name string) string {
	t.Helper()
	r := s.Lookup(schema, name)
	if r == nil {
		t.Fatalf("%s.%s is not in the catalog", schema, name)
	}
	var parts []string
	for _, c := range r.Columns {
		text := c.Name
		if tags := s.TagsOf(r.OID, c.Num); len(tags) > 0 {
			text += "[" + strings.Join(tags, " ") + "]"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " ")
}

func TestTagsFollowTheValuesThroughTheSchema(t *testing.T) {
	for _, test := range []struct{ name, sql, relation, want string }{
		{"a table", ``, "customers", "id name email[pii/email] ssn[pii/ssn] notes"},
		{"a column renamed by a view", `CREATE VIEW v AS SELECT ssn AS a, name AS ssn FROM customers`, "v", "a[pii/ssn] ssn"},
		{
			"an expression carries what the view uses, whatever it uses it for",
			`CREATE VIEW v AS SELECT id, md5(name) AS m FROM customers WHERE ssn > '5'`, "v", "id m[pii/ssn]",
		},
		{
			"an expression of a view that uses nothing tagged",
			`CREATE VIEW v AS SELECT name, count(*) AS n FROM customers GROUP BY 1`, "v", "name n",
		},
		{
			"a whole row, which leaves no trace in pg_depend",
			`CREATE VIEW v AS SELECT id, row_to_json(c) AS j FROM customers c`, "v", "id j[pii/email pii/ssn]",
		},
		{
			"a view on a view on a view",
			`CREATE VIEW a AS SELECT ssn AS x, id FROM customers; CREATE VIEW b AS SELECT id, upper(x) AS y FROM a;
			 CREATE VIEW v AS SELECT id, y AS z FROM b`, "v", "id z[pii/ssn]",
		},
		{"a materialized view", `CREATE MATERIALIZED VIEW v AS SELECT id, ssn FROM customers`, "v", "id ssn[pii/ssn]"},
		{
			"a union", `CREATE VIEW v AS SELECT name FROM customers UNION SELECT ssn FROM customers`, "v", "name[pii/ssn]",
		},
		{
			"a view that calls a user function",
			`CREATE FUNCTION f(int) RETURNS text LANGUAGE sql AS 'SELECT ssn FROM customers WHERE id = $1';
			 CREATE VIEW v AS SELECT id, f(id) AS x FROM orders`, "v", "id x[pii/email pii/ssn]",
		},
		{
			"a view over the planner's statistics",
			`CREATE VIEW v AS SELECT starelid, stavalues1::text AS x FROM pg_statistic`, "v", "starelid x[pii/email pii/ssn]",
		},
		{
			"a generated column", `ALTER TABLE customers ADD COLUMN g text GENERATED ALWAYS AS (upper(ssn)) STORED`,
			"customers", "id name email[pii/email] ssn[pii/ssn] notes g[pii/ssn]",
		},
		{
			"from a parent to its child", `CREATE TABLE vip (level int) INHERITS (customers)`,
			"vip", "id name email[pii/email] ssn[pii/ssn] notes level",
		},
		{
			"from a child to its parent, and on to another child",
			`CREATE TABLE people (id int, ssn text); ALTER TABLE customers INHERIT people;
			 CREATE TABLE staff () INHERITS (people)`, "staff", "id ssn[pii/ssn]",
		},
		{
			"from a partition to its siblings",
			`CREATE TABLE log (day int, email text) PARTITION BY LIST (day); CREATE TABLE log1 PARTITION OF log FOR VALUES IN (1)`,
			"log1", "day email[pii/email]",
		},
		{
			"a dropped column keeps its number",
			`ALTER TABLE customers DROP COLUMN name; CREATE VIEW v AS SELECT ssn FROM customers`,
			"customers", "id  email[pii/email] ssn[pii/ssn] notes",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := tagged(t, load(t, test.sql), "public", test.relation); got != test.want {
				t.Errorf("%s\n got %s\nwant %s", test.sql, got, test.want)
			}
		})
	}
}

func TestAViewThatShowsNothingTaggedStillReadsIt(t *testing.T) {
	s := load(t, `CREATE VIEW v AS SELECT id FROM customers WHERE ssn::int > 5; CREATE VIEW w AS SELECT * FROM v;
		CREATE VIEW o AS SELECT id FROM orders`)
	for name, want := range map[string]bool{"v": true, "w": true, "o": false} {
		if r := s.Lookup("public", name); r.Reads != want || r.Tags != nil {
			t.Errorf("%s: reads %v, carries %v", name, r.Reads, r.Tags)
		}
	}
}

func TestATrustedFunctionCarriesNothingOfItsOwn(t *testing.T) {
	s := load(t, `CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT $1'; CREATE VIEW v AS SELECT id, f(id) AS x FROM orders`,
		"public.f(integer)")
	if got := tagged(t, s, "public", "v"); got != "id x" {
		t.Errorf("got %s", got)
	}
}

func TestValuesOfColumnsInSystemRelationsAreTagged(t *testing.T) {
	s := load(t, ``)
	const all = "[pii/email pii/ssn]"
	for relation, column := range map[string]string{
		"pg_stats": "most_common_vals", "pg_stats_ext": "most_common_vals", "pg_stat_activity": "query",
		"pg_statistic": "stavalues1",
	} {
		if got := tagged(t, s, "pg_catalog", relation); !strings.Contains(got, " "+column+all) {
			t.Errorf("%s: %s", relation, got)
		}
	}
	toast := tagged(t, s, "pg_toast", fmt.Sprintf("pg_toast_%d", s.Lookup("public", "customers").OID))
	if !strings.Contains(toast, "chunk_data"+all) {
		t.Errorf("the TOAST table of customers: %q", toast)
	}
}

func TestAnAttestationIsAnsweredWithoutAllocating(t *testing.T) {
	s := load(t, ``)
	customers, orders := s.Lookup("public", "customers").OID, s.Lookup("public", "orders").OID
	for _, test := range []struct {
		name     string
		relation uint32
		number   int16
		tags     []string
		known    bool
	}{
		{"a tagged column", customers, 4, []string{"pii/ssn"}, true},
		{"an untagged column", customers, 2, nil, true},
		{"a whole row", customers, 0, []string{"pii/email", "pii/ssn"}, true},
		{"a system column", customers, -1, nil, true},
		{"a column younger than the snapshot", customers, 6, []string{"pii/email", "pii/ssn"}, true},
		{"an untagged relation's new column", orders, 60, nil, true},
		{"a relation younger than the snapshot", 4_000_000_000, 1, nil, false},
	} {
		tags, known := s.Origin(test.relation, test.number)
		if !slices.Equal(tags, test.tags) || known != test.known {
			t.Errorf("%s: %v %v", test.name, tags, known)
		}
	}
	if got := s.TagsOf(4_000_000_000, 1); !slices.Equal(got, []string{"pii/email", "pii/ssn"}) {
		t.Errorf("an unknown relation must carry everything, not %v", got)
	}
	if n := testing.AllocsPerRun(100, func() { s.Origin(customers, 4); s.TagsOf(customers, 0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNamesThatUsersHaveTakenAreKnown(t *testing.T) {
	s := load(t, `
		CREATE SCHEMA app;
		CREATE FUNCTION app.lower(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
		CREATE FUNCTION pg_catalog.planted(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
		CREATE FUNCTION leak(customers) RETURNS text LANGUAGE sql AS 'SELECT $1.ssn';
		CREATE FUNCTION two(int, int) RETURNS int LANGUAGE sql AS 'SELECT $1';
		CREATE OPERATOR === (FUNCTION = pg_catalog.int4eq, LEFTARG = int, RIGHTARG = int);
		CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN positive AS int CHECK (VALUE > 0);
		CREATE TYPE pair AS (a int, b text); CREATE TYPE span AS RANGE (SUBTYPE = date)`)
	for _, name := range []string{"lower", "planted", "leak"} {
		if !s.UserFunction(name) {
			t.Errorf("the user's function %s is not known", name)
		}
	}
	if s.UserFunction("upper") || s.UserFunction("_pg_expandarray") {
		t.Error("a built-in function counts as a user's")
	}
	if !s.UserFieldFunction("leak") || !s.UserFieldFunction("lower") || s.UserFieldFunction("two") {
		t.Error("functions of one argument alone can be called as (value).name")
	}
	if !s.UserOperator("===") || s.UserOperator("=") {
		t.Error("=== alone is a user's operator")
	}
	if !s.HasSchema("app") || s.HasSchema("evil") || !slices.Equal(s.SearchPath, []string{"pg_catalog", "public"}) {
		t.Errorf("schemas, or the search path %v", s.SearchPath)
	}
	checkTypes(t, s)
}

func TestAnExtensionIsVouchedForFunctionByFunction(t *testing.T) {
	s := load(t, `
		CREATE EXTENSION hstore; CREATE EXTENSION pgstattuple; CREATE EXTENSION pg_surgery; CREATE EXTENSION isn;
		CREATE EXTENSION tablefunc;
		CREATE FUNCTION leak(customers) RETURNS text LANGUAGE sql AS 'SELECT $1.ssn';
		ALTER EXTENSION hstore ADD FUNCTION leak(customers);
		CREATE FUNCTION skeys(customers) RETURNS text LANGUAGE sql AS 'SELECT $1.ssn'`)
	for _, name := range []string{"akeys", "pgstattuple", "pg_relpages", "isn_weak", "normal_rand"} {
		if !s.Extended(name) || s.UserFunction(name) {
			t.Errorf("%s is not vouched for", name)
		}
	}
	for _, name := range []string{"leak", "heap_force_kill", "crosstab", "connectby"} {
		if s.Extended(name) || !s.UserFunction(name) {
			t.Errorf("%s is vouched for", name)
		}
	}
	if !s.UserFunction("skeys") {
		t.Error("a user's overload of an extension's function is not known")
	}
}

func checkTypes(t *testing.T, s *catalog.Snapshot) {
	t.Helper()
	byName := map[string]catalog.Type{}
	for oid := uint32(0); oid < 1<<17; oid++ {
		if typ, ok := s.Type(oid); ok {
			byName[typ.Name] = typ
		}
	}
	if mood := byName["mood"]; mood.Kind != 'e' || !slices.Equal(mood.Labels, []string{"sad", "ok"}) {
		t.Errorf("mood: %+v", mood)
	}
	if byName["positive"].Base != byName["int4"].OID || byName["_int4"].Elem != byName["int4"].OID || byName["point"].Elem != 0 {
		t.Errorf("positive: %+v; _int4: %+v; point: %+v", byName["positive"], byName["_int4"], byName["point"])
	}
	if pair := byName["pair"]; pair.Kind != 'c' || len(pair.Fields) != 2 || pair.Fields[1] != (catalog.Field{Name: "b", TypeOID: byName["text"].OID}) {
		t.Errorf("pair: %+v", pair)
	}
	if byName["span"].Sub != byName["date"].OID || byName["datemultirange"].Sub != byName["daterange"].OID {
		t.Errorf("span: %+v; datemultirange: %+v", byName["span"], byName["datemultirange"])
	}
	if !s.TypeNamed("public", "mood") || !s.TypeNamed("", "mood") || s.TypeNamed("pg_catalog", "mood") {
		t.Error("mood is a type of schema public")
	}
}

func TestASecondLoadOnTheSameConnectionSeesWhatChanged(t *testing.T) {
	server := postgrestest.Shared(t)
	name := server.NewDatabase(t, shop)
	conn := connect(t, server.DSN(name))
	first, err := catalog.Load(t.Context(), conn, sensitive)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Exec(t.Context(), name, `ALTER TABLE customers RENAME ssn TO tax; CREATE TABLE later (email text)`); err != nil {
		t.Fatal(err)
	}
	second, err := catalog.Load(t.Context(), conn, sensitive)
	if err != nil {
		t.Fatal(err)
	}
	if second.Version <= first.Version || !slices.Equal(second.SearchPath, first.SearchPath) {
		t.Errorf("version %d after %d, path %v after %v", second.Version, first.Version, second.SearchPath, first.SearchPath)
	}
	if got := tagged(t, second, "public", "later"); got != "email[pii/email]" {
		t.Errorf("the new table: %s", got)
	}
	if !slices.Equal(second.Unmatched, []string{"public.customers.ssn"}) || first.Unmatched != nil {
		t.Errorf("unmatched patterns: %v, then %v", first.Unmatched, second.Unmatched)
	}
}

func TestTheSearchPathIsTheOneThatASessionBeginsWithNotTheConnectionsOwn(t *testing.T) {
	server := postgrestest.Shared(t)
	name := server.NewDatabase(t, `CREATE SCHEMA app`)
	own := server.DSN(name) + "&options=-c%20search_path%3D"
	for _, test := range []struct {
		alter string
		want  []string
	}{
		{"SELECT", []string{"pg_catalog", "public"}},
		{"ALTER DATABASE " + name + " SET search_path = app, public", []string{"pg_catalog", "app", "public"}},
		{"ALTER ROLE postgres IN DATABASE " + name + " SET search_path = app", []string{"pg_catalog", "app"}},
	} {
		if err := server.Exec(t.Context(), name, test.alter); err != nil {
			t.Fatal(err)
		}
		for _, dsn := range []string{own, server.DSN(name)} {
			s, err := catalog.Load(t.Context(), connect(t, dsn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(s.SearchPath, test.want) {
				t.Errorf("after %s: %v, want %v", test.alter, s.SearchPath, test.want)
			}
		}
	}
}

func TestAClassificationThatIsNoColumnNameIsRefused(t *testing.T) {
	_, err := catalog.Load(t.Context(), nil, []catalog.Classification{{Columns: []string{"customers.ssn"}}})
	if err == nil || !strings.Contains(err.Error(), `"customers.ssn": write it as schema.table.column`) {
		t.Errorf("got %v", err)
	}
}

func TestTheServersMajorVersionIsKnown(t *testing.T) {
	server := postgrestest.Shared(t)
	conn := connect(t, server.DSN(server.NewDatabase(t, "")))
	rows, err := conn.Exec(t.Context(), "SELECT current_setting('server_version_num')::int / 10000").ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(load(t, "").Server), string(rows[0].Rows[0][0]); got != want {
		t.Errorf("PostgreSQL %s is taken for %s", want, got)
	}
}
