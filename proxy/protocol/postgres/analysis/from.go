package analysis

import (
	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// item is a FROM item: the names that it brings into sight, and the columns of
// its "*" in order. They differ for joins, whose members stay nameable while
// USING merges columns.
type item struct {
	sources []*source
	row     rowset
}

func single(s *source) item { return item{sources: []*source{s}, row: s.rowset} }

// from adds FROM items to the scope of e, one after the other: LATERAL items and
// functions see those to their left.
func (a *analyzer) from(list []*pg.Node, e env) []item {
	var items []item
	for _, n := range list {
		it := a.fromItem(n, e)
		e.scope.sources = append(e.scope.sources, it.sources...)
		items = append(items, it)
	}
	return items
}

func (a *analyzer) fromItem(n *pg.Node, e env) item {
	switch v := n.GetNode().(type) {
	case *pg.Node_RangeVar:
		return single(a.rangeVar(v.RangeVar, e))
	case *pg.Node_RangeSubselect:
		return single(a.rangeSubselect(v.RangeSubselect, e))
	case *pg.Node_RangeFunction:
		return single(a.rangeFunction(v.RangeFunction, e))
	case *pg.Node_RangeTableFunc:
		return single(a.rangeTableFunc(v.RangeTableFunc, e))
	case *pg.Node_RangeTableSample:
		it := a.fromItem(v.RangeTableSample.GetRelation(), e)
		args := a.flowOfAll(v.RangeTableSample.GetArgs(), e)
		if args.and(a.flowOf(v.RangeTableSample.GetRepeatable(), e)).protected() {
			a.feature(Inference, "TABLESAMPLE computed from a protected column")
		}
		return it
	case *pg.Node_JoinExpr:
		return a.join(v.JoinExpr, e)
	}
	a.uncertain = true
	return single(&source{rowset: rowset{open: true, rest: a.everything()}})
}

// rangeVar is a WITH query of that name, if one is in sight, otherwise a relation.
func (a *analyzer) rangeVar(rv *pg.RangeVar, e env) *source {
	if rv.GetSchemaname() == "" {
		if c := e.ctes.find(rv.GetRelname()); c != nil {
			a.seen[rv] = true
			return aliased(&source{alias: rv.GetRelname(), rowset: c.row}, rv.GetAlias())
		}
	}
	return a.relation(rv, access.AccessRead)
}

func (a *analyzer) rangeSubselect(n *pg.RangeSubselect, e env) *source {
	around := e.scope.outer
	if n.GetLateral() {
		around = e.scope
	}
	row := a.query(n.GetSubquery(), env{scope: around, ctes: e.ctes})
	return aliased(&source{rowset: row}, n.GetAlias())
}

// rangeFunction is a function in FROM, or several side by side. Their columns carry
// what the function carries. The number of its rows tells of its arguments, so they
// count as compared; of generate_series it tells the value itself.
func (a *analyzer) rangeFunction(n *pg.RangeFunction, e env) *source {
	s := &source{alias: functionAlias(n)}
	if n.GetAlias() != nil {
		s.alias = n.GetAlias().GetAliasname()
	}
	var all flow
	for _, function := range n.GetFunctions() {
		items := function.GetList().GetItems()
		if len(items) == 0 {
			s.open = true
			continue
		}
		whole := a.functionInFrom(items[0], e)
		all = all.and(whole)
		definitions := n.GetColdeflist()
		if len(items) > 1 && len(items[1].GetList().GetItems()) > 0 {
			definitions = items[1].GetList().GetItems()
		}
		name := s.alias
		if len(n.GetFunctions()) > 1 {
			_, name = funcName(items[0].GetFuncCall())
		}
		s.expand(a.functionColumns(items[0], definitions, name, whole, e))
	}
	if s.open {
		s.rest = all
	}
	s.scalar = len(s.columns) == 1 && !s.open && len(n.GetFunctions()) == 1
	if n.GetOrdinality() { // of a value, the place is a part
		s.columns = append(s.columns, column{name: "ordinality", flow: all.implicit()})
	}
	s.renamedRow = len(n.GetAlias().GetColnames()) > 0
	s.rowset = s.renamed(n.GetAlias().GetColnames())
	return s
}

// functionInFrom is what the result of one function in FROM carries.
func (a *analyzer) functionInFrom(n *pg.Node, e env) flow {
	whole := a.flowOf(n, e).derived()
	whole.part = whole.protected()
	schema, name := funcName(n.GetFuncCall())
	if whole.protected() && name == "generate_series" {
		a.feature(Inference, "generate_series() up to a protected value")
	}
	if a.vouched(schema, name) {
		a.compare(PredicateOther, whole)
	}
	return whole
}

func functionAlias(n *pg.RangeFunction) string {
	if functions := n.GetFunctions(); len(functions) == 1 {
		if items := functions[0].GetList().GetItems(); len(items) > 0 {
			_, name := funcName(items[0].GetFuncCall())
			return name
		}
	}
	return ""
}

// rangeTableFunc is XMLTABLE.
func (a *analyzer) rangeTableFunc(n *pg.RangeTableFunc, e env) *source {
	all := a.flowIn(n, e).derived()
	a.compare(PredicateOther, all)
	s := &source{alias: "xmltable"}
	for _, c := range n.GetColumns() {
		s.columns = append(s.columns, column{name: c.GetRangeTableFuncCol().GetColname(), flow: all})
	}
	return aliased(s, n.GetAlias())
}

// join joins two items. Its condition sees the two alone; an alias hides them.
func (a *analyzer) join(j *pg.JoinExpr, e env) item {
	left := a.fromItem(j.GetLarg(), e)
	lateral := env{ctes: e.ctes, scope: &scope{outer: e.scope.outer}}
	lateral.scope.sources = append(lateral.scope.sources, e.scope.sources...)
	lateral.scope.sources = append(lateral.scope.sources, left.sources...)
	right := a.fromItem(j.GetRarg(), lateral)

	it := item{sources: append(append([]*source(nil), left.sources...), right.sources...)}
	a.predicate(j.GetQuals(), env{ctes: e.ctes, scope: &scope{outer: e.scope.outer, sources: it.sources}})
	merged := a.merge(j, left.row, right.row)
	it.row = rowset{
		columns: append(append(append([]column(nil), merged...), without(left.row.columns, merged)...), without(right.row.columns, merged)...),
		open:    left.row.open || right.row.open,
		rest:    left.row.rest.and(right.row.rest),
	}
	if alias := j.GetJoinUsingAlias(); alias != nil {
		it.sources = append(it.sources, &source{alias: alias.GetAliasname(), rowset: rowset{columns: merged}})
	}
	if j.GetAlias() != nil {
		it = single(aliased(&source{rowset: it.row}, j.GetAlias()))
	}
	return it
}

// merge returns the columns that USING or NATURAL makes of two, which carry what
// either carries, and records the comparison.
func (a *analyzer) merge(j *pg.JoinExpr, left, right rowset) []column {
	names := stringList(j.GetUsingClause())
	if j.GetIsNatural() {
		for _, c := range left.columns {
			if len(named(right, c.name).name) > 0 {
				names = append(names, c.name)
			}
		}
		if left.open || right.open {
			a.compare(PredicateOther, left.all().and(right.all()))
			a.uncertain = true
		}
	}
	var merged []column
	for _, name := range names {
		l, r := named(left, name), named(right, name)
		kind := PredicateOther
		if sameTags(l.tags, r.tags) {
			kind = PredicateEquality
		}
		both := l.and(r.flow)
		a.compare(kind, both)
		switch {
		case l.protected() != r.protected():
			a.feature(Inference, "a join of protected values with unprotected ones")
		case both.protected() && both.mixed:
			a.feature(Inference, madeUp)
		case both.protected() && both.part:
			a.feature(Inference, partCompared)
		}
		merged = append(merged, usingColumn(j.GetJointype(), l, r, both))
	}
	return merged
}

// usingColumn is a column that USING makes of two. It is that of the side whose rows
// are all there (parse_clause.c, buildMergedJoinVar); of a FULL join it is computed.
func usingColumn(kind pg.JoinType, left, right column, both flow) column {
	c := column{name: left.name}
	switch {
	case left.typeOID != right.typeOID:
	case kind == pg.JoinType_JOIN_INNER || kind == pg.JoinType_JOIN_LEFT:
		c = left
	case kind == pg.JoinType_JOIN_RIGHT:
		c = right
	}
	c.flow, c.shape = both, nil
	return c
}

// named returns the column of that name, merged where there are several.
func named(r rowset, name string) column {
	var c column
	hits := 0
	for i := range r.columns {
		other := &r.columns[i]
		if other.name == name {
			hits++
		}
		switch {
		case other.name != name:
		case hits == 1 && !r.open:
			c = *other
		default:
			c = column{name: name, flow: c.and(other.flow)}
		}
	}
	if r.open {
		c.flow = c.and(r.rest)
	}
	return c
}

func without(columns, merged []column) []column {
	var rest []column
	for _, c := range columns {
		if named(rowset{columns: merged}, c.name).name == "" {
			rest = append(rest, c)
		}
	}
	return rest
}
