package tap

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
)

// Needles are the forms in which the markers of secret values may leave a server. A marker is a rare word that stands in every
// secret of a schema, so that a part of a secret is found as well as the whole.
type Needles struct {
	forms   []form
	longest int // of all forms, in bytes
}

type form struct {
	marker string
	bytes  []byte
}

// Hit is a form of a marker in what was received.
type Hit struct {
	Marker string
	// Form is what stood there: the marker itself, reversed, in another case, in hex or in base64.
	Form string
	// Around is the form with some bytes before and after it.
	Around string
}

// NewNeedles makes the forms of markers, each of 5 bytes or more.
func NewNeedles(markers ...string) *Needles {
	n := &Needles{}
	for _, marker := range markers {
		for _, dressed := range dresses(marker) {
			n.forms = append(n.forms, form{marker: marker, bytes: []byte(dressed)})
			n.longest = max(n.longest, len(dressed))
		}
	}
	return n
}

// dresses are a marker's forms, each once.
func dresses(marker string) []string {
	var all []string
	reversed := []byte(marker)
	slices.Reverse(reversed)
	for _, text := range []string{marker, string(reversed)} {
		for _, cased := range []string{text, strings.ToLower(text), strings.ToUpper(text), initial(text)} {
			encoded := hex.EncodeToString([]byte(cased))
			all = append(all, cased, encoded, strings.ToUpper(encoded))
			for padding := range 3 { // base64 depends on where in three bytes the value starts
				all = append(all, insideBase64(cased, padding))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// initial is a text as PostgreSQL's initcap() writes it, if it is one word.
func initial(text string) string {
	return strings.ToUpper(text[:1]) + strings.ToLower(text[1:])
}

// insideBase64 is the part of a text's base64 that is the same whatever stands before and after it, where a number of bytes
// stands before it.
func insideBase64(text string, before int) string {
	encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", before) + text))
	start := (before*8 + 5) / 6
	return encoded[start : (before+len(text))*8/6]
}

// Scanner looks for needles in a stream that comes in pieces. Its zero value is not usable; take [Needles.Scanner].
type Scanner struct {
	needles *Needles
	window  []byte // the end of what came before, and the piece
	carried int    // bytes of window that came before
}

// Scanner begins a stream.
func (n *Needles) Scanner() *Scanner { return &Scanner{needles: n} }

// Scan looks at the next piece of the stream, and over its border with what came before. Each form is told once per piece.
func (s *Scanner) Scan(piece []byte) []Hit {
	s.window = append(s.window, piece...)
	var hits []Hit
	for _, f := range s.needles.forms {
		// A form that ends in what came before has been told.
		from := max(0, s.carried-len(f.bytes)+1)
		if at := bytes.Index(s.window[from:], f.bytes); at >= 0 {
			at += from
			around := s.window[max(0, at-60):min(len(s.window), at+len(f.bytes)+60)]
			hits = append(hits, Hit{Marker: f.marker, Form: string(f.bytes), Around: string(around)})
		}
	}
	keep := min(len(s.window), s.needles.longest+60)
	s.carried = copy(s.window, s.window[len(s.window)-keep:])
	s.window = s.window[:s.carried]
	return hits
}
