package analysis

import (
	"strings"
)

// redaction writes a text anew without what is not kept. It goes by the lexer: what is not certainly a word, an operator
// or punctuation is taken for a constant. Where the lexer does not see a token begin where the parser has found a
// constant, nothing of it holds.
type redaction struct {
	lexer
	spans  []span
	starts []int
	out    strings.Builder
	copied int  // of text, up to here
	cut    bool // the text goes on
	hid    bool // a constant or a name was left out
	minus  bool // the last token was a sign that belongs to a constant which is kept
	after  byte // the last token was a name that was hidden (n), or the dot behind one (.)
}

// run returns the text. It is the very same where nothing is left out.
func (r *redaction) run() (text string, ok bool) {
	end := 0
	for r.next() {
		if comment := strings.Trim(r.text[end:r.start], " \t\n\r\f\v") != ""; comment || end == 0 && r.start > 0 {
			r.replace(end, r.start, " "[:min(end, 1)])
		}
		r.extend()
		if len(r.starts) > 0 && r.starts[0] < r.start {
			return "", false
		}
		for len(r.starts) > 0 && r.starts[0] < r.pos {
			if r.starts[0] != r.start && r.kind != tokenOperator { // of "=-1" the constant begins within
				return "", false
			}
			r.starts = r.starts[1:]
		}
		for len(r.spans) > 0 && r.spans[0].end <= r.start {
			r.spans = r.spans[1:]
		}
		r.token()
		end = r.pos
		if r.out.Len() > MaxRecorded || end-r.copied > MaxRecorded {
			r.cut = strings.Trim(r.text[end:], "; \t\n\r\f\v") != ""
			return r.finish(end), true
		}
	}
	if len(r.starts) > 0 {
		return "", false
	}
	return r.finish(end), true
}

// finish is what has been written, and the text from there to end.
func (r *redaction) finish(end int) string {
	if r.copied == 0 {
		return r.text[:end]
	}
	r.out.WriteString(r.text[r.copied:end])
	return r.out.String()
}

// replace puts something in the place of a part of the text.
func (r *redaction) replace(start, end int, by string) {
	r.out.WriteString(r.text[r.copied:start])
	r.out.WriteString(by)
	r.copied = end
}

// extend makes one token of a number or a parameter, of which the lexer makes several.
func (r *redaction) extend() {
	c := r.text[r.start]
	digit := func(at int) bool { return at < len(r.text) && r.text[at] >= '0' && r.text[at] <= '9' }
	switch {
	case c == '$' && r.pos == r.start+1 && digit(r.pos):
		for digit(r.pos) {
			r.pos++
		}
	case c >= '0' && c <= '9', c == '.' && digit(r.pos):
		r.kind = tokenOther
		for r.pos < len(r.text) && (identifierPart(r.text[r.pos]) || r.text[r.pos] == '.' ||
			(r.text[r.pos] == '+' || r.text[r.pos] == '-') && digit(r.pos+1) && (r.text[r.pos-1]|0x20) == 'e' && !hexadecimal(r.text[r.start:r.pos])) {
			r.pos++
		}
	}
}

func hexadecimal(number string) bool { return len(number) > 1 && (number[1]|0x20) == 'x' }

// token keeps the current token or leaves it out.
func (r *redaction) token() {
	c := r.text[r.start]
	kept := r.kept(r.start) || r.minus
	after := r.after
	r.minus, r.after = false, 0
	switch {
	case r.kind == tokenOperator:
		r.minus = r.text[r.pos-1] == '-' && r.kept(r.pos-1)
	case r.kind == tokenDot:
		if after == 'n' {
			r.after = '.'
		}
	case r.kind == tokenWord, c == '"':
		if r.unknown() || after == '.' {
			r.replace(r.start, r.pos, hiddenName)
			r.hid, r.after = true, 'n'
		}
	case r.kind != tokenOther, c == '$' && r.parameter():
	case !kept:
		r.replace(r.start, r.pos, Hidden)
		r.hid = true
	}
}

func (r *redaction) parameter() bool {
	return r.pos > r.start+1 && strings.Trim(r.text[r.start+1:r.pos], "0123456789") == ""
}

// kept reports whether the statement keeps the constant that begins at a place.
func (r *redaction) kept(at int) bool {
	if len(r.spans) == 0 || at < r.spans[0].start {
		return false
	}
	s := &r.spans[0]
	for len(s.shown) > 0 && s.shown[0] < at {
		s.shown = s.shown[1:]
	}
	return s.keeping == keepAll || len(s.shown) > 0 && s.shown[0] == at
}

// unknown reports whether the word or quoted name is one that nothing is known of.
func (r *redaction) unknown() bool {
	if len(r.spans) == 0 || r.spans[0].names == nil {
		return false
	}
	name := r.text[r.start:r.pos]
	if name[0] == '"' {
		name = strings.ReplaceAll(strings.Trim(name, `"`), `""`, `"`)
		return r.spans[0].names[name]
	}
	return r.spans[0].names[strings.ToLower(name)]
}

// Unread is what may be kept of a text that was not understood: its commonest words, operators and punctuation, up to
// the first thing that could make the server read it otherwise.
func Unread(text string) Recorded {
	r := redaction{lexer: lexer{text: text}}
	r.copied = len(text)
	last := ""
	for r.next() && r.out.Len() < MaxRecorded {
		r.extend()
		word := r.text[r.start:r.pos]
		switch {
		case r.kind == tokenWord && !common[strings.ToLower(word)], word[0] == '"':
			word = hiddenName
		case r.kind == tokenOther:
			word = Hidden
		}
		if word == last && (word == Hidden || word == hiddenName) {
			continue // what was one value to a person may be many tokens
		}
		if r.out.Len() > 0 {
			r.out.WriteByte(' ')
		}
		r.out.WriteString(word)
		last = word
	}
	return Recorded{Text: r.out.String(), Hides: true}
}

// common are words that say what kind of statement a text is meant to be.
var common = wordSet(`
	select insert update delete merge with recursive into values from where set join inner left right full outer cross natural on using
	and or not in is null like ilike between exists any all some case when then else end as distinct group by having order
	limit offset fetch union intersect except returning create alter drop table view index function procedure role user
	grant revoke copy to stdin stdout program begin commit rollback savepoint release prepare execute deallocate explain analyze declare
	cursor for close show reset call do language password server mapping options`)
