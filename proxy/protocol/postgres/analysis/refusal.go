package analysis

import (
	"errors"

	pg "github.com/pganalyze/pg_query_go/v5"
	"github.com/pganalyze/pg_query_go/v5/parser"
)

// Refusal says why a text was not analyzed. Its texts are meant for the client
// and hold nothing but what the client itself sent.
type Refusal struct {
	// Code is a SQLSTATE: 42601 syntax error, 54001 too complex, 54000 too large,
	// 22021 not valid UTF-8.
	Code    string
	Message string
	Detail  string
	Hint    string
	// Position counts characters from 1 into the text; 0 = none.
	Position int
}

// Error returns the message.
func (r *Refusal) Error() string { return r.Message }

// grammar is the version of PostgreSQL whose grammar the parser has.
const grammar = 16

// newerSyntaxHint names the grammar. It helps where the server's is newer.
const newerSyntaxHint = "Statements are read with the grammar of PostgreSQL 16; newer syntax is refused, even where the server knows it."

// withoutComments puts spaces in the place of comments, so that all positions stay. PostgreSQL's own scanner says what a comment
// is. A block comment's line breaks go too: they do not join two strings, as that of a line comment's end does.
func withoutComments(text string) string {
	scanned, err := pg.Scan(text)
	if err != nil {
		return text
	}
	blank := []byte(text)
	for _, token := range scanned.GetTokens() {
		if token.GetToken() == pg.Token_SQL_COMMENT || token.GetToken() == pg.Token_C_COMMENT {
			for i := token.GetStart(); i < token.GetEnd(); i++ {
				blank[i] = ' '
			}
		}
	}
	return string(blank)
}

// parse reads a text that the guard let through. server is the major version of the
// server, 0 where it is not known.
func parse(text string, server int) (*pg.ParseResult, error) {
	tree, err := pg.Parse(text)
	if err == nil {
		return tree, nil
	}
	// libpg_query's grammar looks one token ahead at a comment where the server's sees what follows it: it refuses
	// NOT /* */ IN, NULLS /* */ FIRST, WITH /* */ ORDINALITY and U&"…" /* */ UESCAPE '!'.
	if blank := withoutComments(text); blank != text {
		if tree, err := pg.Parse(blank); err == nil {
			return tree, nil
		}
	}
	r := &Refusal{Code: "42601", Message: "tidewaiter: the statement cannot be read: " + err.Error(), Hint: newerSyntaxHint}
	if server > 0 && server <= grammar {
		r.Hint = ""
	}
	var syntax *parser.Error
	if errors.As(err, &syntax) {
		r.Message = syntax.Message
		r.Position = syntax.Cursorpos
	}
	return nil, r
}
