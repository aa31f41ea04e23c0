package analysis

import (
	"slices"

	pg "github.com/pganalyze/pg_query_go/v5"
)

// query returns the columns of a query and what they carry: a SELECT, VALUES, or
// what a data-modifying statement returns.
func (a *analyzer) query(n *pg.Node, e env) rowset {
	switch v := n.GetNode().(type) {
	case nil:
		return rowset{}
	case *pg.Node_SelectStmt:
		return a.selectStmt(v.SelectStmt, e)
	case *pg.Node_InsertStmt:
		return a.insert(v.InsertStmt, e)
	case *pg.Node_UpdateStmt:
		return a.update(v.UpdateStmt, e)
	case *pg.Node_DeleteStmt:
		return a.delete(v.DeleteStmt, e)
	case *pg.Node_MergeStmt:
		return a.mergeInto(v.MergeStmt, e)
	}
	a.opaque = true
	return rowset{open: true, rest: a.everything()}
}

func (a *analyzer) selectStmt(s *pg.SelectStmt, e env) rowset {
	a.steps++
	if a.steps > maxSteps {
		a.uncertain = true
		return rowset{open: true, rest: a.everything()}
	}
	for _, lock := range s.GetLockingClause() {
		for _, n := range lock.GetLockingClause().GetLockedRels() {
			a.seen[n.GetRangeVar()] = true // FOR UPDATE OF names a FROM item
		}
	}
	e.ctes = a.with(s.GetWithClause(), e)
	switch {
	case s.GetOp() != pg.SetOperation_SETOP_NONE:
		return a.setOperation(s, e)
	case len(s.GetValuesLists()) > 0:
		return a.values(s, e)
	}
	inside := e.inside()
	items := a.from(s.GetFromClause(), inside)
	inside.windows = a.namedWindows(s, inside)
	a.predicate(s.GetWhereClause(), inside)
	row := a.targets(s.GetTargetList(), items, inside)
	a.predicate(s.GetHavingClause(), inside)
	a.groupAndSort(s, row, inside)
	for _, d := range s.GetDistinctClause() {
		if d.GetNode() == nil { // plain DISTINCT compares the whole output
			a.compare(PredicateOrder, row.all())
		}
	}
	a.order(s.GetDistinctClause(), inside)
	a.limit(s, inside)
	return row
}

func (a *analyzer) namedWindows(s *pg.SelectStmt, e env) flow {
	var all flow
	for _, w := range s.GetWindowClause() {
		all = all.and(a.window(w.GetWindowDef(), e))
	}
	return all
}

// groupAndSort records what GROUP BY and ORDER BY compare. A bare name or number
// there may mean an output column.
func (a *analyzer) groupAndSort(s *pg.SelectStmt, row rowset, e env) {
	for _, list := range [][]*pg.Node{s.GetGroupClause(), s.GetSortClause()} {
		for _, n := range list {
			expression := n
			if by := n.GetSortBy(); by != nil {
				expression = by.GetNode()
			}
			a.compare(PredicateOrder, a.sorted(expression, row, e))
		}
	}
}

func (a *analyzer) sorted(n *pg.Node, row rowset, e env) flow {
	if c := n.GetAConst(); c != nil && c.GetIval() != nil {
		at := int(c.GetIval().GetIval()) - 1
		if at >= 0 && at < len(row.columns) && !row.open {
			return row.columns[at].flow
		}
		return row.all()
	}
	if ref := n.GetColumnRef(); ref != nil && len(ref.GetFields()) == 1 {
		name := stringList(ref.GetFields())[0]
		if c := named(rowset{columns: row.columns}, name); c.name != "" {
			return c.flow
		}
	}
	return a.flowOf(n, e)
}

// limit looks for protected values in LIMIT and OFFSET, which the number of rows
// would tell.
func (a *analyzer) limit(s *pg.SelectStmt, e env) {
	if a.flowOf(s.GetLimitCount(), e).and(a.flowOf(s.GetLimitOffset(), e)).protected() {
		a.feature(Inference, "LIMIT computed from a protected column")
	}
}

// setOperation is UNION, INTERSECT or EXCEPT: names from the left, tags from both
// sides. Also for EXCEPT, whose values are the left's: what is missing tells of
// the right.
func (a *analyzer) setOperation(s *pg.SelectStmt, e env) rowset {
	left, right := a.selectStmt(s.GetLarg(), e), a.selectStmt(s.GetRarg(), e)
	row := rowset{open: left.open || right.open, rest: left.rest.and(right.rest)}
	if row.open || len(left.columns) != len(right.columns) {
		row.rest = left.all().and(right.all())
	}
	for i, c := range left.columns {
		merged := column{name: c.name, flow: c.and(row.rest)}
		if i < len(right.columns) {
			merged.flow = merged.and(right.columns[i].flow)
		}
		row.columns = append(row.columns, merged)
	}
	switch {
	case s.GetOp() != pg.SetOperation_SETOP_UNION:
		a.compare(PredicateEquality, row.all())
	case !s.GetAll(): // without ALL, equal rows become one
		a.compare(PredicateOrder, row.all())
	}
	inside := e.inside()
	inside.scope.sources = []*source{{rowset: row}}
	a.groupAndSort(s, row, inside)
	a.limit(s, inside)
	return row
}

