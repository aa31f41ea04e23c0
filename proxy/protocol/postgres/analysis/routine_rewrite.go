package analysis

import (
	"strconv"

	pg "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/reflect/protoreflect"
)

func parameterName(number int) string { return "$" + strconv.Itoa(number) }

// prepare writes the names of variables in a statement of a body as what they are.
// One that is the same for every row becomes a parameter, so that a comparison with
// it counts as one with a constant; where the arguments differ from row to row, a
// parameter becomes a name. A name that could also be a column's stays: it is then
// taken for both (see variable).
func (b *body) prepare(a *analyzer, n *pg.Node, perRow bool) {
	given := a.givenNames(n)
	eachMessage(n.ProtoReflect(), func(m protoreflect.Message) {
		node, ok := m.Interface().(*pg.Node)
		if !ok {
			return
		}
		if p := node.GetParamRef(); p != nil {
			name := parameterName(int(p.GetNumber()))
			if perRow {
				node.Node = &pg.Node_ColumnRef{ColumnRef: &pg.ColumnRef{Fields: []*pg.Node{nameNode(name)}}}
			} else {
				p.Number = b.slot(name)
			}
			return
		}
		ref := node.GetColumnRef()
		if ref == nil || isStar(ref) {
			return
		}
		names := stringList(ref.GetFields())
		if len(names) > 1 && !b.variables[names[0]] && names[0] == b.routine.Name && b.variables[names[1]] && !given.names[names[0]] {
			names = names[1:]
		}
		switch name := names[0]; {
		case given.everything || given.names[name]:
		case b.plain[name] && len(names) == 1:
			node.Node = &pg.Node_AConst{AConst: &pg.A_Const{Val: &pg.A_Const_Boolval{Boolval: &pg.Boolean{}}}}
		case b.constants[name]:
			node.Node = &pg.Node_ParamRef{ParamRef: &pg.ParamRef{Number: b.slot(name)}}
		}
	})
}

func nameNode(name string) *pg.Node {
	return &pg.Node{Node: &pg.Node_String_{String_: &pg.String{Sval: name}}}
}

// given are the names that a statement gives to columns and FROM items.
type given struct {
	names      map[string]bool
	everything bool
}

// namedLikeFunction are functions whose column in FROM has the name of its item.
var namedLikeFunction = wordSet("unnest generate_series regexp_split_to_table string_to_table generate_subscripts")

func (a *analyzer) givenNames(n *pg.Node) given {
	g := given{names: map[string]bool{}}
	eachMessage(n.ProtoReflect(), func(m protoreflect.Message) {
		switch v := m.Interface().(type) {
		case *pg.RangeVar:
			a.givenBy(v, &g)
		case *pg.Alias:
			g.names[v.GetAliasname()] = true
			g.add(stringList(v.GetColnames()))
		case *pg.CommonTableExpr:
			g.names[v.GetCtename()] = true
			g.add(stringList(v.GetAliascolnames()))
			if v.GetSearchClause() != nil || v.GetCycleClause() != nil {
				g.everything = true
			}
		case *pg.ResTarget:
			g.names[v.GetName()] = true
			if ref := v.GetVal().GetColumnRef(); ref == nil || len(ref.GetFields()) > 1 { // else it is named like what it is
				g.names[outputName(v.GetVal())] = true
			}
		case *pg.ColumnDef:
			g.names[v.GetColname()] = true
		case *pg.RangeFunction:
			_, name := onlyFunction(v)
			if len(v.GetColdeflist()) == 0 && len(v.GetAlias().GetColnames()) == 0 && !namedLikeFunction[name] {
				g.everything = true
			}
			g.names[functionAlias(v)] = true
		case *pg.RangeTableFunc:
			g.everything = true
		}
	})
	return g
}

func (g *given) add(names []string) {
	for _, name := range names {
		g.names[name] = true
	}
}

// givenBy adds the columns of whatever relations a name may stand for.
func (a *analyzer) givenBy(rv *pg.RangeVar, g *given) {
	g.names[rv.GetRelname()] = true
	for _, r := range a.cat.Named(rv.GetRelname()) {
		for i := range r.Columns {
			g.names[r.Columns[i].Name] = true
		}
	}
	if a.session.temp[rv.GetRelname()] {
		g.everything = true
	}
}

// onlyFunction returns the call of a FROM item that is one function.
func onlyFunction(n *pg.RangeFunction) (*pg.FuncCall, string) {
	if list := n.GetFunctions(); len(list) == 1 && len(list[0].GetList().GetItems()) > 0 {
		call := list[0].GetList().GetItems()[0].GetFuncCall()
		_, name := funcName(call)
		return call, name
	}
	return nil, ""
}

// eachMessage visits a message and all in it, outermost first.
func eachMessage(m protoreflect.Message, visit func(protoreflect.Message)) {
	visit(m)
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Kind() != protoreflect.MessageKind:
		case f.IsList():
			for i := range v.List().Len() {
				eachMessage(v.List().Get(i).Message(), visit)
			}
		default:
			eachMessage(v.Message(), visit)
		}
		return true
	})
}

// variable resolves a name that may be a variable of the body around a statement.
// Where a column of that name is in sight, the value may be either.
func (a *analyzer) variable(ref *pg.ColumnRef, names []string, e env) (found, bool) {
	if a.body == nil || !a.body.names(names) {
		return found{}, false
	}
	name := names[0]
	if !a.body.variables[name] {
		name = names[1]
	}
	f := found{flow: a.body.carries(name)}
	if !inSight(names, e) {
		return f, true
	}
	var column found
	if len(names) == 1 {
		column = a.unqualified(ref, names[0], e)
	} else {
		column = a.qualified(ref, names, e)
	}
	f.flow = f.and(column.flow)
	return f, true
}

// names reports whether a name is one of a variable, or of a field of one.
func (b *body) names(names []string) bool {
	return b.variables[names[0]] || len(names) > 1 && names[0] == b.routine.Name && b.variables[names[1]]
}

// inSight reports whether a name may be that of a column, or of a FROM item.
func inSight(names []string, e env) bool {
	for s := e.scope; s != nil; s = s.outer {
		for _, src := range s.sources {
			if src.open || src.alias == names[0] || len(names) > 1 && src.schema == names[0] {
				return true
			}
			if len(names) == 1 && indexOf(src.columns, names[0]) >= 0 {
				return true
			}
		}
	}
	return false
}

// carried is what a parameter of a statement carries: nothing that the database
// holds, unless the statement is one of a body.
func (a *analyzer) carried(p *pg.ParamRef) flow {
	if a.body == nil {
		return flow{}
	}
	at := int(p.GetNumber()) - 1
	if at < 0 || at >= len(a.body.slots) {
		return a.everything()
	}
	return a.body.carries(a.body.slots[at])
}

// outermost is where a statement stands: beside NEW and OLD, in a trigger or rule.
func (a *analyzer) outermost() env {
	if a.body == nil || a.body.row == nil {
		return env{}
	}
	return env{scope: a.body.row}
}
