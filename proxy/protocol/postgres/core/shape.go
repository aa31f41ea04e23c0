package core

import (
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/mask"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/masktype"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

// ColumnShape returns the shape by which the i-th of a result's columns is masked
// inside, or nil: it is masked as a whole then. The server attests no column for a
// value that is put together, and the relation alone for a whole row; a row must
// then be one of that relation, column by column.
func ColumnShape(cat *catalog.Snapshot, st *analysis.Statement, i, columns int, f wire.Field) *analysis.Shape {
	if st == nil || len(st.Outputs) != columns || st.Outputs[i].Shape == nil {
		return nil
	}
	shape := st.Outputs[i].Shape
	switch {
	case f.Relation == 0:
		return shape
	case f.Attr != 0 || shape.Kind != analysis.ShapeRow:
		return nil
	}
	r := cat.Relation(f.Relation)
	if r == nil {
		return nil
	}
	at := 0
	for j := range r.Columns {
		column := &r.Columns[j]
		if column.Dropped {
			continue
		}
		if at >= len(shape.Fields) {
			return nil
		}
		field := shape.Fields[at].Shape
		if len(column.Tags) > 0 && (field.Kind != analysis.ShapeLeaf || !catalog.Contains(field.Tags, column.Tags)) {
			return nil
		}
		at++
	}
	if at != len(shape.Fields) {
		return nil
	}
	return shape
}

// shapeKinds maps what the analysis calls shapes to what maskers do.
var shapeKinds = map[analysis.ShapeKind]mask.ShapeKind{
	analysis.ShapeOpaque: mask.Opaque, analysis.ShapeShown: mask.Shown, analysis.ShapeLeaf: mask.Leaf,
	analysis.ShapeObject: mask.Object, analysis.ShapeList: mask.List, analysis.ShapeTuple: mask.Tuple, analysis.ShapeRow: mask.Row,
}

// maskShape puts what policy says for the tags in their places. A kind that is not
// known is opaque.
func (c *Conn) maskShape(s *analysis.Shape, masks map[string]access.Mask) *mask.Shape {
	if s == nil {
		return nil
	}
	out := &mask.Shape{Kind: shapeKinds[s.Kind], Derived: s.Derived, Elem: c.maskShape(s.Elem, masks)}
	if s.TypeOID != 0 {
		out.Type = masktype.Of(c.catalog, s.TypeOID)
	}
	if s.Kind == analysis.ShapeLeaf {
		if out.Spec = c.strictest(s.Tags, masks); out.Spec.Strategy == mask.Reveal {
			return &mask.Shape{Kind: mask.Shown}
		}
	}
	for _, f := range s.Fields {
		out.Fields = append(out.Fields, mask.ShapeField{Name: f.Name, Shape: c.maskShape(f.Shape, masks)})
	}
	return out
}

// structured returns the masker for values of a shape; nil shows them. The type is
// the one that the server attests; nil is the one that follows from the shape, where
// nobody attests any.
func (c *Conn) structured(s *analysis.Shape, t *mask.Type, masks map[string]access.Mask) mask.Masker {
	shape := c.maskShape(s, masks)
	if t == nil {
		t = mask.TypeOf(shape)
	}
	m := mask.Structured(t, shape)
	if mask.Shows(m) {
		return nil
	}
	return m
}
