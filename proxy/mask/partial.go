package mask

import (
	"bytes"
	"unicode/utf8"
)

// ellipsis stands for what Partial leaves out, whatever its length.
const ellipsis = "***"

// partial keeps some characters at the ends of a string, or the domain of an email address. Text and binary form of strings are the same.
type partial struct {
	keepDomain  bool
	first, last int
	redacted    *constant
}

// maxKept bounds how many characters partial looks for at either end.
const maxKept = 1 << 16

func newPartial(s Spec, redacted *constant) Masker {
	first, last := clamp(s.KeepFirst), clamp(s.KeepLast)
	if first == 0 && last == 0 && !s.KeepDomain {
		return redacted
	}
	return &partial{keepDomain: s.KeepDomain, first: first, last: last, redacted: redacted}
}

func clamp(n int) int { return min(max(n, 0), maxKept) }

func (m *partial) Append(dst, value []byte, f Format) ([]byte, bool) {
	if f > Binary {
		return dst, true
	}
	rest, domain := value, []byte(nil)
	if m.keepDomain {
		if at := bytes.LastIndexByte(value, '@'); at > 0 && isDomain(value[at+1:]) {
			rest, domain = value[:at], value[at:]
		}
	}
	head, tail, ok := m.ends(rest)
	if !ok || (domain == nil && len(head)+len(tail) == 0) {
		return m.redacted.Append(dst, value, f)
	}
	dst = append(dst, head...)
	dst = append(dst, ellipsis...)
	dst = append(dst, tail...)
	return append(dst, domain...), false
}

func (m *partial) redaction() *constant { return m.redacted }

// ends returns what is kept of s at its two ends: at most half of its characters, the first ones first. It reports false for bytes that are not
// UTF-8, since there it does not know what a character is.
func (m *partial) ends(s []byte) (head, tail []byte, ok bool) {
	half := countRunes(s, 2*(m.first+m.last)) / 2
	first := min(m.first, half)
	last := min(m.last, half-first)
	i := 0
	for range first {
		r, size := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && size <= 1 {
			return nil, nil, false
		}
		i += size
	}
	j := len(s)
	for range last {
		r, size := utf8.DecodeLastRune(s[i:j])
		if r == utf8.RuneError && size <= 1 {
			return nil, nil, false
		}
		j -= size
	}
	return s[:i], s[j:], true
}

// countRunes counts the characters of s, but stops at limit.
func countRunes(s []byte, limit int) int {
	n := 0
	for len(s) > 0 && n < limit {
		_, size := utf8.DecodeRune(s)
		s = s[size:]
		n++
	}
	return n
}

// maxDomain is the longest domain name, RFC 1035 section 2.3.4.
const maxDomain = 253

// isDomain reports whether s looks like the domain of an email address: dot-separated labels, the last of which is not a number. It is what
// keeps KeepDomain from showing the end of any text that happens to have an @ in it.
func isDomain(s []byte) bool {
	if len(s) > maxDomain {
		return false
	}
	dots, label, letters := 0, 0, 0
	for _, b := range s {
		switch {
		case b == '.':
			if label == 0 {
				return false
			}
			dots, label, letters = dots+1, 0, 0
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', b >= utf8.RuneSelf:
			label, letters = label+1, letters+1
		case '0' <= b && b <= '9', b == '-':
			label++
		default:
			return false
		}
	}
	return dots > 0 && letters >= 2
}
