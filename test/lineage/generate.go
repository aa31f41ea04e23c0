package main

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
)

// kind is the type of an expression.
type kind string

const (
	text    kind = "text"
	integer kind = "int"
	number  kind = "numeric"
	date    kind = "date"
	boolean kind = "bool"
	object  kind = "jsonb"
	texts   kind = "text[]"
)

var kinds = []kind{text, text, text, integer, integer, number, date, boolean, object, object, texts}

// column is what an expression can refer to. Tainted only steers what is made, it judges nothing.
type column struct {
	name    string
	kind    kind
	tainted bool
}

// item is something in FROM.
type item struct {
	alias   string
	columns []column
	// row: a whole row of it is a value, of a table's type where base is set.
	row, base bool
}

// table is a relation of the schema.
type table struct {
	name    string
	columns []column
	view    bool
}

func c(name string, k kind) column  { return column{name, k, false} }
func cc(name string, k kind) column { return column{name, k, true} }

// relations are those of schema.sql.
var relations = []table{
	{"people", []column{
		c("id", integer), c("name", text), cc("secret", text), cc("pay", integer), cc("rate", number), cc("born", date),
		cc("doc", object), cc("labels", texts), c("tags", texts), c("note", text),
	}, false},
	{"orders", []column{
		c("id", integer), c("person_id", integer), c("total", number), c("qty", integer), c("item", text), c("placed", date), c("meta", object),
	}, false},
	{"keys", []column{c("id", integer), c("owner", text), cc("token", text), c("score", integer)}, false},
	{"events", []column{c("id", integer), c("day", date), cc("who", text), c("kind", text), c("n", integer)}, false},
	{"events_2", []column{c("id", integer), c("day", date), cc("who", text), c("kind", text), c("n", integer)}, false},
	{"assets", []column{c("id", integer), c("label", text), cc("serial", text)}, false},
	{"cars", []column{c("id", integer), c("label", text), cc("serial", text), c("wheels", integer)}, false},
	{"plans", []column{c("id", integer), cc("raw", text), cc("shown", text), c("size", integer)}, false},
	{"v_people", []column{c("id", integer), c("name", text), cc("s", text), cc("p1", integer), c("note", text)}, true},
	{"v_top", []column{c("id", integer), cc("t", text), c("total", number), c("item", text)}, true},
}

// maker makes one statement. The same random source makes the same one.
type maker struct {
	r     *rand.Rand
	names int
	// ctes in sight.
	ctes []item
	// pure: conditions, orders and groups do without tagged columns, so that the rows of the result cannot depend on them.
	pure bool
	// used are constructs, for the table.
	used map[string]bool
}

func newMaker(seed, n uint64) *maker {
	m := &maker{r: rand.New(rand.NewPCG(seed, n)), used: map[string]bool{}}
	m.pure = m.one(5) != 0
	return m
}

func (m *maker) one(n int) int { return m.r.IntN(n) }

func (m *maker) use(construct string) { m.used[construct] = true }

func (m *maker) name(prefix string) string {
	m.names++
	return fmt.Sprintf("%s%d", prefix, m.names)
}

func pick[T any](m *maker, list []T) T { return list[m.one(len(list))] }

// scope is the items in sight of an expression, outer ones last.
type scope struct {
	items []item
	outer *scope
}

// all returns references to the columns in sight that have the kind.
func (s *scope) all(k kind, untainted bool) []string {
	var found []string
	for ; s != nil; s = s.outer {
		for _, it := range s.items {
			for _, col := range it.columns {
				if col.kind == k && !(untainted && col.tainted) {
					found = append(found, it.alias+"."+col.name)
				}
			}
		}
	}
	return found
}

// tainted reports whether an expression mentions a tagged column of the scope: by its text, which is enough to steer.
func (s *scope) tainted(expression string) bool {
	for ; s != nil; s = s.outer {
		for _, it := range s.items {
			for _, col := range it.columns {
				if col.tainted && (strings.Contains(expression, it.alias+"."+col.name) || strings.Contains(expression, "("+it.alias+")")) {
					return true
				}
			}
		}
	}
	return false
}

// query is a made query with its columns.
type query struct {
	sql     string
	columns []column
}

// query makes a query of the wanted kinds, or of any where want is nil.
func (m *maker) query(depth int, outer *scope, want []kind) query {
	if want == nil {
		for range 1 + m.one(4) {
			want = append(want, pick(m, kinds))
		}
	}
	if depth > 0 && m.one(6) == 0 && !anyOf(want, object) {
		return m.setOperation(depth, outer, want)
	}
	if m.one(14) == 0 {
		return m.values(outer, want)
	}
	return m.selection(depth, outer, want)
}

func anyOf(list []kind, k kind) bool {
	for _, other := range list {
		if other == k {
			return true
		}
	}
	return false
}

func (m *maker) setOperation(depth int, outer *scope, want []kind) query {
	operators := []string{"UNION ALL", "UNION ALL", "UNION", "INTERSECT", "EXCEPT"}
	if m.pure {
		operators = operators[:2] // the others compare
	}
	op := pick(m, operators)
	m.use(op)
	left, right := m.query(depth-1, outer, want), m.query(depth-1, outer, want)
	q := query{sql: "(" + left.sql + ") " + op + " (" + right.sql + ")"}
	for i, col := range left.columns {
		col.tainted = col.tainted || right.columns[i].tainted
		q.columns = append(q.columns, col)
	}
	return q
}

