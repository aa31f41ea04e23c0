package analysis

import (
	"slices"

	pg "github.com/pganalyze/pg_query_go/v5"
)

// ShapeKind says how a value is built of others.
type ShapeKind uint8

const (
	// Leaf is one value without known parts.
	Leaf ShapeKind = iota
	// Object is a JSON object whose keys are Fields, in any order. With an Elem it has
	// any keys, and values of that shape.
	Object
	// List is a JSON or SQL array of any length whose elements are Elem.
	List
	// Tuple is a JSON array of exactly Fields.
	Tuple
	// Row is a composite of exactly Fields.
	Row
)

// Shape says what stands where in a value that a statement builds of others: JSON,
// a row, an array. Its number of elements, its keys and its order carry nothing.
type Shape struct {
	Kind ShapeKind
	// Tags, Derived and Sources of a Leaf are what they are of an Output. TypeOID is
	// its SQL type, also where it stands in JSON; 0 = not known.
	Tags    []string
	Derived bool
	Sources []Source
	TypeOID uint32
	Fields  []ShapeField
	Elem    *Shape
}

// ShapeField is a part of a Shape. The names of a Tuple's parts are empty.
type ShapeField struct {
	Name  string
	Shape *Shape
}

// maxShape bounds how many parts a shape has; above it the shape is not known.
const maxShape = 1000

// shape is a Shape while it is gathered. Shapes share their parts, and are never
// changed.
type shape struct {
	kind   ShapeKind
	leaf   column
	fields []slot
	elem   *shape

	// size counts the parts, those of parts included, and whole is what they carry.
	size  int
	whole flow
}

// build makes a shape of parts, or nil where there are too many of them.
func build(kind ShapeKind, fields []slot, elem *shape) *shape {
	s := &shape{kind: kind, fields: fields, elem: elem, size: 1}
	for _, f := range fields {
		s.size, s.whole = s.size+f.size, s.whole.and(f.whole)
	}
	if elem != nil {
		s.size, s.whole = s.size+elem.size, s.whole.and(elem.whole)
	}
	if s.size > maxShape {
		return nil
	}
	return s
}

type slot struct {
	name string
	*shape
}

func leafOf(c column) *shape {
	c.shape = nil
	return &shape{leaf: c, size: 1, whole: c.flow}
}

// partOf is the shape of a column as a part of something.
func partOf(c column) *shape {
	if c.shape != nil {
		return c.shape
	}
	return leafOf(c)
}

// shapeOf returns how the value of an expression is built, or nil where that is not
// known, or where it tells something beyond its parts.
func (a *analyzer) shapeOf(n *pg.Node, e env) *shape {
	switch v := n.GetNode().(type) {
	case *pg.Node_ColumnRef:
		if f := a.reference(v.ColumnRef, e); f.column != nil && f.single && f.column.shape != nil {
			return f.column.shape
		}
		return a.rowShape(n, e)
	case *pg.Node_RowExpr:
		return a.rowShape(n, e)
	case *pg.Node_FuncCall:
		return a.callShape(v.FuncCall, e)
	case *pg.Node_CoalesceExpr:
		return a.coalesceShape(v.CoalesceExpr.GetArgs(), e)
	case *pg.Node_SubLink:
		return a.queryShape(v.SubLink, e)
	case *pg.Node_TypeCast:
		names := stringList(v.TypeCast.GetTypeName().GetNames())
		inner := a.shapeOf(v.TypeCast.GetArg(), e)
		if inner != nil && inner.kind != Row && inner.kind != Leaf && len(names) > 0 && len(v.TypeCast.GetTypeName().GetArrayBounds()) == 0 &&
			(names[len(names)-1] == "json" || names[len(names)-1] == "jsonb") {
			return inner
		}
	case *pg.Node_AExpr:
		if _, field := a.jsonPart(v.AExpr, e); field != nil && operatorName(v.AExpr) == "->" && field.kind != Leaf {
			return field
		}
	}
	return nil
}

