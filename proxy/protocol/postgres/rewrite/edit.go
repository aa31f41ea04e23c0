package rewrite

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"
)

// edit puts other text in the place of a part of the client's.
type edit struct {
	start, end int // bytes
	text       string
}

// apply returns the part of text from start to end with the edits in it. ok is
// false where edits overlap.
func apply(text string, edits []edit, start, end int) (out string, ok bool) {
	slices.SortFunc(edits, func(a, b edit) int { return a.start - b.start })
	var b strings.Builder
	at := start
	for _, e := range edits {
		if e.start < start || e.start >= end {
			continue
		}
		if e.start < at || e.end > end {
			return "", false
		}
		b.WriteString(text[at:e.start])
		b.WriteString(e.text)
		at = e.end
	}
	b.WriteString(text[at:end])
	return b.String(), true
}

// tokens are the words of a text without comments, in order.
type tokens struct {
	text string
	list []*pg.ScanToken
}

func scan(text string) (*tokens, error) {
	scanned, err := pg.Scan(text)
	if err != nil {
		return nil, err
	}
	t := &tokens{text: text}
	for _, token := range scanned.GetTokens() {
		if token.GetToken() != pg.Token_SQL_COMMENT && token.GetToken() != pg.Token_C_COMMENT {
			t.list = append(t.list, token)
		}
	}
	return t, nil
}

// at returns the index of the token that begins at an offset, or -1.
func (t *tokens) at(offset int) int {
	i, found := slices.BinarySearchFunc(t.list, int32(offset), func(token *pg.ScanToken, want int32) int { return int(token.GetStart() - want) })
	if !found {
		return -1
	}
	return i
}

// is reports whether the i-th token is of a kind.
func (t *tokens) is(i int, kind pg.Token) bool {
	return i >= 0 && i < len(t.list) && t.list[i].GetToken() == kind
}

// word returns the i-th token's text.
func (t *tokens) word(i int) string {
	if i < 0 || i >= len(t.list) {
		return ""
	}
	return t.text[t.list[i].GetStart():t.list[i].GetEnd()]
}

func (t *tokens) start(i int) int { return int(t.list[i].GetStart()) }

// end returns the byte behind the i-th token. Of U&"…" the scanner says something
// else.
func (t *tokens) end(i int) int {
	if !t.is(i, pg.Token_UIDENT) {
		return int(t.list[i].GetEnd())
	}
	at := t.start(i) + len(`U&"`)
	for at < len(t.text) {
		if t.text[at] == '"' {
			at++
			if !strings.HasPrefix(t.text[at:], `"`) {
				return at
			}
		}
		at++
	}
	return at
}

// part skips one part of a qualified name, with what says how its escapes are
// written, and returns the index of what follows.
func (t *tokens) part(i int) int {
	if t.is(i, pg.Token_UIDENT) && t.is(i+1, pg.Token_UESCAPE) {
		return i + 3
	}
	return i + 1
}

// name skips a qualified name of n parts that begins with the i-th token. ok is
// false where the text is not that.
func (t *tokens) name(i, n int) (next int, ok bool) {
	if i < 0 {
		return 0, false
	}
	for ; n > 1; n-- {
		i = t.part(i)
		if t.word(i) != "." {
			return 0, false
		}
		i++
	}
	next = t.part(i)
	return next, next <= len(t.list)
}
