package corpus

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// Variant is a row in another dress: the same statement spelled in another way, or put into another one.
type Variant struct {
	Name string
	SQL  string
	// Before and After are statements around it, by the simple protocol: what it needs, and what shows its effect.
	Before, After []string
	// Binary and Prepared choose the protocol; neither is the simple one.
	Prepared, Binary bool
	// MayBeDenied says that a denial is right whatever the row expects: the dress is a way out by itself.
	MayBeDenied bool
	// Unstable says that two runs give different answers: only whether it ran is compared.
	Unstable bool
}

func (v Variant) how() mode {
	switch {
	case v.Binary:
		return extendedBinary
	case v.Prepared:
		return extendedText
	default:
		return simpleText
	}
}

// writes finds statements that may change the database: those run in a transaction that is not committed.
var writes = regexp.MustCompile(`(?i)\b(?:insert|update|delete|merge|create|into|nextval|alter|drop|truncate|do|lock|comment)\b`)

// ends finds statements that a transaction block refuses, or that end it.
var ends = regexp.MustCompile(`(?is)^\s*(?:vacuum|begin|start|commit|end|rollback|abort|set\s+transaction|savepoint|release|alter\s+system)\b|;\s*(?:commit|begin|rollback)`)

// NeedsParameters says that a row must be prepared and bound, in whatever dress.
func (r Row) NeedsParameters() bool { return r.hasParameters() }

// Try runs a row's variant and judges it. The variant is dropped (false) if PostgreSQL itself refuses it: what is no statement
// proves nothing.
func (j *Judge) Try(ctx context.Context, row Row, v Variant) (Result, bool, error) {
	v = v.around(row)
	result := Result{Row: row, Mode: string(v.how()) + ", " + v.Name}
	var direct outcome
	var err error
	denied := row.Expected == Block || row.Expected == Approve
	if denied { // not for a bare server: it is parsed only
		if !j.parses(ctx, v.SQL) && j.parses(ctx, row.SQL) {
			return result, false, nil
		}
		if _, err = j.takeLog(ctx); err != nil { // that was us
			return result, false, err
		}
	} else {
		direct, _, err = j.tryIn(ctx, j.direct, row, v)
		if err != nil || direct.broken != nil || refused(direct.sqlstate()) {
			return result, false, err
		}
	}
	through, reached, err := j.tryIn(ctx, j.through, row, v)
	if err != nil {
		return result, true, err
	}
	result.Verdict, result.Detail = j.verdictOnVariant(row, v, direct, through, reached)
	if result.Verdict == AsExpected && row.Expected == Mask && j.other != nil && !v.Unstable && !through.blocked() {
		dependent, err := j.variantDepends(ctx, row, v, through)
		if err != nil {
			return result, true, err
		}
		if dependent {
			result.Verdict, result.Detail = Dependent, "other secrets give other bytes"
		}
	}
	return result, true, nil
}

// around adds what the row itself needs before and after it.
func (v Variant) around(row Row) Variant {
	before := append(prelude(row.SQL), v.Before...)
	if len(before) == 0 && writes.MatchString(v.SQL+strings.Join(v.After, ";")) && !ends.MatchString(row.SQL) {
		before = []string{"BEGIN"}
	}
	v.Before, v.After = before, append(v.After, followUp(row.SQL)...)
	return v
}

// refused are the errors of a statement that does not fit together: syntax, names, types, features and sizes. An error from
// running it, which may tell a value, is none of them.
func refused(sqlstate string) bool {
	for _, class := range []string{"42", "0A", "54", "25", "34"} {
		if strings.HasPrefix(sqlstate, class) {
			return true
		}
	}
	return false
}

// parses asks the bare server to prepare a text, which runs nothing. What is several statements counts as parsed: the server
// says so only after it has read them.
func (j *Judge) parses(ctx context.Context, sql string) bool {
	conn, err := j.connectDirect(ctx)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close(ctx) }() // nothing was run that could be lost
	_, err = conn.Prepare(ctx, "", sql, nil)
	return err == nil || !strings.Contains(err.Error(), "42601") || strings.Contains(err.Error(), "multiple commands")
}

