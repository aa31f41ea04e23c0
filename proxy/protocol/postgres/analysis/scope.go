package analysis

import (
	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// Lineage follows tags from columns to outputs by PostgreSQL's scoping rules. It
// may say too much, never too little: a name that could resolve in several ways
// carries the union, a name that does not resolve carries everything.

// column is an output of a FROM item or of a query.
type column struct {
	name string
	flow
	// plain: the value is that of a single column, unchanged.
	plain bool
	// origin, of a column of a base relation.
	relation  uint32
	number    int16
	typeOID   uint32
	generated bool
	// null: it is NULL in every row.
	null bool
	// shape is how the value is built of others; nil = not known.
	shape *shape
}

// rowset is the columns of a FROM item or query, in order.
type rowset struct {
	columns []column
	// open: there may be more columns than these, of any name, carrying rest.
	open bool
	rest flow
}

// all returns what the whole row carries.
func (r rowset) all() flow {
	all := r.rest
	for _, c := range r.columns {
		all = all.and(c.flow)
	}
	return all
}

// renamed applies an alias's column list, which names the first columns anew. In
// an open rowset nobody knows which column is the first, so each new name carries
// the rest.
func (r rowset) renamed(names []*pg.Node) rowset {
	if len(names) == 0 {
		return r
	}
	columns := append([]column(nil), r.columns...)
	for i, name := range stringList(names) {
		if i >= len(columns) {
			if !r.open {
				break
			}
			columns = append(columns, column{flow: r.rest})
		}
		if r.open {
			columns[i] = column{flow: r.all()}
		}
		columns[i].name = name
	}
	return rowset{columns: columns, open: r.open, rest: r.rest}
}

// source is a FROM item that column references can name.
type source struct {
	alias string
	// schema, of a relation without an alias: "schema.relation.column" names it.
	schema string
	// real is the name of the relation itself, where it is one.
	real string
	// scalar: the whole of it is a value, not a row: a function that returns one.
	scalar bool
	// renamedRow: its columns have other names than its row type's, which are those that
	// its row has in JSON.
	renamedRow bool
	rowset
}

// scope is a query level: its FROM items, and the query around it.
type scope struct {
	outer   *scope
	sources []*source
}

// cte is a list of the WITH queries in sight, innermost first.
type cte struct {
	outer *cte
	name  string
	row   rowset
}

func (c *cte) find(name string) *cte {
	for ; c != nil; c = c.outer {
		if c.name == name {
			return c
		}
	}
	return nil
}

// env is where an expression stands.
type env struct {
	scope *scope
	ctes  *cte
	// windows is what the partitions and orders of the named windows carry, each with
	// those that it builds on.
	windows map[string]flow
}

// inside returns an environment one query level further in.
func (e env) inside() env { return env{scope: &scope{outer: e.scope}, ctes: e.ctes} }

// relation makes a FROM item of a base relation, without looking at WITH.
func (a *analyzer) relation(rv *pg.RangeVar, how access.Access) *source {
	if a.absentRelation(rv, a.resolve(rv.GetSchemaname(), rv.GetRelname())) {
		a.seen[rv] = true
		return aliased(&source{alias: rv.GetRelname(), schema: rv.GetSchemaname(), rowset: rowset{open: true}}, rv.GetAlias())
	}
	c := a.use(rv, how)
	s := &source{alias: rv.GetRelname(), schema: rv.GetSchemaname(), real: rv.GetRelname()}
	if s.schema == "" && len(c.relations) == 1 {
		s.schema = c.relations[0].Schema
	}
	switch {
	case len(c.relations) == 1 && !c.temp && !c.unknown && !a.hidden(c):
		s.columns = visible(c.relations[0])
	default:
		s.open = true
		for _, r := range c.relations {
			s.rest = s.rest.and(anyOf(r))
		}
		if c.unknown || a.hidden(c) {
			s.rest = a.everything()
		}
	}
	return aliased(s, rv.GetAlias())
}

func aliased(s *source, alias *pg.Alias) *source {
	if alias == nil {
		return s
	}
	return &source{
		alias: alias.GetAliasname(), real: s.real, renamedRow: s.real != "" && len(alias.GetColnames()) > 0,
		rowset: s.rowset.renamed(alias.GetColnames()),
	}
}

func visible(r *catalog.Relation) []column {
	columns := make([]column, 0, len(r.Columns))
	for i := range r.Columns {
		if c := &r.Columns[i]; !c.Dropped {
			columns = append(columns, column{
				name: c.Name, flow: flow{tags: c.Tags, sources: []origin{{relation: r.OID, number: c.Num}}}, plain: true, relation: r.OID, number: c.Num, typeOID: c.TypeOID,
				generated: c.Generated,
			})
		}
	}
	return columns
}

// systemColumns exist on every table and hold no data.
var systemColumns = wordSet("ctid xmin xmax cmin cmax tableoid")

// found is the answer to a column reference.
type found struct {
	flow
	plain bool
	// column is the one that fits; of several, the last.
	column *column
	// single: no other column fits.
	single bool
}

func (f *found) add(c *column) {
	f.plain = f.column == nil && f.tags == nil && c.plain
	f.single = f.column == nil
	f.column = c
	f.flow = f.and(c.flow)
}

// reference resolves a column reference.
func (a *analyzer) reference(ref *pg.ColumnRef, e env) found {
	fields := ref.GetFields()
	if len(fields) == 0 || fields[len(fields)-1].GetAStar() != nil {
		return a.starReference(fields, e)
	}
	names := stringList(fields)
	if f, isVariable := a.variable(ref, names, e); isVariable {
		return f
	}
	if len(names) == 1 {
		return a.unqualified(ref, names[0], e)
	}
	return a.qualified(ref, names, e)
}

// starReference is a "*" inside an expression: count(*) or row(t.*).
func (a *analyzer) starReference(fields []*pg.Node, e env) found {
	var all flow
	for _, s := range a.starSources(fields, e) {
		all = all.and(s.all())
	}
	return found{flow: all.derived()}
}

// unqualified resolves "name": a column of the innermost level that has one,
// otherwise the whole row of a FROM item of that name.
func (a *analyzer) unqualified(ref *pg.ColumnRef, name string, e env) found {
	var f found
	open := false
	for s := e.scope; s != nil; s = s.outer {
		hits := 0
		for _, src := range s.sources {
			for i := range src.columns {
				if src.columns[i].name == name {
					hits++
					f.add(&src.columns[i])
				}
			}
			if src.open {
				open = true
				f.flow = f.and(src.rest)
			}
		}
		if hits > 0 {
			f.plain = f.plain && hits == 1 && !open
			f.single = f.single && !open
			return f
		}
	}
	for s := e.scope; s != nil; s = s.outer {
		for _, src := range s.sources {
			if src.alias == name {
				return found{flow: f.and(src.all().derived())}
			}
		}
	}
	if open || systemColumns[name] {
		return found{flow: f.flow}
	}
	if e.scope != nil && a.absentColumn(ref, "", name) {
		return found{}
	}
	return found{flow: a.everything()}
}

// qualified resolves "alias.name" and "schema.relation.name". A name that the
// item does not have may be a function of its row.
func (a *analyzer) qualified(ref *pg.ColumnRef, names []string, e env) found {
	last := names[len(names)-1]
	src := a.itemNamed(names[:len(names)-1], e)
	if src == nil {
		if e.scope != nil && len(names) == 2 && a.absentItem(ref, names[0]) {
			return found{}
		}
		return found{flow: a.everything()}
	}
	var f found
	hits := 0
	for i := range src.columns {
		if src.columns[i].name == last {
			hits++
			f.add(&src.columns[i])
		}
	}
	switch {
	case hits == 1 && !src.open:
		return f
	case hits > 0:
		return found{flow: f.and(src.rest)}
	case systemColumns[last] && !src.open:
		return found{}
	case a.fieldCall(last):
		return found{flow: a.everything()}
	case !src.open && len(names) == 2 && !known(last) && a.absentColumn(ref, names[0], last):
		return found{}
	}
	return found{flow: src.all().derived()}
}

// itemNamed finds the FROM item that a qualifier names, innermost first. Several
// of the same name on one level (of joins that hide each other) are merged.
func (a *analyzer) itemNamed(qualifier []string, e env) *source {
	name, schema := qualifier[len(qualifier)-1], ""
	if len(qualifier) > 1 {
		schema = qualifier[len(qualifier)-2]
	}
	for s := e.scope; s != nil; s = s.outer {
		var match *source
		for _, src := range s.sources {
			if src.alias != name || schema != "" && src.schema != schema {
				continue
			}
			if match != nil {
				return &source{alias: name, rowset: rowset{open: true, rest: match.all().and(src.all())}}
			}
			match = src
		}
		if match != nil {
			return match
		}
	}
	return nil
}

// starSources returns the items that a star expands, in order.
func (a *analyzer) starSources(fields []*pg.Node, e env) []*source {
	if len(fields) <= 1 {
		if e.scope == nil {
			return nil
		}
		return e.scope.sources
	}
	if src := a.itemNamed(stringList(fields[:len(fields)-1]), e); src != nil {
		return []*source{src}
	}
	return []*source{{rowset: rowset{open: true, rest: a.everything()}}}
}
