package analysis_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// small is a catalog that needs no server.
func small() *catalog.Snapshot {
	const text, integer = 25, 23
	ssn := []string{"pii/ssn"}
	return catalog.New(1, catalog.Content{
		SearchPath: []string{"pg_catalog", "public"},
		Schemas:    []string{"pg_catalog", "public", "app", "hidden"},
		Functions:  []string{"app_total", "lower"}, FieldFunctions: []string{"app_total"},
		Operators: []string{"@@@"},
		Relations: []catalog.Relation{
			{OID: 100, Schema: "public", Name: "customers", Kind: 'r', Columns: []catalog.Column{
				{Name: "id", Num: 1, TypeOID: integer},
				{Name: "name", Num: 2, TypeOID: text},
				{Name: "ssn", Num: 3, TypeOID: text, Tags: ssn},
				{Num: 4, Dropped: true},
				{Name: "up", Num: 5, TypeOID: text, Tags: ssn, Generated: true},
			}},
			{OID: 101, Schema: "public", Name: "orders", Kind: 'r', Columns: []catalog.Column{
				{Name: "id", Num: 1, TypeOID: integer}, {Name: "note", Num: 2, TypeOID: text},
			}},
			{OID: 102, Schema: "hidden", Name: "orders", Kind: 'r', Columns: []catalog.Column{
				{Name: "id", Num: 1, TypeOID: integer}, {Name: "note", Num: 2, TypeOID: text, Tags: ssn},
			}},
		},
	})
}

func analyze(t *testing.T, text string, st *analysis.State, trusted ...string) []analysis.Statement {
	t.Helper()
	result, err := analysis.Analyze(text, st, small(), analysis.Options{Trusted: trusted})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return result.Statements
}

func last(t *testing.T, text string, st *analysis.State, trusted ...string) analysis.Statement {
	t.Helper()
	all := analyze(t, text, st, trusted...)
	return all[len(all)-1]
}

