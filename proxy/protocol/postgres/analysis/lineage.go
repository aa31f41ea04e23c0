package analysis

import (
	pg "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/functions"
)

// flowOf returns what the value of an expression may carry: every column in it,
// comparisons and conditions included. What gives nothing of the
// value away does not count: count(x), x IS NULL and pg_typeof(x) of a plain
// column, and EXISTS, whose conditions are predicates.
func (a *analyzer) flowOf(n *pg.Node, e env) flow {
	a.steps++
	if a.steps > maxSteps {
		a.uncertain = true
		return a.everything()
	}
	switch v := n.GetNode().(type) {
	case nil, *pg.Node_AConst, *pg.Node_ParamRef:
		return flow{}
	case *pg.Node_List:
		return a.flowOfAll(v.List.GetItems(), e).derived()
	case *pg.Node_TypeCast:
		return a.flowOf(v.TypeCast.GetArg(), e).derived()
	case *pg.Node_ColumnRef:
		return a.reference(v.ColumnRef, e).flow
	case *pg.Node_SubLink:
		return a.subLink(v.SubLink, e)
	case *pg.Node_FuncCall:
		return a.funcCall(v.FuncCall, e)
	case *pg.Node_NullTest:
		if f := a.flowOf(v.NullTest.GetArg(), e); !isColumn(v.NullTest.GetArg()) || f.part {
			return f.implicit()
		}
		return flow{}
	case *pg.Node_BoolExpr:
		return a.flowOfAll(v.BoolExpr.GetArgs(), e).implicit()
	case *pg.Node_BooleanTest, *pg.Node_JsonIsPredicate:
		return a.parts(n, e).implicit()
	case *pg.Node_GroupingFunc: // which columns are grouped, not their values
		return flow{}
	case *pg.Node_CaseExpr:
		return a.choice(v.CaseExpr, e)
	case *pg.Node_CoalesceExpr:
		return a.flowOfAll(v.CoalesceExpr.GetArgs(), e)
	case *pg.Node_CollateClause:
		return a.flowOf(v.CollateClause.GetArg(), e)
	case *pg.Node_AIndirection:
		return a.once(v.AIndirection, e, func() flow { return a.field(v.AIndirection, n, e) })
	case *pg.Node_AExpr:
		if name := operatorName(v.AExpr); name != "->" && name != "->>" {
			return a.operation(v.AExpr, e)
		}
		return a.once(v.AExpr, e, func() flow { return a.operation(v.AExpr, e) })
	case *pg.Node_SelectStmt, *pg.Node_InsertStmt, *pg.Node_UpdateStmt, *pg.Node_DeleteStmt, *pg.Node_MergeStmt:
		return a.query(n, e).all() // the query of JSON_ARRAY(SELECT …)
	}
	return a.parts(n, e).derived()
}

// parts is the union over the expressions that a node is made of.
func (a *analyzer) parts(n *pg.Node, e env) flow {
	var all flow
	eachChild(n, func(child *pg.Node) { all = all.and(a.flowOf(child, e)) })
	return all
}

// choice is the result of a CASE: what it gives, and by what it chooses.
func (a *analyzer) choice(c *pg.CaseExpr, e env) flow {
	var given, chosen flow
	results := []*pg.Node{c.GetDefresult()}
	chosen = a.flowOf(c.GetArg(), e)
	for _, n := range c.GetArgs() {
		chosen = chosen.and(a.flowOf(n.GetCaseWhen().GetExpr(), e))
		results = append(results, n.GetCaseWhen().GetResult())
	}
	probes := false
	for _, n := range results {
		f := a.flowOf(n, e)
		given = given.and(f)
		probes = probes || !f.protected() && a.madeUpByRow(n, e)
	}
	given.mixed = given.mixed || probes && given.protected()
	return given.and(chosen.implicit())
}

// madeUpByRow reports whether an expression gives each row a value that is not a
// stored one: of a series, a list of values, a computation.
func (a *analyzer) madeUpByRow(n *pg.Node, e env) bool {
	if isColumn(n) {
		return !a.reference(n.GetColumnRef(), e).plain
	}
	return hasColumn(n)
}

// eachChild calls visit for the nearest Nodes below n.
func eachChild(n *pg.Node, visit func(*pg.Node)) {
	m := n.ProtoReflect()
	field := m.WhichOneof(m.Descriptor().Oneofs().Get(0))
	if field == nil {
		return
	}
	eachNode(m.Get(field).Message(), visit)
}

