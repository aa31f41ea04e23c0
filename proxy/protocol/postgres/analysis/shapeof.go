package analysis

import (
	"maps"

	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/functions"
)

// maxShape bounds the parts of all shapes of a statement, and maxShapeDepth how deep
// they nest and how many sub-selects are followed into each other. Beyond, a value
// is masked as a whole.
const (
	maxShape      = 4000
	maxShapeDepth = 60
)

// made says how a column's value is made, so that its shape can be found out when
// it is asked for: by an expression in its place, or as the same column of the arms
// of a set operation.
type made struct {
	by   *pg.Node
	at   env
	arms []column
}

// madeBy remembers how the columns of a target list are made, with what is in sight
// now: FROM items that come later must not be found when somebody asks.
func madeBy(n *pg.Node, e env) *made {
	e.scope = e.scope.frozen()
	return &made{by: n, at: e}
}

func (s *scope) frozen() *scope {
	if s == nil {
		return nil
	}
	return &scope{outer: s.outer.frozen(), sources: s.sources[:len(s.sources):len(s.sources)]}
}

// shaper finds shapes. It works when all facts of the statement are known, on a copy
// of the analyzer, so that to look at an expression again adds no facts.
type shaper struct {
	*analyzer
	parts, depth int
}

// shapes puts the outputs' shapes in place of the tags of whole values.
func (a *analyzer) shapes(row rowset) {
	if a.session.stale || a.session.state.Unsettled || a.session.pathChanged {
		return // what a name stands for is not certain enough
	}
	var s *shaper
	for i, c := range row.columns {
		if !c.protected() || c.plain || c.made == nil {
			continue
		}
		if s == nil {
			s = a.shaper()
		}
		shape := s.column(&c)
		if s.uncertain || s.opaque || s.parts > maxShape {
			return
		}
		if out := &a.out.Outputs[i]; shape.Kind != ShapeOpaque {
			out.Tags, out.Sources = shape.all(), shape.origins()
			out.Derived = shape.Kind != ShapeLeaf || shape.Derived
			if shape.structured() && len(out.Tags) > 0 {
				out.Shape = shape
			}
		}
	}
}

func (a *analyzer) shaper() *shaper {
	copied := *a
	copied.beside = nil
	copied.begin()
	copied.features = maps.Clone(a.features)
	copied.relationNames, copied.withNames = a.relationNames, a.withNames
	copied.inner, copied.reads = nil, reads{}
	return &shaper{analyzer: &copied}
}

// column is the shape of a column of a query or FROM item.
func (s *shaper) column(c *column) *Shape {
	switch {
	case !c.protected():
		return &Shape{Kind: ShapeShown, Sources: s.sources(c.flow)}
	case c.made != nil && c.made.by != nil:
		return s.of(c.made.by, c.made.at)
	case c.made != nil && len(c.made.arms) > 0:
		shape := shapeShown
		for i := range c.made.arms {
			shape = joined(shape, s.column(&c.made.arms[i]))
		}
		return shape
	}
	leaf := &Shape{Kind: ShapeLeaf, Tags: c.tags, Derived: !c.plain, Sources: s.sources(c.flow)}
	if c.plain {
		leaf.TypeOID = c.typeOID
	}
	return leaf
}

// of is the shape of an expression's value.
func (s *shaper) of(n *pg.Node, e env) *Shape {
	s.parts++
	if s.parts > maxShape || s.depth >= maxShapeDepth {
		return s.leaf(n, e)
	}
	s.depth++
	shape := s.structure(n, e)
	s.depth--
	if shape == nil {
		return s.leaf(n, e)
	}
	return shape
}

// leaf is a value whose parts nobody looks into.
func (s *shaper) leaf(n *pg.Node, e env) *Shape {
	f := s.flowOf(n, e)
	if !f.protected() {
		return &Shape{Kind: ShapeShown, Sources: s.sources(f)}
	}
	return &Shape{Kind: ShapeLeaf, Tags: f.tags, Derived: true, Sources: s.sources(f), TypeOID: s.typeOf(n)}
}

// structure is the shape of the expressions of which one is known, otherwise nil.
func (s *shaper) structure(n *pg.Node, e env) *Shape {
	switch v := n.GetNode().(type) {
	case *pg.Node_ColumnRef:
		return s.ref(v.ColumnRef, e)
	case *pg.Node_SubLink:
		return s.subSelect(v.SubLink, e)
	case *pg.Node_FuncCall:
		return s.function(v.FuncCall, e)
	case *pg.Node_TypeCast:
		return s.cast(v.TypeCast, e)
	case *pg.Node_AExpr:
		return s.operator(v.AExpr, e)
	case *pg.Node_AIndirection:
		return s.part(v.AIndirection, e)
	case *pg.Node_CoalesceExpr:
		return s.oneOf(v.CoalesceExpr.GetArgs(), e)
	case *pg.Node_CaseExpr:
		return s.chosen(v.CaseExpr, e)
	case *pg.Node_RowExpr:
		return s.row(v.RowExpr, e)
	case *pg.Node_AArrayExpr:
		return &Shape{Kind: ShapeList, Elem: s.oneOf(v.AArrayExpr.GetElements(), e)}
	}
	return s.constructor(n, e)
}

