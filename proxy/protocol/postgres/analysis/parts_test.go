package analysis_test

import (
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
)

func TestAPartOfWhatWasBuiltCarriesItsOwn(t *testing.T) {
	for query, want := range map[string]string{
		`SELECT to_jsonb(c) ->> 'name' AS n, to_jsonb(c) ->> 'ssn' AS s FROM customers c`:                                                   "n s!",
		`SELECT d -> 'a' ->> 'b' AS x FROM (SELECT jsonb_build_object('a', jsonb_build_object('b', name, 'c', ssn)) AS d FROM customers) q`: "x",
		`SELECT jsonb_build_array(id, ssn) -> 0 AS a, jsonb_build_array(id, ssn) -> -1 AS b FROM customers`:                                 "a b!",
		`SELECT jsonb_agg(ssn) -> 0 AS a FROM customers`:                                                                                    "a!",
		`SELECT to_jsonb(c) -> 'no such key' AS a FROM customers c`:                                                                         "a",
		`SELECT to_jsonb(c) -> 'ssn' AS a FROM customers AS c(ssn, name, id)`:                                                               "a!", // its key is the table's
		`SELECT to_jsonb(c) -> 'id' AS a FROM (SELECT * FROM customers) AS c(ssn, name, id)`:                                                "a!",
		`SELECT d -> 'ssn' AS a FROM (SELECT to_jsonb(c.*) AS d FROM customers AS c(ssn, name, id)) x`:                                      "a!",
		`SELECT to_jsonb(c) -> name AS a FROM customers c`:                                                                                  "a!",
		`SELECT (to_jsonb(c) || $1) -> 'name' AS a FROM customers c`:                                                                        "a!",
		`SELECT json_build_object('a', id, 'a', ssn) -> 'a' AS a FROM customers`:                                                            "a!",
	} {
		if got := carried(last(t, query, nil)); got != want {
			t.Errorf("%s\n got %s\nwant %s", query, got, want)
		}
	}
}

// parts counts the parts of a shape.
func parts(s *analysis.Shape) int {
	if s == nil {
		return 0
	}
	n := 1 + parts(s.Elem)
	for _, f := range s.Fields {
		n += parts(f.Shape)
	}
	return n
}

func TestAShapeHasABoundedNumberOfParts(t *testing.T) {
	query := `SELECT to_jsonb(c) AS d FROM customers c`
	for range 40 { // each level doubles it
		query = `SELECT jsonb_build_object('a', d, 'b', d) AS d FROM (` + query + `) x`
		s := last(t, query, nil)
		if n := parts(s.Outputs[0].Shape); n > 4100 || len(s.Outputs[0].Tags) != 1 {
			t.Errorf("%d parts, %v", n, s.Outputs[0].Tags)
		}
	}
}
