package analysis

import (
	pg "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/functions"
)

// tagsOf returns what the value of an expression may carry: the tags of every
// column in it, comparisons and conditions included. What gives nothing of the
// value away does not count: count(x), x IS NULL and pg_typeof(x) of a plain
// column, and EXISTS, whose conditions are predicates.
func (a *analyzer) tagsOf(n *pg.Node, e env) []string {
	a.steps++
	if a.steps > maxSteps {
		a.uncertain = true
		return a.everything()
	}
	switch v := n.GetNode().(type) {
	case nil:
		return nil
	case *pg.Node_ColumnRef:
		return a.reference(v.ColumnRef, e).tags
	case *pg.Node_ParamRef:
		return a.carried(v.ParamRef)
	case *pg.Node_SubLink:
		return a.subLink(v.SubLink, e)
	case *pg.Node_FuncCall:
		return a.funcCall(v.FuncCall, e)
	case *pg.Node_NullTest:
		if tags := a.tagsOf(v.NullTest.GetArg(), e); !isColumn(v.NullTest.GetArg()) {
			return tags
		}
		return nil
	case *pg.Node_AIndirection:
		return a.field(v.AIndirection, n, e)
	case *pg.Node_AExpr:
		return a.operation(v.AExpr, e)
	case *pg.Node_SelectStmt, *pg.Node_InsertStmt, *pg.Node_UpdateStmt, *pg.Node_DeleteStmt, *pg.Node_MergeStmt:
		return a.query(n, e).all() // the query of JSON_ARRAY(SELECT …)
	}
	return a.parts(n, e)
}

// parts is the union over the expressions that a node is made of.
func (a *analyzer) parts(n *pg.Node, e env) []string {
	var tags []string
	eachChild(n, func(child *pg.Node) { tags = catalog.Union(tags, a.tagsOf(child, e)) })
	return tags
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

// tagsIn is tagsOf for every expression in a message that is no Node.
func (a *analyzer) tagsIn(m proto.Message, e env) []string {
	var tags []string
	if r := m.ProtoReflect(); r.IsValid() {
		eachNode(r, func(n *pg.Node) { tags = catalog.Union(tags, a.tagsOf(n, e)) })
	}
	return tags
}

func (a *analyzer) tagsOfAll(list []*pg.Node, e env) []string {
	var tags []string
	for _, n := range list {
		tags = catalog.Union(tags, a.tagsOf(n, e))
	}
	return tags
}

func isColumn(n *pg.Node) bool {
	ref := n.GetColumnRef()
	if ref == nil {
		return false
	}
	fields := ref.GetFields()
	return fields[len(fields)-1].GetAStar() == nil
}

func (a *analyzer) subLink(s *pg.SubLink, e env) []string {
	test := a.tagsOf(s.GetTestexpr(), e)
	row := a.query(s.GetSubselect(), e)
	if s.GetSubLinkType() == pg.SubLinkType_EXISTS_SUBLINK {
		return nil
	}
	return catalog.Union(test, row.all())
}

// field is a field, element or slice of a value, or the result of a function in
// field notation.
func (a *analyzer) field(x *pg.A_Indirection, n *pg.Node, e env) []string {
	tags := a.parts(n, e)
	for _, part := range x.GetIndirection() {
		name := part.GetString_().GetSval()
		if len(tags) > 0 && a.isSink(name) {
			a.launder("." + name + " of a protected value, which calls the function")
		}
		if a.fieldCall(name) {
			tags = a.everything()
		}
	}
	return tags
}

// operation is an operator's result. A division by something protected tells by
// its failure what the divisor is, even where the result is masked.
func (a *analyzer) operation(x *pg.A_Expr, e env) []string {
	left, right := a.tagsOf(x.GetLexpr(), e), a.tagsOf(x.GetRexpr(), e)
	if name := stringList(x.GetName()); len(right) > 0 && len(name) > 0 {
		if last := name[len(name)-1]; last == "/" || last == "%" {
			a.feature(Inference, "a division by a protected value")
		}
	}
	return catalog.Union(left, right)
}

// funcCall is a call's result: what its arguments carry, unless it tells nothing
// of them; everything, where nobody knows what the function reads.
func (a *analyzer) funcCall(call *pg.FuncCall, e env) []string {
	schema, name := funcName(call)
	args := a.tagsOfAll(call.GetArgs(), e)
	args = catalog.Union(args, a.order(call.GetAggOrder(), e))
	a.predicate(call.GetAggFilter(), e)
	if over := call.GetOver(); over != nil {
		window := a.window(over, e)
		if over.GetName() != "" || over.GetRefname() != "" {
			window = catalog.Union(window, e.windows)
		}
		args = catalog.Union(args, window)
	}
	if functions.ReturnsRows(name) {
		a.compare(PredicateOther, args) // told by the number of rows
	}
	if c := a.calls[call]; c != nil {
		return a.callRoutines(call, c, args)
	}
	if len(args) > 0 && a.isSink(name) {
		a.launder(name + "() with a protected value")
	}
	if (schema == "" || schema == "pg_catalog") && a.declassifies(call, name) {
		return nil
	}
	if a.without[absentKey{AbsentFunction, schema, name}] {
		return args
	}
	if !a.vouched(schema, name) && !a.isField(call, name) || runsText(call, name) {
		return a.everything()
	}
	return args
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
// count(CASE WHEN …) would answer it.
func (a *analyzer) declassifies(call *pg.FuncCall, name string) bool {
	if a.cat.UserFunction(name) || call.GetOver() != nil || functions.Builtin(name) != functions.Declassify {
		return false
	}
	return call.GetAggStar() || len(call.GetArgs()) == 1 && isColumn(call.GetArgs()[0])
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
func (a *analyzer) window(w *pg.WindowDef, e env) []string {
	tags := catalog.Union(a.order(w.GetPartitionClause(), e), a.order(w.GetOrderClause(), e))
	tags = catalog.Union(tags, a.tagsOf(w.GetStartOffset(), e))
	return catalog.Union(tags, a.tagsOf(w.GetEndOffset(), e))
}

// order is what sort and group expressions carry; it counts as a predicate.
func (a *analyzer) order(list []*pg.Node, e env) []string {
	tags := a.tagsOfAll(list, e)
	a.compare(PredicateOrder, tags)
	return tags
}
