package analysis_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

func TestNamesResolveAsTheSessionsStateAllows(t *testing.T) {
	temp := &analysis.State{Temp: map[string]bool{"mine": true, "customers": true}}
	for _, test := range []struct {
		name, text string
		st         *analysis.State
		touches    bool
		derived    bool
	}{
		{"public.orders comes first", `SELECT max(note) FROM orders`, nil, false, false},
		{"any orders, once the path changed", `SELECT max(note) FROM orders`, &analysis.State{PathChanged: true}, true, true},
		{"a path that this text changed", `SET search_path = hidden; SELECT max(note) FROM orders`, nil, true, true},
		{"a qualified name", `SELECT max(note) FROM public.orders`, &analysis.State{PathChanged: true}, false, false},
		{"another schema", `SELECT max(note) FROM hidden.orders`, nil, true, true},
		{"an unknown relation", `SELECT max(note) FROM nowhere`, nil, true, true},
		{"a known temporary table", `SELECT max(note) FROM mine`, temp, false, false},
		{"the same, qualified", `SELECT max(note) FROM pg_temp.mine`, temp, false, false},
		{"an unknown temporary table", `SELECT max(note) FROM pg_temp.other`, temp, true, true},
		{"a temporary name that hides a protected one", `SELECT max(ssn) FROM customers`, temp, true, true},
		{"a table of this text", `CREATE TEMP TABLE t (a text); SELECT max(a) FROM t`, nil, false, false},
		{"one that was dropped again", `CREATE TABLE t (a text); DROP TABLE t; SELECT max(a) FROM t`, nil, true, true},
		{"a partition of this text", `CREATE TABLE t PARTITION OF customers DEFAULT; SELECT max(ssn) FROM t`, nil, true, true},
		{"a view of this text that could fail", `CREATE VIEW v AS SELECT id FROM customers WHERE ssn::int > 1; SELECT max(id) FROM v`, nil, true, true},
		{"the name of a FROM item to lock", `SELECT max(o.note) FROM orders o FOR UPDATE OF o`, nil, false, false},
		{"a WITH query", `WITH customers AS (SELECT 'x' AS ssn) SELECT max(ssn) FROM customers`, nil, false, false},
		{"a WITH query out of sight", `SELECT (WITH customers AS (SELECT 'x' AS ssn) SELECT ssn FROM customers), max(ssn) FROM customers`, nil, true, true},
		{"a WITH query that names itself", `WITH customers AS (SELECT ssn FROM customers) SELECT max(ssn) FROM customers`, nil, true, true},
		{"columns after a rename", `ALTER TABLE customers RENAME ssn TO x; SELECT max(name) FROM customers`, nil, true, true},
		{"columns after a rename that others do", `SELECT max(name) FROM customers`, &analysis.State{Stale: true}, true, true},
		{"a column that is not there", `SELECT max(fresh) FROM customers`, nil, true, true},
		{"columns that are not protected", `SELECT max(name) FROM customers`, nil, true, false},
	} {
		if s := last(t, test.text, test.st); s.Touches != test.touches || (len(s.Derived) > 0) != test.derived {
			t.Errorf("%s: touches %v, carries %v", test.name, s.Touches, s.Derived)
		}
	}
}

func TestANameOfSeveralStatementsIsAllOfThem(t *testing.T) {
	public, secret := last(t, `SELECT note FROM orders`, nil), last(t, `SELECT ssn, pg_read_file('x') FROM customers`, nil)
	st := &analysis.State{
		Prepared: func(string) []*analysis.Statement { return []*analysis.Statement{&public, &secret} },
		Cursor:   func(string) []*analysis.Statement { return []*analysis.Statement{&secret} },
	}
	for _, text := range []string{`EXECUTE p`, `FETCH c`, `EXPLAIN ANALYZE EXECUTE p`, `PREPARE p AS SELECT 1; EXECUTE p`} {
		s := last(t, text, st)
		if !s.Touches || !strings.Contains(features(s), analysis.File) || !s.ReturnsRows {
			t.Errorf("%s: %+v", text, s)
		}
	}
	if s := last(t, `EXECUTE p`, st); s.Outputs != nil || !slices.Contains(s.Derived, "pii/ssn") {
		t.Errorf("outputs %v, carries %v", s.Outputs, s.Derived)
	}
	if s := last(t, `CREATE TABLE t AS EXECUTE p`, st); !strings.Contains(features(s), analysis.Laundering) {
		t.Errorf("%q", features(s))
	}
}

