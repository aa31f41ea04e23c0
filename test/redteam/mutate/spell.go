package mutate

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// spelling rewrites a statement without changing what it says.
type spelling struct {
	name string
	do   func(random *rand.Rand, sql string) string
}

var spellings = []spelling{
	{"white space", gaps(" ", "\t", "\n", "\r\n", "\f", " \n\t ")},
	{"block comments", gaps(" /*x*/ ", "/**/ ", " /* select */")},
	{"nested comments", gaps(" /* /* from */ ' */ ", " /*/**/*/ ", " /*-- /*\"*/ $$ */ ")},
	{"line comments", gaps(" -- x\n", " --' \n", " -- /* \n")},
	{"comments before and after", around},
	{"case of keywords", each(word, func(random *rand.Rand, text string) string { return mixed(random, text) })},
	{"upper case", each(word, func(_ *rand.Rand, text string) string { return strings.ToUpper(text) })},
	{"quoted identifiers", each(word, identifier(func(_ *rand.Rand, text string) string { return `"` + strings.ToLower(text) + `"` }))},
	{"U& identifiers", each(word, identifier(unicodeIdentifier))},
	{"some U& identifiers", each(word, identifier(func(random *rand.Rand, text string) string {
		if random.IntN(2) == 0 {
			return text
		}
		return unicodeIdentifier(random, text)
	}))},
	{"U& identifiers by another escape", each(word, identifier(func(random *rand.Rand, text string) string {
		return strings.ReplaceAll(unicodeIdentifier(random, text), `\`, "!") + " UESCAPE '!'"
	}))},
	{"E strings", each(literal, func(_ *rand.Rand, text string) string { return "E'" + escaped(content(text), `\x%02x`) + "'" })},
	{"U& strings", each(literal, func(_ *rand.Rand, text string) string { return "U&'" + escaped(content(text), `\%04x`) + "'" })},
	{"dollar quotes", each(literal, func(_ *rand.Rand, text string) string { return "$rt$" + content(text) + "$rt$" })},
	{"strings in two parts", each(literal, twoParts)},
	{"qualified tables", each(word, func(_ *rand.Rand, text string) string {
		if tables[strings.ToLower(text)] {
			return "public." + text
		}
		return text
	})},
}

// tables are the relations of the corpora's schema.
var tables = map[string]bool{"customers": true, "orders": true, "api_keys": true, "v_contacts": true, "pgbench_accounts": true}

// gaps puts one of the texts where the statement has white space, and more between some other tokens.
func gaps(texts ...string) func(*rand.Rand, string) string {
	return func(random *rand.Rand, sql string) string {
		var out strings.Builder
		previous := token{kind: space}
		for _, t := range tokens(sql) {
			switch {
			case t.kind == space:
				out.WriteString(" " + texts[random.IntN(len(texts))])
			case previous.kind != space && t.text != ";" && random.IntN(2) == 0:
				out.WriteString(" " + texts[random.IntN(len(texts))])
				fallthrough
			default:
				out.WriteString(t.text)
			}
			previous = t
		}
		return out.String()
	}
}

func around(_ *rand.Rand, sql string) string {
	return "/* SELECT 1; */ -- ;\n\f" + sql + " /* /* ; */ */ -- ' end"
}

// each rewrites the tokens of a kind.
func each(which kind, do func(*rand.Rand, string) string) func(*rand.Rand, string) string {
	return func(random *rand.Rand, sql string) string {
		var out strings.Builder
		for _, t := range tokens(sql) {
			if t.kind == which {
				t.text = do(random, t.text)
			}
			out.WriteString(t.text)
		}
		return out.String()
	}
}

func identifier(do func(*rand.Rand, string) string) func(*rand.Rand, string) string {
	return func(random *rand.Rand, text string) string {
		if keywords[strings.ToUpper(text)] {
			return text
		}
		return do(random, text)
	}
}

func unicodeIdentifier(random *rand.Rand, text string) string {
	var out strings.Builder
	for _, r := range strings.ToLower(text) {
		switch random.IntN(3) {
		case 0:
			fmt.Fprintf(&out, `\+%06x`, r)
		case 1:
			fmt.Fprintf(&out, `\%04X`, r)
		default:
			out.WriteRune(r)
		}
	}
	return `U&"` + out.String() + `"`
}

func content(text string) string {
	return strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(text, "'"), "'"), "''", "'")
}

func escaped(text, format string) string {
	var out strings.Builder
	for _, r := range text {
		if r < 0x80 {
			fmt.Fprintf(&out, format, r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}

// twoParts uses that the standard joins strings with a line break between them.
func twoParts(_ *rand.Rand, text string) string {
	inside := content(text)
	if len(inside) < 2 || strings.Contains(inside, "'") {
		return text
	}
	return "'" + inside[:len(inside)/2] + "' \n '" + inside[len(inside)/2:] + "'"
}

func mixed(random *rand.Rand, text string) string {
	out := []byte(text)
	for i, c := range out {
		if isLetter(c) && c < 0x80 && random.IntN(2) == 0 {
			out[i] = c ^ 0x20
		}
	}
	return strings.ReplaceAll(string(out), "\x7f", "_") // '_' is no letter with a case
}

// keywords are words that say something only where they are not quoted. What is missing here gives statements that PostgreSQL
// refuses, and those are dropped.
var keywords = words(`ADD ALL ALTER ANALYZE AND ANY ARRAY AS ASC ASYMMETRIC AT ATTACH BEGIN BETWEEN BIGINT BOOLEAN BOTH BY CALL CASE CAST CHAR
CHECK CLOSE COALESCE COLLATE COLUMN COMMENT COMMIT CONFLICT CONSTRAINT COPY CREATE CROSS CUBE CURRENT CURRENT_USER CURSOR DATABASE DEALLOCATE
DECLARE DEFAULT DEFERRABLE DELETE DESC DISABLE DISTINCT DO DROP EACH ELSE END ESCAPE EXCEPT EXCLUDED EXECUTE EXISTS EXPLAIN EXTRACT FALSE FETCH
FILTER FIRST FLOAT FOLLOWING FOR FORMAT FROM FULL FUNCTION GRANT GREATEST GROUP GROUPING HAVING HOLD IF ILIKE IN INCLUDING INDEX INNER INSERT INT
INTEGER INTERSECT INTERVAL INTO IS ISOLATION JOIN LANGUAGE LATERAL LEADING LEAST LEFT LEVEL LIKE LIMIT LISTEN LOCAL LOCK MATCHED MATERIALIZED
MERGE MODE MOVE NATURAL NEXT NO NOT NOTHING NOTIFY NOWAIT NULL NULLIF NULLS NUMERIC OF OFFSET ON ONLY OPERATOR OR ORDER ORDINALITY OUTER OVER
OVERLAY PARTITION POSITION PRECEDING PRECISION PREPARE PRIMARY PROCEDURE PUBLICATION RANGE READ REAL RECURSIVE RELEASE RENAME REPLACE RESET RETURNING
RETURNS REVOKE RIGHT ROLE ROLLBACK ROLLUP ROW ROWS SAVEPOINT SCHEMA SCROLL SELECT SEQUENCE SESSION SET SETS SHARE SHOW SIMILAR SMALLINT SOME START
STDIN STDOUT SUBSTRING SYMMETRIC TABLE TABLESAMPLE TEMP TEMPORARY THEN TIES TIME TIMESTAMP TO TRAILING TRANSACTION TREAT TRIGGER TRIM TRUE TRUNCATE
TYPE UNBOUNDED UNION UNIQUE UPDATE USER USING VACUUM VALUES VARCHAR VERBOSE VIEW WHEN WHERE WINDOW WITH WITHIN WITHOUT XMLATTRIBUTES XMLCONCAT
XMLELEMENT XMLFOREST XMLPARSE XMLROOT XMLSERIALIZE ZONE ONLY DATA NAME`)

func words(text string) map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(text) {
		set[word] = true
	}
	return set
}
