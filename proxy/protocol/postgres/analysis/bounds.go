package analysis

import (
	pg "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/proto"
)

// unbounded reports whether a WHERE leaves every row of the relation in: none at
// all, one that is the same for every row, or one that only looks like a choice.
func (a *analyzer) unbounded(where *pg.Node, rv *pg.RangeVar) bool {
	switch v := where.GetNode().(type) {
	case nil:
		return true
	case *pg.Node_CurrentOfExpr:
		return false
	case *pg.Node_BoolExpr:
		return a.unboundedLogic(v.BoolExpr, rv)
	case *pg.Node_NullTest:
		return v.NullTest.GetNulltesttype() == pg.NullTestType_IS_NOT_NULL || rowIndependent(where, rv)
	case *pg.Node_AExpr:
		same := proto.Equal(withoutLocation(v.AExpr.GetLexpr()), withoutLocation(v.AExpr.GetRexpr()))
		return same || rowIndependent(where, rv)
	case *pg.Node_SubLink:
		return rowIndependent(where, rv) || a.wholeRelation(v.SubLink, rv)
	}
	return rowIndependent(where, rv)
}

func (a *analyzer) unboundedLogic(b *pg.BoolExpr, rv *pg.RangeVar) bool {
	some, all := false, true
	for _, arg := range b.GetArgs() {
		unbounded := a.unbounded(arg, rv)
		some, all = some || unbounded, all && unbounded
	}
	if b.GetBoolop() == pg.BoolExprType_OR_EXPR {
		return some
	}
	return all
}

// wholeRelation recognizes "id IN (SELECT id FROM the same relation)".
func (a *analyzer) wholeRelation(s *pg.SubLink, rv *pg.RangeVar) bool {
	sel := s.GetSubselect().GetSelectStmt()
	if s.GetSubLinkType() != pg.SubLinkType_ANY_SUBLINK || sel == nil || sel.GetLimitCount() != nil {
		return false
	}
	for _, n := range sel.GetFromClause() {
		if from := n.GetRangeVar(); from != nil && from.GetRelname() == rv.GetRelname() {
			return a.unbounded(sel.GetWhereClause(), from)
		}
	}
	return false
}

// rowIndependent reports whether a condition is the same for every row of rv: it
// names no column, except in queries of its own that do not mention rv.
func rowIndependent(n *pg.Node, rv *pg.RangeVar) bool {
	switch v := n.GetNode().(type) {
	case nil:
		return true
	case *pg.Node_ColumnRef, *pg.Node_CurrentOfExpr:
		return false
	case *pg.Node_SubLink:
		return rowIndependent(v.SubLink.GetTestexpr(), rv) && !mentions(v.SubLink.GetSubselect(), rv)
	}
	independent := true
	eachChild(n, func(child *pg.Node) { independent = independent && rowIndependent(child, rv) })
	return independent
}

// mentions reports whether a query names a column of rv by its qualifier.
func mentions(n *pg.Node, rv *pg.RangeVar) bool {
	if ref := n.GetColumnRef(); ref != nil {
		fields := stringList(ref.GetFields())
		name := rv.GetRelname()
		if rv.GetAlias() != nil {
			name = rv.GetAlias().GetAliasname()
		}
		return len(fields) > 1 && fields[len(fields)-2] == name
	}
	found := false
	eachChild(n, func(child *pg.Node) { found = found || mentions(child, rv) })
	return found
}

// withoutLocation returns a column reference that can be compared with another.
func withoutLocation(n *pg.Node) *pg.Node {
	ref := n.GetColumnRef()
	if ref == nil {
		return n
	}
	return &pg.Node{Node: &pg.Node_ColumnRef{ColumnRef: &pg.ColumnRef{Fields: ref.GetFields()}}}
}

// bulk reports whether a query reads a whole relation of the users': neither a
// WHERE nor a LIMIT, and not just totals over it.
func (a *analyzer) bulk(s *pg.SelectStmt, ctes map[string]*pg.SelectStmt) bool {
	a.steps++
	if a.steps > maxSteps {
		return true
	}
	if s == nil || s.GetLimitCount() != nil {
		return false
	}
	if s.GetOp() != pg.SetOperation_SETOP_NONE {
		return a.bulk(s.GetLarg(), ctes) || a.bulk(s.GetRarg(), ctes)
	}
	ctes = withNames(s.GetWithClause(), ctes)
	if s.GetWhereClause() != nil && !rowIndependent(s.GetWhereClause(), nil) || onlyTotals(s) {
		return false
	}
	for _, n := range s.GetFromClause() {
		if a.bulkItem(n, ctes) {
			return true
		}
	}
	return false
}

func withNames(w *pg.WithClause, outer map[string]*pg.SelectStmt) map[string]*pg.SelectStmt {
	if len(w.GetCtes()) == 0 {
		return outer
	}
	names := map[string]*pg.SelectStmt{}
	for name, s := range outer {
		names[name] = s
	}
	for _, n := range w.GetCtes() {
		c := n.GetCommonTableExpr()
		names[c.GetCtename()] = c.GetCtequery().GetSelectStmt()
	}
	if w.GetRecursive() {
		for name := range names {
			names[name] = nil
		}
	}
	return names
}

func (a *analyzer) bulkItem(n *pg.Node, ctes map[string]*pg.SelectStmt) bool {
	switch v := n.GetNode().(type) {
	case *pg.Node_RangeVar:
		rv := v.RangeVar
		if query, named := ctes[rv.GetRelname()]; named && rv.GetSchemaname() == "" {
			rest := map[string]*pg.SelectStmt{}
			for name, s := range ctes {
				if name != rv.GetRelname() {
					rest[name] = s
				}
			}
			return a.bulk(query, rest)
		}
		for _, r := range a.resolve(rv.GetSchemaname(), rv.GetRelname()).relations {
			if r.Schema == "pg_catalog" || r.Schema == "information_schema" || r.Kind == 'S' {
				return false
			}
		}
		return true
	case *pg.Node_RangeSubselect:
		return a.bulk(v.RangeSubselect.GetSubquery().GetSelectStmt(), ctes)
	case *pg.Node_JoinExpr:
		return a.bulkItem(v.JoinExpr.GetLarg(), ctes) || a.bulkItem(v.JoinExpr.GetRarg(), ctes)
	}
	return false
}

var totals = wordSet("count sum avg min max bool_and bool_or every stddev variance")

// onlyTotals reports whether a query gives one row of aggregates.
func onlyTotals(s *pg.SelectStmt) bool {
	for _, n := range s.GetTargetList() {
		call := n.GetResTarget().GetVal().GetFuncCall()
		if call == nil || call.GetOver() != nil {
			return false
		}
		if _, name := funcName(call); !totals[name] {
			return false
		}
	}
	return len(s.GetGroupClause()) == 0 && len(s.GetTargetList()) > 0
}
