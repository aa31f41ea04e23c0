package policy_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/tidewaiter/tidewaiter/controllers/compile"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/policy"
)

func makersCapabilities() *ast.Capabilities { return compile.Capabilities() }

func TestADecisionSeenBeforeAllocatesNothing(t *testing.T) {
	e := loaded(t)
	op := operation(reportOnCustomers())
	op.ID = 1
	allocs := testing.AllocsPerRun(100, func() {
		if d, err := e.Decide(context.Background(), caller, op); err != nil || d.Effect != access.Allow {
			t.Fatal(d.Effect, err)
		}
	})
	if allocs != 0 {
		t.Errorf("got %v allocations, want none", allocs)
	}
}

// BenchmarkDecide measures a decision that was made before, and a new one under
// a small and a large policy.
func BenchmarkDecide(b *testing.B) {
	op := operation(reportOnCustomers())
	run := func(name string, e *policy.Engine, id uint64) {
		b.Run(name, func(b *testing.B) {
			same := *op
			same.ID = id
			b.ReportAllocs()
			for b.Loop() {
				if d, err := e.Decide(context.Background(), caller, &same); err != nil || d.Effect != access.Allow {
					b.Fatal(d.Effect, d.Reason, err)
				}
			}
		})
	}
	small := loaded(b)
	run("seen", small, 1)
	run("new", small, 0)
	large, err := policy.Load(madeOf(b, largePolicy()), trusting())
	if err != nil {
		b.Fatal(err)
	}
	run("new/64 rules", large, 0)
}

func largePolicy() string {
	var rules strings.Builder
	for i := range 60 {
		fmt.Fprintf(&rules, "  - {name: more-%d, action: Allow, statements: [Select], tables: [\"s%d.*\", \"t%d_*.x*\"]}\n", i, i, i)
	}
	return strings.Replace(reporting, "  masks:\n", rules.String()+"  masks:\n", 1)
}

// BenchmarkLoad measures a change of policy, and what an engine keeps on the heap.
func BenchmarkLoad(b *testing.B) {
	raw := made(b)
	b.ReportAllocs()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var kept []*policy.Engine
	for b.Loop() {
		e, err := policy.Load(raw, trusting())
		if err != nil {
			b.Fatal(err)
		}
		kept = append(kept, e)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(kept)), "heap-B/engine")
}