// rowShape is a row of known columns.
func (a *analyzer) rowShape(n *pg.Node, e env) *shape {
	row, ok := a.rowOf(n, e)
	if !ok || row.open || a.renamedRow(n, e) {
		return nil
	}
	var fields []slot
	for _, c := range row.columns {
		fields = append(fields, slot{c.name, partOf(c)})
	}
	return build(Row, fields, nil)
}

// renamedRow reports whether a row may have other names in JSON than its columns have
// in the query: those of its type, which an alias's column list does not change.
func (a *analyzer) renamedRow(n *pg.Node, e env) bool {
	fields := n.GetColumnRef().GetFields()
	if len(fields) == 0 {
		return false
	}
	if isStar(n.GetColumnRef()) {
		fields = fields[:len(fields)-1]
	}
	s := a.itemNamed(stringList(fields), e)
	return s != nil && s.renamedRow
}

// valueShape is the shape of an expression as a part of something: a leaf where no
// more is known.
func (a *analyzer) valueShape(n *pg.Node, e env) *shape {
	if s := a.shapeOf(n, e); s != nil {
		return s
	}
	return leafOf(a.valueColumn(n, e))
}

// valueColumn is an expression as a column without a name.
func (a *analyzer) valueColumn(n *pg.Node, e env) column {
	c := column{flow: a.flowOf(n, e)}
	if ref := n.GetColumnRef(); ref != nil {
		f := a.reference(ref, e)
		if c.plain = f.plain; f.plain && f.column != nil {
			c.relation, c.number, c.typeOID = f.column.relation, f.column.number, f.column.typeOID
		}
	}
	return c
}

// inJSON turns a row into the object that it becomes in JSON. Two columns of one
// name make two values of one key, so nothing is said of that.
func inJSON(s *shape) *shape {
	if s == nil || s.kind != Row {
		return s
	}
	return object(s.fields)
}

func object(fields []slot) *shape {
	seen := map[string]bool{}
	var values []slot
	for _, f := range fields {
		inner := inJSON(f.shape)
		if seen[f.name] || inner == nil {
			return nil
		}
		seen[f.name] = true
		values = append(values, slot{f.name, inner})
	}
	return build(Object, values, nil)
}

// callShape is what the functions that build JSON and arrays make of their arguments.
func (a *analyzer) callShape(call *pg.FuncCall, e env) *shape {
	schema, name := funcName(call)
	args := call.GetArgs()
	if schema != "" && schema != "pg_catalog" || a.cat.UserFunction(name) || call.GetFuncVariadic() || call.GetOver() != nil {
		return nil
	}
	switch name {
	case "to_json", "to_jsonb", "row_to_json":
		if len(args) == 1 {
			return inJSON(a.shapeOf(args[0], e))
		}
	case "json_build_object", "jsonb_build_object":
		return a.objectShape(args, e)
	case "json_build_array", "jsonb_build_array":
		var fields []slot
		for _, n := range args {
			inner := inJSON(a.valueShape(n, e))
			if inner == nil {
				return nil
			}
			fields = append(fields, slot{"", inner})
		}
		return build(Tuple, fields, nil)
	case "json_agg", "jsonb_agg", "array_agg":
		return a.listShape(call, name != "array_agg", e)
	}
	return nil
}

func (a *analyzer) objectShape(args []*pg.Node, e env) *shape {
	if len(args)%2 != 0 {
		return nil
	}
	var fields []slot
	for i := 0; i < len(args); i += 2 {
		key := args[i]
		if cast := key.GetTypeCast(); cast != nil {
			key = cast.GetArg()
		}
		if key.GetAConst().GetSval() == nil {
			return nil
		}
		fields = append(fields, slot{key.GetAConst().GetSval().GetSval(), a.valueShape(args[i+1], e)})
	}
	return object(fields)
}

