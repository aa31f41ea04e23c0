package analysis_test

import (
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
)

// carried renders the outputs' names, with "!" behind those that carry a tag.
func carried(s analysis.Statement) string {
	if s.ReturnsRows && s.Outputs == nil {
		return "not known"
	}
	var list []string
	for _, o := range s.Outputs {
		name := o.Name
		if len(o.Tags) > 0 {
			name += "!"
		}
		list = append(list, name)
	}
	return strings.Join(list, " ")
}

func TestEachColumnCarriesItsOwnAndNoMore(t *testing.T) {
	for query, want := range map[string]string{
		`SELECT (c).name, (c).ssn FROM customers c`:                                                                                                  "name ssn!",
		`SELECT name(c), id(c), ssn(c) FROM customers c`:                                                                                             "name! id ssn!", // name is a type, and name(c) could be a cast
		`SELECT (c).* FROM customers c`:                                                                                                              "id name ssn! up!",
		`SELECT (ROW(id, ssn)).f1, (ROW(id, ssn)).f2 FROM customers`:                                                                                 "f1 f2!",
		`SELECT (NULL::customers).name`:                                                                                                              "name",
		`SELECT (jsonb_populate_record(NULL::orders, '{}')).* FROM customers`:                                                                        "id note",
		`SELECT * FROM customers c, generate_series(1, 3) g`:                                                                                         "id name ssn! up! g",
		`SELECT * FROM customers c, unnest($1::int[]) WITH ORDINALITY u(x, n)`:                                                                       "id name ssn! up! x n",
		`SELECT * FROM orders, unnest(ARRAY[1, 2]) u`:                                                                                                "id note u",
		`SELECT * FROM unnest(ARRAY[1], ARRAY['x']) u`:                                                                                               "unnest unnest",
		`SELECT * FROM customers c, regexp_matches(c.ssn, 'x') m`:                                                                                    "id name ssn! up! m!",
		`SELECT * FROM customers c, string_to_table(c.ssn, '-') WITH ORDINALITY AS t(part, n)`:                                                       "id name ssn! up! part! n!",
		`SELECT * FROM jsonb_each('{}')`:                                                                                                             "key value",
		`SELECT e FROM customers c, jsonb_array_elements(to_jsonb(c)) AS e`:                                                                          "e!",
		`SELECT * FROM jsonb_to_recordset($1) AS x(a int, b text)`:                                                                                   "a b",
		`SELECT * FROM ROWS FROM (generate_series(1, 2), jsonb_to_recordset($1) AS (a int)) AS r`:                                                    "generate_series a",
		`SELECT * FROM jsonb_populate_recordset(NULL::customers, $1)`:                                                                                "id name ssn up",
		`SELECT * FROM unnest((SELECT array_agg(c) FROM customers c)) u`:                                                                             "not known",
		`SELECT name, ssn FROM customers UNION ALL SELECT note, note FROM orders`:                                                                    "name ssn!",
		`SELECT note FROM orders EXCEPT ALL SELECT NULL`:                                                                                             "note",
		`SELECT * FROM orders JOIN customers USING (id)`:                                                                                             "id note name ssn! up!",
		`SELECT count(*) OVER (), count(ssn) OVER (PARTITION BY id), rank() OVER (ORDER BY ssn) FROM customers`:                                      "count count rank!",
		`SELECT count(*) FILTER (WHERE ssn = 'x'), count(*) FILTER (WHERE ssn IS NULL) FROM customers`:                                               "count! count",
		`SELECT (ARRAY[name, ssn])[1] AS a, (ARRAY[name, ssn])[2] AS b, (ARRAY[ssn, name])[2][1:1] AS c, (ARRAY[ssn, name])[id] AS d FROM customers`: "a b! c! d!",
		`SELECT count(*) OVER v AS a, count(*) OVER w AS b, count(*) OVER (w ROWS 1 PRECEDING) AS c FROM customers WINDOW v AS (PARTITION BY name), w AS (PARTITION BY ssn)`: "a b! c!",
		`SELECT count(*) OVER x AS a FROM customers WINDOW w AS (PARTITION BY ssn), x AS (w ORDER BY id)`:                                                                    "a!",
		`SELECT count(x) AS a, count(y) AS b FROM (SELECT CASE WHEN ssn = 'x' THEN 1 END AS x, ssn AS y FROM customers) u`:                                                   "a! b",
		`SELECT count(u) AS a, num_nulls(u) AS b FROM (SELECT nullif(ssn, 'x') AS x FROM customers) u`:                                                                       "a b!",
		`SELECT x IS NULL AS a, y IS NULL AS b FROM (SELECT nullif(ssn, 'x') AS x, ssn AS y FROM customers) u`:                                                               "a! b",
		`SELECT grouping(ssn), count(*) FROM customers GROUP BY ROLLUP (ssn)`:                                                                                                "grouping count",
		`WITH RECURSIVE r(a, b) AS (SELECT id, ssn FROM customers UNION ALL SELECT r.* FROM r) SELECT * FROM r`:                                                              "a b!",
		`WITH RECURSIVE r AS (SELECT id, ssn FROM customers UNION ALL SELECT r.id, r.ssn FROM r) SEARCH DEPTH FIRST BY id SET s CYCLE id SET y USING p SELECT * FROM r`:      "id ssn! s y p",
		`WITH RECURSIVE r AS (SELECT id, ssn FROM customers UNION ALL SELECT r.* FROM r) SEARCH BREADTH FIRST BY ssn SET s CYCLE ssn SET y USING p SELECT * FROM r`:          "id ssn! s! y! p!",
		`INSERT INTO customers (id, ssn) VALUES (1, 'x') RETURNING *`:                                                                                                        "id name ssn! up!",
	} {
		if got := carried(last(t, query, nil)); got != want {
			t.Errorf("%s\n got %s\nwant %s", query, got, want)
		}
	}
}