func TestOutputsAreToldPerColumn(t *testing.T) {
	for text, want := range map[string]string{
		`SELECT id, ssn, upper(ssn), 1 FROM customers`:                                                                    "id:plain ssn:plain! upper:derived! ?column?:derived",
		`SELECT * FROM customers`:                                                                                         "id:plain name:plain ssn:plain! up:plain!",
		`SELECT count(ssn), count(*), ssn IS NULL FROM customers GROUP BY ssn`:                                            "count:derived count:derived ?column?:derived",
		`SELECT s.* FROM (SELECT name AS ssn, ssn AS name FROM customers) s`:                                              "ssn:plain name:plain!",
		`SELECT note FROM orders UNION ALL SELECT ssn FROM customers`:                                                     "note:plain!",
		`SELECT * FROM orders JOIN customers USING (id)`:                                                                  "id:plain note:plain name:plain ssn:plain! up:plain!",
		`SELECT EXISTS (SELECT ssn FROM customers), (SELECT ssn FROM customers)`:                                          "exists:derived ssn:plain!",
		`UPDATE customers SET name = 'x' WHERE id = 1 RETURNING id, ssn`:                                                  "id:plain ssn:plain!",
		`WITH RECURSIVE r(a, b) AS (SELECT 'x', ssn FROM customers UNION ALL SELECT b, b FROM r) SELECT a, 1 AS x FROM r`: "a:derived! x:derived",
		`SELECT a, b FROM (VALUES (1, 2)) AS v(a, b)`:                                                                     "a:derived b:derived",
		`SELECT f FROM generate_series(1, 3) f`:                                                                           "f:derived",
	} {
		var got []string
		for _, o := range last(t, text, nil).Outputs {
			how := map[bool]string{true: "derived", false: "plain"}[o.Derived]
			if len(o.Tags) > 0 {
				how += "!"
			}
			got = append(got, o.Name+":"+how)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s\n got %s\nwant %s", text, strings.Join(got, " "), want)
		}
	}
}

