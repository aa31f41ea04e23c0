package wire

// Error is an ErrorResponse or NoticeResponse in the fields that people read;
// Extra keeps the others (schema, table, constraint, position …) by their type.
type Error struct {
	Severity string
	Code     string // SQLSTATE
	Message  string
	Detail   string
	Hint     string
	Extra    []ErrorField
}

// ErrorField is a field of an ErrorResponse by its type byte (PostgreSQL
// documentation, "Error and Notice Message Fields").
type ErrorField struct {
	Type  byte
	Value string
}

// Append appends e as an ErrorResponse ('E') or NoticeResponse ('N').
func (e *Error) Append(dst []byte, kind byte) []byte {
	dst, at := Begin(dst, kind)
	field := func(t byte, v string) {
		if v != "" {
			dst = String(append(dst, t), v)
		}
	}
	field('S', e.Severity)
	field('V', e.Severity)
	field('C', e.Code)
	field('M', e.Message)
	field('D', e.Detail)
	field('H', e.Hint)
	for _, f := range e.Extra {
		field(f.Type, f.Value)
	}
	return Finish(append(dst, 0), at)
}

// ParseError reads an ErrorResponse or NoticeResponse body. A body that is cut
// short gives the fields that are whole.
func ParseError(body []byte) Error {
	var e Error
	r := Reader{Rest: body}
	for {
		t := r.Byte()
		if t == 0 {
			return e
		}
		v := r.String()
		switch t {
		case 'S':
			if e.Severity == "" {
				e.Severity = v
			}
		case 'V':
			e.Severity = v
		case 'C':
			e.Code = v
		case 'M':
			e.Message = v
		case 'D':
			e.Detail = v
		case 'H':
			e.Hint = v
		default:
			if !r.Bad {
				e.Extra = append(e.Extra, ErrorField{t, v})
			}
		}
	}
}

// Extra1 returns the value of the first extra field of type t, or "".
func (e *Error) Extra1(t byte) string {
	for _, f := range e.Extra {
		if f.Type == t {
			return f.Value
		}
	}
	return ""
}
