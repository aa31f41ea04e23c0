package analysis_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
)

// shapeText writes a shape in a line: "." is shown, "!tags" a leaf, "~tags" a derived one, "?" is opaque.
func shapeText(s *analysis.Shape) string {
	if s == nil {
		return "-"
	}
	var parts []string
	for _, f := range s.Fields {
		part := shapeText(f.Shape)
		if f.Name != "" {
			part = f.Name + ":" + part
		}
		parts = append(parts, part)
	}
	if s.Kind == analysis.ShapeObject && s.Elem != nil {
		parts = append(parts, "*:"+shapeText(s.Elem))
	}
	inner := strings.Join(parts, " ")
	switch s.Kind {
	case analysis.ShapeShown:
		return "."
	case analysis.ShapeLeaf:
		if s.Derived {
			return "~" + strings.Join(s.Tags, ",")
		}
		return "!" + strings.Join(s.Tags, ",")
	case analysis.ShapeObject:
		return "{" + inner + "}"
	case analysis.ShapeList:
		return "[" + shapeText(s.Elem) + "]"
	case analysis.ShapeTuple:
		return "<" + inner + ">"
	case analysis.ShapeRow:
		return "(" + inner + ")"
	}
	return "?"
}

// outputsText writes what is known of a statement's outputs: its shape, or the tags of a column without one.
func outputsText(t *testing.T, sql string) string {
	t.Helper()
	result, err := analysis.Analyze(sql, &analysis.State{}, corpus(t), analysis.Options{})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if len(result.Statements[0].Outputs) == 0 {
		return "unknown"
	}
	var columns []string
	for _, o := range result.Statements[0].Outputs {
		switch {
		case o.Shape != nil:
			columns = append(columns, shapeText(o.Shape))
		case len(o.Tags) == 0:
			columns = append(columns, ".")
		case o.Derived:
			columns = append(columns, "~"+strings.Join(o.Tags, ","))
		default:
			columns = append(columns, "!"+strings.Join(o.Tags, ","))
		}
	}
	return strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(strings.Join(columns, " | "), "pii/", ""), "pci/", ""), "secret/", "")
}

const customerRow = "id:. name:. email:!email ssn:!ssn card_number:!pan balance:. notes:."

