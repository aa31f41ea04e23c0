package analysis

import (
	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// How a protected column is compared.
const (
	PredicateEquality = "Equality" // with a constant, a parameter, or a column of equal tags
	PredicateRange    = "Range"    // <, BETWEEN …
	PredicatePattern  = "Pattern"  // LIKE, regular expressions …
	PredicateOrder    = "Order"    // ORDER BY, GROUP BY, DISTINCT, PARTITION BY
	PredicateOther    = "Other"    // anything else: a part of it, a function of it, a generated value
)

// compare records a comparison of values that carry this.
func (a *analyzer) compare(kind string, f flow) {
	a.tested = a.tested.and(f)
	if f.protected() {
		a.beside.meets(f)
		a.kinds[kind] = true
		a.compared = catalog.Union(a.compared, f.tags)
		if f.mixed && kind == PredicateOrder {
			a.feature(Inference, madeUp)
		}
	}
}

// predicate records what a condition (WHERE, ON, HAVING, FILTER, WHEN) compares.
func (a *analyzer) predicate(n *pg.Node, e env) {
	a.steps++
	switch v := n.GetNode().(type) {
	case nil:
	case *pg.Node_BoolExpr:
		for _, arg := range v.BoolExpr.GetArgs() {
			a.predicate(arg, e)
		}
	case *pg.Node_AExpr:
		a.comparison(v.AExpr, e)
	case *pg.Node_SubLink:
		a.membership(v.SubLink, e)
	case *pg.Node_NullTest:
		a.tested = a.tested.and(a.flowOf(v.NullTest.GetArg(), e)) // read, though nothing is told of it
		a.compare(PredicateOther, a.flowOf(n, e))
	case *pg.Node_FuncCall:
		a.compare(PredicateOther, a.flowOf(n, e))
		a.generated(v.FuncCall.GetArgs(), e)
	default:
		a.compare(PredicateOther, a.flowOf(n, e))
	}
}

// What makes a test an inference, in a refusal's words.
const (
	partCompared = "a comparison with a part of a protected value"
	madeUp       = "a comparison of protected values with made-up ones"
)

// isPart reports whether an expression that carries f is a part of something
// protected, itself or by the query that gave it its name.
func isPart(n *pg.Node, f flow) bool {
	if !f.protected() {
		return false
	}
	if s := n.GetSubLink(); s != nil && s.GetSubLinkType() == pg.SubLinkType_EXPR_SUBLINK {
		return f.part
	}
	return f.part || !tellsNoMore(n)
}

// generatedValues is the construct of what generated finds.
const generatedValues = "a comparison of protected values with generated ones"

// generated finds a test of protected values against unprotected ones of every row: what passes it is the value.
func (a *analyzer) generated(sides []*pg.Node, e env) {
	protected, perRow := false, false
	for _, side := range sides {
		if a.flowOf(side, e).protected() {
			protected = true
		} else if hasColumn(side) {
			perRow = true
		}
	}
	if protected && perRow {
		a.feature(Inference, generatedValues)
	}
}

// comparison classifies "left operator right".
func (a *analyzer) comparison(x *pg.A_Expr, e env) {
	left, right := a.flowOf(x.GetLexpr(), e), a.flowOf(x.GetRexpr(), e)
	both := left.and(right)
	a.beside.compared(x, left, right)
	if !both.protected() {
		a.compare("", both)
		return
	}
	a.generated([]*pg.Node{x.GetLexpr(), x.GetRexpr()}, e)
	if isPart(x.GetLexpr(), left) || isPart(x.GetRexpr(), right) {
		a.feature(Inference, partCompared)
	}
	if left.protected() && right.protected() && both.mixed {
		a.feature(Inference, madeUp)
	}
	kind := operatorKind(x)
	switch {
	case left.protected() && right.protected(): // of two columns only equal things may be compared
		if !sameTags(left.tags, right.tags) || !wholeValue(x.GetLexpr()) || !wholeValue(x.GetRexpr()) {
			kind = PredicateOther
		}
	case left.protected():
		if !wholeValue(x.GetLexpr()) || !constantExpression(x.GetRexpr()) {
			kind = PredicateOther
		}
	default:
		if !wholeValue(x.GetRexpr()) || !constantExpression(x.GetLexpr()) {
			kind = PredicateOther
		}
	}
	a.compare(kind, both)
}

func sameTags(left, right []string) bool {
	return catalog.Contains(left, right) && catalog.Contains(right, left)
}

func operatorKind(x *pg.A_Expr) string {
	switch x.GetKind() {
	case pg.A_Expr_Kind_AEXPR_LIKE, pg.A_Expr_Kind_AEXPR_ILIKE, pg.A_Expr_Kind_AEXPR_SIMILAR:
		return PredicatePattern
	case pg.A_Expr_Kind_AEXPR_BETWEEN, pg.A_Expr_Kind_AEXPR_NOT_BETWEEN,
		pg.A_Expr_Kind_AEXPR_BETWEEN_SYM, pg.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
		return PredicateRange
	case pg.A_Expr_Kind_AEXPR_DISTINCT, pg.A_Expr_Kind_AEXPR_NOT_DISTINCT:
		return PredicateEquality
	}
	name := stringList(x.GetName())
	if len(name) == 0 {
		return PredicateOther
	}
	switch name[len(name)-1] {
	case "=", "<>":
		return PredicateEquality
	case "<", "<=", ">", ">=":
		return PredicateRange
	case "~~", "!~~", "~~*", "!~~*", "~", "!~", "~*", "!~*", "^@", "@@", "%", "~<~", "~<=~", "~>~", "~>=~":
		return PredicatePattern
	}
	return PredicateOther
}

// wholeValue reports whether an expression is a column, or a function of it that
// takes nothing away but its case: not a part of it, and not its length.
func wholeValue(n *pg.Node) bool {
	if isColumn(n) {
		return true
	}
	if cast := n.GetTypeCast(); cast != nil {
		t := cast.GetTypeName()
		name := stringList(t.GetNames())
		plain := len(name) > 0 && len(t.GetTypmods()) == 0 && len(t.GetArrayBounds()) == 0
		return plain && (name[len(name)-1] == "text" || name[len(name)-1] == "varchar") && wholeValue(cast.GetArg())
	}
	if call := n.GetFuncCall(); call != nil && len(call.GetArgs()) == 1 {
		schema, name := funcName(call)
		return (schema == "" || schema == "pg_catalog") && (name == "lower" || name == "upper") && wholeValue(call.GetArgs()[0])
	}
	return false
}

// tellsNoMore reports whether a condition on an expression tells no more of a
// protected value than one on the value itself: it is the value, cast, or the
// greatest or least of them, or the value where there is one. A part of it, taken
// by itself, gives the value away one character at a time.
func tellsNoMore(n *pg.Node) bool {
	switch v := n.GetNode().(type) {
	case *pg.Node_TypeCast:
		name := stringList(v.TypeCast.GetTypeName().GetNames())
		short := len(v.TypeCast.GetTypeName().GetTypmods()) > 0 || len(name) > 0 && name[len(name)-1] == "char"
		return !short && tellsNoMore(v.TypeCast.GetArg())
	case *pg.Node_CoalesceExpr:
		return allTellNoMore(v.CoalesceExpr.GetArgs())
	case *pg.Node_List:
		return allTellNoMore(v.List.GetItems())
	case *pg.Node_RowExpr:
		return allTellNoMore(v.RowExpr.GetArgs())
	case *pg.Node_FuncCall:
		switch schema, name := funcName(v.FuncCall); name {
		case "min", "max", "btrim", "lower", "upper":
			return (schema == "" || schema == "pg_catalog") && allTellNoMore(v.FuncCall.GetArgs())
		}
		return false
	}
	return isColumn(n) || constantExpression(n)
}

func allTellNoMore(nodes []*pg.Node) bool {
	for _, n := range nodes {
		if !tellsNoMore(n) {
			return false
		}
	}
	return true
}

// hasColumn reports whether an expression, its sub-selects left out, may differ
// from row to row.
func hasColumn(n *pg.Node) bool {
	switch n.GetNode().(type) {
	case *pg.Node_ColumnRef:
		return true
	case *pg.Node_SubLink, *pg.Node_SelectStmt:
		return false
	}
	found := false
	eachChild(n, func(child *pg.Node) { found = found || hasColumn(child) })
	return found
}

// constantExpression reports whether an expression is the same for every row: it
// holds no column and no query.
func constantExpression(n *pg.Node) bool {
	switch n.GetNode().(type) {
	case nil, *pg.Node_AConst, *pg.Node_ParamRef, *pg.Node_SqlvalueFunction:
		return true
	case *pg.Node_ColumnRef, *pg.Node_SubLink, *pg.Node_SelectStmt, *pg.Node_CurrentOfExpr:
		return false
	}
	constant := true
	eachChild(n, func(child *pg.Node) { constant = constant && constantExpression(child) })
	return constant
}

// membership classifies EXISTS, IN (SELECT …) and their like.
func (a *analyzer) membership(s *pg.SubLink, e env) {
	test := a.flowOf(s.GetTestexpr(), e)
	row := a.subquery(s, e)
	if s.GetSubLinkType() == pg.SubLinkType_EXISTS_SUBLINK {
		return
	}
	all := row.all()
	both := test.and(all)
	if all.protected() && !test.protected() && hasColumn(s.GetTestexpr()) {
		a.feature(Inference, generatedValues)
	}
	if isPart(s.GetTestexpr(), test) || test.protected() && all.protected() && all.part {
		a.feature(Inference, partCompared)
	}
	if test.protected() && all.protected() && both.mixed {
		a.feature(Inference, madeUp)
	}
	equal := s.GetSubLinkType() == pg.SubLinkType_ANY_SUBLINK && len(s.GetOperName()) == 0
	if equal && wholeValue(s.GetTestexpr()) && len(row.columns) == 1 && !row.open && row.columns[0].plain && sameTags(test.tags, all.tags) {
		a.compare(PredicateEquality, both)
		return
	}
	a.compare(PredicateOther, both)
}
