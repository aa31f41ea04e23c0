package mask

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// These functions read JSON by RFC 8259, on positions of a value that stays where it is. They report false for what is no JSON.

func skipSpace(s []byte, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\n' || s[i] == '\r') {
		i++
	}
	return i
}

// skipJSON returns where the value at i ends, of which depth levels are around it.
func skipJSON(s []byte, i, depth int) (end int, ok bool) {
	if i >= len(s) {
		return i, false
	}
	switch b := s[i]; {
	case b == '"':
		return skipString(s, i)
	case b == '{' || b == '[':
		if depth >= maxJSONDepth {
			return i, false
		}
		return skipParts(s, i, depth+1)
	case b == '-' || '0' <= b && b <= '9':
		return skipNumber(s, i)
	}
	for _, word := range [...]string{"null", "true", "false"} {
		if bytes.HasPrefix(s[i:], []byte(word)) {
			return i + len(word), true
		}
	}
	return i, false
}

// skipParts returns where the object or array at i ends.
func skipParts(s []byte, i, depth int) (end int, ok bool) {
	object, closing := s[i] == '{', s[i]+2 // '}' and ']' stand two behind '{' and '['
	i = skipSpace(s, i+1)
	if i < len(s) && s[i] == closing {
		return i + 1, true
	}
	for {
		if object {
			if i, ok = skipString(s, i); !ok {
				return i, false
			}
			if i = skipSpace(s, i); i >= len(s) || s[i] != ':' {
				return i, false
			}
			i = skipSpace(s, i+1)
		}
		if i, ok = skipJSON(s, i, depth); !ok {
			return i, false
		}
		if i = skipSpace(s, i); i >= len(s) {
			return i, false
		}
		if s[i] == closing {
			return i + 1, true
		}
		if s[i] != ',' {
			return i, false
		}
		i = skipSpace(s, i+1)
	}
}

// skipString returns where the string at i ends, quotes included.
func skipString(s []byte, i int) (end int, ok bool) {
	if i >= len(s) || s[i] != '"' {
		return i, false
	}
	for i++; i < len(s); i++ {
		switch b := s[i]; {
		case b == '"':
			return i + 1, true
		case b < ' ':
			return i, false
		case b == '\\':
			if i++; i >= len(s) || strings.IndexByte(`"\/bfnrtu`, s[i]) < 0 {
				return i, false
			}
			if s[i] == 'u' {
				if _, ok := hexUnit(s[i+1:]); !ok {
					return i, false
				}
				i += 4
			}
		}
	}
	return i, false
}

// skipNumber returns where the number at i ends.
func skipNumber(s []byte, i int) (end int, ok bool) {
	if s[i] == '-' {
		i++
	}
	whole := skipDigits(s, i)
	if whole == i || s[i] == '0' && whole > i+1 {
		return i, false
	}
	i = whole
	if i < len(s) && s[i] == '.' {
		fraction := skipDigits(s, i+1)
		if fraction == i+1 {
			return i, false
		}
		i = fraction
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		exponent := skipDigits(s, i)
		if exponent == i {
			return i, false
		}
		i = exponent
	}
	return i, true
}

func skipDigits(s []byte, i int) int {
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return i
}

// hexUnit reads the four digits of \u.
func hexUnit(s []byte) (unit rune, ok bool) {
	if len(s) < 4 {
		return 0, false
	}
	for _, b := range s[:4] {
		switch {
		case '0' <= b && b <= '9':
			b -= '0'
		case 'a' <= b|0x20 && b|0x20 <= 'f':
			b = b | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		unit = unit<<4 | rune(b)
	}
	return unit, true
}

// unquoteJSON appends the plain form of a string, given between its quotes and already found to be well-formed. It reports false for half of a
// surrogate pair, which has none.
func unquoteJSON(dst, s []byte) (out []byte, ok bool) {
	for {
		at := bytes.IndexByte(s, '\\')
		if at < 0 {
			return append(dst, s...), true
		}
		dst = append(dst, s[:at]...)
		b := s[at+1]
		s = s[at+2:]
		if b != 'u' {
			dst = append(dst, unescapeJSON(b))
			continue
		}
		r, _ := hexUnit(s)
		s = s[4:]
		if utf16.IsSurrogate(r) {
			if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
				return dst, false
			}
			low, _ := hexUnit(s[2:])
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				return dst, false
			}
			s = s[6:]
		}
		dst = utf8.AppendRune(dst, r)
	}
}

func unescapeJSON(b byte) byte {
	switch b {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	default:
		return b
	}
}

// quoteJSON appends a plain text as a JSON string.
func quoteJSON(dst, plain []byte) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for _, b := range plain {
		switch {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b < ' ':
			dst = append(dst, '\\', 'u', '0', '0', digits[b>>4], digits[b&0xf])
		default:
			dst = append(dst, b)
		}
	}
	return append(dst, '"')
}
