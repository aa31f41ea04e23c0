package mask

import (
	"encoding/binary"
	"strings"
)

// record masks the fields of a composite value one by one.
type record struct {
	fields []Masker
	oids   []uint32  // 0 where the type is not known
	nulls  *constant // the record with every field NULL
}

// record returns the masker of a composite type.
func (c compiler) record(t *Type, s Spec) Masker {
	if len(t.Fields) == 0 {
		return anonymous{}
	}
	m := &record{fields: make([]Masker, len(t.Fields)), oids: make([]uint32, len(t.Fields))}
	shown := true
	for i, field := range t.Fields {
		m.fields[i] = c.compile(field.Type, fieldSpec(field, s))
		if field.Type != nil {
			m.oids[i] = field.Type.OID
		}
		shown = shown && Shows(m.fields[i])
	}
	if shown {
		return reveal{}
	}
	m.nulls = nullRecord(m.oids)
	return m
}

// fieldSpec returns the stricter of a field's own mask and that of the whole value.
func fieldSpec(field Field, whole Spec) Spec {
	if field.Mask == nil || Stricter(whole.Strategy, field.Mask.Strategy) == whole.Strategy {
		return whole
	}
	return *field.Mask
}

// nullRecord returns a record whose fields are all NULL.
func nullRecord(oids []uint32) *constant {
	bin := binary.BigEndian.AppendUint32(nil, uint32(len(oids)))
	for _, oid := range oids {
		bin = binary.BigEndian.AppendUint32(bin, oid)
		bin = append(bin, nullElement...)
	}
	return &constant{text: "(" + strings.Repeat(",", len(oids)-1) + ")", binary: string(bin)}
}

func (m *record) redaction() *constant { return m.nulls }

func (m *record) Append(dst, value []byte, f Format) ([]byte, bool) {
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

// appendBinary masks the output of record_send: a count, then type, length and bytes of each field. A field whose type is not the one the
// masker was made for means that the type has changed: nothing of the record is shown then.
func (m *record) appendBinary(dst, value []byte) ([]byte, bool) {
	if len(value) < 4 || binary.BigEndian.Uint32(value) != uint32(len(m.fields)) {
		return dst, false
	}
	dst = append(dst, value[:4]...)
	rest := value[4:]
	for i, field := range m.fields {
		if len(rest) < 4 || m.oids[i] != 0 && binary.BigEndian.Uint32(rest) != m.oids[i] {
			return dst, false
		}
		dst = binary.BigEndian.AppendUint32(dst, m.oids[i])
		item, null, after, ok := readItem(rest[4:])
		if !ok {
			return dst, false
		}
		dst, _ = appendItem(dst, item, null, field)
		rest = after
	}
	return dst, len(rest) == 0
}

// appendText masks the output of record_out.
func (m *record) appendText(dst, value []byte) ([]byte, bool) {
	if len(value) == 0 || value[0] != '(' {
		return dst, false
	}
	dst = append(dst, '(')
	rest := value[1:]
	for i, field := range m.fields {
		end := byte(',')
		if i == len(m.fields)-1 {
			end = ')'
		}
		var size int
		var ok bool
		if dst, size, ok = appendField(dst, rest, field); !ok || size >= len(rest) || rest[size] != end {
			return dst, false
		}
		dst = append(dst, end)
		rest = rest[size+1:]
	}
	return dst, len(rest) == 0
}

// appendField masks the field at the front of s, and returns how many bytes of s it took. A field that is not there at all is NULL. As for array
// elements, the plain value and its mask are made behind dst's end and then moved into place.
func appendField(dst, s []byte, m Masker) (out []byte, size int, ok bool) {
	start := len(dst)
	dst, size, ok = unquoteField(dst, s)
	if !ok || size == 0 {
		return dst[:start], size, ok
	}
	from := len(dst)
	dst, null := m.Append(dst, dst[start:from], Text)
	if null {
		return dst[:start], size, true
	}
	to := len(dst)
	dst = quoteField(dst, dst[from:to])
	n := copy(dst[start:], dst[to:])
	return dst[:start+n], size, true
}

// unquoteField appends the plain value of the field at the front of s to dst.
func unquoteField(dst, s []byte) (out []byte, size int, ok bool) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case b == '\\':
			if i++; i == len(s) {
				return dst, 0, false
			}
			dst = append(dst, s[i])
		case b == '"' && quoted && i+1 < len(s) && s[i+1] == '"':
			dst = append(dst, '"')
			i++
		case b == '"':
			quoted = !quoted
		case !quoted && (b == ',' || b == ')'):
			return dst, i, true
		case !quoted && b == '(':
			return dst, 0, false
		default:
			dst = append(dst, b)
		}
	}
	return dst, 0, false
}

// quoteField appends a field in record_out's form.
func quoteField(dst, plain []byte) []byte {
	if !fieldNeedsQuotes(plain) {
		return append(dst, plain...)
	}
	dst = append(dst, '"')
	for _, b := range plain {
		if b == '"' || b == '\\' {
			dst = append(dst, b)
		}
		dst = append(dst, b)
	}
	return append(dst, '"')
}

func fieldNeedsQuotes(plain []byte) bool {
	if len(plain) == 0 {
		return true
	}
	for _, b := range plain {
		switch b {
		case '"', '\\', '(', ')', ',', ' ', '\t', '\n', '\r', '\v', '\f':
			return true
		}
	}
	return false
}

// anonymous masks records whose fields are not known: the type record itself, the result of ROW(…). Every field is redacted, in binary form by
// the type that it says it has.
type anonymous struct{}

// noFields is the record without fields.
var noFields = constant{text: "()", binary: zeros[:4]}

func (anonymous) redaction() *constant { return &noFields }

func (anonymous) Append(dst, value []byte, f Format) ([]byte, bool) {
	start, ok := len(dst), false
	switch f {
	case Text:
		dst, ok = anonymousText(dst, value)
	case Binary:
		dst, ok = anonymousBinary(dst, value)
	}
	if !ok {
		return noFields.Append(dst[:start], nil, f)
	}
	return dst, false
}

func anonymousText(dst, value []byte) ([]byte, bool) {
	if len(value) == 0 || value[0] != '(' {
		return dst, false
	}
	dst = append(dst, '(')
	for rest := value[1:]; ; {
		out, size, ok := appendField(dst, rest, &redactions[classUnknown])
		if !ok || size >= len(rest) {
			return out, false
		}
		dst = append(out, rest[size])
		if rest[size] == ')' {
			return dst, size+1 == len(rest)
		}
		rest = rest[size+1:]
	}
}

func anonymousBinary(dst, value []byte) ([]byte, bool) {
	if len(value) < 4 {
		return dst, false
	}
	count, rest := binary.BigEndian.Uint32(value), value[4:]
	if uint64(count)*8 > uint64(len(rest)) {
		return dst, false
	}
	dst = append(dst, value[:4]...)
	for range count {
		if len(rest) < 4 {
			return dst, false
		}
		oid := binary.BigEndian.Uint32(rest)
		item, null, after, ok := readItem(rest[4:])
		if !ok {
			return dst, false
		}
		c := builtinClasses[oid]
		if c == classUnknown {
			oid = oidText // a type OID is known, or it might be anything
			null = true
		}
		dst = binary.BigEndian.AppendUint32(dst, oid)
		dst, _ = appendItem(dst, item, null, &redactions[c])
		rest = after
	}
	return dst, len(rest) == 0
}
