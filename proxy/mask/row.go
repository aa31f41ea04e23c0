package mask

import "encoding/binary"

// row masks a composite that has no type of its own, the result of ROW(…) or of a sub-select's row, where the shape says what its fields are.
// What a field is in binary form, the value itself says.
type row struct {
	fields []rowField
	nulls  *constant
}

// rowField is how one field is masked.
type rowField struct {
	shown bool
	text  Masker
	// oid is the type that binary is for; 0 is none.
	oid    uint32
	binary Masker
	// json and jsonb mask binary values of these types.
	json, jsonb Masker
}

// unnamed returns the masker of a composite without a type.
func (c compiler) unnamed(s *Shape) Masker {
	m := &row{fields: make([]rowField, len(s.Fields))}
	shown := len(s.Fields) > 0
	for i := range s.Fields {
		m.fields[i] = c.rowField(s.Fields[i].Shape)
		shown = shown && m.fields[i].shown
	}
	if shown {
		return reveal{}
	}
	if len(s.Fields) == 0 {
		return anonymous{}
	}
	oids := make([]uint32, len(m.fields))
	for i := range oids {
		oids[i] = oidText
	}
	m.nulls = nullRecord(oids)
	return m
}

func (c compiler) rowField(s *Shape) rowField {
	if s != nil && s.Kind == Shown {
		return rowField{shown: true, text: reveal{}}
	}
	t := TypeOf(s)
	if isJSON(t) {
		json, _ := Builtin(oidJSON)
		jsonb, _ := Builtin(oidJSONB)
		f := rowField{json: c.structure(json, s), jsonb: c.structure(jsonb, s)}
		f.text, f.shown = f.json, Shows(f.json)
		return f
	}
	f := rowField{text: c.structure(t, s)}
	f.shown = Shows(f.text)
	if t != nil {
		f.oid, f.binary = t.OID, f.text
	}
	return f
}

func (m *row) redaction() *constant { return m.nulls }

func (m *row) Append(dst, value []byte, f Format) ([]byte, bool) {
	start, ok := len(dst), false
	switch f {
	case Text:
		dst, ok = m.appendText(dst, value)
	case Binary:
		dst, ok = m.appendBinary(dst, value)
	}
	if !ok {
		return m.nulls.Append(dst[:start], nil, f)
	}
	return dst, false
}

func (m *row) appendText(dst, value []byte) ([]byte, bool) {
	if len(value) == 0 || value[0] != '(' {
		return dst, false
	}
	dst = append(dst, '(')
	rest := value[1:]
	for i := range m.fields {
		end := byte(',')
		if i == len(m.fields)-1 {
			end = ')'
		}
		out, size, ok := appendField(dst, rest, m.fields[i].text)
		if !ok || size >= len(rest) || rest[size] != end {
			return out, false
		}
		dst = append(out, end)
		rest = rest[size+1:]
	}
	return dst, len(rest) == 0
}

func (m *row) appendBinary(dst, value []byte) ([]byte, bool) {
	if len(value) < 4 || binary.BigEndian.Uint32(value) != uint32(len(m.fields)) {
		return dst, false
	}
	dst = append(dst, value[:4]...)
	rest := value[4:]
	for i := range m.fields {
		if len(rest) < 4 {
			return dst, false
		}
		oid := binary.BigEndian.Uint32(rest)
		item, null, after, ok := readItem(rest[4:])
		if !ok {
			return dst, false
		}
		masker, oid := m.fields[i].as(oid)
		dst = binary.BigEndian.AppendUint32(dst, oid)
		dst, _ = appendItem(dst, item, null, masker)
		rest = after
	}
	return dst, len(rest) == 0
}

// as returns the masker for a field that says it has that type, and the type to say.
func (f *rowField) as(oid uint32) (Masker, uint32) {
	switch {
	case f.shown:
		return reveal{}, oid
	case oid == oidJSON && f.json != nil:
		return f.json, oid
	case oid == oidJSONB && f.jsonb != nil:
		return f.jsonb, oid
	case oid == f.oid && f.binary != nil:
		return f.binary, oid
	}
	if c := builtinClasses[oid]; c != classUnknown {
		return &redactions[c], oid
	}
	return &nothing, oidText // a type OID is known, or it might be anything
}