func TestTheShapeOfAStructuredValueIsKnownWhereItIsCertain(t *testing.T) {
	for _, c := range []struct{ sql, want string }{
		{"SELECT json_build_object('id', id, 'ssn', ssn, 'up', upper(ssn)) FROM customers", "{id:. ssn:!ssn up:~ssn}"},
		{"SELECT jsonb_build_object('a', 1, 'a', ssn, 'a', email) FROM customers", "{a:~email,ssn}"},
		{"SELECT json_build_object($1, ssn, 'b', id) FROM customers", "{b:!ssn *:!ssn}"},
		{"SELECT json_build_object($1::text, id, 'b', ssn) FROM customers", "{b:!ssn *:.}"},
		{"SELECT json_build_object(ssn, id) FROM customers", "~ssn"},
		{"SELECT json_build_object(VARIADIC ARRAY['a', ssn]) FROM customers", "~ssn"},
		{"SELECT json_build_array(id, ssn, 'x') FROM customers", "<. !ssn .>"},
		{"SELECT row_to_json(c) FROM customers c", "{" + customerRow + "}"},
		{"SELECT row_to_json(c.*) FROM customers c", "{" + customerRow + "}"},
		{"SELECT to_jsonb(customers) FROM customers", "{" + customerRow + "}"},
		{"SELECT c FROM customers c", "(" + customerRow + ")"},
		{"SELECT json_agg(c) FROM customers c", "[{" + customerRow + "}]"},
		{"SELECT jsonb_agg(ssn ORDER BY id) FILTER (WHERE id > 3) FROM customers", "[!ssn]"},
		{"SELECT json_agg(ssn) OVER () FROM customers", "~ssn"},
		{"SELECT json_agg(id ORDER BY ssn), array_agg(id) FILTER (WHERE ssn > '3'), json_agg(DISTINCT ssn), json_agg(DISTINCT name) FROM customers", "~ssn | ~ssn | ~ssn | ."},
		{"SELECT array_agg(c) FROM customers c", "[(" + customerRow + ")]"},
		{"SELECT array_agg(email), ARRAY[name, ssn], ARRAY(SELECT secret FROM api_keys) FROM customers", "[!email] | [!ssn] | [!api-key]"},
		{"SELECT ROW(id, ssn), (id, upper(ssn)) FROM customers", "(f1:. f2:!ssn) | (f1:. f2:~ssn)"},
		{"SELECT ROW(c.*, 1) FROM customers c", "(f1:. f2:. f3:!email f4:!ssn f5:!pan f6:. f7:. f8:.)"},
		{"SELECT (ROW(id, ssn)).f2, (ROW(id, ssn)).f1 FROM customers", "!ssn | ."},
		{"SELECT (c).ssn, (c).name FROM customers c", "!ssn | ."},
		{"SELECT (ARRAY[ssn, card_number])[1:1], (ARRAY[name])[1] FROM customers", "[~pan,ssn] | ."},
		{"SELECT json_object_agg(name, ssn), json_object_agg(ssn, name) FROM customers", "{*:!ssn} | ~ssn"},
		{"SELECT to_jsonb(c)->'ssn', to_jsonb(c)->>'name', to_json(c)->'name', to_jsonb(c)->>$1 FROM customers c", "~ssn | . | . | ~pan,email,ssn"},
		{"SELECT to_jsonb(c) - 'ssn' - '{email,card_number}'::text[] FROM customers c", "."},
		{"SELECT to_jsonb(c) - 'ssn' FROM customers c", "{id:. name:. email:!email card_number:!pan balance:. notes:.}"},
		{"SELECT jsonb_build_object('a', ssn) || '{\"b\": 1}' FROM customers", "{a:!ssn b:.}"},
		{"SELECT jsonb_build_object('a', ssn) || jsonb_build_object('a', id, 'c', email) FROM customers", "{a:!ssn c:!email}"},
		{"SELECT jsonb_build_object('a', ssn) || notes::jsonb FROM customers", "~ssn"},
		{"SELECT json_build_object('o', json_build_array(jsonb_build_object('s', ssn)))#>'{o,0,s}', json_build_object('o', json_build_array(id, ssn))#>>'{o,0}' FROM customers", "~ssn | ~ssn"},
		{"SELECT coalesce(json_agg(json_build_object('s', ssn)), '[]'::json) FROM customers", "[{s:!ssn}]"},
		{"SELECT coalesce(jsonb_agg(s), '[]') FROM (SELECT jsonb_build_object('ssn', t1.ssn, 'id', id) AS s FROM (SELECT t0.* FROM customers t0 WHERE id = $1) t1) t2", "[{ssn:!ssn id:.}]"},
		{"SELECT json_build_object('id', id, 'orders', (SELECT json_agg(json_build_object('total', total, 'by', c.ssn)) FROM orders o WHERE o.customer_id = c.id)) FROM customers c", "{id:. orders:[{total:. by:!ssn}]}"},
		{"WITH w AS (SELECT id, ssn AS tax FROM customers) SELECT row_to_json(w), w FROM w", "{id:. tax:!ssn} | (id:. tax:!ssn)"},
		{"SELECT row_to_json(s) FROM (SELECT id, ssn FROM customers) s(a, b)", "{a:. b:!ssn}"},
		{"SELECT row_to_json(c) FROM api_keys AS c(secret, x, y)", "{secret:!api-key x:. y:!api-key id:. owner:.}"},
		{"SELECT row_to_json(v) FROM v_contacts v", "{id:. name:. tax:!ssn}"},
		{"SELECT json_strip_nulls(row_to_json(v)), to_json(v)::jsonb, (to_json(v))::text FROM v_contacts v", "{id:. name:. tax:!ssn} | {id:. name:. tax:!ssn} | ~ssn"},
		{"SELECT CASE WHEN id > 3 THEN to_json(v) END FROM v_contacts v", "{id:. name:. tax:!ssn}"},
		{"SELECT CASE WHEN tax > '3' THEN to_json(v) END FROM v_contacts v", "~ssn"},
		{"SELECT json_build_object('x', tax > '3', 'n', count(*), 'm', tax IS NULL) FROM v_contacts GROUP BY tax", "{x:~ssn n:. m:.}"},
		{"SELECT to_json(v) FROM v_contacts v UNION ALL SELECT to_json(v) FROM v_contacts v", "{id:. name:. tax:~ssn}"},
		{"SELECT to_json(v) FROM v_contacts v UNION ALL SELECT json_build_array(id) FROM customers", "{id:. name:. tax:!ssn}"},
		{"WITH RECURSIVE r(j) AS (SELECT to_jsonb(v) FROM v_contacts v UNION ALL SELECT j FROM r) SELECT j FROM r", "~ssn"},
		{"SELECT (jsonb_populate_record(NULL::customers, to_jsonb(c))).ssn FROM customers c", "~pan,email,ssn"},
		{"SELECT JSON_OBJECT('a': ssn, 'b': id), JSON_ARRAY(id, ssn), JSON_ARRAY(id, ssn NULL ON NULL), JSON_ARRAYAGG(ssn) FROM customers", "{a:!ssn b:.} | [!ssn] | <. !ssn> | [!ssn]"},
		{"SELECT JSON_OBJECT('a': ssn RETURNING text), JSON_OBJECT('a': notes FORMAT JSON, 'b': ssn FORMAT JSON) FROM customers", "~ssn | {a:. b:~ssn}"},
		{"SELECT JSON_ARRAY(SELECT ssn FROM customers)", "[!ssn]"},
		// as PostgREST and Hasura write it
		{`SELECT coalesce(json_agg(_postgrest_t), '[]')::character varying AS body FROM (SELECT "public"."customers".* FROM "public"."customers" LIMIT 1) _postgrest_t`, "~pan,email,ssn"}, // a text
		{`SELECT coalesce(json_agg(_postgrest_t), '[]') AS body FROM (SELECT "public"."customers".* FROM "public"."customers" LIMIT 1) _postgrest_t`, "[{" + customerRow + "}]"},
		{`SELECT coalesce(json_agg("root"), '[]') AS "root" FROM (SELECT row_to_json((SELECT "_1_e" FROM (SELECT "_0_root.base"."id" AS "id", "_0_root.base"."ssn" AS "tax") AS "_1_e")) AS "root"
			FROM (SELECT * FROM "public"."customers" WHERE id = $1) AS "_0_root.base") AS "_2_root"`, "[{id:. tax:!ssn}]"},
		{"UPDATE customers SET name = 'x' WHERE id = 1 RETURNING row_to_json(customers)", "{" + customerRow + "}"},
		{"SELECT j FROM (customers c JOIN orders o ON o.customer_id = c.id) AS j", "(id:. name:. email:!email ssn:!ssn card_number:!pan balance:. notes:. id:. customer_id:. total:. created_at:.)"},
	} {
		if got := outputsText(t, c.sql); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.sql, got, c.want)
		}
	}
}