func features(s analysis.Statement) string {
	var names []string
	for _, fact := range s.Facts() {
		for _, f := range fact.Features {
			if f.Construct == "" || f.Effect == "" {
				return f.Name + " says nothing of itself"
			}
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}

// wrappings are ways to say the same in other words.
var wrappings = map[string]func(string) string{
	"upper case":         func(q string) string { return strings.ToUpper(q) },
	"comments":           func(q string) string { return strings.ReplaceAll(q, " ", "/* /* $$ */ */") },
	"white space":        func(q string) string { return strings.ReplaceAll(q, " ", "\n\f\t") },
	"a CTE":              func(q string) string { return "WITH x AS (" + q + ") SELECT * FROM x" },
	"a sub-select":       func(q string) string { return "SELECT (SELECT x FROM (" + q + ") AS x(x))" },
	"a lateral join":     func(q string) string { return "SELECT l.* FROM orders CROSS JOIN LATERAL (" + q + ") l" },
	"a set operation":    func(q string) string { return "SELECT NULL WHERE false UNION ALL (" + q + ")" },
	"a cursor":           func(q string) string { return "DECLARE c CURSOR FOR " + q + "; FETCH ALL FROM c" },
	"a statement":        func(q string) string { return "PREPARE p AS " + q + "; EXECUTE p" },
	"COPY":               func(q string) string { return "COPY (" + q + ") TO STDOUT" },
	"another statement":  func(q string) string { return "SELECT 1; " + q },
	"an array":           func(q string) string { return "SELECT ARRAY(" + q + ")" },
	"a data change":      func(q string) string { return "DELETE FROM orders WHERE id = 1 RETURNING (" + q + ")" },
	"a quoted statement": func(q string) string { return `PREPARE "P 1" AS ` + q + `; EXECUTE "P 1"` },
}

func TestAProtectedValueIsFollowedThroughEveryWrapping(t *testing.T) {
	for _, query := range []string{
		`select ssn from customers`, `select "ssn"::text from public."customers"`, `select U&"\0073sn" from customers`,
		`select upper(c.ssn) from customers c`, `select c from customers c`, `select ssn(c) from customers c`,
		`select (c).ssn from customers c`, `select x from customers as c(a, b, x)`, `select max(ssn) from customers`,
		`select count(nullif(ssn, 'x')) from customers`, `select nullif(ssn, 'x') is null from customers`,
		`select case when ssn = 'x' then 1 end from customers`,
	} {
		for name, wrap := range wrappings {
			if name == "upper case" && strings.Contains(query, `"`) {
				continue // quoted names keep their case
			}
			s := last(t, wrap(query), nil)
			if !s.Touches || !slices.Contains(s.Derived, "pii/ssn") || s.Kind == "" {
				t.Errorf("%s in %s: touches %v, carries %v, kind %q", query, name, s.Touches, s.Derived, s.Kind)
			}
			if len(s.Outputs) > 0 && !slices.ContainsFunc(s.Outputs, func(o analysis.Output) bool { return len(o.Tags) > 0 }) {
				t.Errorf("%s in %s: no output carries the tag", query, name)
			}
		}
	}
}

func TestADangerousCallIsSeenThroughEveryWrapping(t *testing.T) {
	for query, feature := range map[string]string{
		`select pg_read_file('/etc/passwd')`:                                         analysis.File,
		`select pg_catalog.pg_ls_dir('.')`:                                           analysis.File,
		`select "pg_read_file"('x')`:                                                 analysis.File,
		`select ('/etc/passwd'::text).pg_read_file`:                                  analysis.File,
		`select f from pg_read_file('/etc/passwd') f`:                                analysis.File,
		`select lo_get(1)`:                                                           analysis.LargeObject,
		`select query_to_xml('select 1', true, true, '')`:                            analysis.DynamicSQL,
		`select ts_rewrite('a', 'select 1')`:                                         analysis.DynamicSQL,
		`select public.dblink_exec('select 1')`:                                      analysis.ForeignData,
		`select pg_logical_slot_peek_changes('s', null, 1)`:                          analysis.Replication,
		`select no_such_function()`:                                                  analysis.UnknownFunction,
		`select app_total(id) from orders`:                                           analysis.UnknownFunction,
		`select (id).app_total from orders`:                                          analysis.UnknownFunction,
		`select orders.app_total from orders`:                                        analysis.UnknownFunction,
		`select lower('X')`:                                                          analysis.UnknownFunction, // a user's lower() may win
		`select app.upper('X')`:                                                      analysis.UnknownFunction,
		`select 1 @@@ 2`:                                                             analysis.UnknownFunction,
		`select 1 operator(app.+) 2`:                                                 analysis.UnknownFunction,
		`select 'x'::no_such_type`:                                                   analysis.UnknownFunction,
		`select set_config('role', 'postgres', false)`:                               analysis.Identity,
		`select set_config('ro' || 'le', 'x', false)`:                                analysis.ParserSetting,
		`select set_config(name, 'x', false) from pg_settings where name <> 'seed'`:  analysis.ParserSetting,
		`select set_config(name, 'x', false) from customers where name = 'seed'`:     analysis.ParserSetting,
		`select set_config('client_encoding', 'sjis', true)`:                         analysis.ParserSetting,
		`select set_config('app.x', 'y', false)`:                                     analysis.UnsafeSetting,
		`select pg_notify('c', 'x')`:                                                 analysis.Notify,
		`select setval($1, 1)`:                                                       analysis.SideEffect,
		`select pg_advisory_lock(ascii(ssn)) from customers`:                         analysis.Laundering,
		`select pg_terminate_backend(1)`:                                             analysis.ServerControl,
		`select usename from pg_catalog.pg_shadow`:                                   analysis.SecretCatalog,
		`select pg_stat_get_activity(null)`:                                          analysis.SecretCatalog,
		`select set_config(setting_name => 'a', new_value => 'b', is_local => true)`: analysis.ParserSetting,
	} {
		for name, wrap := range wrappings {
			if name == "upper case" {
				continue
			}
			if s := last(t, wrap(query), nil); s.Kind != "" && !strings.Contains(features(s), feature) {
				t.Errorf("%s in %s: %q, want %s", query, name, features(s), feature)
			}
		}
	}
}

func TestAChangeInsideAnotherStatementIsSeen(t *testing.T) {
	for text, kinds := range map[string]string{
		`WITH x AS (DELETE FROM orders RETURNING id) SELECT * FROM x`:                         "Select Delete",
		`WITH x AS (INSERT INTO orders VALUES (1) RETURNING id) UPDATE customers SET id = 1`:  "Update Insert",
		`EXPLAIN ANALYZE DELETE FROM orders`:                                                  "Explain Delete",
		`EXPLAIN (ANALYZE on, VERBOSE) WITH x AS (UPDATE orders SET id = 1) SELECT 1`:         "Explain Update Select",
		`EXPLAIN (ANALYZE false) DELETE FROM orders`:                                          "Explain",
		`COPY (DELETE FROM orders RETURNING id) TO STDOUT`:                                    "CopyOut Delete",
		`CREATE TABLE t AS SELECT 1`:                                                          "DDL Select",
		`SELECT 1 INTO t`:                                                                     "DDL Select",
		`PREPARE p AS DELETE FROM orders`:                                                     "Delete",
		`PREPARE p AS DELETE FROM orders; EXPLAIN ANALYZE EXECUTE p`:                          "Explain Delete",
		`CREATE SCHEMA s CREATE TABLE t (a int) CREATE VIEW v AS SELECT 1`:                    "DDL DDL Select DDL",
		`MERGE INTO orders o USING customers c ON o.id = c.id WHEN MATCHED THEN DO NOTHING`:   "Merge",
		`INSERT INTO orders SELECT id FROM customers ON CONFLICT DO NOTHING RETURNING orders`: "Insert",
	} {
		var got []string
		s := last(t, text, nil)
		for _, fact := range s.Facts() {
			got = append(got, fact.Kind)
		}
		if strings.Join(got, " ") != kinds {
			t.Errorf("%s: %v, want %s", text, got, kinds)
		}
	}
}

func TestAProtectedValueMustNotGoWhereItIsNotProtected(t *testing.T) {
	for _, text := range []string{
		`UPDATE customers SET name = ssn`, `UPDATE customers SET name = upper(ssn) WHERE id = 1`,
		`UPDATE customers SET (id, name) = (1, ssn)`, `UPDATE customers SET (id, name) = (SELECT id, ssn FROM customers)`,
		`UPDATE orders SET note = c.ssn FROM customers c`, `INSERT INTO orders SELECT id, ssn FROM customers`,
		`INSERT INTO orders (note, id) SELECT ssn, id FROM customers`, `INSERT INTO orders VALUES (1, (SELECT ssn FROM customers))`,
		`INSERT INTO customers (id, ssn) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = excluded.ssn`,
		`WITH x AS (SELECT ssn AS y FROM customers) INSERT INTO orders (note) SELECT y FROM x`,
		`WITH x AS (UPDATE orders SET note = (SELECT ssn FROM customers)) SELECT 1`,
		`MERGE INTO orders o USING customers c ON o.id = c.id WHEN NOT MATCHED THEN INSERT (id, note) VALUES (1, c.ssn)`,
		`CREATE TABLE t AS SELECT ssn FROM customers`, `CREATE TABLE t AS SELECT customers FROM customers`,
		`SELECT ssn INTO TEMP t FROM customers`, `CREATE VIEW v AS SELECT ssn FROM customers`,
		`CREATE MATERIALIZED VIEW v AS TABLE customers`, `CREATE TABLE t (LIKE customers)`,
		`CREATE TEMP TABLE customers (id int)`, `CREATE TABLE app.customers (id int)`, `CREATE VIEW app.customers AS SELECT 1`,
		`PREPARE p AS SELECT ssn FROM customers; CREATE TABLE t AS EXECUTE p`,
		`SELECT setseed(length(ssn) / 10.0) FROM customers`, `SELECT pg_sleep(length(ssn)) FROM customers`,
		`SELECT (length(ssn)).pg_sleep FROM customers`, `COPY customers TO PROGRAM 'cat'`,
		`SELECT nextval(ssn::regclass) FROM customers`, `INSERT INTO unknown_table SELECT ssn FROM customers`,
	} {
		if s := last(t, text, nil); !strings.Contains(features(s), analysis.Laundering) {
			t.Errorf("%s: %q", text, features(s))
		}
	}
	for _, text := range []string{
		`UPDATE customers SET ssn = $1 WHERE id = $2`, `UPDATE customers SET ssn = upper(ssn) WHERE id = 1`,
		`UPDATE customers SET name = $1 WHERE ssn = $2`, `INSERT INTO customers (id, ssn) SELECT id, ssn FROM customers WHERE id = 1`,
		`INSERT INTO customers (id, name, ssn) VALUES (1, 'a', 'b') ON CONFLICT (id) DO UPDATE SET ssn = excluded.ssn`,
		`CREATE TABLE t AS SELECT id, name FROM customers`, `CREATE VIEW v AS SELECT count(ssn) FROM customers`,
		`CREATE TABLE IF NOT EXISTS customers (id int)`, `CREATE TABLE customers (id int)`, `COPY customers FROM STDIN`,
		`INSERT INTO orders (id) SELECT id FROM customers WHERE id = 7`, `SELECT pg_sleep(1)`,
	} {
		if s := last(t, text, nil); strings.Contains(features(s), analysis.Laundering) {
			t.Errorf("%s: %q", text, features(s))
		}
	}
}

func TestComparisonsOfProtectedColumnsAreClassified(t *testing.T) {
	for where, want := range map[string]string{
		`ssn = $1`: "Equality", `$1 = ssn`: "Equality", `ssn IN ('a', 'b')`: "Equality", `ssn = ANY ($1)`: "Equality",
		`upper(ssn) = upper($1)`: "Equality", `ssn::text = 'x'`: "Equality", `ssn <> 'x'`: "Equality",
		`ssn IS DISTINCT FROM 'x'`: "Equality", `ssn IN (SELECT ssn FROM customers)`: "Equality",
		`id = 1 AND (name = 'a' OR NOT ssn = 'x')`: "Equality",
		`ssn > 'a'`: "Range", `ssn BETWEEN 'a' AND 'b'`: "Range", `ssn LIKE 'a%'`: "Pattern", `ssn ~ '^1'`: "Pattern",
		`ssn SIMILAR TO 'x'`: "Pattern", `substr(ssn, 1, 1) = '1'`: "Other", `ssn::char = '1'`: "Other", `ssn::varchar(1) = '1'`: "Other",
		`length(ssn) > 3`: "Other", `ssn = name`: "Other", `ssn = (SELECT note FROM orders)`: "Other",
		`ssn IN (SELECT note FROM orders)`: "Other", `(id, ssn) = (1, 'x')`: "Other", `ssn::boolean`: "Other",
		`coalesce(ssn, 'x') = 'y'`: "Other", `nullif(ssn, 'x') IS NULL`: "Other",
		`ssn IS NULL`: "", `ssn IS NOT NULL AND id = 4`: "", `id = 1`: "", `EXISTS (SELECT 1 FROM customers c WHERE c.ssn = '1')`: "Equality",
	} {
		s := last(t, "SELECT id FROM customers WHERE "+where, nil)
		if got := strings.Join(s.Predicates, " "); got != want {
			t.Errorf("%s: %q, want %q", where, got, want)
		}
		if (want != "") != slices.Equal(s.PredicateTags, []string{"pii/ssn"}) || len(s.Derived) > 0 {
			t.Errorf("%s: compares %v, carries %v", where, s.PredicateTags, s.Derived)
		}
	}
	for _, text := range []string{
		`SELECT id FROM customers ORDER BY ssn`, `SELECT count(*) FROM customers GROUP BY ssn`, `SELECT name FROM customers GROUP BY 1, left(ssn, 1)`,
		`SELECT DISTINCT ON (ssn) id FROM customers`, `SELECT DISTINCT ssn FROM customers`, `SELECT ssn AS x FROM customers ORDER BY x`,
		`SELECT ssn, id FROM customers ORDER BY 1`, `SELECT rank() OVER (ORDER BY ssn) FROM customers`, `SELECT ssn FROM customers UNION SELECT 'a'`,
		`SELECT string_agg(name, '' ORDER BY ssn) FROM customers`,
	} {
		if s := last(t, text, nil); !slices.Contains(s.Predicates, analysis.PredicateOrder) {
			t.Errorf("%s: %v", text, s.Predicates)
		}
	}
}

func TestChangesOfEveryRowAreTold(t *testing.T) {
	for text, want := range map[string]string{
		`DELETE FROM orders`:                                                                    analysis.UnboundedDelete,
		`DELETE FROM orders WHERE 1 = 1`:                                                        analysis.UnboundedDelete,
		`DELETE FROM orders WHERE id = id`:                                                      analysis.UnboundedDelete,
		`DELETE FROM orders WHERE id IS NOT NULL`:                                               analysis.UnboundedDelete,
		`DELETE FROM orders WHERE id = 1 OR true`:                                               analysis.UnboundedDelete,
		`DELETE FROM orders WHERE id IN (SELECT id FROM orders)`:                                analysis.UnboundedDelete,
		`DELETE FROM orders WHERE EXISTS (SELECT 1 FROM customers)`:                             analysis.UnboundedDelete,
		`UPDATE orders SET id = 1 WHERE $1`:                                                     analysis.UnboundedUpdate,
		`UPDATE orders o SET id = 1 WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = o.id)`: "",
		`DELETE FROM orders WHERE id = 1`:                                                       "",
		`DELETE FROM orders WHERE id IN (SELECT id FROM orders WHERE note = 'x')`:               "",
		`DELETE FROM orders WHERE id IN (SELECT id FROM orders ORDER BY id LIMIT 10)`:           "",
		`DELETE FROM orders WHERE true AND id = 1`:                                              "",
		`DELETE FROM orders WHERE CURRENT OF c`:                                                 "",
		`SELECT id FROM orders`:                                                                 analysis.BulkSelect,
		`SELECT id FROM orders WHERE true`:                                                      analysis.BulkSelect,
		`SELECT * FROM (SELECT * FROM orders) x`:                                                analysis.BulkSelect,
		`WITH x AS (SELECT * FROM orders) SELECT * FROM x`:                                      analysis.BulkSelect,
		`COPY orders TO STDOUT`:                                                                 analysis.BulkSelect,
		`SELECT id FROM orders LIMIT 1`:                                                         "",
		`SELECT count(*) FROM orders`:                                                           "",
		`SELECT * FROM (SELECT * FROM orders LIMIT 5) x`:                                        "",
		`SELECT 1`: "",
	} {
		if got := features(last(t, text, nil)); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestAStatementThatIsNotUnderstoodHasNoKind(t *testing.T) {
	for _, text := range []string{`EXECUTE nobody`, `FETCH ALL FROM nobody`, `COPY orders TO STDOUT (FORMAT csv, DELIMITER '||')`, `COPY orders TO STDOUT (FORMAT parquet)`} {
		if s := last(t, text, nil); s.Kind != "" || !s.Touches || len(s.Derived) == 0 {
			t.Errorf("%s: %q", text, s.Kind)
		}
	}
}

func TestASettingMayBeNamedByItsRow(t *testing.T) {
	for query, want := range map[string]string{
		`SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'`: "",
		`SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'statement_timeout'`:            "",
		`SELECT set_config(name, 'x', false) FROM pg_settings WHERE name = 'role'`:                                               analysis.Identity,
		`CREATE TEMP TABLE pg_settings (name text); SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'seed'`:    analysis.ParserSetting,
		`SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'seed' OR true`:                                       analysis.ParserSetting,
	} {
		got := ""
		for _, f := range last(t, query, nil).Features {
			if f.Name == analysis.Identity || f.Name == analysis.ParserSetting || f.Name == analysis.UnsafeSetting {
				got = f.Name
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}