func TestCopyTellsHowItsDataIsWritten(t *testing.T) {
	for text, want := range map[string]string{
		`COPY customers TO STDOUT`:                                                    `text '\t' \x00 \x00 "\\N" id name ssn!`,
		`COPY customers (ssn, id) TO STDOUT (FORMAT csv)`:                             `csv ',' '"' '"' "" ssn! id`,
		`COPY customers (id) FROM STDIN WITH DELIMITER '|' NULL ''`:                   `text '|' \x00 \x00 "" id`,
		`COPY orders TO STDOUT WITH CSV HEADER QUOTE '~' ESCAPE '^' FORCE QUOTE note`: `csv ',' '~' '^' "" header quote[note] id note`,
		`COPY orders TO STDOUT (FORMAT csv, FORCE_QUOTE *, NULL 'nil')`:               `csv ',' '"' '"' "nil" quote* id note`,
		`COPY orders TO STDOUT WITH BINARY`:                                           `binary \x00 \x00 \x00 "" id note`,
		`COPY (SELECT id, upper(ssn) FROM customers) TO STDOUT`:                       `text '\t' \x00 \x00 "\\N" id upper!`,
		`COPY (SELECT c.*, 1 FROM nowhere c) TO STDOUT`:                               `text '\t' \x00 \x00 "\\N"`,
		`COPY nowhere TO STDOUT`:                                                      `text '\t' \x00 \x00 "\\N"`,
		`COPY customers (nothing) TO STDOUT`:                                          `text '\t' \x00 \x00 "\\N"`,
	} {
		c := last(t, text, nil).Copy
		if c == nil {
			t.Errorf("%s: no description", text)
			continue
		}
		if got := describe(c); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
	if s := last(t, `COPY orders TO '/tmp/x'`, nil); s.Copy != nil || features(s) != "BulkSelect File" {
		t.Errorf("a file of the server: %q, %v", features(s), s.Copy)
	}
	if s := last(t, `COPY orders TO STDOUT (ENCODING 'SJIS')`, nil); !strings.Contains(features(s), analysis.ParserSetting) {
		t.Errorf("another encoding: %q", features(s))
	}
}

func describe(c *analysis.Copy) string {
	character := func(b byte) string {
		if b == 0 {
			return `\x00`
		}
		return fmt.Sprintf("%q", b)
	}
	out := []string{c.Format, character(c.Delimiter), character(c.Quote), character(c.Escape), fmt.Sprintf("%q", c.Null)}
	if c.Header {
		out = append(out, "header")
	}
	if c.ForceQuoteAll {
		out = append(out, "quote*")
	}
	if c.ForceQuote != nil {
		out = append(out, fmt.Sprintf("quote%v", c.ForceQuote))
	}
	for _, col := range c.Columns {
		if len(col.Tags) > 0 {
			col.Name += "!"
		}
		out = append(out, col.Name)
	}
	return strings.Join(out, " ")
}

func TestSettingsPassWhenTheyAreKnownToBeHarmless(t *testing.T) {
	for text, want := range map[string]string{
		`SET application_name = 'x'`: "", `SET TimeZone TO 'UTC'`: "", `SET TIME ZONE INTERVAL '1' HOUR`: "", `SET enable_seqscan = off`: "",
		`SET search_path = app, public`: "", `SET search_path = ''`: "", `SET SCHEMA 'app'`: "", `RESET search_path`: "", `RESET ALL`: "",
		`SET standard_conforming_strings = on`: "", `SET NAMES 'UTF8'`: "", `SET client_min_messages = warning`: "", `SET LOCAL work_mem = '1MB'`: "",
		`SET search_path = evil`: analysis.UnsafeSetting, `SET row_security = off`: "", `SET app.x = 'y'`: analysis.UnsafeSetting,
		`SET client_min_messages = log`: analysis.UnsafeSetting, `SET log_statement = 'all'`: analysis.UnsafeSetting,
		`SET standard_conforming_strings = off`: analysis.ParserSetting, `SET backslash_quote = on`: analysis.ParserSetting,
		`SET client_encoding TO latin1`: analysis.ParserSetting, `SET ROLE NONE`: analysis.Identity,
		`SET SESSION AUTHORIZATION DEFAULT`: analysis.Identity, `ALTER SYSTEM SET work_mem = 1`: "ParserSetting ServerControl",
		`UPDATE pg_catalog.pg_settings SET setting = 'x' WHERE name = 'y'`: "",
	} {
		if got := features(last(t, text, nil)); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	for setting, want := range map[[2]string]string{
		{"search_path", "app, \"public\""}: "", {"search_path", "evil"}: analysis.UnsafeSetting,
		{"client_encoding", "UTF8"}: "", {"client_encoding", "BIG5"}: analysis.ParserSetting, {"role", "x"}: analysis.Identity,
	} {
		if got := features(*analysis.Setting(setting[0], setting[1], small())); got != want {
			t.Errorf("startup %v: %q, want %q", setting, got, want)
		}
	}
}

func TestAWriteToTheSettingsViewIsASetting(t *testing.T) {
	st := &analysis.State{}
	result, err := analysis.Analyze(`UPDATE pg_settings SET setting = 'x' WHERE name = 'y'`, st, corpus(t), analysis.Options{})
	if err != nil || features(result.Statements[0]) != analysis.ParserSetting {
		t.Errorf("%v %q", err, features(result.Statements[0]))
	}
}

func TestEffectsOnTheSessionAreTold(t *testing.T) {
	for text, want := range map[string]string{
		`BEGIN`: "Begin ", `COMMIT AND CHAIN`: "Commit ", `ROLLBACK TO a`: "RollbackTo a", `RELEASE a`: "Release a", `SAVEPOINT a`: "Savepoint a",
		`DEALLOCATE p`: "DeallocateName p", `DEALLOCATE ALL`: "DeallocateAll ", `CLOSE c`: "CloseCursor c", `CLOSE ALL`: "CloseAll ",
		`DISCARD ALL`: "DiscardAll , SetPath ", `DISCARD TEMP`: "DiscardTemp ", `LISTEN x`: "Listen x", `UNLISTEN *`: "Unlisten *",
		`SET search_path = app`: "SetSetting search_path, SetPath ", `PREPARE p AS SELECT 1`: "PrepareName p",
		`DECLARE c CURSOR FOR SELECT 1`: "DeclareCursor c", `CREATE TEMP TABLE t (a int)`: "DDL , DropName t, CreateTemp t",
		`CREATE TEMP TABLE t AS SELECT ssn FROM customers`: "DDL , DropName t", `CREATE TABLE t () INHERITS (customers)`: "DDL , DropName t",
		`DROP TABLE a, app.b`: "DDL alters, DropName a, DropName b", `CREATE INDEX ON orders (id)`: "DDL ", `DO 'x'`: "SetPath , DDL alters, DDL ",
		`ALTER TABLE orders RENAME TO o`: "DropName o, DDL alters, DropName orders", `SELECT 1`: "",
	} {
		var got []string
		for _, e := range last(t, text, nil).Effects {
			name := e.Name
			if e.Alters {
				name = "alters"
			}
			got = append(got, effectNames[e.Kind]+" "+name)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %q, want %q", text, strings.Join(got, ", "), want)
		}
	}
}

func TestATrustedFunctionIsAsGoodAsABuiltInOne(t *testing.T) {
	s := last(t, `SELECT app.app_total(id), app_total(ssn) FROM customers LIMIT 1`, nil, "app.app_total(integer)")
	if features(s) != "" || len(s.Outputs) != 2 || s.Outputs[0].Tags != nil || !slices.Equal(s.Outputs[1].Tags, []string{"pii/ssn"}) {
		t.Errorf("%q %+v", features(s), s.Outputs)
	}
}

func TestAFunctionNeedsWhatItDoes(t *testing.T) {
	for text, want := range map[string]string{
		// Of the core: of any version, by its name in pg_catalog alone.
		"SELECT upper(note), pg_catalog.count(*) FROM orders":                  "",
		"SELECT casefold(note), crc32c('x') FROM orders":                       "",
		"SELECT pg_get_sequence_data('s'), uuidv7()":                           "",
		"SELECT app.upper(note) FROM orders":                                   "UnknownFunction",
		"SELECT upperr(note) FROM orders":                                      "UnknownFunction",
		"SELECT information_schema._pg_char_max_length(25, -1)":                "",
		"SELECT information_schema._pg_planted(25, -1)":                        "UnknownFunction",
		"SELECT ts_rewrite(to_tsquery('a'), 'SELECT a, b FROM t')":             "DynamicSQL",
		"SELECT ts_rewrite(to_tsquery('a'), to_tsquery('a'), to_tsquery('b'))": "",
		"SELECT plpgsql_call_handler()":                                        "DynamicSQL",
		"SELECT pg_stat_statements_reset()":                                    "ServerControl",
		"SELECT set_limit(0.5)":                                                "UnknownFunction", // no module here
		"SELECT public.heap_force_kill('orders', NULL)":                        "ServerControl",
		"SELECT x.bt_index_check('orders')":                                    "ServerControl",
		"SELECT * FROM pg_get_wal_block_info('0/1', '0/2')":                    "Replication",
		"SELECT sepgsql_setcon('x')":                                           "Identity",
		"SELECT nextval('s'), setseed(0.5)":                                    "",
		"SELECT setseed(length(ssn)) FROM customers":                           "Laundering",
		"SELECT id FROM orders WHERE pg_sleep(0.1) IS NULL":                    "",
	} {
		if got := features(last(t, text, nil)); got != want && !(want == "" && got == "BulkSelect") && got != "BulkSelect "+want {
			t.Errorf("%s: %q instead of %q", text, got, want)
		}
	}
}

func TestARefusalSaysWhatTheClientCanDo(t *testing.T) {
	for text, code := range map[string]string{
		`SELEC 1`: "42601", `SELECT 1 FROM`: "42601", "SELECT 1" + strings.Repeat("+1", 30_000): "54001", "SELECT '\xff'": "22021",
	} {
		_, err := analysis.Analyze(text, nil, small(), analysis.Options{})
		var r *analysis.Refusal
		if !errors.As(err, &r) || r.Code != code || r.Hint == "" {
			t.Errorf("%.20s: %+v", text, r)
		}
	}
	if _, err := analysis.Analyze(`SELECT 1`, nil, nil, analysis.Options{}); err == nil {
		t.Error("without a catalog nothing may be understood")
	}
	if result, err := analysis.Analyze(" ; -- nothing", nil, small(), analysis.Options{}); err != nil || !result.Empty {
		t.Errorf("an empty text: %+v %v", result, err)
	}
}

func TestEachStatementKnowsItsText(t *testing.T) {
	var got []string
	for _, s := range analyze(t, " SELECT 1 ; /* x */ SELECT 'ü;' ;DELETE FROM orders -- y", nil) {
		got = append(got, s.Text)
	}
	if want := []string{"SELECT 1", "/* x */ SELECT 'ü;'", "DELETE FROM orders -- y"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// FuzzAnalyze: no text may crash the analyzer, and the facts of one that is
// understood must be in order.
func FuzzAnalyze(f *testing.F) {
	for _, file := range []string{"exfil.tsv", "benign.tsv"} {
		for _, r := range rows(f, file) {
			f.Add(r.sql)
		}
	}
	st := &analysis.State{Temp: map[string]bool{"t": true}}
	f.Fuzz(func(t *testing.T, text string) {
		result, err := analysis.Analyze(text, st, small(), analysis.Options{})
		if err != nil {
			var r *analysis.Refusal
			if !errors.As(err, &r) || r.Code == "" || r.Code == "XX000" || result != nil {
				t.Fatalf("%q: %v %v", text, result, err)
			}
			return
		}
		for _, s := range result.Statements {
			for _, fact := range s.Facts() {
				if len(fact.Tags) > 0 && s.Kind == "" && !s.Touches {
					t.Fatalf("%q carries tags and does not touch", text)
				}
			}
			for _, o := range s.Outputs {
				if !catalog.Contains(s.Derived, o.Tags) && s.ReturnsRows && s.Kind != analysis.KindExplain {
					t.Fatalf("%q: output %+v is not in %v", text, o, s.Derived)
				}
			}
		}
	})
}
