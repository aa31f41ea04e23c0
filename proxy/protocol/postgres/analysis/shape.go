package analysis

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// ShapeKind says how a structured value is built.
type ShapeKind uint8

const (
	// ShapeOpaque means that nobody knows; it may carry Tags anywhere.
	ShapeOpaque ShapeKind = iota
	// ShapeShown carries no tags.
	ShapeShown
	// ShapeLeaf is one value that carries Tags.
	ShapeLeaf
	// ShapeObject is a JSON object with keys as in Fields. Elem is what stands under
	// every other key; nil = there are none.
	ShapeObject
	// ShapeList is a JSON or SQL array with elements like Elem.
	ShapeList
	// ShapeTuple is a JSON array with exactly these Fields.
	ShapeTuple
	// ShapeRow is a composite with exactly these Fields, in order.
	ShapeRow
)

// Shape says where in a structured value tagged ones stand: in JSON, a composite or
// an array. It is given only where it is certain; a value that turns out to be
// built otherwise must be masked as a whole.
type Shape struct {
	Kind ShapeKind
	// Tags of a Leaf or of what is Opaque.
	Tags []string
	// Derived, of a Leaf: anything but the value of a plain column.
	Derived bool
	// Sources, of a Leaf or of what is Shown: the columns it comes from.
	Sources []Source
	// TypeOID is the SQL type of a Leaf, also where it stands in JSON; of anything else
	// it says whether that is JSON (114) or jsonb (3802). 0 = not known, and no JSON.
	TypeOID uint32
	Fields  []ShapeField
	Elem    *Shape
}

// ShapeField is a field of a Row, a key of an Object or an element of a Tuple, which
// has no name.
type ShapeField struct {
	Name  string
	Shape *Shape
	// also is another name that the server may use for it in JSON.
	also string
}

// OIDs of types (pg_type.dat).
const (
	oidBool        = 16
	oidInt8        = 20
	oidInt4        = 23
	oidText        = 25
	oidJSON        = 114
	oidTimestamp   = 1114
	oidTimestamptz = 1184
	oidNumeric     = 1700
	oidJSONB       = 3802
)

var shapeShown = &Shape{Kind: ShapeShown}

// Leaves calls visit for everything in the shape that carries tags, with its path as
// "$.orders[].card"; "*" stands for keys that are not known.
func (s *Shape) Leaves(visit func(path string, leaf *Shape)) { s.leaves("$", visit) }

func (s *Shape) leaves(path string, visit func(string, *Shape)) {
	if s == nil {
		return
	}
	if (s.Kind == ShapeLeaf || s.Kind == ShapeOpaque) && len(s.Tags) > 0 {
		visit(path, s)
	}
	for i, f := range s.Fields {
		if s.Kind == ShapeTuple {
			f.Shape.leaves(path+"["+strconv.Itoa(i)+"]", visit)
		} else {
			f.Shape.leaves(path+"."+f.Name, visit)
		}
	}
	if s.Kind == ShapeList {
		s.Elem.leaves(path+"[]", visit)
	} else {
		s.Elem.leaves(path+".*", visit)
	}
}

// all returns the tags of everything in the shape.
func (s *Shape) all() []string {
	var tags []string
	s.Leaves(func(_ string, leaf *Shape) { tags = catalog.Union(tags, leaf.Tags) })
	return tags
}

// origins returns the columns that anything in the shape comes from, in the order of
// their numbers. What is part of a structure is made from a column, not the column's
// value.
func (s *Shape) origins() []Source {
	var list []Source
	s.gather(&list)
	if s.structured() {
		for i := range list {
			list[i].How = max(list[i].How, Derived)
		}
	}
	slices.SortStableFunc(list, func(x, y Source) int {
		unknown := func(s Source) int {
			if s.Relation == 0 {
				return 1 // it is the last one
			}
			return 0
		}
		return cmp.Or(unknown(x)-unknown(y), cmp.Compare(x.Relation, y.Relation), cmp.Compare(x.Number, y.Number), cmp.Compare(x.How, y.How))
	})
	return slices.CompactFunc(list, func(x, y Source) bool {
		return x.Relation == y.Relation && x.Number == y.Number && x.Relation != 0
	})
}

func (s *Shape) gather(list *[]Source) {
	if s == nil {
		return
	}
	*list = append(*list, s.Sources...)
	for _, f := range s.Fields {
		f.Shape.gather(list)
	}
	s.Elem.gather(list)
}

// structured reports whether the shape says more than tags do.
func (s *Shape) structured() bool { return s != nil && s.Kind > ShapeLeaf }

// isJSON reports whether the value is certainly JSON.
func (s *Shape) isJSON() bool { return s.TypeOID == oidJSON || s.TypeOID == oidJSONB }

