package mutate

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/test/corpus"
)

func TestTheTokensPutTogetherAreTheText(t *testing.T) {
	for _, name := range []string{"exfil.tsv", "benign.tsv"} {
		rows, err := corpus.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			var together strings.Builder
			for _, token := range tokens(row.SQL) {
				together.WriteString(token.text)
			}
			if together.String() != row.SQL {
				t.Errorf("%s: %q", row.ID, together.String())
			}
		}
	}
}

func TestTokensEndWhereThoseOfPostgreSQLEnd(t *testing.T) {
	for text, want := range map[string]string{
		`SELECT ssn`:            `SELECT| |ssn`,
		`a/* x /* y */ */b`:     `a|/* x /* y */ */|b`,
		"a--'\nb":               "a|--'\n|b",
		`'it''s'||E'it\'s'`:     `'it''s'||||E'it\'s'`,
		`U&"\0073" x`:           `U&"\0073"| |x`,
		`$$a'$$ $t$ $$ $t$ $1`:  `$$a'$$| |$t$ $$ $t$| |$1`,
		`1.5*/*x*/2`:            `1.5|*|/*x*/|2`,
		`t."a""b"`:              `t|.|"a""b"`,
		`'not closed`:           `'not closed`,
		`a->>'b'`:               `a|->>|'b'`,
		`/* not closed /* a */`: `/* not closed /* a */`,
		`$tag$not closed`:       `$tag$not closed`,
	} {
		var texts []string
		for _, token := range tokens(text) {
			texts = append(texts, token.text)
		}
		if got := strings.Join(texts, "|"); got != want {
			t.Errorf("%q: %s; want %s", text, got, want)
		}
	}
}

func TestASpellingSaysTheSame(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	got := map[string]string{}
	for _, s := range spellings {
		got[s.name] = s.do(random, `SELECT ssn FROM customers WHERE name = 'it''s'`)
	}
	for name, want := range map[string]string{
		"upper case":           `SELECT SSN FROM CUSTOMERS WHERE NAME = 'it''s'`,
		"quoted identifiers":   `SELECT "ssn" FROM "customers" WHERE name = 'it''s'`,
		"qualified tables":     `SELECT ssn FROM public.customers WHERE name = 'it''s'`,
		"E strings":            `SELECT ssn FROM customers WHERE name = E'\x69\x74\x27\x73'`,
		"U& strings":           `SELECT ssn FROM customers WHERE name = U&'\0069\0074\0027\0073'`,
		"dollar quotes":        `SELECT ssn FROM customers WHERE name = $rt$it's$rt$`,
		"strings in two parts": `SELECT ssn FROM customers WHERE name = 'it''s'`,
	} {
		if got[name] != want {
			t.Errorf("%s: %s; want %s", name, got[name], want)
		}
	}
}

func TestTheSameSeedMakesTheSameVariants(t *testing.T) {
	row := corpus.Row{ID: "X1", SQL: "SELECT ssn FROM customers", Expected: corpus.Mask}
	names := func(seed uint64) []string {
		var all []string
		for _, v := range Variants(row, seed, 200) {
			all = append(all, v.SQL)
		}
		return all
	}
	first := names(1)
	if !slices.Equal(first, names(1)) {
		t.Error("two runs with one seed differ")
	}
	if slices.Equal(first, names(2)) {
		t.Error("two seeds make the same")
	}
	if unique := slices.Compact(slices.Sorted(slices.Values(first))); len(unique) != len(first) || len(first) != 200 {
		t.Errorf("%d variants, %d of them different; want 200", len(first), len(unique))
	}
}
