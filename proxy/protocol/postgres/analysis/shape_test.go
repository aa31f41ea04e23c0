package analysis_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
)

// built renders a shape: {key: leaf}, [elements…], [of, exactly, these], (row).
func built(s *analysis.Shape) string {
	if s == nil {
		return "not known"
	}
	var parts []string
	for _, f := range s.Fields {
		part := built(f.Shape)
		if f.Name != "" {
			part = f.Name + ": " + part
		}
		parts = append(parts, part)
	}
	inside := strings.Join(parts, ", ")
	switch s.Kind {
	case analysis.Object:
		return "{" + inside + "}"
	case analysis.List:
		return "[" + built(s.Elem) + "…]"
	case analysis.Tuple:
		return "[" + inside + "]"
	case analysis.Row:
		return "(" + inside + ")"
	}
	how := "="
	if s.Derived {
		how = "~"
	}
	return how + fmt.Sprint(len(s.Tags))
}

func TestWhatIsBuiltOfColumnsHasAShape(t *testing.T) {
	const whole = "id: =0, name: =0, ssn: =1, up: =1"
	for query, want := range map[string]string{
		`SELECT c FROM customers c`:                                         "(" + whole + ")",
		`SELECT ROW(id, upper(ssn)) FROM customers`:                         "(f1: =0, f2: ~1)",
		`SELECT to_jsonb(c) FROM customers c`:                               "{" + whole + "}",
		`SELECT row_to_json(x) FROM (SELECT id, ssn FROM customers) x`:      "{id: =0, ssn: =1}",
		`SELECT json_build_object('a', id, 'b', ssn || 'x') FROM customers`: "{a: =0, b: ~1}",
		`SELECT jsonb_build_array(id, ssn) FROM customers`:                  "[=0, =1]",
		`SELECT json_agg(c ORDER BY id) FROM customers c`:                   "[{" + whole + "}…]",
		`SELECT array_agg(ssn) FROM customers`:                              "[=1…]",
		`SELECT ARRAY(SELECT ssn FROM customers)`:                           "[=1…]",
		`SELECT coalesce(jsonb_agg(x.d), '[]') FROM (SELECT jsonb_build_object('id', t.id, 'ssn', t.ssn) AS d FROM (SELECT * FROM customers) t) x`: "[{id: =0, ssn: =1}…]",
		`SELECT (SELECT json_agg(r) FROM (SELECT name, ssn FROM customers) r)::jsonb`:                                                              "[{name: =0, ssn: =1}…]",
		`SELECT jsonb_build_object('o', json_agg(c)) FROM customers c`:                                                                             "{o: [{" + whole + "}…]}",
		`SELECT to_jsonb(c) -> 'ssn' FROM customers c`:                                                                                             "not known",
		`SELECT jsonb_build_object('x', to_jsonb(c)) -> 'x' FROM customers c`:                                                                      "{" + whole + "}",

		// as PostgREST and Hasura write it
		`SELECT coalesce(json_agg(_postgrest_t), '[]')::character varying AS body FROM (SELECT "public"."customers".* FROM "public"."customers" LIMIT 1) _postgrest_t`: "not known", // text
		`SELECT coalesce(json_agg(_postgrest_t), '[]') AS body FROM (SELECT "public"."customers".* FROM "public"."customers" LIMIT 1) _postgrest_t`:                    "[{" + whole + "}…]",
		`SELECT coalesce(json_agg("root"), '[]') AS "root" FROM (SELECT row_to_json((SELECT "_1_e" FROM (SELECT "_0_root.base"."id" AS "id", "_0_root.base"."ssn" AS "tax") AS "_1_e")) AS "root"
			FROM (SELECT * FROM "public"."customers" WHERE id = $1) AS "_0_root.base") AS "_2_root"`: "[{id: =0, tax: =1}…]",

		`SELECT json_build_object('a', ssn, 'a', id) FROM customers`:                                             "not known", // of which a?
		`SELECT json_build_object(ssn, id) FROM customers`:                                                       "not known",
		`SELECT json_agg(id ORDER BY ssn) FROM customers`:                                                        "not known",
		`SELECT json_agg(id) FILTER (WHERE ssn > 'x') FROM customers`:                                            "not known",
		`SELECT CASE WHEN ssn = 'x' THEN to_jsonb(c) END FROM customers c`:                                       "not known",
		`SELECT to_jsonb(c) FROM customers c UNION ALL SELECT '{}' FROM orders`:                                  "not known",
		`SELECT to_jsonb(c) FROM customers AS c(ssn, x, id)`:                                                     "not known",
		`SELECT to_jsonb(c) || '{}' FROM customers c`:                                                            "not known",
		`SELECT to_jsonb(o) FROM orders o`:                                                                       "not known", // nothing to mask
		`SELECT row_to_json(x) FROM (SELECT ssn AS a, id AS a FROM customers) x`:                                 "not known",
		`SELECT json_agg(x.*) FROM customers x JOIN orders USING (id)`:                                           "[{" + whole + "}…]",
		`WITH RECURSIVE r(d) AS (SELECT to_jsonb(c) FROM customers c UNION ALL SELECT d FROM r) SELECT d FROM r`: "not known",
	} {
		s := last(t, query, nil)
		if len(s.Outputs) != 1 {
			t.Errorf("%s: %d outputs", query, len(s.Outputs))
			continue
		}
		if got := built(s.Outputs[0].Shape); got != want {
			t.Errorf("%s\n got %s\nwant %s", query, got, want)
		}
	}
}

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
		`SELECT (to_jsonb(c) || '{}') -> 'name' AS a FROM customers c`:                                                                      "a!",
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
		if n := parts(s.Outputs[0].Shape); n > 1000 || len(s.Outputs[0].Tags) != 1 {
			t.Errorf("%d parts, %v", n, s.Outputs[0].Tags)
		}
	}
}
