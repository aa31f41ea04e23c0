package analysis

import (
	"errors"
	"fmt"

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

// grammar is the major version of PostgreSQL whose grammar the parser has.
const grammar = 16

// newerSyntaxHint is for servers that may know more than the parser does.
var newerSyntaxHint = fmt.Sprintf(
	"Statements are read with the grammar of PostgreSQL %d; newer syntax is refused, even where the server knows it.", grammar)

// parse reads a text that the guard let through, for a server of a major version.
// What the server would refuse as well is refused in its words alone.
func parse(text string, server int) (*pg.ParseResult, error) {
	tree, err := pg.Parse(text)
	if err == nil {
		return tree, nil
	}
	r := &Refusal{Code: "42601", Message: "tidewaiter: the statement cannot be read: " + err.Error()}
	if server > grammar || server == 0 {
		r.Hint = newerSyntaxHint
	}
	var syntax *parser.Error
	if errors.As(err, &syntax) {
		r.Message = syntax.Message
		r.Position = syntax.Cursorpos
	}
	return nil, r
}
