package rewrite_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/mask"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/masktype"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/rewrite"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// texts are values at the edges of what Partial looks at.
var texts = []string{
	"", "a", "ab", "abc", "abcd", "078-05-1120", "é", "éü", "日本語テキスト", "🙂🙂🙂", "  padded  ", "line\nbreak", "100% O'Brien \\ \"x\"",
	"user@example.org", "a@b.co", "@b.co", "@@b.co", "a@b", "a@b.c", "a@b.c1", "a@b.1c", "a@b.1c2d", "a@b.é", "a@é.é1", "a@b..co", "a@.co", "a@b.co.", "a b@c.de ",
	"x@y@z.example.com", "a@b-c.d-e", "a@b_c.de", "first.last+tag@sub.example.co.uk", "user@example.org\n", "a@B.CO", "a@b.c-d", "a@-.--", "é@münchen.de",
	strings.Repeat("a", 300), strings.Repeat("é", 300), "a@" + strings.Repeat("b", 250) + ".co", "a@" + strings.Repeat("b", 249) + ".co", "a@" + strings.Repeat("é", 125) + ".co",
}

var times = []string{
	"infinity", "-infinity", "2024-02-29 23:59:59.999999", "1999-12-31 00:00:00", "1970-01-01 00:00:00", "0001-01-01 12:00:00", "0001-06-15 12:34:56 BC", "0044-03-15 10:00:00 BC",
	"4713-01-01 00:00:00 BC", "4714-12-31 23:00:00 BC", "4714-12-01 00:00:00 BC", "4714-11-24 00:00:00 BC", "4714-11-24 13:14:15 BC", "294276-12-31 23:59:59", "2000-03-01 05:06:07",
}

var dates = []string{
	"infinity", "-infinity", "2024-02-29", "2023-12-31", "1970-01-01", "0001-01-01", "0001-12-31 BC", "4713-01-01 BC", "5874897-12-31", "294277-06-05", "2000-03-01", "1900-02-28",
}

// column is a type with values that its masks must be the same for in the server
// and here.
type column struct {
	sql, make string // the type, and what makes it
	values    []string
}

var columns = []column{
	{sql: "text", values: texts},
	{sql: "varchar(400)", values: texts},
	{sql: "bpchar", values: texts},
	{sql: "char(12)", values: []string{"", "a", "ab  ", "abcdefgh", "a@b.co", "éé"}},
	{sql: "name", values: []string{"", "a", "abc", "abcdef"}},
	{sql: "citext", values: texts},
	{sql: "mail", make: "CREATE DOMAIN mail AS text CHECK (VALUE <> '*****')", values: texts},
	{sql: "date", values: dates},
	{sql: "timestamp", values: times},
	{sql: "timestamptz", values: times},
	{sql: "mood", make: "CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s \\')", values: []string{"ok", "sad"}},
	{sql: "bool", values: []string{"t", "f"}},
	{sql: "int2", values: []string{"7"}},
	{sql: "int4", values: []string{"-7"}},
	{sql: "int8", values: []string{"7000000000"}},
	{sql: "float4", values: []string{"1.5", "NaN"}},
	{sql: "float8", values: []string{"1.5", "Infinity"}},
	{sql: "numeric(10,2)", values: []string{"1.50", "NaN"}},
	{sql: "money", values: []string{"12.50"}},
	{sql: "uuid", values: []string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}},
	{sql: "bytea", values: []string{`\x0102`}},
	{sql: `"char"`, values: []string{"x"}},
	{sql: "time", values: []string{"12:34:56.7"}},
	{sql: "timetz", values: []string{"12:34:56.7+05:30"}},
	{sql: "interval", values: []string{"1 year 2 days"}},
	{sql: "json", values: []string{`{"a":1}`}},
	{sql: "jsonb", values: []string{`{"a":1}`}},
	{sql: "xml", values: []string{`<a/>`}},
	{sql: "inet", values: []string{"10.1.2.3/8"}},
	{sql: "cidr", values: []string{"10.0.0.0/8"}},
	{sql: "macaddr", values: []string{"08:00:2b:01:02:03"}},
	{sql: "bit(3)", values: []string{"101"}},
	{sql: "varbit", values: []string{"101"}},
	{sql: "tsvector", values: []string{"'a' 'b'"}},
	{sql: "tsquery", values: []string{"'a' & 'b'"}},
	{sql: "point", values: []string{"(1,2)"}},
	{sql: "polygon", values: []string{"((1,2),(3,4))"}},
	{sql: "int4range", values: []string{"[1,5)"}},
	{sql: "int4multirange", values: []string{"{[1,5)}"}},
	{sql: "text[]", values: []string{"{a,b}", "{}"}},
	{sql: "mood[]", values: []string{"{ok,sad}"}},
	{sql: "hstore", values: []string{`"a"=>"b"`}},
	{sql: "pair", make: "CREATE TYPE pair AS (a text, b int)", values: []string{"(x,1)"}},
}