func TestEachValueOfAWriteGoesItsOwnWay(t *testing.T) {
	for query, laundered := range map[string]bool{
		`UPDATE customers SET (name, ssn) = (SELECT note, 'x' FROM orders)`:                                                             false,
		`UPDATE customers c SET (name, ssn) = (SELECT d.name, d.ssn FROM customers d WHERE d.id = c.id)`:                                false,
		`UPDATE customers c SET (ssn, name) = (SELECT d.name, d.ssn FROM customers d WHERE d.id = c.id)`:                                true,
		`INSERT INTO customers (id, name, ssn) SELECT id, name, ssn FROM customers ON CONFLICT (id) DO UPDATE SET name = excluded.name`: false,
		`INSERT INTO customers (id, name, ssn) SELECT id, name, ssn FROM customers ON CONFLICT (id) DO UPDATE SET name = excluded.ssn`:  true,
		`INSERT INTO customers (id, ssn) SELECT id, ssn FROM customers ON CONFLICT (id) DO UPDATE SET name = excluded.up`:               true,
		`INSERT INTO customers (id, ssn) SELECT id, ssn FROM customers ON CONFLICT (id) DO UPDATE SET name = (SELECT excluded::text)`:   true,
		`MERGE INTO customers c USING customers d ON c.id = d.id WHEN MATCHED THEN UPDATE SET name = d.name, ssn = d.ssn`:               false,
		`MERGE INTO customers c USING customers d ON c.id = d.id WHEN NOT MATCHED THEN INSERT (id, name) VALUES (d.id, d.ssn)`:          true,
		`UPDATE orders SET note = (c).name FROM customers c`:                                                                            false,
		`UPDATE orders SET note = (c).ssn FROM customers c`:                                                                             true,
	} {
		s := last(t, query, nil)
		if got := strings.Contains(features(s), analysis.Laundering); got != laundered || s.Kind == "" {
			t.Errorf("%s: %s", query, features(s))
		}
	}
}