func (j *Judge) variantDepends(ctx context.Context, row Row, v Variant, through outcome) (bool, error) {
	other, _, err := j.tryIn(ctx, j.other, row, v)
	if err != nil || through.sameReceived(other) {
		return false, err
	}
	again, _, err := j.tryIn(ctx, j.through, row, v)
	return through.sameReceived(again), err
}

// sameReceived compares all messages but not their order: set operations and grouping give rows in an order that comes from the
// values, which is for the policy's predicates to allow or not.
func (o outcome) sameReceived(other outcome) bool { return slices.Equal(o.sorted(), other.sorted()) }

func (o outcome) sorted() []string {
	messages := make([]string, 0, len(o.frames))
	var copied []byte // where its messages begin and end follows from how the network cuts what the server sends
	for _, f := range o.frames {
		if f.kind == 'd' {
			copied = append(copied, f.body...)
			continue
		}
		messages = append(messages, string(f.kind)+string(f.body))
	}
	messages = append(messages, strings.SplitAfter(string(copied), "\n")...)
	slices.Sort(messages)
	return messages
}

// tryIn is runIn for a variant. A transaction that was not committed leaves nothing to clean up.
func (j *Judge) tryIn(ctx context.Context, db *database, row Row, v Variant) (outcome, bool, error) {
	before, err := j.lastTransaction(ctx)
	if err != nil {
		return outcome{}, false, err
	}
	out, err := runVariant(ctx, db.target, v)
	if err != nil {
		return out, false, err
	}
	log, err := j.takeLog(ctx)
	if err != nil {
		return out, false, err
	}
	after, err := j.lastTransaction(ctx)
	if err != nil {
		return out, false, err
	}
	inTransaction := len(v.Before) > 0 && v.Before[0] == "BEGIN" && !ends.MatchString(row.SQL)
	if before != after && !inTransaction || out.broken != nil {
		err = j.reset(ctx, db)
	}
	return out, strings.Contains(strings.ReplaceAll(log, "\n\t", "\n"), v.SQL), err
}

func runVariant(ctx context.Context, target Target, v Variant) (outcome, error) {
	c, err := connect(ctx, target)
	if err != nil {
		return outcome{}, err
	}
	defer c.close()
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	var out outcome
	goes := func() bool { return out.failure == nil && out.broken == nil }
	for _, sql := range v.Before {
		if goes() {
			out.take(c.simple(sql))
		}
	}
	if goes() {
		switch v.how() {
		case simpleText:
			out.take(c.simple(v.SQL))
		case extendedText:
			out.take(c.extended(v.SQL, 0))
		case extendedBinary:
			out.take(c.extended(v.SQL, 1))
		}
	}
	for _, sql := range v.After {
		if goes() {
			out.take(c.simple(sql))
		}
	}
	if out.broken == nil {
		out.broken = c.goesOn()
	}
	out.received = c.received
	return out, nil
}

// verdictOnVariant judges as verdict does, with the variant's liberties.
func (j *Judge) verdictOnVariant(row Row, v Variant, direct, through outcome, reached bool) (Verdict, string) {
	said := row.SQL + "\n" + v.SQL // a literal may be spelled by escapes in one of them
	if row.hasParameters() {
		said += "\n" + parameter(pgtype.TextOID) // EXPLAIN shows what was bound
	}
	if (v.Unstable || direct.failure != nil) && row.Expected == Allow {
		row.Expected = Flag // the text of an error may be withheld
	}
	spelled := row
	spelled.SQL = said
	verdict, detail := j.verdict(spelled, direct, through, reached)
	if v.MayBeDenied && through.blocked() && (verdict == OverBlocked || verdict == Different) {
		return AsExpected, ""
	}
	return verdict, detail
}
