package mask

// The only built-in type whose elements are not separated by commas in an array is box. Boxes have nothing to show but themselves, so arrays of
// them are emptied or shown as a whole and never come here.

// appendText masks the output of array_out. The structure is checked as strictly as array_in does it: balanced braces, elements only at the
// deepest level, nothing before or behind but the bounds in front.
func (m *array) appendText(dst, value []byte) ([]byte, bool) {
	value, ok := skipBounds(value)
	if !ok {
		return dst, false
	}
	const item = 'x' // the token that stands for any element
	depth, last := 0, byte(0)
	for i := 0; i < len(value); {
		token := value[i]
		var fits bool
		switch token {
		case '{':
			depth++
			fits = depth <= maxDims && last != item && last != '}'
		case '}':
			depth--
			fits = depth >= 0 && last != ','
		case ',':
			fits = last == item || last == '}'
		default:
			token = item
			fits = depth > 0 && (last == '{' || last == ',')
		}
		if !fits {
			return dst, false
		}
		size := 1
		if token != item {
			dst = append(dst, token)
		} else if dst, size, ok = m.appendElement(dst, value[i:]); !ok {
			return dst, false
		}
		i, last = i+size, token
		if depth == 0 {
			return dst, i == len(value)
		}
	}
	return dst, false
}

// skipBounds leaves out the bounds in front of an array, as in [0:1][-2:3]={…}.
func skipBounds(s []byte) ([]byte, bool) {
	if len(s) == 0 || s[0] != '[' {
		return s, true
	}
	for i, b := range s {
		switch {
		case b == '=':
			return s[i+1:], true
		case b == '[', b == ']', b == ':', b == '-', b == '+', '0' <= b && b <= '9':
		default:
			return nil, false
		}
	}
	return nil, false
}

// appendElement masks the element at the front of s and returns how many bytes of s it took. The plain value and its mask are made behind dst's
// end and then moved to where they belong, so that no other buffer is needed.
func (m *array) appendElement(dst, s []byte) (out []byte, size int, ok bool) {
	start := len(dst)
	dst, size, quoted, ok := unquoteElement(dst, s)
	if !ok {
		return dst, 0, false
	}
	plain := dst[start:]
	if !quoted && isNullWord(plain) {
		return append(dst[:start], "NULL"...), size, true
	}
	from := len(dst)
	dst, null := m.elem.Append(dst, plain, Text)
	if null {
		return append(dst[:start], "NULL"...), size, true
	}
	to := len(dst)
	dst = quoteElement(dst, dst[from:to])
	n := copy(dst[start:], dst[to:])
	return dst[:start+n], size, true
}

// unquoteElement appends the plain value of the element at the front of s to dst.
func unquoteElement(dst, s []byte) (out []byte, size int, quoted, ok bool) {
	i := 0
	if s[0] == '"' {
		quoted, i = true, 1
	}
	for ; i < len(s); i++ {
		switch b := s[i]; {
		case b == '\\':
			if i++; i == len(s) {
				return dst, 0, quoted, false
			}
			dst = append(dst, s[i])
		case quoted && b == '"':
			return dst, i + 1, quoted, true
		case !quoted && (b == ',' || b == '}'):
			return dst, i, quoted, true
		case !quoted && (b == '"' || b == '{'):
			return dst, 0, quoted, false
		default:
			dst = append(dst, b)
		}
	}
	return dst, 0, quoted, false
}

// quoteElement appends an element in array_out's form: quoted where the plain form would be read differently.
func quoteElement(dst, plain []byte) []byte {
	if !needsQuotes(plain) {
		return append(dst, plain...)
	}
	dst = append(dst, '"')
	for _, b := range plain {
		if b == '"' || b == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, b)
	}
	return append(dst, '"')
}

func needsQuotes(plain []byte) bool {
	if len(plain) == 0 || isNullWord(plain) {
		return true
	}
	for _, b := range plain {
		switch b {
		case '"', '\\', '{', '}', ',', ' ', '\t', '\n', '\r', '\v', '\f':
			return true
		}
	}
	return false
}

// isNullWord reports whether an unquoted element is NULL, in any case.
func isNullWord(s []byte) bool {
	return len(s) == 4 && s[0]|0x20 == 'n' && s[1]|0x20 == 'u' && s[2]|0x20 == 'l' && s[3]|0x20 == 'l'
}