func TestWhatTellsProtectedValuesFromMadeUpOnesIsInference(t *testing.T) {
	for query, inference := range map[string]bool{
		`SELECT ssn FROM customers INTERSECT SELECT 'x'`:                                                                              true,
		`SELECT 'x' EXCEPT SELECT ssn FROM customers`:                                                                                 true,
		`SELECT ssn FROM customers INTERSECT SELECT note FROM orders`:                                                                 true,
		`SELECT ssn FROM customers UNION SELECT 'x'`:                                                                                  true,
		`SELECT ssn FROM customers UNION SELECT g::text FROM generate_series(1, 9) g`:                                                 true,
		`VALUES ('x'), ('y') INTERSECT (SELECT ssn FROM customers)`:                                                                   true,
		`SELECT DISTINCT x FROM (SELECT ssn AS x FROM customers UNION ALL SELECT 'x') u`:                                              true,
		`SELECT count(*) FROM (SELECT ssn AS x FROM customers UNION ALL VALUES ('x')) u GROUP BY x`:                                   true,
		`SELECT m FROM (SELECT ssn AS x, 1 AS m FROM customers UNION ALL SELECT 'x', 2) u ORDER BY x`:                                 true,
		`SELECT count(DISTINCT x) FROM (VALUES ((SELECT ssn FROM customers)), ('x')) u(x)`:                                            true,
		`SELECT id FROM (SELECT id, left(ssn, 1) AS x FROM customers) u WHERE x = '1'`:                                                true,
		`WITH u AS (SELECT id, substr(ssn, 2, 1) AS x FROM customers) SELECT id FROM u WHERE u.x < '5'`:                               true,
		`SELECT n FROM customers, string_to_table(ssn, NULL) WITH ORDINALITY AS t(ch, n) WHERE ch = '1'`:                              true,
		`SELECT a.id FROM (SELECT id, left(ssn, 1) AS x FROM customers) a JOIN (SELECT left(ssn, 1) AS x FROM customers) b USING (x)`: true,
		`SELECT 1 FROM customers WHERE ssn LIKE '1%' AND (SELECT count(*) FROM generate_series(1, 5000000)) > 0`:                      true,
		`SELECT 1 FROM customers, generate_series(1, 1000) a, generate_series(1, 1000) b WHERE ssn = 'x'`:                             true,
		`SELECT 1 FROM customers WHERE ssn = 'x' AND length(repeat('x', 1000 * 1000 * 1000)) > 0`:                                     true,

		`SELECT count(*) FROM (SELECT CASE WHEN g = 0 THEN ssn ELSE g::text END AS x FROM customers, generate_series(0, 9) g) u GROUP BY x`: true,
		`SELECT count(*) FROM (SELECT CASE WHEN id = 0 THEN ssn ELSE 'none' END AS x FROM customers) u GROUP BY x`:                          false,
		`SELECT count(*) FROM (SELECT CASE WHEN id = 0 THEN ssn ELSE name END AS x FROM customers) u GROUP BY x`:                            false,

		`SELECT ssn FROM customers INTERSECT SELECT ssn FROM customers`:                                         false,
		`SELECT ssn FROM customers UNION SELECT NULL`:                                                           false,
		`SELECT id, ssn FROM customers UNION SELECT id, NULL::text FROM orders`:                                 false,
		`SELECT ssn FROM customers UNION SELECT note FROM orders`:                                               false,
		`SELECT ssn FROM customers UNION ALL SELECT 'x'`:                                                        false,
		`SELECT name FROM customers EXCEPT SELECT note FROM orders`:                                             false,
		`SELECT x FROM (SELECT id, ssn AS x FROM customers) u WHERE x = '1'`:                                    false,
		`SELECT id FROM (SELECT id, max(ssn) AS x FROM customers GROUP BY id) u WHERE x > '1'`:                  false,
		`SELECT * FROM generate_series(1, 366) d LEFT JOIN customers ON ssn = 'x'`:                              false,
		`SELECT * FROM generate_series(1, 5000000)`:                                                             false,
		`WITH RECURSIVE r(a, b) AS (SELECT id, ssn FROM customers UNION SELECT id, b FROM r) SELECT * FROM r`:   false,
		`WITH RECURSIVE r(a, b) AS (SELECT id, ssn FROM customers UNION SELECT id, 'x' FROM r) SELECT * FROM r`: true,
	} {
		s := last(t, query, nil)
		if got := strings.Contains(features(s), analysis.Inference); got != inference || s.Kind == "" {
			t.Errorf("%s: %s", query, features(s))
		}
	}
}
