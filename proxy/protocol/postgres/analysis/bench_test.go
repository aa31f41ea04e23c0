package analysis_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
)

// texts are new statements of the sizes that the budgets are for.
var texts = map[string]string{
	"point select": `SELECT abalance FROM pgbench_accounts WHERE aid = $1`,
	"report of 400 bytes": `WITH recent AS (SELECT customer_id, sum(total) AS spent FROM orders GROUP BY 1)
			SELECT c.name, r.spent, upper(c.ssn) FROM recent r JOIN customers c ON c.id = r.customer_id
			WHERE c.name LIKE 'a%' AND c.id BETWEEN 1 AND 100 ORDER BY r.spent DESC NULLS LAST LIMIT 10`,
	"nested JSON": `SELECT coalesce(jsonb_agg(x.d), '[]') FROM (SELECT jsonb_build_object('id', t.id, 'ssn', t.ssn, 'orders',
			(SELECT coalesce(jsonb_agg(y.d), '[]') FROM (SELECT jsonb_build_object('id', o.id, 'note', o.note,
			'more', (SELECT jsonb_agg(p) FROM orders p WHERE p.id = o.id)) AS d FROM orders o WHERE o.id = t.id) y)) AS d
			FROM (SELECT * FROM customers WHERE id = $1) t) x`,
	"2 KB": `SELECT c.id, c.ssn, o.note FROM customers c JOIN orders o ON o.id = c.id WHERE c.id IN (1` +
		strings.Repeat(", 12345", 120) + `) AND (` + strings.Repeat(`o.note = 'some text' OR `, 40) + `c.name IS NULL)`,
}

// BenchmarkAnalyze measures what a new statement costs: at most 300 µs at the median
// for 400 bytes, and 1 ms at the 99th percentile for 2 KB, on a quiet core.
func BenchmarkAnalyze(b *testing.B) {
	cat := small()
	for name, text := range texts {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				if _, err := analysis.Analyze(text, nil, cat, analysis.Options{}); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}