func (a *analyzer) values(s *pg.SelectStmt, e env) rowset {
	inside := e.inside()
	var row rowset
	for _, list := range s.GetValuesLists() {
		for i, n := range list.GetList().GetItems() {
			if i >= len(row.columns) {
				row.columns = append(row.columns, column{name: valuesName(i)})
			}
			row.columns[i].flow = row.columns[i].and(a.flowOf(n, inside))
		}
	}
	inside.scope.sources = []*source{{rowset: row}}
	a.groupAndSort(s, row, inside)
	a.limit(s, inside)
	return row
}

// targets returns the columns of a target list.
func (a *analyzer) targets(list []*pg.Node, items []item, e env) rowset {
	var row rowset
	for _, n := range list {
		t := n.GetResTarget()
		ref := t.GetVal().GetColumnRef()
		if ref != nil && isStar(ref) {
			row.expand(a.star(ref, items, e))
			continue
		}
		c := column{name: t.GetName()}
		if c.name == "" {
			c.name = outputName(t.GetVal())
		}
		if ref == nil {
			c.flow = a.flowOf(t.GetVal(), e)
		} else {
			f := a.reference(ref, e)
			c.flow, c.plain = f.flow, f.plain
			if f.plain && f.column != nil {
				c.relation, c.number, c.typeOID = f.column.relation, f.column.number, f.column.typeOID
			}
		}
		if t.GetVal().GetAIndirection() != nil && endsInStar(t.GetVal().GetAIndirection()) {
			row.expand(rowset{open: true, rest: c.flow}) // (row).*
			continue
		}
		row.columns = append(row.columns, c)
	}
	return row
}

// expand appends the columns of a star. Behind an open one, positions are lost.
func (r *rowset) expand(star rowset) {
	r.columns = append(r.columns, star.columns...)
	r.open = r.open || star.open
	r.rest = r.rest.and(star.rest)
}

func (a *analyzer) star(ref *pg.ColumnRef, items []item, e env) rowset {
	var row rowset
	if len(ref.GetFields()) == 1 {
		for _, it := range items {
			row.expand(it.row)
		}
		return row
	}
	for _, s := range a.starSources(ref.GetFields(), e) {
		row.expand(s.rowset)
	}
	return row
}

func isStar(ref *pg.ColumnRef) bool {
	fields := ref.GetFields()
	return len(fields) > 0 && fields[len(fields)-1].GetAStar() != nil
}

func endsInStar(n *pg.A_Indirection) bool {
	parts := n.GetIndirection()
	return len(parts) > 0 && parts[len(parts)-1].GetAStar() != nil
}

// with adds the queries of a WITH clause to those in sight.
func (a *analyzer) with(w *pg.WithClause, e env) *cte {
	if w.GetRecursive() {
		return a.withRecursive(w, e)
	}
	for _, n := range w.GetCtes() {
		c := n.GetCommonTableExpr()
		e.ctes = &cte{outer: e.ctes, name: c.GetCtename(), row: a.withQuery(c, e)}
	}
	return e.ctes
}

func (a *analyzer) withQuery(c *pg.CommonTableExpr, e env) rowset {
	row := a.query(c.GetCtequery(), e).renamed(c.GetAliascolnames())
	if c.GetSearchClause() != nil || c.GetCycleClause() != nil { // they add columns made of these
		row.open, row.rest = true, row.all()
	}
	return row
}

// maxRounds bounds the fixpoint of WITH RECURSIVE. Each round can carry a tag one
// column further.
const maxRounds = 40

// withRecursive computes what recursive queries carry as a fixpoint: all of them
// see each other, beginning with columns that carry nothing.
func (a *analyzer) withRecursive(w *pg.WithClause, e env) *cte {
	rows := make([]rowset, len(w.GetCtes()))
	for i := range rows {
		rows[i].open = true
	}
	_, before := a.features[Inference]
	for range maxRounds {
		if a.features[Inference].Construct == generatedValues && !before {
			delete(a.features, Inference) // in an earlier round, which did not know yet what both sides carry; this one sees it again
		}
		ctes := bindAll(w, rows, e.ctes)
		changed := false
		for i, n := range w.GetCtes() {
			row := grown(rows[i], a.withQuery(n.GetCommonTableExpr(), env{scope: e.scope, ctes: ctes}))
			changed = changed || !sameRow(rows[i], row)
			rows[i] = row
		}
		if !changed {
			return bindAll(w, rows, e.ctes)
		}
	}
	for i := range rows {
		rows[i] = rowset{open: true, rest: a.everything()}
	}
	return bindAll(w, rows, e.ctes)
}

func bindAll(w *pg.WithClause, rows []rowset, outer *cte) *cte {
	for i, n := range w.GetCtes() {
		outer = &cte{outer: outer, name: n.GetCommonTableExpr().GetCtename(), row: rows[i]}
	}
	return outer
}

// grown adds what earlier rounds found, so that the fixpoint only ever grows.
func grown(before, now rowset) rowset {
	for i := range now.columns {
		if i < len(before.columns) {
			now.columns[i].flow = now.columns[i].and(before.columns[i].flow)
		}
		now.columns[i].plain = false // RowDescription attests nothing through a recursion
	}
	return now
}

func sameRow(x, y rowset) bool {
	return x.open == y.open && x.rest.same(y.rest) && slices.EqualFunc(x.columns, y.columns, func(p, q column) bool {
		return p.name == q.name && p.same(q.flow)
	})
}
