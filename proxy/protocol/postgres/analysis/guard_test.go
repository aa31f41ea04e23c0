package analysis

import (
	"strings"
	"testing"

	pg_query "github.com/pganalyze/pg_query_go/v5"
)

// shapes are texts of a given depth, each nesting in its own way.
var shapes = map[string]func(n int) string{
	"sums":           func(n int) string { return "SELECT 1" + strings.Repeat("+1", n) },
	"negations":      func(n int) string { return "SELECT " + strings.Repeat("NOT ", n) + "true" },
	"unary minus":    func(n int) string { return "SELECT " + strings.Repeat("- ", n) + "a" },
	"unary run":      func(n int) string { return "SELECT " + strings.Repeat("+-", n/2) + "1" },
	"concatenations": func(n int) string { return "SELECT a" + strings.Repeat("||a", n) },
	"sub-selects":    func(n int) string { return strings.Repeat("SELECT (", n) + "SELECT 1" + strings.Repeat(")", n) },
	"derived tables": func(n int) string {
		return strings.Repeat("SELECT * FROM (", n) + "SELECT 1" + strings.Repeat(") x", n)
	},
	"unions":      func(n int) string { return "SELECT 1" + strings.Repeat(" UNION SELECT 1", n) },
	"joins":       func(n int) string { return "SELECT 1 FROM a" + strings.Repeat(" JOIN b ON true AND true", n) },
	"parentheses": func(n int) string { return "SELECT " + strings.Repeat("(", n) + "1" + strings.Repeat(")", n) },
	"calls":       func(n int) string { return "SELECT " + strings.Repeat("f(", n) + "1" + strings.Repeat(")", n) },
	"cases": func(n int) string {
		return "SELECT " + strings.Repeat("CASE WHEN ", n) + "1" + strings.Repeat(" THEN 1 END", n)
	},
	"else cases": func(n int) string {
		return "SELECT " + strings.Repeat("CASE WHEN a THEN 1 ELSE ", n) + "1" + strings.Repeat(" END", n)
	},
	"casts":              func(n int) string { return "SELECT 1" + strings.Repeat("::int", n) },
	"null tests":         func(n int) string { return "SELECT 1" + strings.Repeat(" IS NULL", n) },
	"postfix null tests": func(n int) string { return "SELECT 1" + strings.Repeat(" ISNULL", n) },
	"collations":         func(n int) string { return "SELECT 'a'" + strings.Repeat(` COLLATE "C"`, n) },
	"time zones":         func(n int) string { return "SELECT a" + strings.Repeat(` AT TIME ZONE 'x'`, n) },
	"arrays":             func(n int) string { return "SELECT ARRAY" + strings.Repeat("[", n) + "1" + strings.Repeat("]", n) },
	"rows":               func(n int) string { return "SELECT " + strings.Repeat("(1,", n) + "1" + strings.Repeat(")", n) },
	"WITH": func(n int) string {
		return strings.Repeat("WITH a AS (", n) + "SELECT 1" + strings.Repeat(") SELECT 1", n)
	},
	"qualified operators": func(n int) string { return "SELECT 1" + strings.Repeat(" OPERATOR(pg_catalog.+) 1", n) },
	"columns named AND":   func(n int) string { return "SELECT t.and" + strings.Repeat(" + t./**/and", n) },
	"columns named END": func(n int) string {
		return "SELECT " + strings.Repeat("CASE WHEN t.end THEN ", n) + "1" + strings.Repeat(" END", n)
	},
	"windows": func(n int) string {
		return "SELECT " + strings.Repeat("f() OVER (ORDER BY ", n) + "1" + strings.Repeat(")", n)
	},
	"sums to the left": func(n int) string {
		return "SELECT " + strings.Repeat("(", n/40) + "1" + strings.Repeat(strings.Repeat("+1", 39)+")", n/40)
	},
	"behind a string":        func(n int) string { return `SELECT 'it''s \', 1` + strings.Repeat("+1", n) },
	"behind an E string":     func(n int) string { return `SELECT E'it\'s', 1` + strings.Repeat("+1", n) },
	"behind a dollar quote":  func(n int) string { return `SELECT $a$ $b$ ' $a$, 1` + strings.Repeat("+1", n) },
	"behind a comment":       func(n int) string { return "SELECT /* /* ' */ */ 1" + strings.Repeat("+1", n) },
	"behind a line comment":  func(n int) string { return "SELECT -- '\r 1" + strings.Repeat("+1", n) },
	"behind an identifier":   func(n int) string { return `SELECT "a""'", 1` + strings.Repeat("+1", n) },
	"behind unicode escapes": func(n int) string { return `SELECT U&"\0027", U&'\' UESCAPE '!', 1` + strings.Repeat("+1", n) },
	"behind a dollar word":   func(n int) string { return `SELECT a$b$, 1` + strings.Repeat("+1", n) + ", a$b$" },
	"behind a continued E":   func(n int) string { return "SELECT E'a' \n 'it\\'s', 1" + strings.Repeat("+1", n) },
	"comments between":       func(n int) string { return "SELECT 1" + strings.Repeat("/**/+--\n1", n) },
}

