package mask

// ShapeKind says how a structured value is built.
type ShapeKind uint8

const (
	// Opaque is masked as a whole, as a value of unknown origin. It is what the zero Shape is.
	Opaque ShapeKind = iota
	// Shown is shown as a whole.
	Shown
	// Leaf is one value without parts that is masked by Spec.
	Leaf
	// Object is a JSON object: Fields are its keys, in any order; Elem is the shape under every other key, nil if there may be none.
	Object
	// List is a JSON or SQL array of any length: Elem is the shape of its elements.
	List
	// Tuple is a JSON array with exactly these Fields.
	Tuple
	// Row is a composite with exactly these Fields, in the order of its attributes.
	Row
)

// Shape says what stands where in a structured value. Whatever of a value does not have its shape is masked: a Shape can be wrong only by
// calling something Shown. The nil Shape is Opaque.
type Shape struct {
	Kind ShapeKind
	// Spec is how a Leaf is masked. Other kinds do not use it; what is Opaque is redacted.
	Spec Spec
	// Derived: a Leaf was made from a protected value by an expression; see Full.
	Derived bool
	// Type is the SQL type of a Leaf, also where it stands in JSON, and the type of the whole where that is JSON. nil is not known.
	Type *Type
	// Fields: see Object, Tuple and Row. Names of a Row are not looked at.
	Fields []ShapeField
	// Elem: see List and Object.
	Elem *Shape
}

// ShapeField is a part of a Shape.
type ShapeField struct {
	Name  string
	Shape *Shape
}

// Structured returns the masker for values of type t that have the shape s: of JSON, arrays and composites only what is masked inside is
// replaced, and the rest stays as it is, byte for byte in JSON. An array of masked elements keeps its length, and a composite its fields: the
// caller says with the Shape that these tell nothing. Where type and shape do not fit, the value is redacted as under Full.
func Structured(t *Type, s *Shape) Masker {
	return compiler{parts: new(int)}.structure(t, s)
}

// structure compiles one level of a shape.
func (c compiler) structure(t *Type, s *Shape) Masker {
	if *c.parts++; s == nil || *c.parts > maxTypeParts || c.depth >= maxTypeDepth {
		return Full(t, Spec{})
	}
	c.depth++
	switch {
	case s.Kind == Shown:
		return reveal{}
	case t == nil:
		return Full(nil, Spec{})
	case t.Kind == Domain:
		return c.structure(t.Base, s)
	case isJSON(t):
		return c.json(t, s)
	case s.Kind == Leaf:
		return newMasker(t, s.Spec, s.Derived)
	case t.Kind == Array && s.Kind == List:
		return c.elements(t, s.Elem)
	case t.Kind == Composite && s.Kind == Row && len(t.Fields) == 0:
		return c.unnamed(s)
	case t.Kind == Composite && s.Kind == Row && len(t.Fields) == len(s.Fields):
		return c.fields(t, s)
	default:
		return Full(t, Spec{})
	}
}

// elements masks what stands in an SQL array. All its dimensions are one array there, whereas a shape has a List for each.
func (c compiler) elements(t *Type, elem *Shape) Masker {
	if t.Elem == nil {
		return emptyArray(nil)
	}
	for t.Elem.Kind != Domain && !isJSON(t.Elem) && elem != nil && elem.Kind == List {
		elem = elem.Elem
	}
	m := c.structure(t.Elem, elem)
	if Shows(m) {
		return reveal{}
	}
	return &array{elem: m, elemOID: t.Elem.OID, empty: emptyArray(t.Elem)}
}

// fields masks the fields of a named composite.
func (c compiler) fields(t *Type, s *Shape) Masker {
	m := &record{fields: make([]Masker, len(t.Fields)), oids: make([]uint32, len(t.Fields))}
	shown := true
	for i, field := range t.Fields {
		m.fields[i] = c.structure(field.Type, s.Fields[i].Shape)
		if field.Type != nil {
			m.oids[i] = field.Type.OID
		}
		shown = shown && Shows(m.fields[i])
	}
	if shown {
		return reveal{}
	}
	for i, field := range t.Fields {
		if field.Type == nil { // its binary form needs a type, and there is none to give
			m.fields[i] = &nothing
		}
	}
	m.nulls = nullRecord(m.oids)
	return m
}

// TypeOf returns the type that a value of this shape has, as far as the shape says it: that of a Leaf or of JSON, record for a Row, an array of
// its elements' type for a List. nil is not known. It is for values whose type nobody else names.
func TypeOf(s *Shape) *Type {
	switch {
	case s == nil:
		return nil
	case s.Type != nil:
		return s.Type
	case s.Kind == Row:
		record, _ := Builtin(oidRecord)
		return record
	case s.Kind == List:
		elem := s.Elem
		for elem != nil && elem.Kind == List && elem.Type == nil {
			elem = elem.Elem
		}
		if e := TypeOf(elem); e != nil {
			return &Type{Name: "_" + e.Name, Kind: Array, Elem: e}
		}
	}
	return nil
}

// isJSON reports whether values of a type are JSON text.
func isJSON(t *Type) bool {
	if t == nil || t.Kind != Base {
		return false
	}
	c := classOf(t)
	return c == classJSON || c == classJSONB
}
