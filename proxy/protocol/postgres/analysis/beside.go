package analysis

import (
	pg "github.com/pganalyze/pg_query_go/v5"
)

// beside is what the constants and parameters of a statement stand beside, as far as that is certain. It is kept for
// recordings alone: a constant may be kept in one only if every place where the analysis met it is a plain comparison
// with, or an assignment to, columns that carry no tags. What was never met, or not in such a place, is not kept.
//
// It goes by nodes and not by places in the text, since bodies of functions and views are other texts.
type beside struct {
	places map[any]neighbor // by *pg.A_Const and *pg.ParamRef
	// met are the columns that protected ones are compared with or written from: what is equal to one of them may be
	// equal to a protected value.
	met flow
}

// neighbor is what a constant stands beside.
type neighbor struct {
	columns []origin
	tagged  bool // or nobody knows
}

// maxBeside bounds how many constants are looked at. Those beyond are not kept.
const maxBeside = 4096

// put notes that the constants and parameters which n is, or is a plain list of, stand beside f.
func (b *beside) put(n *pg.Node, f flow) {
	if n == nil || b == nil {
		return
	}
	switch v := n.GetNode().(type) {
	case *pg.Node_AConst:
		b.note(v.AConst, f)
	case *pg.Node_ParamRef:
		b.note(v.ParamRef, f)
	case *pg.Node_TypeCast:
		b.put(v.TypeCast.GetArg(), f)
	case *pg.Node_List:
		for _, item := range v.List.GetItems() {
			b.put(item, f)
		}
	case *pg.Node_AArrayExpr:
		for _, item := range v.AArrayExpr.GetElements() {
			b.put(item, f)
		}
	}
}

func (b *beside) note(place any, f flow) {
	was, seen := b.places[place]
	if !seen && len(b.places) >= maxBeside {
		return
	}
	if b.places == nil {
		b.places = map[any]neighbor{}
	}
	certain := !f.protected() && !f.opaque && !f.many && len(f.sources) > 0
	for _, o := range f.sources {
		certain = certain && o.relation != 0 && o.number > 0 && o.how <= Derived
	}
	b.places[place] = neighbor{columns: unionOrigins(was.columns, f.sources), tagged: was.tagged || !certain}
}

// count notes a number of rows, as LIMIT and OFFSET have one: it is no value.
func (b *beside) count(n *pg.Node) {
	var place any
	switch v := n.GetNode().(type) {
	case *pg.Node_AConst:
		if v.AConst.GetIval() == nil {
			return
		}
		place = v.AConst
	case *pg.Node_ParamRef:
		place = v.ParamRef
	default:
		return
	}
	if _, seen := b.places[place]; !seen && len(b.places) < maxBeside {
		if b.places == nil {
			b.places = map[any]neighbor{}
		}
		b.places[place] = neighbor{}
	}
}

// keeps reports whether a constant or parameter stands beside untagged columns alone, none of which meets a tagged one.
func (b *beside) keeps(place any) bool {
	at, seen := b.places[place]
	if !seen || at.tagged || b.met.opaque || b.met.many {
		return false
	}
	for _, o := range at.columns {
		for _, m := range b.met.sources {
			if m.relation == o.relation && (m.number == o.number || m.number <= 0) {
				return false
			}
		}
	}
	return true
}

// meets notes columns that are compared with protected ones, or written where those are.
func (b *beside) meets(f flow) {
	if b != nil {
		b.met = b.met.and(f)
	}
}

// shows notes what stands in one expression with protected columns in a result.
func (b *beside) shows(row rowset) {
	for _, c := range row.columns {
		if c.protected() {
			b.meets(c.flow)
		}
	}
	if row.rest.protected() {
		b.meets(row.rest)
	}
}

// compared notes what the constants on either side of a comparison stand beside.
func (b *beside) compared(x *pg.A_Expr, left, right flow) {
	b.put(x.GetLexpr(), right)
	b.put(x.GetRexpr(), left)
}

// assigned notes a constant on its way into the named column of a target.
func (b *beside) assigned(target *source, name string, n *pg.Node) {
	to := flow{opaque: true}
	if at := indexOf(target.columns, name); at >= 0 && !target.open {
		c := &target.columns[at]
		to = flow{tags: c.tags, sources: []origin{{relation: c.relation, number: c.number}}}
	}
	b.put(n, to)
}

// assignedRows notes the constants in the rows of VALUES of an INSERT.
func (b *beside) assignedRows(target *source, names []string, s *pg.SelectStmt) {
	for _, row := range s.GetValuesLists() {
		for i, item := range row.GetList().GetItems() {
			if i < len(names) {
				b.assigned(target, names[i], item)
			}
		}
	}
}

// assignedSet notes the constants of "SET column = value".
func (b *beside) assignedSet(target *source, list []*pg.Node) {
	for _, n := range list {
		if t := n.GetResTarget(); len(t.GetIndirection()) == 0 {
			b.assigned(target, t.GetName(), t.GetVal())
		}
	}
}
