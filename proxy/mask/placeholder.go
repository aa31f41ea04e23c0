package mask

import (
	"bytes"
	"encoding/hex"
	"unicode/utf8"
)

// A Recognizer tells the placeholders that the masks of a column put in place of its values from values that somebody means, so that a mask is
// not written back over what it hides. It is immutable and safe for concurrent use. The nil Recognizer knows no placeholder.
type Recognizer struct {
	class class
	spec  Spec
	seal  *hasher
}

// maxPlaceholder bounds, in bytes, what is looked at: no placeholder is longer, unless Partial keeps more, which it does for at most maxKept
// characters at each end.
const maxPlaceholder = 2*maxKept*utf8.UTFMax + maxDomain + 16

// Placeholders returns what recognizes the placeholders that New(t, s) makes, or nil where they cannot be told from ordinary values: NULL, 0, false,
// the nil UUID, 1970-01-01, an empty array, the first label of an enum. Where a masked value is a value itself (DateTrunc, Hash of an integer) it
// cannot be told either. Of strings, JSON, XML and the like the redaction is recognized exactly, Partial by its form, and Hash by its seal.
func Placeholders(t *Type, s Spec) *Recognizer {
	for depth := 0; t != nil && t.Kind == Domain && depth < maxTypeDepth; depth++ {
		t = t.Base
	}
	s.Strategy = s.Strategy.known()
	if t == nil || t.Kind != Base || s.Strategy == Reveal || s.Strategy == Null {
		return nil
	}
	if b, ok := Builtin(t.OID); ok {
		t = b
	}
	r := &Recognizer{class: classOf(t), spec: s}
	if s.Strategy == Hash && len(s.Key) > 0 {
		r.seal, _ = newHash(r.class, s.Key, &redactions[r.class]).(*hasher)
	}
	if !r.class.telling() && (r.seal == nil || !r.seal.sealed()) {
		return nil
	}
	return r
}

// telling says whether no ordinary value of the class looks like its redaction.
func (c class) telling() bool {
	switch c {
	case classText, classBpchar, classCitext, classJSON, classJSONB, classXML, classTSQuery, classLtree:
		return true
	}
	return false
}

// Is reports whether a value that is not NULL is a placeholder.
func (r *Recognizer) Is(value []byte, f Format) bool {
	if r == nil || len(value) > maxPlaceholder || f > Binary {
		return false
	}
	if r.class.telling() && r.redacted(value, f) {
		return true
	}
	switch {
	case r.spec.Strategy == Partial && r.class.textual():
		return r.partial(value)
	case r.seal != nil:
		return r.seal.made(value, f)
	}
	return false
}

// redacted compares with the redaction. What surrounds a string of char(n), JSON or XML does not count.
func (r *Recognizer) redacted(value []byte, f Format) bool {
	constant, null := redactions[r.class].in(f)
	if null {
		return false
	}
	if r.class != classText && r.class != classCitext && f == Text {
		value = bytes.TrimSpace(value)
	}
	return string(value) == constant
}

// partial reports whether a string has the form that Partial gives: what it keeps at each end, at most, around the ellipsis.
func (r *Recognizer) partial(value []byte) bool {
	if r.class == classBpchar {
		value = bytes.TrimRight(value, " ")
	}
	first, last := clamp(r.spec.KeepFirst), clamp(r.spec.KeepLast)
	rest := value
	if at := bytes.LastIndexByte(value, '@'); r.spec.KeepDomain && at > 0 && isDomain(value[at+1:]) {
		rest = value[:at]
	} else if first+last == 0 {
		return false
	}
	for at := 0; ; {
		next := bytes.Index(rest[at:], []byte(ellipsis))
		if next < 0 {
			return false
		}
		at += next
		if utf8.RuneCount(rest[:at]) > first {
			return false
		}
		if utf8.RuneCount(rest[at+len(ellipsis):]) <= last {
			return true
		}
		at++
	}
}

// sealSize is how many bytes at the end of a hash are a seal: computed from the bytes before it under the same key, they show that the whole is
// a hash of ours and not a value that looks like one. A value that is none passes for one once in four billion.
const sealSize = 4

var sealPrefix = []byte("seal\x00")

// sealed says whether the hashes of the class carry a seal. Integers have no room for one.
func (m *hasher) sealed() bool {
	switch m.class {
	case classText, classBpchar, classCitext, classUUID, classBytea:
		return true
	}
	return false
}

// sealOver puts the seal of what is before it at the end of shown. No text holds the zero byte that sets what is hashed here apart from values.
func (h *mac) sealOver(shown []byte) {
	n := len(shown) - sealSize
	kept := append(h.kept[:0], shown[:n]...)
	h.Reset()
	h.Write(sealPrefix)
	h.Write(kept)
	h.Sum(h.sum[:0])
	seal := h.sum[:sealSize]
	copy(shown[n:], seal)
}

// made reports whether value is a hash that the masker has made, of whatever.
func (m *hasher) made(value []byte, f Format) bool {
	var raw [sha256Size]byte
	shown, ok := m.shown(raw[:0], value, f)
	if !ok {
		return false
	}
	h := m.pool.Get().(*mac)
	defer m.pool.Put(h)
	var again [sha256Size]byte
	copy(again[:], shown)
	h.sealOver(again[:len(shown)])
	return bytes.Equal(again[:len(shown)], shown)
}

// shown decodes what would be the bytes of a hash.
func (m *hasher) shown(dst, value []byte, f Format) ([]byte, bool) {
	size := hashText
	switch m.class {
	case classBytea:
		size = sha256Size
		if f == Text {
			var hexadecimal bool
			if value, hexadecimal = bytes.CutPrefix(value, []byte(`\x`)); !hexadecimal {
				return nil, false
			}
		}
	case classUUID:
		if f == Text {
			if len(value) > 38 {
				return nil, false
			}
			value = bytes.Trim(bytes.ReplaceAll(value, []byte("-"), nil), "{}")
		}
	case classBpchar:
		value = bytes.TrimRight(value, " ")
	}
	if f == Binary && (m.class == classBytea || m.class == classUUID) {
		return append(dst, value...), len(value) == size
	}
	if len(value) != 2*size {
		return nil, false
	}
	dst, err := hex.AppendDecode(dst, value)
	return dst, err == nil
}
