package mask

// jsonForm says how PostgreSQL writes the values of an SQL type in JSON (json_categorize_type in its json.c).
type jsonForm uint8

const (
	jsonString jsonForm = iota
	jsonNumber
	jsonBool
	jsonTime // a string in ISO 8601's form, with a T where the type's own output has a space
	jsonList
)

// jsonLeaf masks one value without parts. What it writes is of the form of its SQL type, whatever the value is: else the form would tell.
type jsonLeaf struct {
	masker Masker // nil: fixed is all there is
	form   jsonForm
	fixed  string // what takes the place of a value that the masker does not take
}

// newJSONLeaf compiles a leaf, and reports whether it is shown.
func newJSONLeaf(s *Shape) (leaf jsonLeaf, shown bool) {
	spec := s.Spec
	if spec.Strategy.known() == Reveal && !s.Derived {
		return leaf, true
	}
	leaf.form = formOf(s.Type, 0)
	m := newMasker(s.Type, spec, s.Derived)
	redacted := redactionOf(m)
	hasParts := compound(s.Type, 0)
	switch {
	case redacted.textNull && (s.Type != nil || spec.Strategy.known() == Null):
		leaf.fixed = "null"
	case hasParts && leaf.form != jsonList:
		leaf.fixed = hidden
	default:
		leaf.fixed = string(leaf.form.write(nil, []byte(redacted.text)))
	}
	if _, constant := m.(*constant); !constant && !hasParts && leaf.form != jsonList && leaf.form != jsonBool {
		leaf.masker = m
	}
	return leaf, false
}

// compound reports whether a type has parts, which JSON shows as such, or is JSON itself.
func compound(t *Type, depth int) bool {
	if t == nil || depth > maxTypeDepth {
		return true
	}
	if t.Kind == Domain {
		return compound(t.Base, depth+1)
	}
	return t.Kind == Composite || t.Kind == Array || isJSON(t)
}

func formOf(t *Type, depth int) jsonForm {
	if t == nil || depth > maxTypeDepth {
		return jsonString
	}
	switch t.Kind {
	case Domain:
		return formOf(t.Base, depth+1)
	case Array:
		return jsonList
	case Base:
	default:
		return jsonString
	}
	switch classOf(t) {
	case classInt2, classInt4, classInt8, classFloat4, classFloat8, classNumeric:
		return jsonNumber
	case classBool:
		return jsonBool
	case classTimestamp, classTimestamptz:
		return jsonTime
	case classOIDVector, classInt2Vector:
		return jsonList
	default:
		return jsonString
	}
}

// append appends the mask of a value that is not null.
func (l *jsonLeaf) append(dst, token []byte) []byte {
	if l.masker == nil {
		return append(dst, l.fixed...)
	}
	start, ok := len(dst), true
	switch {
	case token[0] == '"' && l.form != jsonNumber:
		dst, ok = unquoteJSON(dst, token[1:len(token)-1])
	case token[0] != '"' && l.form == jsonNumber && token[0] != '{' && token[0] != '[':
		dst = append(dst, token...)
	default:
		ok = false
	}
	if !ok {
		return append(dst[:start], l.fixed...)
	}
	from := len(dst)
	if l.form == jsonTime {
		spaced(dst[start:from])
	}
	dst, null := l.masker.Append(dst, dst[start:from], Text)
	if null {
		return append(dst[:start], "null"...)
	}
	to := len(dst)
	dst = l.form.write(dst, dst[from:to])
	n := copy(dst[start:], dst[to:])
	return dst[:start+n]
}

// write appends a plain text in a form.
func (f jsonForm) write(dst, plain []byte) []byte {
	switch f {
	case jsonNumber:
		if len(plain) > 0 && (plain[0] == '-' || '0' <= plain[0] && plain[0] <= '9') {
			if end, ok := skipNumber(plain, 0); ok && end == len(plain) {
				return append(dst, plain...)
			}
		}
		return append(dst, '0')
	case jsonBool:
		return append(dst, "false"...)
	case jsonList:
		return append(dst, "[]"...)
	case jsonTime:
		at := len(dst)
		dst = quoteJSON(dst, plain)
		if i := at + 1 + dateLength; i < len(dst) && dst[i] == ' ' {
			dst[i] = 'T'
		}
		if end := len(dst) - 1; end-3 > at && (dst[end-3] == '+' || dst[end-3] == '-') && end-3-at > dateLength+1 {
			dst = append(dst[:end], `:00"`...) // a zone of whole hours
		}
		return dst
	default:
		return quoteJSON(dst, plain)
	}
}

// dateLength is the length of a date with a year of four digits.
const dateLength = len("2000-01-01")

// spaced puts a space where ISO 8601 has a T.
func spaced(s []byte) {
	if len(s) > dateLength && s[dateLength] == 'T' {
		s[dateLength] = ' '
	}
}
