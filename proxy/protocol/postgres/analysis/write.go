package analysis

import (
	"slices"

	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// A write is safe where every value goes to a column that carries at least the
// same tags. Anything else takes a protected value out of protection.

// modify records a data-modifying statement, wherever it stands, so that policy
// sees its kind and target also inside WITH.
func (a *analyzer) modify(kind string, rv *pg.RangeVar, features ...string) *source {
	target := a.relation(rv, access.AccessWrite)
	schema := target.schema
	if rv.GetAlias() != nil {
		schema = rv.GetSchemaname()
	}
	fact := access.Statement{Kind: kind, Resources: []access.Resource{
		{Schema: schema, Name: rv.GetRelname(), Access: access.AccessWrite, Tags: target.all().tags},
	}}
	for _, r := range a.resources {
		if r.Name == rv.GetRelname() && r.Access == access.AccessWrite && schema == "" {
			fact.Resources[0].Schema = r.Schema
		}
	}
	if a.leftOut(rv) {
		fact.Resources = nil
	}
	for _, f := range features {
		a.feature(f, f)
		fact.Features = append(fact.Features, a.features[f])
	}
	a.rewritten(kind, rv, target)
	a.own = len(a.inner)
	a.inner = append(a.inner, fact)
	return target
}

// assign checks a value on its way into a column.
func (a *analyzer) assign(target []string, value flow, construct string) {
	a.tags = catalog.Union(a.tags, value.tags)
	a.written = a.written.and(value)
	if len(target) > 0 || value.protected() {
		a.beside.meets(value)
	}
	if !catalog.Contains(target, value.tags) {
		a.launder(construct)
	}
}

// writesTo records that a column of a target is written, and returns what it is known
// to carry.
func (a *analyzer) writesTo(target *source, name string) []string {
	if target.open {
		return nil
	}
	c := named(target.rowset, name)
	if c.relation != 0 {
		a.into = a.into.and(flow{sources: []origin{{relation: c.relation, number: c.number}}})
	}
	return c.tags
}

func (a *analyzer) insert(s *pg.InsertStmt, e env) rowset {
	e.ctes = a.with(s.GetWithClause(), e)
	if rv := s.GetRelation(); rv != nil { // the server looks for the target first
		a.absentRelation(rv, a.resolve(rv.GetSchemaname(), rv.GetRelname()))
	}
	row := a.query(s.GetSelectStmt(), e)
	target := a.modify(KindInsert, s.GetRelation())
	a.assignRow(target, s)
	inserted := a.insertInto(target, s.GetCols(), row)
	if c := s.GetOnConflictClause(); c != nil {
		a.onConflict(c, target, inserted, e)
	}
	return a.returning(s.GetReturningList(), []*source{target}, e)
}

// insertInto checks the values of a row on their way into a target, and returns
// the row as the target would show it ("excluded").
func (a *analyzer) insertInto(target *source, cols []*pg.Node, row rowset) rowset {
	var names []string
	absent := false
	for _, c := range cols {
		if !a.absentTarget(target, c.GetResTarget()) {
			names = append(names, c.GetResTarget().GetName())
			continue
		}
		absent = true
	}
	if names == nil && !target.open {
		for _, c := range target.columns {
			names = append(names, c.name)
		}
	}
	const construct = "INSERT of a protected value into a column that is not protected"
	if absent {
		a.tags = catalog.Union(a.tags, row.all().tags) // nothing goes anywhere
	} else if row.open || len(names) < len(row.columns) {
		a.taint(target, "", row.all().tags)
		a.assign(nil, row.all(), construct)
	} else {
		for i, c := range row.columns {
			a.taint(target, names[i], c.tags)
			a.assign(a.writesTo(target, names[i]), c.flow, construct)
		}
	}
	return inserted(target, names, row, absent)
}

// inserted is the row as the target would show it. A column that is not listed has
// its default, which holds no column, unless the server computes it from others.
func inserted(target *source, names []string, row rowset, unclear bool) rowset {
	all := row.all()
	shown := rowset{open: target.open, rest: target.rest.and(all)}
	unclear = unclear || row.open || target.open || len(names) < len(row.columns)
	for _, c := range target.columns {
		given := all
		if at := slices.Index(names, c.name); !unclear && !c.generated {
			given = flow{}
			if at >= 0 && at < len(row.columns) {
				given = row.columns[at].flow
			}
		}
		shown.columns = append(shown.columns, column{name: c.name, flow: c.and(given)})
	}
	return shown
}

func (a *analyzer) onConflict(c *pg.OnConflictClause, target *source, inserted rowset, e env) {
	inside := e.inside()
	inside.scope.sources = []*source{target, {alias: "excluded", rowset: inserted}}
	a.assignments(c.GetTargetList(), target, inside, "ON CONFLICT DO UPDATE of a column that is not protected with a protected value")
	a.predicate(c.GetWhereClause(), inside)
	a.flowIn(c.GetInfer(), inside)
}

func (a *analyzer) update(s *pg.UpdateStmt, e env) rowset {
	e.ctes = a.with(s.GetWithClause(), e)
	var features []string
	if a.unbounded(s.GetWhereClause(), s.GetRelation()) {
		features = append(features, UnboundedUpdate)
	}
	target := a.modify(KindUpdate, s.GetRelation(), features...)
	inside := e.inside()
	inside.scope.sources = []*source{target}
	a.from(s.GetFromClause(), inside)
	a.assignSet(target, s.GetTargetList(), s.GetFromClause(), s.GetWithClause())
	a.assignments(s.GetTargetList(), target, inside, "UPDATE of a column that is not protected with a protected value")
	a.predicate(s.GetWhereClause(), inside)
	return a.returning(s.GetReturningList(), inside.scope.sources, e)
}

// assignments checks "SET column = value, (a, b) = (…)".
func (a *analyzer) assignments(list []*pg.Node, target *source, e env, construct string) {
	for _, n := range list {
		t := n.GetResTarget()
		for _, part := range t.GetIndirection() { // SET column[i] = value
			at := a.flowOf(part, e)
			a.taint(target, t.GetName(), at.tags)
			a.assign(nil, at, construct)
		}
		if a.absentTarget(target, t) {
			a.tags = catalog.Union(a.tags, a.assigned(t.GetVal(), e).tags)
			continue
		}
		value := a.assigned(t.GetVal(), e)
		a.taint(target, t.GetName(), value.tags)
		a.assign(a.writesTo(target, t.GetName()), value, construct)
	}
}

// assigned is what one value of a SET carries. Of a row or a query on the right it
// is that column.
func (a *analyzer) assigned(n *pg.Node, e env) flow {
	m := n.GetMultiAssignRef()
	if m == nil {
		return a.flowOf(n, e)
	}
	if row := m.GetSource().GetRowExpr(); row != nil {
		if at := int(m.GetColno()) - 1; at >= 0 && at < len(row.GetArgs()) {
			return a.flowOf(row.GetArgs()[at], e)
		}
	}
	if query := m.GetSource().GetSubLink(); query != nil {
		row := a.query(query.GetSubselect(), e)
		if at := int(m.GetColno()) - 1; !row.open && at >= 0 && at < len(row.columns) {
			return row.columns[at].flow
		}
		return row.all()
	}
	return a.flowOf(m.GetSource(), e)
}

func (a *analyzer) delete(s *pg.DeleteStmt, e env) rowset {
	e.ctes = a.with(s.GetWithClause(), e)
	var features []string
	if a.unbounded(s.GetWhereClause(), s.GetRelation()) {
		features = append(features, UnboundedDelete)
	}
	target := a.modify(KindDelete, s.GetRelation(), features...)
	inside := e.inside()
	inside.scope.sources = []*source{target}
	a.from(s.GetUsingClause(), inside)
	a.predicate(s.GetWhereClause(), inside)
	return a.returning(s.GetReturningList(), inside.scope.sources, e)
}

func (a *analyzer) mergeInto(s *pg.MergeStmt, e env) rowset {
	e.ctes = a.with(s.GetWithClause(), e)
	target := a.modify(KindMerge, s.GetRelation())
	inside := e.inside()
	inside.scope.sources = []*source{target}
	a.from([]*pg.Node{s.GetSourceRelation()}, inside)
	a.predicate(s.GetJoinCondition(), inside)
	const construct = "MERGE of a protected value into a column that is not protected"
	for _, n := range s.GetMergeWhenClauses() {
		when := n.GetMergeWhenClause()
		a.predicate(when.GetCondition(), inside)
		a.assignMerge(target, s, when)
		if when.GetCommandType() != pg.CmdType_CMD_INSERT {
			a.assignments(when.GetTargetList(), target, inside, construct)
			continue
		}
		var row rowset
		for _, value := range when.GetValues() {
			row.columns = append(row.columns, column{flow: a.flowOf(value, inside)})
		}
		a.insertInto(target, when.GetTargetList(), row)
	}
	return rowset{}
}

// returning is what RETURNING gives back.
func (a *analyzer) returning(list []*pg.Node, sources []*source, e env) rowset {
	inside := e.inside()
	inside.scope.sources = sources
	var items []item
	for _, s := range sources {
		items = append(items, single(s))
	}
	return a.targets(list, items, inside)
}
