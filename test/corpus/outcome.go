package corpus

import (
	"bytes"
	"context"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// mode is how a row is sent.
type mode string

const (
	simpleText     mode = "simple"   // the simple protocol, results as text
	extendedText   mode = "prepared" // the extended protocol, results as text
	extendedBinary mode = "binary"   // the extended protocol, results in binary format
)

// modesOf are the ways in which a row is run: each in two, one of them binary.
func modesOf(row Row) []mode {
	if row.hasParameters() {
		return []mode{extendedText, extendedBinary}
	}
	return []mode{simpleText, extendedBinary}
}

// outcome is what a client got for a row.
type outcome struct {
	received []byte  // every byte since the login, those of a prelude and of the rows fetched afterwards included
	frames   []frame // the same as messages, without the final check
	failure  *pgproto3.ErrorResponse
	broken   error // the connection did not go on
}

// sqlstate is the code of the first error, "" for none.
func (o outcome) sqlstate() string {
	if o.failure == nil {
		return ""
	}
	return o.failure.Code
}

// blocked says that a gateway's answer was given: denied, or not understood.
func (o outcome) blocked() bool { return o.sqlstate() == "42501" || o.sqlstate() == "42601" }

// sameAnswer compares what a client was told, without what may come at any moment (notices of parameters among them).
func (o outcome) sameAnswer(other outcome) bool {
	mine, theirs := o.answer(), other.answer()
	if len(mine) != len(theirs) {
		return false
	}
	for i := range mine {
		if mine[i].kind != theirs[i].kind || !bytes.Equal(mine[i].body, theirs[i].body) {
			return false
		}
	}
	return true
}

func (o outcome) answer() []frame {
	var answer []frame
	for _, f := range o.frames {
		if !strings.ContainsRune("NSA", rune(f.kind)) {
			answer = append(answer, f)
		}
	}
	return answer
}

// run sends a row, with what must come before it and what shows its effect, over a connection of its own.
func run(ctx context.Context, target Target, row Row, how mode) (outcome, error) {
	c, err := connect(ctx, target)
	if err != nil {
		return outcome{}, err
	}
	defer c.close()
	var out outcome
	for _, sql := range prelude(row.SQL) {
		out.take(c.simple(sql))
	}
	if out.failure == nil && out.broken == nil {
		switch how {
		case simpleText:
			out.take(c.simple(row.SQL))
		case extendedText:
			out.take(c.extended(row.SQL, 0))
		case extendedBinary:
			out.take(c.extended(row.SQL, 1))
		}
	}
	for _, sql := range followUp(row.SQL) {
		if out.failure == nil && out.broken == nil {
			out.take(c.simple(sql))
		}
	}
	if out.broken == nil {
		out.broken = c.goesOn()
	}
	out.received = c.received
	return out, nil
}

func (o *outcome) take(frames []frame, err error) {
	o.frames = append(o.frames, frames...)
	if o.failure == nil {
		o.failure = firstError(frames)
	}
	if o.broken == nil {
		o.broken = err
	}
}

// goesOn checks that the connection still serves a statement, after leaving a failed transaction as a driver would.
func (c *client) goesOn() error {
	if _, err := c.simple("ROLLBACK"); err != nil {
		return err
	}
	frames, err := c.simple("SELECT 'still here'")
	if err != nil {
		return err
	}
	for _, f := range frames {
		if f.kind == 'D' && bytes.HasSuffix(f.body, []byte("still here")) {
			return nil
		}
	}
	return errNotServed
}

type notServed struct{}

func (notServed) Error() string { return "the connection did not serve the next statement" }

var errNotServed error = notServed{}

var (
	fetches      = regexp.MustCompile(`(?is)^\s*(?:FETCH|MOVE)\b.*?(\w+)\s*;?\s*$|^\s*CLOSE\s+(\w+)`)
	executes     = regexp.MustCompile(`(?is)\bEXECUTE\s+(\w+)\s*(\()?`)
	toSavepoint  = regexp.MustCompile(`(?is)^\s*(?:RELEASE|ROLLBACK\s+TO)\s+(?:SAVEPOINT\s+)?("[^"]+"|\w+)`)
	inBlock      = regexp.MustCompile(`(?is)^\s*(?:SAVEPOINT|LOCK|SET\s+TRANSACTION|DECLARE)\b`)
	declares     = regexp.MustCompile(`(?is)^\s*DECLARE\s+("[^"]+"|\w+)`)
	preparesName = regexp.MustCompile(`(?is)^\s*PREPARE\s+(\w+)\s*(\()?`)
)

// prelude is what must have run before a row makes sense: the cursor that it fetches from, the statement that it executes, the
// transaction that it needs. What the prelude makes holds secrets.
func prelude(sql string) []string {
	if match := fetches.FindStringSubmatch(sql); match != nil {
		return []string{"BEGIN", "DECLARE " + match[1] + match[2] + " CURSOR FOR SELECT * FROM customers"}
	}
	if match := toSavepoint.FindStringSubmatch(sql); match != nil {
		return []string{"BEGIN", "SAVEPOINT " + match[1]}
	}
	if match := executes.FindStringSubmatch(sql); match != nil && !preparesName.MatchString(sql) {
		if match[2] == "" {
			return []string{"PREPARE " + match[1] + " AS SELECT ssn FROM customers"}
		}
		return []string{"PREPARE " + match[1] + "(int) AS SELECT ssn FROM customers WHERE id = $1"}
	}
	if inBlock.MatchString(sql) {
		return []string{"BEGIN"}
	}
	return nil
}

// followUp is what a client does next with what a row made: it fetches from the cursor, or executes the statement.
func followUp(sql string) []string {
	if match := declares.FindStringSubmatch(sql); match != nil {
		return []string{"FETCH ALL FROM " + match[1]}
	}
	if match := preparesName.FindStringSubmatch(sql); match != nil {
		if match[2] == "" {
			return []string{"EXECUTE " + match[1]}
		}
		return []string{"EXECUTE " + match[1] + "(1)"}
	}
	return nil
}