func (m *maker) values(outer *scope, want []kind) query {
	m.use("VALUES")
	var rows []string
	for range 1 + m.one(2) {
		var row []string
		for _, k := range want {
			row = append(row, m.expression(k, 1, outer)+"::"+string(k))
		}
		rows = append(rows, "("+strings.Join(row, ", ")+")")
	}
	q := query{sql: "VALUES " + strings.Join(rows, ", ")}
	for i, k := range want {
		q.columns = append(q.columns, column{fmt.Sprintf("column%d", i+1), k, outer.tainted(q.sql)})
	}
	return q
}

// selection makes a SELECT.
func (m *maker) selection(depth int, outer *scope, want []kind) query {
	known := len(m.ctes)
	defer func() { m.ctes = m.ctes[:known] }()
	with := ""
	if depth > 0 && m.one(5) == 0 {
		with = m.with(depth)
	}
	s := &scope{outer: outer}
	from := m.from(depth, s)
	q := query{}
	grouped := m.one(5) == 0
	targets, by := m.targets(depth, s, want, grouped, &q)
	sql := with + "SELECT "
	if !m.pure && m.one(12) == 0 {
		m.use("DISTINCT")
		sql += "DISTINCT "
	}
	sql += strings.Join(targets, ", ") + " FROM " + from
	if m.one(2) == 0 {
		sql += " WHERE " + m.condition(depth, s)
	}
	if grouped {
		sql += m.groups(by)
	}
	q.sql = sql
	if m.one(6) == 0 && depth > 0 && !grouped {
		m.use("ORDER BY")
		q.sql += " ORDER BY (" + m.expressionFor(integer, 1, s, m.pure) + ") + 0"
	}
	return q
}

// targets makes the target list, and the expressions that are grouped by.
func (m *maker) targets(depth int, s *scope, want []kind, grouped bool, q *query) (list, by []string) {
	for _, k := range want {
		name := m.name("c")
		var e string
		switch {
		case grouped && m.one(3) == 0:
			e = m.expressionFor(k, 1, s, m.pure)
			if k == object || e == "" {
				e = m.aggregate(k, s)
			} else {
				by = append(by, e)
			}
		case grouped:
			e = m.aggregate(k, s)
		case m.one(9) == 0:
			e = m.window(k, s)
		default:
			e = m.expression(k, min(depth+1, 3), s)
		}
		list = append(list, e+" AS "+name)
		q.columns = append(q.columns, column{name, k, s.tainted(e)})
	}
	return list, by
}

func (m *maker) groups(by []string) string {
	var plain []string
	for _, e := range by {
		if reference.MatchString(e) { // a constant would be a position, or an error
			plain = append(plain, "("+e+")")
		}
	}
	if len(plain) == 0 {
		return ""
	}
	m.use("GROUP BY")
	switch m.one(6) {
	case 0:
		m.use("ROLLUP")
		return " GROUP BY ROLLUP (" + strings.Join(plain, ", ") + ")"
	case 1:
		m.use("GROUPING SETS")
		return " GROUP BY GROUPING SETS ((" + strings.Join(plain, ", ") + "), ())"
	}
	return " GROUP BY " + strings.Join(plain, ", ")
}

// reference finds a column reference in an expression.
var reference = regexp.MustCompile(`\b[a-z][0-9]+\.[a-z]`)

// with makes a WITH clause and puts its names into sight.
func (m *maker) with(depth int) string {
	if m.one(4) == 0 {
		m.use("WITH RECURSIVE")
		name := m.name("r")
		start := m.query(0, nil, []kind{integer, text, text})
		m.ctes = append(m.ctes, item{alias: name, columns: []column{
			{"n", integer, false}, {"a", text, start.columns[1].tainted || start.columns[2].tainted}, {"b", text, start.columns[2].tainted},
		}})
		return fmt.Sprintf("WITH RECURSIVE %s(n, a, b) AS (SELECT 1, q.y, q.z FROM (%s) q(x, y, z)"+
			" UNION ALL SELECT n + 1, b, b FROM %s WHERE n < 3) ", name, start.sql, name)
	}
	m.use("WITH")
	var parts []string
	for range 1 + m.one(2) {
		q := m.query(depth-1, nil, nil)
		name := m.name("w")
		it := item{alias: name, columns: q.columns, row: true}
		columns := ""
		if m.one(3) == 0 {
			it.columns = m.renamed(q.columns)
			columns = "(" + names(it.columns) + ")"
		}
		parts = append(parts, name+columns+" AS ("+q.sql+")")
		m.ctes = append(m.ctes, it)
	}
	return "WITH " + strings.Join(parts, ", ") + " "
}

func (m *maker) renamed(columns []column) []column {
	var out []column
	for _, col := range columns {
		col.name = m.name("d")
		out = append(out, col)
	}
	return out
}

func names(columns []column) string {
	var list []string
	for _, col := range columns {
		list = append(list, col.name)
	}
	return strings.Join(list, ", ")
}
