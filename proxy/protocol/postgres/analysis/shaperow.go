package analysis

import (
	"strconv"

	pg "github.com/pganalyze/pg_query_go/v5"
)

// ref is the shape of a column, or of the row that a FROM item's name stands for.
func (s *shaper) ref(ref *pg.ColumnRef, e env) *Shape {
	names := stringList(ref.GetFields())
	if isStar(ref) { // as an argument "c.*" is the row
		if len(names) < 2 {
			return nil
		}
		item := s.itemNamed(names[:len(names)-1], e)
		if item == nil {
			return nil
		}
		return s.wholeRow(item)
	}
	c, item := s.referent(names, e)
	switch {
	case c != nil:
		return s.column(c)
	case item != nil:
		return s.wholeRow(item)
	}
	return nil
}

// referent is the one column or FROM item that a reference certainly names.
func (s *shaper) referent(names []string, e env) (*column, *source) {
	if len(names) > 1 {
		item := s.itemNamed(names[:len(names)-1], e)
		if item == nil {
			return nil, nil
		}
		return onlyColumn([]*source{item}, names[len(names)-1]), nil
	}
	for level := e.scope; level != nil; level = level.outer {
		for _, item := range level.sources {
			if item.open {
				return nil, nil
			}
		}
		if has(level.sources, names[0]) {
			return onlyColumn(level.sources, names[0]), nil
		}
	}
	for level := e.scope; level != nil; level = level.outer {
		var found *source
		for _, item := range level.sources {
			if item.alias == names[0] {
				if found != nil {
					return nil, nil
				}
				found = item
			}
		}
		if found != nil {
			return nil, found
		}
	}
	return nil, nil
}

func has(items []*source, name string) bool {
	for _, item := range items {
		if indexOf(item.columns, name) >= 0 {
			return true
		}
	}
	return false
}

// onlyColumn is the column of that name, nil where there are several or may be more.
func onlyColumn(items []*source, name string) *column {
	var found *column
	for _, item := range items {
		if item.open {
			return nil
		}
		for i := range item.columns {
			if item.columns[i].name != name {
				continue
			}
			if found != nil {
				return nil
			}
			found = &item.columns[i]
		}
	}
	return found
}

// wholeRow is the row of a FROM item as one value. Whether JSON made of it has the
// names of the relation or those of an alias's list depends on the server's version.
func (s *shaper) wholeRow(item *source) *Shape {
	if item.open || item.scalar || len(item.columns) == 0 {
		return nil
	}
	row := &Shape{Kind: ShapeRow}
	for i := range item.columns {
		c := &item.columns[i]
		s.parts++
		f := ShapeField{Name: c.name, Shape: s.column(c)}
		if r := s.cat.Relation(c.relation); r != nil && item.real != "" {
			for j := range r.Columns {
				if r.Columns[j].Num == c.number {
					f.also = r.Columns[j].Name
				}
			}
		}
		row.Fields = append(row.Fields, f)
	}
	return row
}

// row is ROW(…), whose fields are called f1, f2 …
func (s *shaper) row(r *pg.RowExpr, e env) *Shape {
	row := &Shape{Kind: ShapeRow}
	add := func(shape *Shape) {
		row.Fields = append(row.Fields, ShapeField{Name: "f" + strconv.Itoa(len(row.Fields)+1), Shape: shape})
	}
	for _, n := range r.GetArgs() {
		ref := n.GetColumnRef()
		if ref == nil || !isStar(ref) {
			if x := n.GetAIndirection(); x != nil && endsInStar(x) {
				return nil
			}
			add(s.of(n, e))
			continue
		}
		if len(ref.GetFields()) == 1 {
			return nil // as "*" orders the columns of joins
		}
		for _, item := range s.starSources(ref.GetFields(), e) {
			expanded := s.wholeRow(item)
			if expanded == nil {
				return nil
			}
			for _, f := range expanded.Fields {
				add(f.Shape)
			}
		}
	}
	return row
}

// part is a field of a composite, an element of an array, or what a subscript takes
// out of jsonb.
func (s *shaper) part(x *pg.A_Indirection, e env) *Shape {
	shape := s.of(x.GetArg(), e)
	for _, step := range x.GetIndirection() {
		if shape == nil || !shape.structured() {
			return nil
		}
		switch {
		case step.GetString_() != nil:
			shape = s.fieldNamed(shape, step.GetString_().GetSval())
		case step.GetAIndices() != nil:
			shape = subscript(shape, step.GetAIndices())
		default:
			return nil
		}
	}
	return shape
}

func (s *shaper) fieldNamed(row *Shape, name string) *Shape {
	if row.Kind != ShapeRow || s.fieldCall(name) {
		return nil
	}
	var found *Shape
	for _, f := range row.Fields {
		if f.also != "" && f.also != f.Name {
			return nil
		}
		if f.Name == name {
			if found != nil {
				return nil
			}
			found = f.Shape
		}
	}
	return found
}

// subscript is what [i] or [i:j] takes out of an array, or ['key'] out of jsonb.
func subscript(shape *Shape, i *pg.A_Indices) *Shape {
	switch {
	case shape.isJSON() && i.GetIsSlice():
		return nil
	case shape.isJSON():
		return stepInto(shape, i.GetUidx(), oidJSONB)
	case shape.Kind != ShapeList || i.GetIsSlice():
		if shape.Kind == ShapeList {
			return shape
		}
		return nil
	}
	return shape.Elem
}

// stepInto is what lies under a constant key or position of JSON, nil where that is not
// certain.
func stepInto(shape *Shape, at *pg.Node, typeOID uint32) *Shape {
	var part *Shape
	text, isText := constant(at)
	number := at.GetAConst().GetIval()
	switch {
	case shape.Kind == ShapeObject && isText && text != "":
		part = shape.key(text)
	case shape.Kind == ShapeList && number != nil:
		part = shape.Elem
	case shape.Kind == ShapeTuple && number != nil:
		if i := int(number.GetIval()); i >= 0 && i < len(shape.Fields) {
			part = shape.Fields[i].Shape
		}
	}
	if part == nil || part.Kind == ShapeOpaque {
		return nil
	}
	if part.Kind == ShapeLeaf { // the value as JSON, which is not its own type any more
		return part.made(typeOID)
	}
	return part.as(typeOID)
}