// A sub-select must see what was in sight where it stands, whenever its shape is asked for.
func TestAShapeKnowsOnlyWhatWasInSight(t *testing.T) {
	sql := `SELECT (SELECT s.j FROM LATERAL (SELECT json_build_object('x', ssn, 'y', 1) AS j) s,
		(SELECT name AS ssn, id AS other FROM customers) b LIMIT 1) FROM customers`
	if got := outputsText(t, sql); got != "{x:!ssn y:.}" {
		t.Errorf("got %s", got)
	}
}

func TestShapesAreNotGivenWhereNamesAreNotCertain(t *testing.T) {
	const sql = "SELECT row_to_json(c) FROM customers c"
	for name, state := range map[string]analysis.State{
		"the search path was changed": {PathChanged: true}, "DDL is open": {Stale: true}, "names may be new": {Unsettled: true},
	} {
		result, err := analysis.Analyze(sql, &state, corpus(t), analysis.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range result.Statements[0].Outputs {
			if o.Shape != nil {
				t.Errorf("%s: %s", name, shapeText(o.Shape))
			}
		}
	}
}

func TestTheWorkForShapesIsBounded(t *testing.T) {
	var ctes []string
	for i := range 40 {
		from, what := "customers", "ssn"
		if i > 0 {
			from, what = fmt.Sprintf("c%d", i-1), "j"
		}
		ctes = append(ctes, fmt.Sprintf("c%d AS (SELECT json_build_array(%s, %s) AS j FROM %s)", i, what, what, from))
	}
	if got := outputsText(t, "WITH "+strings.Join(ctes, ", ")+" SELECT j FROM c39"); got != "~ssn" {
		t.Errorf("a shape of 2^40 parts: %.100s", got)
	}
	deep := "ssn"
	for range 90 {
		deep = "to_json(ARRAY(SELECT " + deep + "))"
	}
	if got := outputsText(t, "SELECT "+deep+" FROM customers"); !strings.Contains(got, "ssn") {
		t.Errorf("a deep shape: %.100s", got)
	}
}

func TestThePathsOfAShapeReadAsInJSON(t *testing.T) {
	result, err := analysis.Analyze(`SELECT json_build_object('a', ssn, 'o', json_agg(json_build_array(id, email)), 'm', json_object_agg(name, ssn)) FROM customers`,
		&analysis.State{}, corpus(t), analysis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	result.Statements[0].Outputs[0].Shape.Leaves(func(path string, leaf *analysis.Shape) {
		got = append(got, path+" "+leaf.Sources[0].Column)
	})
	if want := "$.a ssn; $.o[][1] email; $.m.* ssn"; strings.Join(got, "; ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, "; "), want)
	}
}