// eachNode calls visit for the nearest Nodes below a message that is no Node.
func eachNode(m protoreflect.Message, visit func(*pg.Node)) {
	descend := func(child protoreflect.Message) {
		if node, ok := child.Interface().(*pg.Node); ok {
			visit(node)
			return
		}
		eachNode(child, visit)
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Kind() != protoreflect.MessageKind || !m.Has(f) {
			continue
		}
		if !f.IsList() {
			descend(m.Get(f).Message())
			continue
		}
		for list, j := m.Get(f).List(), 0; j < list.Len(); j++ {
			descend(list.Get(j).Message())
		}
	}
}

// flowIn is flowOf for every expression in a message that is no Node.
func (a *analyzer) flowIn(m proto.Message, e env) flow {
	var all flow
	if r := m.ProtoReflect(); r.IsValid() {
		eachNode(r, func(n *pg.Node) { all = all.and(a.flowOf(n, e)) })
	}
	return all
}

func (a *analyzer) flowOfAll(list []*pg.Node, e env) flow {
	var all flow
	for _, n := range list {
		all = all.and(a.flowOf(n, e))
	}
	return all
}

func isColumn(n *pg.Node) bool {
	ref := n.GetColumnRef()
	if ref == nil {
		return false
	}
	fields := ref.GetFields()
	return fields[len(fields)-1].GetAStar() == nil
}

func (a *analyzer) subLink(s *pg.SubLink, e env) flow {
	test := a.flowOf(s.GetTestexpr(), e)
	all := a.subquery(s, e).all()
	switch s.GetSubLinkType() {
	case pg.SubLinkType_EXISTS_SUBLINK:
		return flow{}
	case pg.SubLinkType_EXPR_SUBLINK:
		return all
	case pg.SubLinkType_ARRAY_SUBLINK, pg.SubLinkType_MULTIEXPR_SUBLINK:
		return test.and(all).derived()
	}
	return test.and(all).implicit()
}

// place is an expression in one evaluation of the query around it, which has a scope
// of its own each time.
type place struct {
	expression any // a pointer to a node
	scope      *scope
	sources    int
	ctes       *cte
}

func placeOf(expression any, e env) place {
	p := place{expression: expression, scope: e.scope, ctes: e.ctes}
	if e.scope != nil {
		p.sources = len(e.scope.sources)
	}
	return p
}

// once remembers what an expression carries, of the kinds that look at what they are
// made of in several ways: nested, they would take twice as long with each level.
func (a *analyzer) once(expression any, e env, carries func() flow) flow {
	p := placeOf(expression, e)
	f, known := a.carried[p]
	if !known {
		f = carries()
		a.carried[p] = f
	}
	return f
}

// subquery is what a sub-select in an expression returns. An expression is looked at
// several times, and those inside it must not be so many times more.
func (a *analyzer) subquery(s *pg.SubLink, e env) rowset {
	p := placeOf(s, e)
	row, known := a.subqueries[p]
	if !known {
		row = a.query(s.GetSubselect(), e)
		a.subqueries[p] = row
	}
	return row
}

// field is a field, element or slice of a value, or the result of a function in
// field notation.
func (a *analyzer) field(x *pg.A_Indirection, n *pg.Node, e env) flow {
	all := a.parts(n, e).derived()
	if first := x.GetIndirection(); len(first) > 0 {
		f, ok := a.fieldOf(x.GetArg(), first[0].GetString_().GetSval(), e)
		if !ok {
			f, ok = a.elementOf(x.GetArg(), first, e)
		}
		if ok && len(first) > 1 {
			f = f.derived()
		}
		if ok {
			all = f
		}
	}
	for _, part := range x.GetIndirection() {
		name := part.GetString_().GetSval()
		if all.protected() && a.isSink(name) {
			a.launder("." + name + " of a protected value, which calls the function")
		}
		if a.fieldCall(name) {
			all = a.everything()
		}
	}
	return all
}

// operation is an operator's result. A division by something protected tells by
// its failure what the divisor is, even where the result is masked.
func (a *analyzer) operation(x *pg.A_Expr, e env) flow {
	if f, found := a.jsonPart(x, e); found != nil {
		return f
	}
	left, right := a.flowOf(x.GetLexpr(), e), a.flowOf(x.GetRexpr(), e)
	if name := stringList(x.GetName()); right.protected() && len(name) > 0 {
		if last := name[len(name)-1]; last == "/" || last == "%" {
			a.feature(Inference, "a division by a protected value")
		}
	}
	switch {
	case x.GetKind() == pg.A_Expr_Kind_AEXPR_NULLIF:
		return left.and(right.implicit())
	case operatorKind(x) != PredicateOther && !isRemainder(x) || x.GetKind() != pg.A_Expr_Kind_AEXPR_OP:
		return left.and(right).implicit()
	}
	return left.and(right).derived()
}