// listShape is an aggregate of values. What is protected must not say which of them
// there are, or in which order.
func (a *analyzer) listShape(call *pg.FuncCall, json bool, e env) *shape {
	if len(call.GetArgs()) != 1 || call.GetAggDistinct() || call.GetAggStar() ||
		a.flowOfAll(call.GetAggOrder(), e).protected() || a.flowOf(call.GetAggFilter(), e).protected() {
		return nil
	}
	elem := a.valueShape(call.GetArgs()[0], e)
	if json {
		elem = inJSON(elem)
	}
	if elem == nil {
		return nil
	}
	return build(List, nil, elem)
}

// coalesceShape is COALESCE of one built value and constants.
func (a *analyzer) coalesceShape(args []*pg.Node, e env) *shape {
	var built *shape
	for _, n := range args {
		if n.GetAConst() != nil || n.GetTypeCast().GetArg().GetAConst() != nil {
			continue
		}
		s := a.shapeOf(n, e)
		if s == nil || built != nil {
			return nil
		}
		built = s
	}
	return built
}

func (a *analyzer) queryShape(s *pg.SubLink, e env) *shape {
	row := a.subquery(s, e)
	if row.open || len(row.columns) != 1 {
		return nil
	}
	switch s.GetSubLinkType() {
	case pg.SubLinkType_EXPR_SUBLINK:
		return row.columns[0].shape
	case pg.SubLinkType_ARRAY_SUBLINK:
		return build(List, nil, partOf(row.columns[0]))
	}
	return nil
}

func operatorName(x *pg.A_Expr) string {
	if name := stringList(x.GetName()); len(name) == 1 && x.GetKind() == pg.A_Expr_Kind_AEXPR_OP {
		return name[0]
	}
	return ""
}

// jsonPart is "json -> 'key'" or "json ->> 'key'" of a built value, and whether that
// is what the operation is. Of a key that is not there it is NULL.
func (a *analyzer) jsonPart(x *pg.A_Expr, e env) (flow, *shape) {
	if name := operatorName(x); name != "->" && name != "->>" || a.cat.UserOperator(name) {
		return flow{}, nil
	}
	built := a.shapeOf(x.GetLexpr(), e)
	if built == nil {
		return flow{}, nil
	}
	found := built.part(x.GetRexpr().GetAConst())
	if found == nil {
		return flow{}, nil
	}
	return found.whole.derived(), found
}

// part is what a constant subscript picks, or nil where that is not certain.
func (s *shape) part(key *pg.A_Const) *shape {
	text, index := key.GetSval(), key.GetIval()
	switch {
	case s.kind == Object && text != nil && s.elem == nil:
		for _, f := range s.fields {
			if f.name == text.GetSval() {
				return f.shape
			}
		}
		return &shape{}
	case s.kind == List && index != nil:
		return s.elem
	case s.kind == Tuple && index != nil:
		at := int(index.GetIval())
		if at < 0 {
			at += len(s.fields)
		}
		if at >= 0 && at < len(s.fields) {
			return s.fields[at].shape
		}
		return &shape{}
	}
	return nil
}

// shapeShown turns a shape into a Shape, or nil where nothing in it is tagged, or the
// value carries more than its parts.
func (a *analyzer) shapeShown(c column) *Shape {
	if c.shape == nil || c.shape.kind == Leaf || !c.protected() {
		return nil
	}
	if !slices.Equal(c.shape.whole.tags, c.tags) {
		return nil
	}
	return a.shapeCopy(c.shape)
}

func (a *analyzer) shapeCopy(s *shape) *Shape {
	if s.kind == Leaf {
		c := s.leaf
		return &Shape{Tags: c.tags, Derived: !c.plain, Sources: a.sources(c.flow), TypeOID: c.typeOID}
	}
	out := &Shape{Kind: s.kind}
	for _, f := range s.fields {
		out.Fields = append(out.Fields, ShapeField{f.name, a.shapeCopy(f.shape)})
	}
	if s.elem != nil {
		out.Elem = a.shapeCopy(s.elem)
	}
	return out
}
