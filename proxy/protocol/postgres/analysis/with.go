package analysis

import (
	"slices"

	pg "github.com/pganalyze/pg_query_go/v5"
)

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
	return a.query(c.GetCtequery(), e).renamed(c.GetAliascolnames())
}

// searched adds the columns that SEARCH and CYCLE make of a recursive query's own.
func (a *analyzer) searched(c *pg.CommonTableExpr, row rowset, e env) rowset {
	search, cycle := c.GetSearchClause(), c.GetCycleClause()
	if search == nil && cycle == nil {
		return row
	}
	if row.open {
		row.rest = row.all()
		return row
	}
	columns := slices.Clone(row.columns)
	if search != nil {
		by := row.carriedBy(stringList(search.GetSearchColList()))
		columns = append(columns, column{name: search.GetSearchSeqColumn(), flow: by.derived()})
	}
	if cycle != nil {
		by := row.carriedBy(stringList(cycle.GetCycleColList())).and(a.flowOf(cycle.GetCycleMarkValue(), e)).and(a.flowOf(cycle.GetCycleMarkDefault(), e))
		a.compare(PredicateEquality, by)
		columns = append(columns, column{name: cycle.GetCycleMarkColumn(), flow: by.implicit()},
			column{name: cycle.GetCyclePathColumn(), flow: by.derived()})
	}
	row.columns = columns
	return row
}

// carriedBy is what the named columns carry together.
func (r rowset) carriedBy(names []string) flow {
	var all flow
	for _, name := range names {
		all = all.and(named(r, name).flow)
	}
	return all
}

// maxRounds bounds the fixpoint of WITH RECURSIVE. Each round can carry a tag one
// column further.
const maxRounds = 40

// withRecursive computes what recursive queries carry as a fixpoint: all of them
// see each other, beginning with columns that carry nothing.
func (a *analyzer) withRecursive(w *pg.WithClause, e env) *cte {
	_, before := a.features[Inference]
	a.settling++
	rows := a.seeds(w, e)
	round := func() (changed bool) {
		if !before {
			delete(a.features, Inference) // an earlier round did not know yet what both sides carry; this one sees it again
		}
		for i, n := range w.GetCtes() {
			ctes := a.bindAll(w, rows, e, i)
			row := grown(rows[i], a.withQuery(n.GetCommonTableExpr(), env{scope: e.scope, ctes: ctes}))
			changed = changed || !sameRow(rows[i], row)
			rows[i] = row
		}
		return changed
	}
	settled := false
	for i := 0; i < maxRounds && !settled; i++ {
		settled = !round()
	}
	a.settling--
	if a.settling == 0 {
		round() // now that it is known what each side carries, they can be held against each other
	}
	if !settled {
		for i := range rows {
			rows[i] = rowset{open: true, rest: a.everything()}
		}
	}
	return a.bindAll(w, rows, e, -1)
}

// seeds are the columns of recursive queries before anything is known of what they
// carry: their number and names are those of the first, non-recursive term.
func (a *analyzer) seeds(w *pg.WithClause, e env) []rowset {
	rows := make([]rowset, len(w.GetCtes()))
	for i := range rows {
		rows[i].open = true
	}
	for i, n := range w.GetCtes() {
		c := n.GetCommonTableExpr()
		s := c.GetCtequery().GetSelectStmt()
		if s.GetOp() != pg.SetOperation_SETOP_UNION || s.GetLarg() == nil {
			continue
		}
		inside := env{scope: e.scope, ctes: a.bindAll(w, rows, e, -1)}
		inside.ctes = a.with(s.GetWithClause(), inside)
		first := a.selectStmt(s.GetLarg(), inside).renamed(c.GetAliascolnames())
		if first.open {
			continue
		}
		rows[i] = rowset{}
		for _, known := range first.columns {
			rows[i].columns = append(rows[i].columns, column{name: known.name})
		}
	}
	return rows
}

// bindAll brings the queries into sight, as the one with that number sees them: it
// sees itself without the columns that SEARCH and CYCLE add.
func (a *analyzer) bindAll(w *pg.WithClause, rows []rowset, e env, self int) *cte {
	outer := e.ctes
	for i, n := range w.GetCtes() {
		c, row := n.GetCommonTableExpr(), rows[i]
		if i != self {
			row = a.searched(c, row, e)
		}
		outer = &cte{outer: outer, name: c.GetCtename(), row: row}
	}
	return outer
}

// grown adds what earlier rounds found, so that the fixpoint only ever grows.
func grown(before, now rowset) rowset {
	for i := range now.columns {
		if i < len(before.columns) {
			now.columns[i].flow = now.columns[i].and(before.columns[i].flow)
		}
		now.columns[i].shape = nil
		now.columns[i].plain = false // RowDescription attests nothing through a recursion
	}
	return now
}

func sameRow(x, y rowset) bool {
	return x.open == y.open && x.rest.same(y.rest) && slices.EqualFunc(x.columns, y.columns, func(p, q column) bool {
		return p.name == q.name && p.same(q.flow)
	})
}