func TestADeepTextIsRefusedBeforeTheParserSeesIt(t *testing.T) {
	for name, shape := range shapes {
		for _, n := range []int{5_000, 30_000} {
			r := check(shape(n), Limits{})
			if r == nil || r.Code != "54001" || r.Hint == "" {
				t.Errorf("%s, %d deep: %+v", name, n, r)
			}
		}
	}
}

func TestTheParserSurvivesWhateverTheGuardLetsThrough(t *testing.T) {
	for name, shape := range shapes {
		deepest := 0
		for n := 40; n <= 2*ceilingChain; n += 40 {
			if check(shape(n), Limits{MaxDepth: ceilingDepth, MaxChain: ceilingChain}) == nil {
				deepest = n
			}
		}
		if deepest == 0 {
			t.Errorf("%s: nothing passes", name)
			continue
		}
		if _, err := pg_query.Parse(shape(deepest)); err != nil {
			t.Errorf("%s, %d deep: %v", name, deepest, err)
		}
	}
}

func TestWideTextsPass(t *testing.T) {
	for name, text := range map[string]string{
		"a long IN list":        "SELECT a IN (1" + strings.Repeat(", 1", 20_000) + ")",
		"many ANDs":             "SELECT 1 WHERE a = 1" + strings.Repeat(" AND a = 1", 10_000),
		"many ORs":              "SELECT 1 WHERE a = 1" + strings.Repeat(" OR (a = 1 AND b = 2)", 5_000),
		"many rows":             "INSERT INTO t VALUES (1, 'a')" + strings.Repeat(", (1 + 1, -2)", 15_000),
		"many WHENs":            "SELECT CASE" + strings.Repeat(" WHEN a = 1 THEN b + 1", 5_000) + " END",
		"hundreds of ||":        "SELECT a" + strings.Repeat(" || a", 700),
		"a hundred joins":       "SELECT 1 FROM a" + strings.Repeat(" JOIN b ON a.x = b.x AND a.y = b.y", 100),
		"subscripts":            "SELECT a" + strings.Repeat("[1]", 5_000),
		"many statements":       strings.Repeat("SELECT 1 + 1;", 10_000),
		"operators in a string": "SELECT '" + strings.Repeat("+(", 10_000) + "', $$" + strings.Repeat("((", 10_000) + "$$",
		"END":                   "BEGIN; SELECT 1; END",
	} {
		if r := check(text, Limits{}); r != nil {
			t.Errorf("%s: %+v", name, r)
		} else if _, err := pg_query.Parse(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestATextAboveABoundIsRefusedWithTheBound(t *testing.T) {
	for _, test := range []struct {
		name, text, code, says string
		limits                 Limits
	}{
		{"long", "SELECT 1234", "54000", "11 bytes; the bound is 10", Limits{MaxText: 10}},
		{"many tokens", "SELECT 1, 2, 3", "54000", "more than 5 tokens", Limits{MaxTokens: 5}},
		{"nested", "SELECT (((1)))", "54001", "more than 2 deep", Limits{MaxDepth: 2}},
		{"chained", "SELECT 1+1+1+1", "54001", "more than 2", Limits{MaxChain: 2}},
		{"not UTF-8", "SELECT '\xff'", "22021", "", Limits{}},
		{"a zero byte", "SELECT '\x00'", "22021", "", Limits{}},
	} {
		r := check(test.text, test.limits)
		if r == nil || r.Code != test.code || !strings.Contains(r.Detail, test.says) {
			t.Errorf("%s: %+v", test.name, r)
		}
	}
}

// FuzzGuard compares the guard's lexer with PostgreSQL's own: if a text parses,
// both must agree on where strings and comments end, or operators could hide.
func FuzzGuard(f *testing.F) {
	for _, shape := range shapes {
		f.Add(shape(80))
	}
	for _, sql := range []string{"SELECT E'\\'', $$a$$, $b$c$b$, U&\"d\" UESCAPE '!', 1.5e10, $1, x'ff', a.b, c[1:2]", "--", "/*", "'", "SELECT 1;;"} {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if check(text, Limits{}) != nil {
			return
		}
		if _, err := pg_query.Parse(text); err != nil {
			return
		}
		scanned, err := pg_query.Scan(text)
		if err != nil {
			return
		}
		covered := make([]bool, len(text)+1)
		for s := (lexer{text: text}); s.next(); {
			for i := s.start; i < s.pos; i++ {
				covered[i] = true
			}
		}
		for _, token := range scanned.GetTokens() {
			comment := token.GetToken() == pg_query.Token_C_COMMENT || token.GetToken() == pg_query.Token_SQL_COMMENT
			if at := int(token.GetStart()); at < len(text) && covered[at] == comment {
				t.Fatalf("%q: the token %v at %d is %v to the guard", text, token.GetToken(), at, covered[at])
			}
		}
	})
}