// as returns the shape with another type.
func (s *Shape) as(typeOID uint32) *Shape {
	if !s.structured() || s.TypeOID == typeOID {
		return s
	}
	typed := *s
	typed.TypeOID = typeOID
	return &typed
}

// inJSON is the shape that a value has as a part of JSON: rows become objects.
func (s *Shape) inJSON() *Shape {
	if !s.structured() || s.isJSON() {
		return s
	}
	out := &Shape{Kind: s.Kind, TypeOID: oidJSON}
	if s.Elem != nil {
		out.Elem = s.Elem.inJSON()
	}
	if s.Kind == ShapeRow {
		out.Kind = ShapeObject
	}
	for _, f := range s.Fields {
		out.put(f.Name, f.Shape.inJSON())
	}
	for _, f := range s.Fields {
		if f.also != "" && f.also != f.Name {
			out.put(f.also, f.Shape.inJSON())
		}
	}
	return out
}

// put adds a key to an Object. One that is there already may be either.
func (s *Shape) put(name string, part *Shape) {
	for i := range s.Fields {
		if s.Fields[i].Name == name && s.Kind == ShapeObject {
			s.Fields[i].Shape = joined(s.Fields[i].Shape, part)
			return
		}
	}
	s.Fields = append(s.Fields, ShapeField{Name: name, Shape: part})
}

// key returns what stands under a key of an Object, nil where that is not certain.
func (s *Shape) key(name string) *Shape {
	for _, f := range s.Fields {
		if f.Name == name {
			return f.Shape
		}
	}
	return s.Elem
}

// joined is the shape of a value that has the one shape or the other. What carries
// no tags may take the other's: where it is built otherwise it is masked without
// need.
func joined(x, y *Shape) *Shape {
	switch {
	case x.Kind == ShapeShown && y.Kind == ShapeShown:
		return &Shape{Kind: ShapeShown, Sources: append(append([]Source(nil), x.Sources...), y.Sources...)}
	case x.Kind == ShapeShown:
		return y.orFrom(x.Sources)
	case y.Kind == ShapeShown:
		return x.orFrom(y.Sources)
	case x == y:
		return x
	case x.Kind != y.Kind || x.TypeOID != y.TypeOID && x.Kind > ShapeLeaf:
		return &Shape{Tags: catalog.Union(x.all(), y.all())}
	}
	out := &Shape{Kind: x.Kind, TypeOID: x.TypeOID}
	switch x.Kind {
	case ShapeObject:
		return joinedObjects(out, x, y)
	case ShapeList:
		out.Elem = joined(x.Elem, y.Elem)
		return out
	case ShapeTuple, ShapeRow:
		if len(x.Fields) != len(y.Fields) {
			break
		}
		for i, f := range x.Fields {
			f.Shape = joined(f.Shape, y.Fields[i].Shape)
			if x.Kind == ShapeRow && (f.Name != y.Fields[i].Name || f.also != y.Fields[i].also) {
				return &Shape{Tags: catalog.Union(x.all(), y.all())}
			}
			out.Fields = append(out.Fields, f)
		}
		return out
	case ShapeLeaf:
		out.Tags, out.Derived = catalog.Union(x.Tags, y.Tags), true
		out.Sources = append(append([]Source(nil), x.Sources...), y.Sources...)
		if x.TypeOID != y.TypeOID {
			out.TypeOID = 0
		}
		return out
	}
	return &Shape{Tags: catalog.Union(x.all(), y.all())}
}

// orFrom is a Leaf that may come from other columns as well.
func (s *Shape) orFrom(sources []Source) *Shape {
	if s.Kind != ShapeLeaf || len(sources) == 0 {
		return s
	}
	leaf := *s
	leaf.Sources = append(append([]Source(nil), s.Sources...), sources...)
	return &leaf
}

// made is a Leaf that an expression makes of this one.
func (s *Shape) made(typeOID uint32) *Shape {
	leaf := *s
	leaf.Derived, leaf.TypeOID, leaf.Sources = true, typeOID, slices.Clone(s.Sources)
	for i := range leaf.Sources {
		leaf.Sources[i].How = max(leaf.Sources[i].How, Derived)
	}
	return &leaf
}

// joinedObjects has the keys of both.
func joinedObjects(out, x, y *Shape) *Shape {
	for _, f := range x.Fields {
		if y.Elem != nil && y.key(f.Name) == y.Elem {
			f.Shape = joined(f.Shape, y.Elem)
		}
		out.put(f.Name, f.Shape)
	}
	for _, f := range y.Fields {
		if x.Elem != nil && x.key(f.Name) == x.Elem {
			f.Shape = joined(f.Shape, x.Elem)
		}
		out.put(f.Name, f.Shape)
	}
	if out.Elem = x.Elem; out.Elem == nil {
		out.Elem = y.Elem
	} else if y.Elem != nil {
		out.Elem = joined(x.Elem, y.Elem)
	}
	return out
}