// isRemainder recognizes "%", which compares texts but divides numbers.
func isRemainder(x *pg.A_Expr) bool {
	name := stringList(x.GetName())
	return len(name) > 0 && name[len(name)-1] == "%"
}

// funcCall is a call's result: what its arguments carry, unless it tells nothing
// of them; everything, where nobody knows what the function reads.
func (a *analyzer) funcCall(call *pg.FuncCall, e env) flow {
	schema, name := funcName(call)
	a.made.call(call, name)
	if f, ok := a.columnCalled(call, name, e); ok {
		return f
	}
	args := a.flowOfAll(call.GetArgs(), e).derived()
	if order := a.order(call.GetAggOrder(), e); call.GetAggWithinGroup() {
		args = args.and(order.derived()) // percentile_disc() and mode() return what they order
	} else {
		args = args.and(order.implicit())
	}
	if call.GetAggDistinct() && args.mixed && args.protected() {
		a.feature(Inference, madeUp)
	}
	chosen := a.chosenBy(call, e)
	args = args.and(chosen)
	if functions.ReturnsRows(name) {
		a.compare(PredicateOther, args) // told by the number of rows
	}
	if args.protected() && a.isSink(name) {
		a.launder(name + "() with a protected value")
	}
	if (schema == "" || schema == "pg_catalog") && a.declassifies(call, name, e) {
		return chosen
	}
	if a.without[absentKey{AbsentFunction, schema, name}] {
		return args
	}
	if !a.vouched(schema, name) && !a.isField(call, name) || runsText(call, name) {
		return a.everything()
	}
	return args
}

// chosenBy is what decides over which rows a call computes its result: its FILTER,
// and the partition and order of its window.
func (a *analyzer) chosenBy(call *pg.FuncCall, e env) flow {
	var chosen flow
	if filter := call.GetAggFilter(); filter != nil {
		a.predicate(filter, e)
		chosen = a.flowOf(filter, e)
	}
	if over := call.GetOver(); over != nil {
		chosen = chosen.and(a.window(over, e)).and(e.windows[over.GetName()]).and(e.windows[over.GetRefname()])
	}
	return chosen.implicit()
}

// runsText reports whether a function, harmless otherwise, runs a query text in
// this form.
func runsText(call *pg.FuncCall, name string) bool {
	return functions.Form(name, len(call.GetArgs())) == DynamicSQL
}

// isSink reports whether a function stores or transmits its arguments.
func (a *analyzer) isSink(name string) bool {
	if functions.Sinks(name) {
		return true
	}
	d, ok := functions.DangerOf(name)
	return ok && d.Class != SecretCatalog
}

// declassifies reports whether a call tells nothing of the plain column that it
// is given. Anything but a plain column could hold a condition, and
// count(CASE WHEN …) would answer it, also where a sub-select gave that a name.
func (a *analyzer) declassifies(call *pg.FuncCall, name string, e env) bool {
	if a.cat.UserFunction(name) || functions.Builtin(name) != functions.Declassify {
		return false
	}
	if call.GetAggStar() || len(call.GetArgs()) != 1 || !isColumn(call.GetArgs()[0]) {
		return call.GetAggStar()
	}
	if !a.flowOf(call.GetArgs()[0], e).part {
		return true
	}
	_, isRow := a.rowNamed(call.GetArgs()[0].GetColumnRef(), e)
	return isRow && name == "count" // a row counts, whatever is in it
}

// isField reports whether a call may be "column(row)".
func (a *analyzer) isField(call *pg.FuncCall, name string) bool {
	return len(call.GetFuncname()) == 1 && len(call.GetArgs()) == 1 && !a.cat.UserFunction(name) && !a.reported(name)
}

// reported: the inventory already called the function unknown or dangerous.
func (a *analyzer) reported(name string) bool {
	_, isDangerous := functions.DangerOf(name)
	_, unknown := a.features[UnknownFunction]
	return isDangerous || unknown
}

// window is what the partitions and the order of a window carry.
func (a *analyzer) window(w *pg.WindowDef, e env) flow {
	all := a.order(w.GetPartitionClause(), e).and(a.order(w.GetOrderClause(), e))
	return all.and(a.flowOf(w.GetStartOffset(), e)).and(a.flowOf(w.GetEndOffset(), e))
}

// order is what sort and group expressions carry; it counts as a predicate.
func (a *analyzer) order(list []*pg.Node, e env) flow {
	all := a.flowOfAll(list, e)
	a.compare(PredicateOrder, all)
	return all
}
