package analysis_test

import (
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
)

// BenchmarkAnalyze measures what a new statement costs; the budget for its whole
// decision is 300 µs.
func BenchmarkAnalyze(b *testing.B) {
	cat := small()
	for name, text := range map[string]string{
		"point select": `SELECT abalance FROM pgbench_accounts WHERE aid = $1`,
		"report": `WITH recent AS (SELECT customer_id, sum(total) AS spent FROM orders GROUP BY 1)
			SELECT c.name, r.spent, upper(c.ssn) FROM recent r JOIN customers c ON c.id = r.customer_id
			WHERE c.name LIKE 'a%' AND c.id BETWEEN 1 AND 100 ORDER BY r.spent DESC NULLS LAST LIMIT 10`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := analysis.Analyze(text, nil, cat, analysis.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
