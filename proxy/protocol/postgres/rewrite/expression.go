package rewrite

import (
	"fmt"

	"github.com/tidewaiter/tidewaiter/proxy/mask"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/masktype"
)

// Types that have expressions of their own (pg_type.dat).
const (
	oidBytea       = 17
	oidName        = 19
	oidText        = 25
	oidNodeTree    = 194
	oidMoney       = 790
	oidBpchar      = 1042
	oidVarchar     = 1043
	oidDate        = 1082
	oidTimestamp   = 1114
	oidTimestamptz = 1184
	oidAnyarray    = 2277
)

// expression returns SQL that computes the mask of a column: the value that
// proxy/mask puts in the place of the real one. It names nothing that is not in
// pg_catalog but the column and its type, and cannot fail, whatever the value.
func expression(cat *catalog.Snapshot, c *catalog.Column, spec mask.Spec) (string, error) {
	t, base := masktype.Of(cat, c.TypeOID), c.TypeOID
	for t != nil && t.Kind == mask.Domain && t.Base != nil {
		t, base = t.Base, t.Base.OID
	}
	described, known := cat.Type(base)
	text, null, fixed := mask.Fixed(t, spec)
	to := &target{column: quote(c.Name), cast: "::" + quote(described.Schema) + "." + quote(described.Name)}
	switch {
	case fixed && null, base == oidAnyarray, base == oidNodeTree: // the last two have no constants
		return nothing(c), nil
	case spec.Strategy == mask.Hash:
		return "", fmt.Errorf("strategy Hash needs a key that the database server must not have")
	case t == nil || !known:
		return "", fmt.Errorf("its type (OID %d) is not known", c.TypeOID)
	case fixed:
		return to.unlessNull(to.constant(base, text)), nil
	case spec.Strategy == mask.Partial && (base == oidText || base == oidVarchar || base == oidBpchar || t.Name == "citext"),
		spec.Strategy == mask.Partial && base == oidName && !spec.KeepDomain:
		return to.partial(base, spec), nil
	case spec.Strategy == mask.DateTrunc && base == oidDate:
		return to.truncDate(spec.TruncateTo), nil
	case spec.Strategy == mask.DateTrunc && (base == oidTimestamp || base == oidTimestamptz):
		return to.truncTime(spec.TruncateTo, base), nil
	}
	return "", fmt.Errorf("strategy %s has no exact expression for type %s.%s", spec.Strategy, described.Schema, described.Name)
}

// nothing is NULL of exactly the column's type. The type anyarray, which columns of
// statistics have, is for columns of tables alone.
func nothing(c *catalog.Column) string {
	if c.TypeOID == oidAnyarray {
		return "NULL::pg_catalog._text"
	}
	return "CASE WHEN false THEN " + quote(c.Name) + " END"
}

// target is the column that an expression is for.
type target struct {
	column string // quoted
	cast   string // "::schema.type"
}

// constant is the redaction of the type. Where its text form depends on settings,
// another text of the same value stands for it.
func (t *target) constant(base uint32, text string) string {
	switch base {
	case oidMoney:
		text = "0"
	case oidBytea:
		text = ""
	}
	return literal(text) + t.cast
}

func (t *target) unlessNull(masked string) string {
	return "CASE WHEN " + t.column + " IS NULL THEN NULL ELSE " + masked + " END"
}

// domain matches what proxy/mask takes for the domain of an email address, and one
// character before it, at the end of a text.
const domain = `.@(?:[A-Za-z0-9\u0080-\U0010FFFF-]+[.])+[0-9-]*` +
	`(?:[A-Za-z][0-9-]*[A-Za-z\u0080-\U0010FFFF]|[\u0080-\U0010FFFF])[A-Za-z0-9\u0080-\U0010FFFF-]*$`

// maxDomain bounds it in bytes, with the @.
const maxDomain = 254

