package analysis

import (
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v5"
)

// maxConstants is the length, in bytes, of a text up to which constants are taken out.
const maxConstants = 256 << 10

// WithoutConstants returns a text with every constant as "?" and without comments, so
// that people can read what a statement does, and none of the values in it. It goes by
// PostgreSQL's own tokens and not by its grammar: so it holds for what pg_query's
// Normalize leaves as it is too, such as the bodies of functions, DO blocks and options.
// It is false where the text is too long or cannot be read.
func WithoutConstants(text string) (string, bool) {
	if len(text) > maxConstants {
		return "", false
	}
	scanned, err := pg_query.Scan(text)
	if err != nil {
		return "", false
	}
	var b strings.Builder
	end, comment := 0, false
	for _, t := range scanned.GetTokens() {
		start := int(t.GetStart())
		if start < end || int(t.GetEnd()) > len(text) || t.GetEnd() < t.GetStart() {
			return "", false
		}
		gap := (start > end || comment) && b.Len() > 0 // without it, a/**/b would read as ab
		end = int(t.GetEnd())
		word := text[start:end]
		switch t.GetToken() {
		case pg_query.Token_SQL_COMMENT, pg_query.Token_C_COMMENT:
			comment = true
			continue
		case pg_query.Token_SCONST, pg_query.Token_USCONST, pg_query.Token_BCONST, pg_query.Token_XCONST, pg_query.Token_ICONST, pg_query.Token_FCONST:
			word = "?"
		}
		comment = false
		if gap && !strings.HasSuffix(b.String(), " ") {
			b.WriteByte(' ')
		}
		b.WriteString(word)
	}
	return b.String(), true
}
