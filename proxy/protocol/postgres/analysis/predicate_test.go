package analysis_test

import (
	"strings"
	"testing"
)

func TestAConditionThatPicksAProtectedValueApartIsInference(t *testing.T) {
	for name, text := range map[string]string{
		"a part against a constant":          "SELECT count(*) FROM customers WHERE id = 1 AND ascii(substring(ssn FROM 1 FOR 1)) > 52",
		"a byte against a constant":          "SELECT 1 FROM customers WHERE get_byte(ssn::bytea, 0) = 115",
		"a short cast":                       "SELECT 1 FROM customers WHERE ssn::varchar(1) = '1'",
		"the first character by a cast":      `SELECT 1 FROM customers WHERE ssn::"char" = '1'`,
		"a part in a list":                   "SELECT id FROM customers WHERE left(ssn, 3) IN ('100', '101')",
		"a part against generated values":    "SELECT g FROM generate_series(0, 999) g JOIN customers ON left(ssn, 3) = g::text",
		"the value against generated values": "SELECT g FROM generate_series(0, 999) g JOIN customers ON ssn = g::text",
		"a pattern of generated values":      "SELECT g FROM customers, generate_series(48, 57) g WHERE ssn LIKE chr(g) || '%'",
		"a function of both":                 "SELECT g FROM customers, generate_series(48, 57) g WHERE starts_with(ssn, chr(g))",
		"generated values in a sub-select":   "SELECT g FROM generate_series(48, 57) g WHERE g IN (SELECT ascii(ssn) FROM customers)",
		"one by one in a sub-select":         "SELECT g FROM generate_series(48, 57) g WHERE g::text = ANY (SELECT ssn FROM customers)",
		"a scalar sub-select":                "SELECT g FROM generate_series(48, 57) g WHERE g::text = (SELECT ssn FROM customers LIMIT 1)",
		"EXISTS":                             "SELECT g FROM generate_series(48, 57) g WHERE EXISTS (SELECT 1 FROM customers WHERE ssn = g::text)",
		"USING":                              "SELECT id FROM (SELECT g::text AS ssn FROM generate_series(48, 57) g) x JOIN customers USING (ssn)",
		"NATURAL":                            "SELECT id FROM (SELECT g::text AS ssn FROM generate_series(48, 57) g) x NATURAL JOIN customers",
		"a recursion":                        "WITH RECURSIVE s(a, b) AS (SELECT 0, ssn FROM customers UNION ALL SELECT a + 1, b FROM s WHERE a::text <> b) SELECT a FROM s",
		"HAVING":                             "SELECT count(*) FROM customers GROUP BY id HAVING left(min(ssn), 1) = '1'",
		"a condition of an UPDATE":           "UPDATE customers SET name = 'x' WHERE right(ssn, 1) = '1'",
		"a time":                             "SELECT CASE WHEN ssn LIKE '1%' THEN pg_sleep(1) END FROM customers",
		"rows up to the value":               "SELECT generate_series(1, ascii(ssn)) FROM customers",
	} {
		if got := features(last(t, text, nil)); !strings.Contains(got, "Inference") {
			t.Errorf("%s is no inference (%q): %s", name, got, text)
		}
	}
}

func TestAConditionOnTheWholeValueIsForThePolicysPredicates(t *testing.T) {
	for name, text := range map[string]string{
		"equality":            "SELECT id FROM customers WHERE ssn = $1",
		"case":                "SELECT id FROM customers WHERE upper(ssn::text) = upper($1)",
		"a list":              "SELECT id FROM customers WHERE ssn IN ('a', 'b')",
		"an array":            "SELECT id FROM customers WHERE ssn = ANY ($1::text[])",
		"a range":             "SELECT id FROM customers WHERE ssn BETWEEN '100' AND '200'",
		"a pattern":           "SELECT id FROM customers WHERE ssn LIKE '1%'",
		"equal tags":          "SELECT a.id FROM customers a JOIN customers b ON a.ssn < b.ssn",
		"USING of equal tags": "SELECT id FROM customers a JOIN customers b USING (ssn)",
		"the least":           "SELECT count(*) FROM customers GROUP BY id HAVING min(ssn) > '2'",
		"nothing or blank":    "SELECT id FROM customers WHERE ssn IS NOT NULL AND coalesce(ssn, '') <> ''",
		"a recursion":         "WITH RECURSIVE s(a, b) AS (SELECT 'x'::text, ssn FROM customers UNION ALL SELECT b, b FROM s WHERE a <> b) SELECT a FROM s",
		"a cast that fails":   "SELECT id FROM customers WHERE ssn::regclass::oid > 0",
	} {
		if got := features(last(t, text, nil)); strings.Contains(got, "Inference") {
			t.Errorf("%s is an inference (%q): %s", name, got, text)
		}
	}
}