// oneOf is the shape of a value that is one of several.
func (s *shaper) oneOf(list []*pg.Node, e env) *Shape {
	shape := shapeShown
	for _, n := range list {
		shape = joined(shape, s.of(n, e))
	}
	return shape
}

// chosen is the shape of a CASE whose conditions tell nothing.
func (s *shaper) chosen(c *pg.CaseExpr, e env) *Shape {
	var results []*pg.Node
	by := s.flowOf(c.GetArg(), e)
	for _, n := range c.GetArgs() {
		by = by.and(s.flowOf(n.GetCaseWhen().GetExpr(), e))
		results = append(results, n.GetCaseWhen().GetResult())
	}
	if by.protected() {
		return nil
	}
	if c.GetDefresult() != nil {
		results = append(results, c.GetDefresult())
	}
	return s.oneOf(results, e)
}

func (s *shaper) subSelect(link *pg.SubLink, e env) *Shape {
	kind := link.GetSubLinkType()
	if kind != pg.SubLinkType_EXPR_SUBLINK && kind != pg.SubLinkType_ARRAY_SUBLINK {
		return nil
	}
	row := s.query(link.GetSubselect(), e)
	if row.open || len(row.columns) != 1 {
		return nil
	}
	shape := s.column(&row.columns[0])
	if kind == pg.SubLinkType_ARRAY_SUBLINK {
		return &Shape{Kind: ShapeList, Elem: shape}
	}
	return shape
}

// cast follows a value between json and jsonb. A constant stays what it is.
func (s *shaper) cast(c *pg.TypeCast, e env) *Shape {
	to := builtinOID(c.GetTypeName())
	if to != oidJSON && to != oidJSONB {
		return nil
	}
	inner := s.of(c.GetArg(), e)
	if !inner.structured() || !inner.isJSON() {
		return nil
	}
	return inner.as(to)
}

// constant returns a constant text, with or without a cast around it. An empty one
// and NULL count as constants, too.
func constant(n *pg.Node) (string, bool) {
	for n.GetTypeCast() != nil {
		n = n.GetTypeCast().GetArg()
	}
	c := n.GetAConst()
	if c == nil || c.GetIsnull() {
		return "", c != nil
	}
	return c.GetSval().GetSval(), c.GetSval() != nil
}

// castable are the types whose names SQL texts give in casts.
var castable = map[string]uint32{
	"bool": oidBool, "int2": 21, "int4": oidInt4, "int8": oidInt8, "float4": 700, "float8": 701, "numeric": oidNumeric,
	"text": oidText, "varchar": 1043, "date": 1082, "timestamp": oidTimestamp, "timestamptz": oidTimestamptz, "uuid": 2950,
	"json": oidJSON, "jsonb": oidJSONB,
}

// builtinOID is the type that a cast names, 0 where it is none of the castable.
func builtinOID(t *pg.TypeName) uint32 {
	names := stringList(t.GetNames())
	if len(t.GetArrayBounds()) > 0 || t.GetSetof() || len(names) == 0 || len(names) == 2 && names[0] != "pg_catalog" || len(names) > 2 {
		return 0
	}
	return castable[names[len(names)-1]]
}

// resultTypes are the types of functions that tell of a value by a number.
var resultTypes = func() map[string]uint32 {
	m := map[string]uint32{}
	for _, of := range []struct {
		oid   uint32
		names string
	}{
		{oidInt4, "length char_length character_length octet_length bit_length ascii strpos position array_length cardinality json_array_length jsonb_array_length"},
		{oidInt8, "count row_number rank dense_rank"},
		{oidNumeric, "sum stddev stddev_pop stddev_samp variance var_pop var_samp extract"},
		{oidBool, "starts_with bool_and bool_or every"},
	} {
		for name := range wordSet(of.names) {
			m[name] = of.oid
		}
	}
	return m
}()

// typeOf is the type of an expression where that is evident, otherwise 0. It only
// decides what a mask looks like.
func (s *shaper) typeOf(n *pg.Node) uint32 {
	switch v := n.GetNode().(type) {
	case *pg.Node_TypeCast:
		return builtinOID(v.TypeCast.GetTypeName())
	case *pg.Node_BoolExpr, *pg.Node_NullTest, *pg.Node_BooleanTest:
		return oidBool
	case *pg.Node_AExpr:
		if operatorKind(v.AExpr) != PredicateOther && !isRemainder(v.AExpr) && v.AExpr.GetKind() != pg.A_Expr_Kind_AEXPR_NULLIF {
			return oidBool
		}
	case *pg.Node_FuncCall:
		if _, name := funcName(v.FuncCall); s.builtin(v.FuncCall) {
			return resultTypes[name]
		}
	}
	return 0
}

// builtin reports whether a call certainly is one of the server's own functions, in
// the form that everybody uses.
func (s *shaper) builtin(call *pg.FuncCall) bool {
	schema, name := funcName(call)
	if schema != "pg_catalog" && (schema != "" || s.cat.UserFunction(name)) {
		return false
	}
	return functions.Builtin(name).Harmless() && !call.GetFuncVariadic() && !call.GetAggWithinGroup() && call.GetOver() == nil
}
