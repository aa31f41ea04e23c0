package analysis_test

import (
	"strings"
	"testing"
)

// nested is a text inside n times the same around it.
func nested(n int, before, inside, after string) string {
	return strings.Repeat(before, n) + inside + strings.Repeat(after, n)
}

// What is looked at twice at each level takes for ever at the fortieth. The bound on
// steps would end it, by giving up on the statement: then its columns are not known.
func TestNestingDoesNotMultiplyTheWork(t *testing.T) {
	for _, query := range []string{
		"SELECT " + nested(40, "(jsonb_populate_record(NULL::customers, ", "to_jsonb(c)", ")).nosuch") + " FROM customers c",
		"SELECT " + nested(40, "(jsonb_populate_record(NULL::customers, ", "to_jsonb(c)", ")).ssn") + " FROM customers c",
		"SELECT " + nested(40, "(ROW(", "ssn", ")).f1") + " FROM customers c",
		"SELECT " + nested(40, "(ROW(", "ssn", ")).f2") + " FROM customers c",
		"SELECT " + nested(40, "jsonb_build_object('a', ", "ssn", ") -> 'a'") + " FROM customers c",
		"SELECT " + nested(40, "(jsonb_build_object('a', ", "ssn", ") -> 0)") + " FROM customers c",
		"SELECT " + nested(60, "jsonb_build_object('a', ", "ssn", ")") + " FROM customers c",
		"SELECT " + nested(40, "(SELECT ", "ssn", " FROM orders WHERE id = 1)") + " FROM customers c",
		"SELECT " + nested(40, "(SELECT jsonb_build_object('a', ", "ssn", ") FROM orders)") + " FROM customers c",
		"SELECT 1 FROM customers WHERE " + nested(40, "(SELECT id FROM orders WHERE ", "ssn = 'x'", ") IN (1)"),
		"SELECT " + nested(40, "json_agg(", "ssn", " ORDER BY 1)") + " FROM customers c",
		"SELECT " + nested(40, "json_agg(1 ORDER BY ", "ssn", ")") + " FROM customers c",
		nested(12, "WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a FROM (", "SELECT 1 AS a", ") x) SELECT a FROM r"),
		"SELECT " + nested(60, "CASE WHEN ", "ssn = 'x'", " THEN true END") + " FROM customers c",
		"SELECT " + nested(40, "(ARRAY[", "ssn", "])[1]") + " FROM customers c",
		"SELECT * FROM " + nested(30, "unnest(ARRAY(SELECT x FROM ", "customers x", ")) x"),
		"SELECT " + nested(40, "coalesce(", "ssn", ", 'x')") + " FROM customers c",
	} {
		s := last(t, query, nil)
		if s.Kind == "" || len(s.Outputs) != 1 && !strings.Contains(query, "unnest") {
			t.Errorf("%.100s: kind %q, %d outputs", query, s.Kind, len(s.Outputs))
		}
	}
}
