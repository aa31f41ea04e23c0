package core

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

// sqlstates maps a denial's class to PostgreSQL's error codes (documentation,
// Appendix A).
var sqlstates = map[access.Code]string{
	access.CodeForbidden:   "42501", // insufficient_privilege
	access.CodeAbsent:      "42704", // undefined_object, unless the driver knows better
	access.CodeUnreadable:  "42601", // syntax_error
	access.CodeTooComplex:  "54001", // statement_too_complex
	access.CodeLimit:       "42501",
	access.CodeUnavailable: "42501",
	access.CodeInternal:    "42501",
	access.CodeShutdown:    "57P01", // admin_shutdown
	access.CodeTooMany:     "53300", // too_many_connections
	access.CodeCanceled:    "57014", // query_canceled
	access.CodeUnsupported: "0A000", // feature_not_supported
	access.CodeNotNow:      "57P03", // cannot_connect_now
}

// Render words a denial as an ordinary PostgreSQL error.
func Render(d *access.Denial) *wire.Error {
	return &wire.Error{Severity: "ERROR", Code: sqlstates[d.Code], Message: d.What, Detail: d.Detail, Hint: d.Hint}
}

// Farewell words, as a FATAL error, why a connection that cannot go on is ended.
// Only what the peers themselves did is told; the rest is for operators.
func Farewell(err error) *wire.Error {
	var f fatal
	if errors.As(err, &f) {
		return &wire.Error{Severity: "FATAL", Code: "08P01", Message: "tidewaiter: " + f.what}
	}
	return &wire.Error{
		Severity: "FATAL", Code: "58000", Message: "tidewaiter: the session cannot be recorded or decided any longer, so it ends",
		Hint: "Ask the operator of Tidewaiter; its log says more.",
	}
}

// redacted are the messages of errors whose own text cannot carry a value: it
// names constraints, columns and relations alone. Their detail still can.
var redacted = map[string]func(e *wire.Error) string{
	"23502": func(e *wire.Error) string {
		return fmt.Sprintf("null value in column %q of relation %q violates not-null constraint", e.Extra1('c'), e.Extra1('t'))
	},
	"23503": func(e *wire.Error) string {
		return fmt.Sprintf("a row of table %q violates foreign key constraint %q", e.Extra1('t'), e.Extra1('n'))
	},
	"23505": func(e *wire.Error) string {
		return fmt.Sprintf("duplicate key value violates unique constraint %q", e.Extra1('n'))
	},
	"23514": func(e *wire.Error) string {
		return fmt.Sprintf("new row for relation %q violates check constraint %q", e.Extra1('t'), e.Extra1('n'))
	},
	"25P02": func(*wire.Error) string {
		return "current transaction is aborted, commands ignored until end of transaction block"
	},
	"40001": func(*wire.Error) string { return "could not serialize access due to concurrent update" },
	"40P01": func(*wire.Error) string { return "deadlock detected" },
	"55P03": func(*wire.Error) string { return "could not obtain lock" },
	"57014": func(*wire.Error) string { return "canceling statement due to user request" },
	"22012": func(*wire.Error) string { return "division by zero" },
	"57P01": func(*wire.Error) string { return "terminating connection due to administrator command" },
}

// safeFields are the fields of an error that name things and never hold values:
// schema, table, column, data type and constraint names, source file, line and
// routine, and the position in the client's own text.
const safeFields = "stcdnFLRP"

// redact rewrites an error or notice so that no value of a column can be in it:
// the SQLSTATE and the names of things stay; message, detail, hint, context and
// internal query go.
func redact(e wire.Error) wire.Error {
	if beforeRunning(&e) {
		return e
	}
	out := wire.Error{Severity: e.Severity, Code: e.Code, Message: withoutValues(&e)}
	out.Detail = "Tidewaiter withholds what could carry a masked value."
	for _, f := range e.Extra {
		for _, safe := range []byte(safeFields) {
			if f.Type == safe {
				out.Extra = append(out.Extra, f)
			}
		}
	}
	return out
}

// withoutValues words the message of an error without what a value could be in.
func withoutValues(e *wire.Error) string {
	if word := redacted[e.Code]; word != nil {
		return word(e)
	}
	return fmt.Sprintf("the server's message (SQLSTATE %s) is withheld: the transaction uses columns that are masked", e.Code)
}

// recordedMessage is what a recording keeps of an error's message, as the client has it. The client may be told which part of
// its own statement is wrong; the recording may not where it does not keep that part.
func (c *Conn) recordedMessage(a *answer, e *wire.Error) string {
	hides := c.touched || a.exchange != nil && a.exchange.Hides()
	switch {
	case !hides, strings.HasPrefix(e.Message, "tidewaiter: "), a.poison != nil, a.failed:
		return e.Message
	case redacted[e.Code] != nil:
		return withoutValues(e)
	}
	return fmt.Sprintf("the server's message (SQLSTATE %s) is withheld: it may quote a value that is not recorded", e.Code)
}

// beforeRunning reports whether an error was raised while the statement was read
// and its names were looked up, before it could touch any row: it is of class 42
// and points into the client's own text, and no function was running. An error that
// a value causes, such as that of a cast to regclass, has no position.
func beforeRunning(e *wire.Error) bool {
	return strings.HasPrefix(e.Code, "42") && e.Extra1('P') != "" && e.Extra1('W') == "" && e.Extra1('q') == "" && e.Extra1('p') == ""
}
