package session

import (
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

func BenchmarkTake(b *testing.B) {
	for name, l := range map[string]access.Limits{
		"no limits":     {},
		"per statement": {RowsPerStatement: 1 << 60, BytesPerStatement: 1 << 60},
		"per hour":      {RowsPerHour: 1 << 60, BytesPerHour: 1 << 60, Policy: "data/test", Rule: "read"},
		"lent":          {RowsPerHour: 1 << 60, BytesPerHour: 1 << 60, Policy: "data/test", Rule: "read"},
	} {
		b.Run(name, func(b *testing.B) {
			s := &Session{p: &Pipeline{DataSource: "data/shop", Budgets: &Budgets{}, Now: time.Now}, identity: access.Identity{Namespace: "shop", ServiceAccount: "agent"}}
			x := &Exchange{s: s, decision: access.Decision{Effect: access.Allow, Limits: l}}
			if name == "lent" {
				s.p.Budgets.Lend(&bank{pot: 1 << 61, part: 1 << 50})
				for x.Take(1, 100, 0) != nil {
					if err := x.Extend(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := x.Take(1, 100, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
