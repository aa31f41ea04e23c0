package analysis

import (
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
	if s == nil { // a set operation of one side
		a.opaque = true
		return rowset{open: true, rest: a.everything()}
	}
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

func (a *analyzer) namedWindows(s *pg.SelectStmt, e env) map[string]flow {
	if len(s.GetWindowClause()) == 0 {
		return nil
	}
	named := map[string]flow{}
	e.windows = named
	for _, n := range s.GetWindowClause() { // each sees those before it
		w := n.GetWindowDef()
		named[w.GetName()] = a.window(w, e).and(named[w.GetRefname()])
	}
	return named
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
	a.beside.count(s.GetLimitCount())
	a.beside.count(s.GetLimitOffset())
	if a.flowOf(s.GetLimitCount(), e).and(a.flowOf(s.GetLimitOffset(), e)).protected() {
		a.feature(Inference, "LIMIT computed from a protected column")
	}
}

// setOperation is UNION, INTERSECT or EXCEPT: names and the number of columns from
// the left, values from both sides. Of EXCEPT the values are the left's: what is
// missing tells of the right.
func (a *analyzer) setOperation(s *pg.SelectStmt, e env) rowset {
	left, right := a.selectStmt(s.GetLarg(), e), a.selectStmt(s.GetRarg(), e)
	row := rowset{open: left.open}
	mixed := a.oneSided(s, left, right)
	aligned := !left.open && !right.open && len(left.columns) == len(right.columns)
	if !aligned {
		row.rest = left.all().and(right.all())
	}
	for i, c := range left.columns {
		other := row.rest
		if aligned {
			other = right.columns[i].flow
		}
		if s.GetOp() == pg.SetOperation_SETOP_EXCEPT {
			other = other.implicit()
		}
		merged := column{name: c.name, flow: c.and(other)}
		merged.mixed = merged.mixed || mixed
		if aligned && right.columns[i].null {
			merged.shape = c.shape
		}
		if aligned && merged.protected() && (s.GetOp() != pg.SetOperation_SETOP_EXCEPT || !other.protected()) {
			merged.made = &made{arms: []column{c, right.columns[i]}}
		}
		row.columns = append(row.columns, merged)
	}
	switch {
	case s.GetOp() != pg.SetOperation_SETOP_UNION:
		a.compare(PredicateEquality, row.all())
	case !s.GetAll(): // without ALL, equal rows become one
		a.compare(PredicateOrder, row.all())
	}
	if !row.open {
		row.rest = flow{}
	}
	inside := e.inside()
	inside.scope.sources = []*source{{rowset: row}}
	a.groupAndSort(s, row, inside)
	a.limit(s, inside)
	return row
}

// oneSided looks for protected values on one side of a set operation beside
// unprotected ones on the other. INTERSECT, EXCEPT and a UNION without ALL compare
// them, and the number of rows tells what is equal; after UNION ALL a later DISTINCT,
// GROUP BY or ORDER BY could, which is what it reports. Of a UNION only values that
// the statement makes up count: stored ones are no probe that fits in one statement.
func (a *analyzer) oneSided(s *pg.SelectStmt, left, right rowset) bool {
	if a.settling > 0 {
		return false
	}
	union := s.GetOp() == pg.SetOperation_SETOP_UNION
	probes := func(c column) bool { return !c.null && (!union || !c.plain) }
	found := false
	if left.open || right.open || len(left.columns) != len(right.columns) {
		found = left.all().protected() != right.all().protected()
	} else {
		for i, l := range left.columns {
			r := right.columns[i]
			found = found || l.protected() && !r.protected() && probes(r) || r.protected() && !l.protected() && probes(l)
		}
	}
	if found && !(union && s.GetAll()) {
		a.feature(Inference, madeUp)
	}
	return found
}

// isNull recognizes NULL, cast or not, which equals nothing.
func isNull(n *pg.Node) bool {
	if cast := n.GetTypeCast(); cast != nil {
		return isNull(cast.GetArg())
	}
	return n.GetAConst().GetIsnull()
}

func (a *analyzer) values(s *pg.SelectStmt, e env) rowset {
	inside := e.inside()
	var row rowset
	for at, list := range s.GetValuesLists() {
		for i, n := range list.GetList().GetItems() {
			if i >= len(row.columns) {
				row.columns = append(row.columns, column{name: valuesName(i)})
			}
			value := a.flowOf(n, inside)
			value.part = isPart(n, value)
			first := row.columns[i].flow
			row.columns[i].flow = first.and(value)
			row.columns[i].mixed = row.columns[i].mixed || at > 0 && first.protected() != value.protected() && !isNull(n)
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
			c.part = isPart(t.GetVal(), c.flow)
			c.null = isNull(t.GetVal())
			c.shape = a.shapeOf(t.GetVal(), e)
		} else {
			f := a.reference(ref, e)
			c.flow, c.plain = f.flow, f.plain
			c.shape = a.shapeOf(t.GetVal(), e)
			if f.plain && f.column != nil {
				c.relation, c.number, c.typeOID = f.column.relation, f.column.number, f.column.typeOID
			}
		}
		if t.GetVal().GetAIndirection() != nil && endsInStar(t.GetVal().GetAIndirection()) {
			row.expand(a.rowExpanded(t.GetVal().GetAIndirection(), c.flow, e)) // (row).*
			continue
		}
		if c.protected() && !c.plain {
			c.made = madeBy(t.GetVal(), e)
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
