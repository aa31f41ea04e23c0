package analysis

import (
	pg "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// The walk over every node goes by reflection, which forgets no field whatever the
// grammar comes to have. That was most of the analyzer's work, so the nodes that
// statements are mostly made of are walked by their fields' names here; that none of
// these is missing is a test. Fields are visited in the order of the protobuf.

// walk visits a message and everything below it.
func (a *analyzer) walk(m protoreflect.Message, found *inventory) {
	if !a.enter(string(m.Descriptor().Name()), m.Interface(), found) {
		return
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Kind() != protoreflect.MessageKind {
			return true
		}
		if !f.IsList() {
			a.walkAny(v.Message(), found)
			return true
		}
		for i := range v.List().Len() {
			a.walkAny(v.List().Get(i).Message(), found)
		}
		return true
	})
}

func (a *analyzer) walkAny(m protoreflect.Message, found *inventory) {
	if n, ok := m.Interface().(*pg.Node); ok {
		a.walkNode(n, found)
		return
	}
	a.walk(m, found)
}

// enter visits a node, and reports whether to go on below it. One that is not listed
// makes the statement not understood.
func (a *analyzer) enter(name string, node proto.Message, found *inventory) bool {
	if !nodes[name] {
		a.opaque = true
		return false
	}
	if c, constant := node.(*pg.A_Const); constant {
		found.constants = append(found.constants, c)
		return false // long lists are mostly of these
	}
	a.visit(node, found)
	return true
}

func (a *analyzer) walkNodes(list []*pg.Node, found *inventory) {
	for _, n := range list {
		a.walkNode(n, found)
	}
}

// walkNode is walk for a Node.
func (a *analyzer) walkNode(n *pg.Node, found *inventory) {
	if n == nil {
		return
	}
	if !nodes["Node"] {
		a.opaque = true
		return
	}
	switch v := n.GetNode().(type) {
	case *pg.Node_AConst:
		a.enter("A_Const", v.AConst, found)
	case *pg.Node_String_:
		a.enter("String", v.String_, found)
	case *pg.Node_ParamRef:
		a.enter("ParamRef", v.ParamRef, found)
	case *pg.Node_AStar:
		a.enter("A_Star", v.AStar, found)
	case *pg.Node_ColumnRef:
		if a.enter("ColumnRef", v.ColumnRef, found) {
			a.walkNodes(v.ColumnRef.Fields, found)
		}
	case *pg.Node_ResTarget:
		if a.enter("ResTarget", v.ResTarget, found) {
			a.walkNodes(v.ResTarget.Indirection, found)
			a.walkNode(v.ResTarget.Val, found)
		}
	case *pg.Node_RangeVar:
		if a.enter("RangeVar", v.RangeVar, found) {
			a.walkAlias(v.RangeVar.Alias, found)
		}
	case *pg.Node_List:
		if a.enter("List", v.List, found) {
			a.walkNodes(v.List.Items, found)
		}
	case *pg.Node_SelectStmt:
		a.walkSelect(v.SelectStmt, found)
	case nil:
	default:
		if !a.walkExpression(n, found) {
			inner := n.ProtoReflect()
			a.walk(inner.Get(inner.WhichOneof(inner.Descriptor().Oneofs().Get(0))).Message(), found)
		}
	}
}

// walkExpression walks the expressions that are frequent; false if it is none.
func (a *analyzer) walkExpression(n *pg.Node, found *inventory) bool {
	switch v := n.GetNode().(type) {
	case *pg.Node_AExpr:
		if a.enter("A_Expr", v.AExpr, found) {
			a.walkNodes(v.AExpr.Name, found)
			a.walkNode(v.AExpr.Lexpr, found)
			a.walkNode(v.AExpr.Rexpr, found)
		}
	case *pg.Node_BoolExpr:
		if a.enter("BoolExpr", v.BoolExpr, found) {
			a.walkNode(v.BoolExpr.Xpr, found)
			a.walkNodes(v.BoolExpr.Args, found)
		}
	case *pg.Node_FuncCall:
		if a.enter("FuncCall", v.FuncCall, found) {
			a.walkNodes(v.FuncCall.Funcname, found)
			a.walkNodes(v.FuncCall.Args, found)
			a.walkNodes(v.FuncCall.AggOrder, found)
			a.walkNode(v.FuncCall.AggFilter, found)
			if v.FuncCall.Over != nil {
				a.walk(v.FuncCall.Over.ProtoReflect(), found)
			}
		}
	case *pg.Node_TypeCast:
		if a.enter("TypeCast", v.TypeCast, found) {
			a.walkNode(v.TypeCast.Arg, found)
			if t := v.TypeCast.TypeName; t != nil && a.enter("TypeName", t, found) {
				a.walkNodes(t.Names, found)
				a.walkNodes(t.Typmods, found)
				a.walkNodes(t.ArrayBounds, found)
			}
		}
	case *pg.Node_NullTest:
		if a.enter("NullTest", v.NullTest, found) {
			a.walkNode(v.NullTest.Xpr, found)
			a.walkNode(v.NullTest.Arg, found)
		}
	case *pg.Node_SortBy:
		if a.enter("SortBy", v.SortBy, found) {
			a.walkNode(v.SortBy.Node, found)
			a.walkNodes(v.SortBy.UseOp, found)
		}
	case *pg.Node_JoinExpr:
		a.walkJoin(v.JoinExpr, found)
	default:
		return false
	}
	return true
}

func (a *analyzer) walkJoin(j *pg.JoinExpr, found *inventory) {
	if !a.enter("JoinExpr", j, found) {
		return
	}
	a.walkNode(j.Larg, found)
	a.walkNode(j.Rarg, found)
	a.walkNodes(j.UsingClause, found)
	a.walkAlias(j.JoinUsingAlias, found)
	a.walkNode(j.Quals, found)
	a.walkAlias(j.Alias, found)
}

func (a *analyzer) walkAlias(alias *pg.Alias, found *inventory) {
	if alias != nil && a.enter("Alias", alias, found) {
		a.walkNodes(alias.Colnames, found)
	}
}

func (a *analyzer) walkSelect(s *pg.SelectStmt, found *inventory) {
	if s == nil || !a.enter("SelectStmt", s, found) {
		return
	}
	a.walkNodes(s.DistinctClause, found)
	if s.IntoClause != nil {
		a.walk(s.IntoClause.ProtoReflect(), found)
	}
	a.walkNodes(s.TargetList, found)
	a.walkNodes(s.FromClause, found)
	a.walkNode(s.WhereClause, found)
	a.walkNodes(s.GroupClause, found)
	a.walkNode(s.HavingClause, found)
	a.walkNodes(s.WindowClause, found)
	a.walkNodes(s.ValuesLists, found)
	a.walkNodes(s.SortClause, found)
	a.walkNode(s.LimitOffset, found)
	a.walkNode(s.LimitCount, found)
	a.walkNodes(s.LockingClause, found)
	if s.WithClause != nil {
		a.walk(s.WithClause.ProtoReflect(), found)
	}
	a.walkSelect(s.Larg, found)
	a.walkSelect(s.Rarg, found)
}
