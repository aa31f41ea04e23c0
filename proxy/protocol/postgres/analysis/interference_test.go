package analysis_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

var generated = flag.Int("generated", 600, "how many random statements the non-interference test makes")

// world is two databases that differ in nothing but the values of tagged columns.
// Whatever of a result is not masked must be the same in both, or it tells
// something of those values.
type world struct {
	conns [2]*pgconn.PgConn
	cat   [2]*catalog.Snapshot
}

const worldSchema = `
CREATE TABLE customers (id int PRIMARY KEY, name text, email text, ssn text, notes text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, total int);
CREATE TABLE keys (id int PRIMARY KEY, name text, ssn text);
CREATE VIEW contacts AS SELECT id, name, ssn AS tax, left(email, 3) AS hint FROM customers;
INSERT INTO orders SELECT i, i, i * 10 FROM generate_series(1, 3) i;
INSERT INTO customers SELECT i, 'name' || i, 'user' || i || '@%[1]s', i || '-%[1]s', 'note' || i FROM generate_series(1, 3) i;
INSERT INTO keys SELECT i, 'name' || i, i || '_%[1]s' FROM generate_series(1, 3) i;
`

func newWorld(t *testing.T) *world {
	t.Helper()
	server := postgrestest.Shared(t)
	w := &world{}
	for i, secret := range []string{"first", "other"} {
		conn, err := pgconn.Connect(t.Context(), server.DSN(server.NewDatabase(t, fmt.Sprintf(worldSchema, secret))))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		w.cat[i], err = catalog.Load(t.Context(), conn, []catalog.Classification{
			{Columns: []string{"public.customers.ssn", "public.keys.ssn"}, Tags: []string{"pii/ssn"}},
			{Columns: []string{"public.customers.email"}, Tags: []string{"pii/email"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), `SET search_path = public; SET statement_timeout = '2s'`).ReadAll(); err != nil {
			t.Fatal(err)
		}
		w.conns[i] = conn
	}
	return w
}

// shown runs a statement in one of the databases and returns what a client would
// see unmasked: the sorted rows, without the masked columns.
func (w *world) shown(t *testing.T, i int, sql string) (rows []string, ran bool) {
	t.Helper()
	result, err := analysis.Analyze(sql, nil, w.cat[i], analysis.Options{})
	if err != nil || len(result.Statements) != 1 {
		return nil, false
	}
	st := &result.Statements[0]
	if st.Kind == "" || len(st.PredicateTags) > 0 || len(st.Features) > 1 || len(st.Features) == 1 && st.Features[0].Name != analysis.BulkSelect {
		return nil, false // refused, or counted as an inference
	}
	answer := w.conns[i].ExecParams(t.Context(), sql, nil, nil, nil, nil).Read()
	if answer.Err != nil {
		return nil, false
	}
	var visible []int
	for c, f := range answer.FieldDescriptions {
		if len(maskedTags(st, w.cat[i], c, len(answer.FieldDescriptions), f)) == 0 {
			visible = append(visible, c)
		}
	}
	for _, values := range answer.Rows {
		var parts []string
		for _, c := range visible {
			parts = append(parts, fmt.Sprintf("%d=%s", c, values[c]))
		}
		rows = append(rows, strings.Join(parts, " "))
	}
	slices.Sort(rows)
	return rows, true
}

// maskedTags is the rule by which results are masked: what the server attests
// and what lineage says, or Derived where lineage does not know the columns.
func maskedTags(st *analysis.Statement, cat *catalog.Snapshot, i, columns int, f pgconn.FieldDescription) []string {
	tags, known := cat.Origin(f.TableOID, int16(f.TableAttributeNumber))
	switch {
	case len(st.Outputs) == columns:
		return catalog.Union(tags, st.Outputs[i].Tags)
	case !known:
		return st.Derived
	}
	return tags
}

func TestWhatIsShownDoesNotDependOnProtectedValues(t *testing.T) {
	w := newWorld(t)
	ran, masked := 0, 0
	for seed := range int64(*generated) {
		g := &generator{r: rand.New(rand.NewSource(seed))}
		sql, _ := g.query(3, nil)
		first, ok := w.shown(t, 0, sql)
		if !ok {
			continue
		}
		ran++
		other, ok := w.shown(t, 1, sql)
		if ok && !slices.Equal(first, other) {
			t.Errorf("seed %d shows protected values:\n%s\n%.200q\n%.200q", seed, sql, first, other)
		}
		if result, err := analysis.Analyze(sql, nil, w.cat[0], analysis.Options{}); err == nil && len(result.Statements[0].Derived) > 0 {
			masked++
		}
	}
	if ran < *generated/4 || masked < ran/10 {
		t.Errorf("of %d statements only %d ran and %d were masked: the generator is too weak", *generated, ran, masked)
	}
	t.Logf("%d of %d statements ran, %d with masked columns", ran, *generated, masked)
}

// generator makes random queries that mix names as confusingly as it can.
type generator struct {
	r     *rand.Rand
	names int
}

type table struct {
	alias   string
	columns []string
}

func (g *generator) pick(options ...string) string { return options[g.r.Intn(len(options))] }

// name draws from few names, so that they shadow each other often.
func (g *generator) name() string {
	return g.pick("id", "name", "ssn", "email", "a", "b", "c", "customers")
}

func (g *generator) query(depth int, outer []table) (sql string, columns []string) {
	with := ""
	var ctes []table
	if depth > 0 && g.r.Intn(4) == 0 {
		with, ctes = g.with(depth-1, outer)
	}
	if depth > 0 && g.r.Intn(5) == 0 {
		left, columns := g.selection(depth-1, outer, ctes, 2)
		right, _ := g.selection(depth-1, outer, ctes, 2)
		return with + left + g.pick(" UNION ALL ", " UNION ALL ", " UNION ", " INTERSECT ", " EXCEPT ") + right, columns
	}
	sql, columns = g.selection(depth, outer, ctes, 0)
	return with + sql, columns
}

func (g *generator) with(depth int, outer []table) (string, []table) {
	name := g.pick("w", "customers", "orders")
	if g.r.Intn(3) == 0 {
		base, _ := g.selection(depth, outer, nil, 3)
		columns := []string{"a", "b", g.name() + "1"}
		return fmt.Sprintf("WITH RECURSIVE %s(a, b, %s) AS (%s UNION ALL SELECT b, %s, '-' FROM %s WHERE %s.a <> '-' AND false) ",
			name, columns[2], base, columns[2], name, name), []table{{name, columns}}
	}
	query, columns := g.query(depth, outer)
	return fmt.Sprintf("WITH %s AS (%s) ", name, query), []table{{name, columns}}
}

// selection is a SELECT of width text columns; 0 means any number of any type.
func (g *generator) selection(depth int, outer, ctes []table, width int) (string, []string) {
	from, tables := g.from(depth, outer, ctes)
	scope := append(slices.Clone(tables), outer...)
	if width == 0 && g.r.Intn(6) == 0 {
		var columns []string
		for _, t := range tables {
			columns = append(columns, t.columns...)
		}
		return "SELECT * FROM " + from, columns
	}
	n, cast := width, "::text"
	if width == 0 {
		n, cast = 1+g.r.Intn(3), ""
	}
	var targets, columns []string
	for range n {
		e, name := g.expression(depth, scope), g.name()
		targets = append(targets, "("+e+")"+cast+" AS "+name)
		columns = append(columns, name)
	}
	if width == 0 && g.r.Intn(3) == 0 { // a bare reference, which the server attests
		t := tables[g.r.Intn(len(tables))]
		c := t.columns[g.r.Intn(len(t.columns))]
		targets, columns = append(targets, t.alias+"."+c), append(columns, c)
	}
	return "SELECT " + strings.Join(targets, ", ") + " FROM " + from, columns
}

func (g *generator) from(depth int, outer, ctes []table) (string, []table) {
	sql, t := g.item(depth, outer, ctes)
	tables := []table{t}
	for range g.r.Intn(2) {
		next, other := g.item(depth, outer, ctes)
		switch g.r.Intn(5) {
		case 0:
			sql += ", " + next
		case 1:
			sql += " JOIN " + next + " USING (" + g.pick(t.columns...) + ")"
		case 2:
			sql += " NATURAL JOIN " + next
		case 3:
			sql = "(" + sql + " LEFT JOIN " + next + " ON true) AS j"
			return sql, []table{{"j", append(slices.Clone(t.columns), other.columns...)}}
		default:
			lateral, columns := g.query(max(depth-1, 0), append([]table{t}, outer...))
			sql += " CROSS JOIN LATERAL (" + lateral + ") AS l"
			other = table{"l", columns}
		}
		tables = append(tables, other)
	}
	return sql, tables
}

func (g *generator) item(depth int, outer, ctes []table) (string, table) {
	g.names++
	alias := g.pick("t", "u", "ssn", "name") + fmt.Sprint(g.names)
	if len(ctes) > 0 && g.r.Intn(2) == 0 {
		return ctes[0].alias + " AS " + alias, table{alias, ctes[0].columns}
	}
	if depth > 0 && g.r.Intn(3) == 0 {
		sql, columns := g.query(depth-1, outer)
		return g.renamed("("+sql+")", alias, columns)
	}
	switch g.r.Intn(9) {
	case 6:
		return g.renamed(g.pick("generate_series(1, 2)", "unnest(ARRAY['x', 'y']) WITH ORDINALITY", "jsonb_each('{\"a\": 1}')"), alias, []string{alias, "x"})
	case 7:
		return g.renamed("jsonb_populate_record(NULL::customers, '{\"ssn\": \"x\"}')", alias, []string{"id", "name", "email", "ssn", "notes"})
	case 8:
		return g.renamed("(SELECT (c).* FROM customers c)", alias, []string{"id", "name", "email", "ssn", "notes"})
	case 0:
		return g.renamed("orders", alias, []string{"id", "customer_id", "total"})
	case 1:
		return g.renamed("keys", alias, []string{"id", "name", "ssn"})
	case 2:
		return g.renamed("contacts", alias, []string{"id", "name", "tax", "hint"})
	case 3:
		return g.renamed("(VALUES (1, 'x'), (2, 'y'))", alias, []string{"column1", "column2"})
	}
	return g.renamed("customers", alias, []string{"id", "name", "email", "ssn", "notes"})
}

func (g *generator) renamed(sql, alias string, columns []string) (string, table) {
	if g.r.Intn(4) > 0 {
		return sql + " AS " + alias, table{alias, columns}
	}
	columns = slices.Clone(columns)
	var list []string
	for i := range min(2, len(columns)) {
		columns[i] = g.name() + fmt.Sprint(i)
		list = append(list, columns[i])
	}
	return sql + " AS " + alias + "(" + strings.Join(list, ", ") + ")", table{alias, columns}
}

func (g *generator) expression(depth int, scope []table) string {
	t := scope[g.r.Intn(len(scope))]
	column := t.columns[g.r.Intn(len(t.columns))]
	ref := t.alias + "." + column
	switch g.r.Intn(24) {
	case 0:
		return column
	case 1:
		return "upper(" + ref + "::text)"
	case 2:
		return ref + "::text || " + g.expression(0, scope) + "::text"
	case 3:
		return "to_jsonb(" + t.alias + ") ->> '" + column + "'"
	case 4:
		return t.alias + "::text"
	case 5:
		return "(" + t.alias + ")." + column
	case 6:
		return column + "(" + t.alias + ")"
	case 7:
		return "CASE WHEN " + ref + "::text > '2' THEN 1 ELSE 2 END"
	case 8:
		return "coalesce(NULL, " + ref + "::text)"
	case 9:
		return "(ARRAY[" + ref + "::text, 'x'])[1]"
	case 10:
		return "first_value(" + ref + ") OVER (ORDER BY " + t.alias + ".*::text)"
	case 11:
		return t.alias + ".row_to_json"
	case 14, 15, 16, 17, 18, 19, 20:
		return g.built(scope, t.alias, column, ref)
	case 12, 13, 21:
		if depth > 0 {
			query, columns := g.query(depth-1, scope)
			return fmt.Sprintf("(SELECT %s(q.%s::text) FROM (%s) q)", g.pick("max", "md5", "count", "string_agg('', ''), min", "jsonb_agg", "array_agg"), columns[0], query)
		}
	case 22:
		return ref + " IS NULL"
	}
	return ref
}

// built is a value that is built of others, or a part of one.
func (g *generator) built(scope []table, alias, column, ref string) string {
	switch g.r.Intn(7) {
	case 0:
		return "to_jsonb(" + alias + ") -> '" + g.name() + "'"
	case 1:
		return "jsonb_build_object('a', " + ref + ", 'b', " + g.expression(0, scope) + ")" + g.pick(" -> 'a'", " ->> 'b'", "")
	case 2:
		return "(ROW(" + ref + ", " + g.expression(0, scope) + "))." + g.pick("f1", "f2")
	case 3:
		return "(ARRAY[" + ref + "::text, " + g.expression(0, scope) + "::text])" + g.pick("[1]", "[2]", "[1:1]", "[0][1:2]")
	case 4:
		return "count(" + ref + ") " + g.pick("FILTER (WHERE "+ref+"::text > '2') ", "") + "OVER (" + g.pick("", "PARTITION BY "+column, "ORDER BY "+ref) + ")"
	case 5:
		return "json_agg(" + ref + ") OVER ()"
	}
	return "jsonb_build_array(" + ref + ", " + g.expression(0, scope) + ") -> " + g.pick("0", "1", "-1", "2")
}
