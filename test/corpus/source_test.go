package corpus

import (
	"fmt"
	"os"
	"testing"

	"github.com/tidewaiter/tidewaiter/test/conformance/localproxy"
)

// inference are questions whose answers, of real values, tell them bit by bit. Each must run, and say the same of any secret.
var inference = []string{
	"SELECT count(*) FROM customers WHERE ssn LIKE '1%'",
	"SELECT id FROM customers WHERE ssn < '103' ORDER BY id",
	"SELECT id FROM customers ORDER BY ssn, id",
	"SELECT id, rank() OVER (ORDER BY ssn) FROM customers ORDER BY id",
	"SELECT count(DISTINCT ssn), min(ssn), max(length(card_number)) FROM customers",
	"SELECT ssn, count(*) FROM customers GROUP BY ssn HAVING count(*) > 1",
	"SELECT ascii(substr(ssn, 1, 1)) FROM customers WHERE id = 7",
	"SELECT 1 / (CASE WHEN substr(ssn, 1, 1) = '1' THEN 0 ELSE 1 END) FROM customers WHERE id = 7",
	"SELECT ssn::int FROM customers WHERE id = 7",
	"SELECT c.id FROM customers c JOIN (VALUES ('101-45-6001'), ('555-45-6001')) v (s) ON c.ssn = v.s",
	"SELECT generate_series(1, length(ssn)) FROM customers WHERE id = 7",
	"SELECT c, row_to_json(c), c::text, md5(c::text) FROM customers c WHERE id = 7",
	"SELECT ssn(c), (c).ssn FROM customers c WHERE id = 7",
	"SELECT string_agg(ssn, ',' ORDER BY id), array_agg(secret) FROM customers, api_keys",
	"SELECT tax FROM v_contacts WHERE tax > '104' ORDER BY tax",
	"SELECT x.id FROM customers x WHERE EXISTS (SELECT FROM customers y WHERE y.ssn > x.ssn)",
	"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM customers WHERE ssn LIKE '1%'",
	"EXPLAIN SELECT * FROM customers WHERE ssn = '101-45-6001'",
	"SELECT most_common_vals, histogram_bounds FROM pg_stats WHERE tablename = 'customers' AND attname = 'ssn'",
	"UPDATE orders SET total = 0 WHERE customer_id IN (SELECT id FROM customers WHERE ssn LIKE '1%')",
	"DELETE FROM orders USING customers c WHERE c.id = customer_id AND c.ssn > '103'",
	"CREATE TEMP TABLE copied AS SELECT * FROM customers WHERE ssn > '103'",
	"COPY customers TO STDOUT (FORMAT csv, HEADER)",
	"COPY customers (id, ssn) TO STDOUT",
	"DECLARE k CURSOR FOR SELECT * FROM customers ORDER BY card_number, id",
	"PREPARE p AS SELECT id, ssn FROM customers WHERE ssn > '103' ORDER BY id",
	"SELECT * FROM customers FOR UPDATE",
	"WITH RECURSIVE t (i, s) AS (SELECT 1, ssn FROM customers WHERE id = 1 UNION ALL SELECT i + 1, substr(s, 2) FROM t WHERE i < 5) SELECT * FROM t",
	"SELECT set_config('application_name', ssn, false) FROM customers WHERE id = 7",
	"TABLE customers",
	`SELECT public.customers.ssn, "customers".id FROM public.customers WHERE public.customers.id < 5 ORDER BY 2`,
}

// mayBlock are those that may be refused as well, for what they are.
var mayBlock = map[string]bool{inference[16]: true, inference[21]: true, inference[28]: true}

// unordered read the system's own tables without an ORDER BY: their rows have another order in the other database.
var unordered = map[string]bool{"B007": true, "B027": true}

// Two databases that differ in their secrets alone must give the same bytes, whatever is asked of them: an answer that depends
// on a secret, be it a count, an order or an error, is inference.
func TestMaskedAtTheSourceNoAnswerDependsOnASecret(t *testing.T) {
	binary, err := localproxy.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	judge := newJudge(t, LocalProxyAtSource(binary))
	rows := append(mustLoad(t, "exfil.tsv"), mustLoad(t, "benign.tsv")...)
	for i, sql := range inference {
		rows = append(rows, Row{ID: fmt.Sprintf("inference %d", i), SQL: sql, Expected: Flag})
	}
	ran := 0
	for _, row := range rows {
		for _, how := range modesOf(row) {
			out, _, err := judge.runIn(t.Context(), judge.through, row, how)
			if err != nil {
				t.Fatalf("%s: %v", row.ID, err)
			}
			if found := judge.canaries.found(out.received, out.frames, row.SQL); len(found) > 0 {
				t.Errorf("%s (%s) leaks %v: %s", row.ID, how, found, row.SQL)
			}
			if out.broken != nil {
				t.Errorf("%s (%s): %v: %s", row.ID, how, out.broken, row.SQL)
			}
			if out.failure == nil {
				ran++
			} else if row.Category == "" && out.blocked() && !mayBlock[row.SQL] {
				t.Errorf("%s (%s) is refused: %s: %s", row.ID, how, out.failure.Message, row.SQL)
			}
			dependent, err := judge.dependsOnSecrets(t.Context(), row, how, out)
			if err != nil {
				t.Fatalf("%s: %v", row.ID, err)
			}
			if dependent && !unordered[row.ID] {
				t.Errorf("%s (%s): other secrets give other bytes: %s", row.ID, how, row.SQL)
			}
			if out.failure != nil && out.sqlstate() == "0A000" {
				t.Logf("%s (%s): %s: %s", row.ID, how, out.failure.Message, row.SQL)
			}
		}
	}
	t.Logf("%d statements ran", ran)
}

// What has nothing to do with secrets must not notice: same bytes as without a proxy.
func TestMaskedAtTheSourceWhatMustPassPasses(t *testing.T) {
	binary, err := localproxy.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	report := runAll(t, newJudge(t, LocalProxyAtSource(binary)), mustLoad(t, "benign.tsv"))
	if err := report.WriteDetails(os.Stdout); err != nil {
		t.Error(err)
	}
	if percent := report.AsExpected(); percent < benignPercent {
		t.Errorf("%.1f %% of the benign rows are as expected; want %d %% or more", percent, benignPercent)
	}
}