var specs = []access.Mask{
	{Strategy: "Redact"},
	{Strategy: "Null"},
	{Strategy: "Partial", KeepFirst: 1},
	{Strategy: "Partial", KeepLast: 4},
	{Strategy: "Partial", KeepFirst: 2, KeepLast: 3},
	{Strategy: "Partial", KeepDomain: true},
	{Strategy: "Partial", KeepDomain: true, KeepFirst: 1},
	{Strategy: "Partial", KeepDomain: true, KeepFirst: 3, KeepLast: 2},
	{Strategy: "DateTrunc", TruncateTo: "Year"},
	{Strategy: "DateTrunc", TruncateTo: "Month"},
	{Strategy: "DateTrunc", TruncateTo: "Day"},
	{Strategy: "DateTrunc", TruncateTo: "Hour"},
}

// inexact are the types that some strategies have no expression for: it is not by
// accident that nothing else is refused.
var inexact = map[string]func(m access.Mask) bool{
	"name":   func(m access.Mask) bool { return m.KeepDomain },
	"text[]": func(m access.Mask) bool { return m.Strategy == "Partial" },
	"pair":   func(m access.Mask) bool { return m.Strategy != "Null" },
}

func TestAMaskAtTheSourceIsTheValueThatTheMaskerMakes(t *testing.T) {
	server := postgrestest.Shared(t)
	var setup strings.Builder
	setup.WriteString("CREATE EXTENSION citext; CREATE EXTENSION hstore;")
	for i, c := range columns {
		fmt.Fprintf(&setup, "%s; CREATE TABLE t%d (n serial, v %s); INSERT INTO t%d (v) VALUES (NULL)", c.make, i, c.sql, i)
		for _, v := range c.values {
			fmt.Fprintf(&setup, ", ('%s')", strings.ReplaceAll(v, "'", "''"))
		}
		setup.WriteString(";")
	}
	database := server.NewDatabase(t, setup.String())
	conn := connect(t, server.DSN(database)+"&timezone=UTC")
	cat, err := catalog.Load(context.Background(), connect(t, server.DSN(database)), []catalog.Classification{{Columns: []string{"public.t*.v"}, Tags: []string{"x"}}})
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for i := range columns {
		for _, m := range specs {
			compared += compare(t, conn, cat, i, m)
		}
	}
	if compared < 3000 {
		t.Errorf("only %d values were compared", compared)
	}
}

func connect(t *testing.T, dsn string) *pgconn.PgConn {
	t.Helper()
	conn, err := pgconn.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// compare masks a column's values in both places and both formats, and returns how
// many it has compared.
func compare(t *testing.T, conn *pgconn.PgConn, cat *catalog.Snapshot, i int, m access.Mask) int {
	c, table := columns[i], fmt.Sprintf("t%d", i)
	text := "SELECT v FROM " + table + " ORDER BY n"
	plain, err := analysis.Analyze(text, nil, cat, analysis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m.Mode = "Source"
	r, err := rewrite.New(cat, map[string]access.Mask{"x": m}).Apply(text, nil, plain, analysis.Options{})
	if refuse := inexact[c.sql]; refuse != nil && refuse(m) {
		if err == nil {
			t.Errorf("%s, %+v: it is not refused: %s", c.sql, m, r.Runs)
		}
		return 0
	}
	if err != nil {
		t.Errorf("%s, %+v: %v", c.sql, m, err)
		return 0
	}
	strategy, _ := mask.ParseStrategy(m.Strategy)
	spec := mask.Spec{Strategy: strategy, KeepDomain: m.KeepDomain, KeepFirst: m.KeepFirst, KeepLast: m.KeepLast, TruncateTo: m.TruncateTo}
	masker := mask.New(masktype.Of(cat, cat.Lookup("public", table).Column("v").TypeOID), spec)
	for _, format := range []mask.Format{mask.Text, mask.Binary} {
		was, got := read(t, conn, text, format), read(t, conn, r.Runs, format)
		if len(was.Rows) != len(got.Rows) {
			t.Fatalf("%s, %+v: %d rows, %v; %s", c.sql, m, len(got.Rows), got.Err, r.Runs)
		}
		for j := range was.Rows {
			var want []byte
			if value := was.Rows[j][0]; value != nil {
				if masked, null := masker.Append([]byte{}, value, format); !null {
					want = masked
				}
			}
			if string(want) != string(got.Rows[j][0]) || (want == nil) != (got.Rows[j][0] == nil) {
				t.Errorf("%s, %+v, format %d, of %q: the server has %q, the masker %q", c.sql, m, format, was.Rows[j][0], got.Rows[j][0], want)
			}
		}
	}
	return 2 * len(c.values)
}

func read(t *testing.T, conn *pgconn.PgConn, text string, format mask.Format) *pgconn.Result {
	t.Helper()
	r := conn.ExecParams(context.Background(), text, nil, nil, nil, []int16{int16(format)}).Read()
	if r.Err != nil {
		t.Fatalf("%s: %v", text, r.Err)
	}
	return r
}
