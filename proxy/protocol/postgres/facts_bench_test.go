package postgres

import (
	"fmt"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

var benchCatalog = catalog.New(1, catalog.Content{
	SearchPath: []string{"pg_catalog", "public"},
	Relations: []catalog.Relation{{OID: 20000, Schema: "public", Name: "pgbench_accounts", Kind: 'r', Columns: []catalog.Column{
		{Name: "aid", Num: 1, TypeOID: 23}, {Name: "bid", Num: 2, TypeOID: 23}, {Name: "abalance", Num: 3, TypeOID: 23}, {Name: "filler", Num: 4, TypeOID: 1042},
	}}},
})

func BenchmarkUnderstand(b *testing.B) {
	for _, c := range []struct {
		name string
		text func(i int) string
	}{
		{"seen", func(int) string { return "SELECT abalance FROM pgbench_accounts WHERE aid = 1;" }},
		{"new literals", func(i int) string { return fmt.Sprintf("SELECT abalance FROM pgbench_accounts WHERE aid = %d;", i) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			var cache factCache
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, _, err := cache.analyze(c.text(i), &analysis.State{}, benchCatalog, nil, analysis.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
