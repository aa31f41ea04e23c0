package analysis

import (
	"encoding/json"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"
)

// function is the shape of what one of the server's functions makes.
func (s *shaper) function(call *pg.FuncCall, e env) *Shape {
	_, name := funcName(call)
	args := call.GetArgs()
	if !s.builtin(call) || len(args) == 0 {
		return nil
	}
	typeOID := uint32(oidJSON)
	if strings.HasPrefix(name, "jsonb_") || name == "to_jsonb" {
		typeOID = oidJSONB
	}
	if s.chooses(call, e) {
		return nil
	}
	switch name {
	case "json_build_object", "jsonb_build_object":
		return s.buildObject(args, e, typeOID)
	case "json_build_array", "jsonb_build_array":
		tuple := &Shape{Kind: ShapeTuple, TypeOID: typeOID}
		for _, arg := range args {
			tuple.Fields = append(tuple.Fields, ShapeField{Shape: s.of(arg, e).inJSON()})
		}
		return tuple
	case "to_json", "to_jsonb", "row_to_json", "array_to_json":
		if shape := s.of(args[0], e); shape.structured() {
			return shape.inJSON().as(typeOID)
		}
	case "json_agg", "jsonb_agg", "json_agg_strict", "jsonb_agg_strict":
		return &Shape{Kind: ShapeList, TypeOID: typeOID, Elem: s.of(args[0], e).inJSON()}
	case "array_agg":
		return &Shape{Kind: ShapeList, Elem: s.of(args[0], e)}
	case "json_object_agg", "jsonb_object_agg":
		if len(args) == 2 && !s.flowOf(args[0], e).protected() {
			return &Shape{Kind: ShapeObject, TypeOID: typeOID, Elem: s.of(args[1], e).inJSON()}
		}
	case "json_strip_nulls", "jsonb_strip_nulls":
		if shape := s.of(args[0], e); shape.structured() && shape.isJSON() {
			return shape // what has gone tells only that it was NULL
		}
	}
	return nil
}

// chooses reports whether what is protected says which values an aggregate takes, or in
// which order.
func (s *shaper) chooses(call *pg.FuncCall, e env) bool {
	by := s.flowOfAll(call.GetAggOrder(), e).and(s.flowOf(call.GetAggFilter(), e))
	if call.GetAggDistinct() {
		by = by.and(s.flowOfAll(call.GetArgs(), e)) // which sorts them
	}
	return by.protected()
}

// buildObject pairs keys and values. A key that is no constant may be any, so that
// what may stand under it may stand under every key.
func (s *shaper) buildObject(args []*pg.Node, e env, typeOID uint32) *Shape {
	if len(args)%2 != 0 {
		return nil
	}
	object := &Shape{Kind: ShapeObject, TypeOID: typeOID}
	for i := 0; i < len(args); i += 2 {
		value := s.of(args[i+1], e).inJSON()
		if key, ok := constant(args[i]); ok && key != "" && plainText(args[i]) {
			object.put(key, value)
			continue
		}
		if s.flowOf(args[i], e).protected() {
			return nil
		}
		if object.Elem == nil {
			object.Elem = value
		} else {
			object.Elem = joined(object.Elem, value)
		}
	}
	if object.Elem != nil {
		for i := range object.Fields {
			object.Fields[i].Shape = joined(object.Fields[i].Shape, object.Elem)
		}
	}
	return object
}

// plainText reports whether a constant's text is the key as it is: a cast to
// anything but a text could write it in another way.
func plainText(n *pg.Node) bool {
	for n.GetTypeCast() != nil {
		if to := builtinOID(n.GetTypeCast().GetTypeName()); to != oidText && to != castable["varchar"] || len(n.GetTypeCast().GetTypeName().GetTypmods()) > 0 {
			return false
		}
		n = n.GetTypeCast().GetArg()
	}
	return true
}