// partial keeps characters at the ends, as proxy/mask does: never more than half,
// the first ones first. It counts characters of UTF-8; in a database of another
// encoding it redacts.
func (t *target) partial(base uint32, spec mask.Spec) string {
	value := t.column + "::pg_catalog.text"
	if base == oidBpchar {
		value = "pg_catalog.concat(" + t.column + ")" // a cast would take the padding off
	}
	stars := literal("*****") + t.cast
	out := "CASE WHEN " + t.column + " IS NULL THEN NULL" +
		" WHEN pg_catalog.getdatabaseencoding() OPERATOR(pg_catalog.<>) 'UTF8' THEN " + stars
	first, last := bounded(spec.KeepFirst), bounded(spec.KeepLast)
	if spec.KeepDomain {
		behind := "pg_catalog.strpos(pg_catalog.reverse(" + value + `) COLLATE pg_catalog."C", '@')`
		kept := "pg_catalog.right(" + value + ", " + behind + ")"
		rest := "pg_catalog.left(" + value + ", OPERATOR(pg_catalog.-) " + behind + ")"
		out += " WHEN (" + value + `) COLLATE pg_catalog."C" OPERATOR(pg_catalog.~) ` + literal(domain) +
			fmt.Sprintf(" AND pg_catalog.octet_length(%s) OPERATOR(pg_catalog.<=) %d", kept, maxDomain) +
			" THEN (" + ends(rest, first, last) + " OPERATOR(pg_catalog.||) " + kept + ")" + t.cast
	}
	if first+last == 0 {
		return out + " ELSE " + stars + " END"
	}
	return out + " WHEN pg_catalog.char_length(" + value + ") OPERATOR(pg_catalog.<) 2 THEN " + stars +
		" ELSE (" + ends(value, first, last) + ")" + t.cast + " END"
}

// bounded is the number of characters that a policy may ask to keep: more than the
// API takes would overflow nothing here, but is not meant.
func bounded(n int) int { return min(max(n, 0), 1<<16) }

// ends is what is kept of a text at its two ends, around the ellipsis.
func ends(value string, first, last int) string {
	const join = " OPERATOR(pg_catalog.||) "
	half := fmt.Sprintf("LEAST(pg_catalog.char_length(%s), %d) OPERATOR(pg_catalog./) 2", value, 2*(first+last))
	out, left := "'***'", half
	if first > 0 {
		head := fmt.Sprintf("LEAST(%d, %s)", first, half)
		out, left = "pg_catalog.left("+value+", "+head+")"+join+out, "("+half+") OPERATOR(pg_catalog.-) "+head
	}
	if last > 0 {
		out += join + "pg_catalog.right(" + value + fmt.Sprintf(", LEAST(%d, %s))", last, left)
	}
	return out
}

// Where rounding down leaves the range that PostgreSQL has for dates: its first day
// is 4714-11-24 BC.
const (
	firstDay   = "4714-11-24 BC"
	firstMonth = "4714-12-01 BC" // the first that begins in range
	firstYear  = "4713-01-01 BC"
)

// truncDate rounds a date down by subtracting days, since a date need not fit into a
// timestamp. One whose month or year began before the first day is redacted.
func (t *target) truncDate(unit string) string {
	var field, first string
	switch unit {
	case "Day", "Hour":
		return t.column
	case "Month":
		field, first = "day", firstMonth
	default:
		field, first = "doy", firstYear
	}
	days := `pg_catalog."extract"('` + field + `', ` + t.column + ")::pg_catalog.int4 OPERATOR(pg_catalog.-) 1"
	return "CASE WHEN NOT pg_catalog.isfinite(" + t.column + ") THEN " + t.column +
		" WHEN " + t.column + " OPERATOR(pg_catalog.<) " + literal(first) + t.cast + " THEN " + literal("1970-01-01") + t.cast +
		" ELSE " + t.column + " OPERATOR(pg_catalog.-) (" + days + ") END"
}

// truncTime rounds a timestamp down, in UTC, and never below the first there is.
func (t *target) truncTime(unit string, base uint32) string {
	zone, offset := "", ""
	if base == oidTimestamptz {
		zone, offset = ", 'UTC'", "+00"
	}
	at := func(day string) string { return literal(day[:10]+" 00:00:00"+offset+" BC") + t.cast }
	guard := ""
	switch unit {
	case "Day":
		unit = "day"
	case "Hour":
		unit = "hour"
	case "Month":
		unit, guard = "month", at(firstMonth)
	default:
		unit, guard = "year", at(firstYear)
	}
	cut := "pg_catalog.date_trunc('" + unit + "', " + t.column + zone + ")"
	if guard == "" {
		return cut
	}
	return "CASE WHEN " + t.column + " OPERATOR(pg_catalog.<) " + guard + " AND pg_catalog.isfinite(" + t.column + ") THEN " +
		at(firstDay) + " ELSE " + cut + " END"
}
