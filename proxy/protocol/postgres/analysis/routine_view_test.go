package analysis_test

import (
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
)

func TestTheColumnsOfViewsCarryWhatTheirQueriesSay(t *testing.T) {
	for _, test := range []struct{ name, sql, want string }{
		{"an expression of what is not protected", `CREATE VIEW v AS SELECT id, upper(name) AS n, left(ssn, 2) AS s FROM customers`, "id n s[ssn]"},
		{"whole rows, one protected", `CREATE VIEW v AS SELECT row_to_json(o) AS o, row_to_json(c) AS c, c.ssn FROM orders o, customers c`, "o c[email ssn] ssn[ssn]"},
		{"a function that computes", `CREATE FUNCTION f(a text) RETURNS text LANGUAGE sql AS 'SELECT upper(a)'; CREATE VIEW v AS SELECT f(name) AS n, f(ssn) AS s FROM customers`, "n s[ssn]"},
		{"a function that reads", `CREATE FUNCTION f(a int) RETURNS text LANGUAGE sql AS 'SELECT ssn FROM customers WHERE id = a'; CREATE VIEW v AS SELECT id, f(id) AS s FROM orders`, "id s[ssn]"},
		{"a function that nobody can read", `CREATE FUNCTION f(a int) RETURNS text LANGUAGE internal AS 'int4out'; CREATE VIEW v AS SELECT id, f(id) AS s FROM orders`, "id s[email ssn]"},
		{"a function in a materialized view", `CREATE FUNCTION f(a text) RETURNS text LANGUAGE sql AS 'SELECT upper(a)'; CREATE MATERIALIZED VIEW v AS SELECT f(name) AS n FROM customers`, "n[email ssn]"},
		{"a view on a view", `CREATE VIEW u AS SELECT id, upper(name) AS n, upper(ssn) AS s FROM customers; CREATE VIEW v AS SELECT n || 'x' AS n, n || s AS s FROM u`, "n s[ssn]"},
		{"a comparison", `CREATE VIEW v AS SELECT upper(name) AS n FROM customers WHERE ssn > '5'`, "n[ssn]"},
		{"its own classification", `CREATE VIEW v AS SELECT upper(name) AS email, upper(ssn) AS s FROM customers`, "email[email] s[ssn]"},
		{"a union", `CREATE VIEW v AS SELECT 1 AS a, upper(ssn) AS b FROM customers UNION ALL SELECT id, 'x' FROM orders`, "a b[ssn]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := withViews(t, test.sql, analysis.ViewTags)
			r := s.Lookup("public", "v")
			var parts []string
			for _, c := range r.Columns {
				text := c.Name
				if tags := s.TagsOf(r.OID, c.Num); len(tags) > 0 {
					text += "[" + strings.Join(tags, " ") + "]"
				}
				parts = append(parts, text)
			}
			if got := strings.Join(parts, " "); got != test.want || !r.Reads {
				t.Errorf("%s\n got %s, reads %v\nwant %s", test.sql, got, r.Reads, test.want)
			}
		})
	}
}