// operator is the shape of what an operator takes out of JSON or puts together.
func (s *shaper) operator(x *pg.A_Expr, e env) *Shape {
	names := stringList(x.GetName())
	if x.GetKind() != pg.A_Expr_Kind_AEXPR_OP || len(names) == 0 || len(names) == 2 && names[0] != "pg_catalog" || x.GetLexpr() == nil {
		return nil
	}
	op := names[len(names)-1]
	if s.cat.UserOperator(op) {
		return nil
	}
	switch op {
	case "->", "->>", "#>", "#>>", "-", "||":
	default:
		return nil
	}
	left := s.of(x.GetLexpr(), e)
	if !left.structured() || !left.isJSON() {
		return nil
	}
	switch op {
	case "->":
		return stepInto(left, x.GetRexpr(), left.TypeOID)
	case "->>":
		return asText(stepInto(left, x.GetRexpr(), left.TypeOID))
	case "#>":
		return follow(left, x.GetRexpr())
	case "#>>":
		return asText(follow(left, x.GetRexpr()))
	case "-":
		return less(left, x.GetRexpr())
	}
	return s.merged(left, x.GetRexpr(), e)
}

// asText is the text of a part of JSON.
func asText(part *Shape) *Shape {
	switch {
	case part == nil || part.structured():
		return nil
	case part.Kind == ShapeLeaf:
		return part.made(oidText)
	}
	return part
}

// path returns the steps of a constant path as '{orders,0,card}' or ARRAY['orders'].
func path(n *pg.Node) []*pg.Node {
	if array := n.GetAArrayExpr(); array != nil {
		return array.GetElements()
	}
	text, ok := constant(n)
	if !ok || !strings.HasPrefix(text, "{") || !strings.HasSuffix(text, "}") || strings.ContainsAny(text[1:len(text)-1], `{}"\ `) {
		return nil
	}
	var steps []*pg.Node
	for _, word := range strings.Split(text[1:len(text)-1], ",") {
		steps = append(steps, pg.MakeAConstStrNode(word, -1))
	}
	return steps
}

func follow(shape *Shape, at *pg.Node) *Shape {
	steps := path(at)
	if len(steps) == 0 {
		return nil
	}
	for _, n := range steps {
		if shape == nil || !shape.structured() {
			return nil
		}
		text, isText := constant(n)
		if shape.Kind != ShapeObject && isText {
			if shape.Kind != ShapeList || strings.Trim(text, "0123456789") != "" {
				return nil
			}
			n = pg.MakeAConstIntNode(0, -1) // any element will do
		}
		shape = stepInto(shape, n, shape.TypeOID)
	}
	return shape
}

// less is an object without the keys that "- 'key'" or "- '{a,b}'" takes away.
func less(object *Shape, keys *pg.Node) *Shape {
	if object.Kind != ShapeObject || object.TypeOID != oidJSONB {
		return nil
	}
	gone := map[string]bool{}
	switch text, ok := constant(keys); {
	case ok && keys.GetAConst() != nil:
		gone[text] = true
	default: // an array; where it cannot be read nothing is known to be gone
		for _, n := range path(keys) {
			if key, ok := constant(n); ok {
				gone[key] = true
			}
		}
	}
	rest := &Shape{Kind: ShapeObject, TypeOID: object.TypeOID, Elem: object.Elem}
	for _, f := range object.Fields {
		if !gone[f.Name] || object.Elem != nil {
			rest.Fields = append(rest.Fields, f)
		}
	}
	return rest
}

// merged is what || makes of two objects or arrays. Of a constant the keys are read.
func (s *shaper) merged(left *Shape, n *pg.Node, e env) *Shape {
	right := s.of(n, e)
	if text, ok := constant(n); ok {
		if right = constantObject(text); right == nil {
			return nil
		}
	}
	if !right.structured() || !right.isJSON() || left.Kind != right.Kind || left.Kind != ShapeObject && left.Kind != ShapeList {
		return nil
	}
	return joined(left.as(oidJSONB), right.as(oidJSONB))
}

