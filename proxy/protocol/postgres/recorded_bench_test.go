package postgres

import (
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/core"
)

// What may be kept of a text is found out once, with its facts.
func TestWhatIsKeptOfARepeatedStatementTakesNoAllocation(t *testing.T) {
	var cache factCache
	a := &core.Ask{Text: "SELECT abalance FROM pgbench_accounts WHERE aid = $1 AND bid = 7", Parameters: []access.Value{{Text: "1"}}}
	op := &access.Operation{}
	run := func() {
		result, _, err := cache.analyze(a.Text, &a.Session, benchCatalog, nil, analysis.Options{})
		if err != nil {
			t.Fatal(err)
		}
		keep(op, a, result)
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 || op.Text != a.Text || op.Hides || len(op.Parameters) != 1 || op.Parameters[0].Text != "1" {
		t.Errorf("%v allocations, %+v", n, op)
	}
}

func BenchmarkKeep(b *testing.B) {
	var cache factCache
	a := &core.Ask{Text: "SELECT abalance FROM pgbench_accounts WHERE aid = $1 AND bid = 7", Parameters: []access.Value{{Text: "1"}}}
	result, _, err := cache.analyze(a.Text, &a.Session, benchCatalog, nil, analysis.Options{})
	if err != nil {
		b.Fatal(err)
	}
	op := &access.Operation{}
	b.ReportAllocs()
	for b.Loop() {
		keep(op, a, result)
	}
}