// constantObject is the shape of a constant JSON object.
func constantObject(text string) *Shape {
	var keys map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &keys) != nil || keys == nil {
		return nil
	}
	object := &Shape{Kind: ShapeObject, TypeOID: oidJSONB}
	for key := range keys {
		object.put(key, shapeShown)
	}
	return object
}

// constructor is the shape of SQL/JSON's constructors (PostgreSQL 16), as far as they
// return JSON.
func (s *shaper) constructor(n *pg.Node, e env) *Shape {
	switch v := n.GetNode().(type) {
	case *pg.Node_JsonObjectConstructor:
		object := &Shape{Kind: ShapeObject, TypeOID: returning(v.JsonObjectConstructor.GetOutput())}
		for _, pair := range v.JsonObjectConstructor.GetExprs() {
			key, ok := constant(pair.GetJsonKeyValue().GetKey())
			if !ok || key == "" || !plainText(pair.GetJsonKeyValue().GetKey()) {
				return nil
			}
			object.put(key, s.jsonValue(pair.GetJsonKeyValue().GetValue(), e))
		}
		return onlyJSON(object)
	case *pg.Node_JsonArrayConstructor:
		c := v.JsonArrayConstructor
		if c.GetAbsentOnNull() { // positions move where something is NULL
			list := &Shape{Kind: ShapeList, Elem: shapeShown, TypeOID: returning(c.GetOutput())}
			for _, item := range c.GetExprs() {
				list.Elem = joined(list.Elem, s.jsonValue(item.GetJsonValueExpr(), e))
			}
			return onlyJSON(list)
		}
		tuple := &Shape{Kind: ShapeTuple, TypeOID: returning(c.GetOutput())}
		for _, item := range c.GetExprs() {
			tuple.Fields = append(tuple.Fields, ShapeField{Shape: s.jsonValue(item.GetJsonValueExpr(), e)})
		}
		return onlyJSON(tuple)
	case *pg.Node_JsonArrayQueryConstructor:
		row := s.query(v.JsonArrayQueryConstructor.GetQuery(), e)
		if row.open || len(row.columns) != 1 {
			return nil
		}
		return onlyJSON(&Shape{Kind: ShapeList, TypeOID: returning(v.JsonArrayQueryConstructor.GetOutput()), Elem: s.column(&row.columns[0]).inJSON()})
	case *pg.Node_JsonArrayAgg:
		c := v.JsonArrayAgg
		by := s.flowOfAll(c.GetConstructor().GetAggOrder(), e).and(s.flowOf(c.GetConstructor().GetAggFilter(), e))
		if c.GetConstructor().GetOver() != nil || by.protected() {
			return nil
		}
		return onlyJSON(&Shape{Kind: ShapeList, TypeOID: returning(c.GetConstructor().GetOutput()), Elem: s.jsonValue(c.GetArg(), e)})
	}
	return nil
}

// jsonValue is a value in a constructor. With FORMAT JSON it is a text that is read
// as JSON, whose structure nobody knows.
func (s *shaper) jsonValue(v *pg.JsonValueExpr, e env) *Shape {
	if v.GetFormat().GetFormatType() == pg.JsonFormatType_JS_FORMAT_JSON {
		return s.leaf(v.GetRawExpr(), e).made(oidJSON)
	}
	return s.of(v.GetRawExpr(), e).inJSON()
}

// returning is the type that a constructor returns, 0 for one that is no JSON.
func returning(o *pg.JsonOutput) uint32 {
	if o.GetTypeName() == nil {
		return oidJSON
	}
	if to := builtinOID(o.GetTypeName()); to == oidJSON || to == oidJSONB {
		return to
	}
	return 0
}

// onlyJSON drops a shape that is no JSON.
func onlyJSON(s *Shape) *Shape {
	if !s.isJSON() {
		return nil
	}
	return s
}
