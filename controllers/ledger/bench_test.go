package ledger

import (
	"context"
	"runtime"
	"testing"

	"github.com/tidewaiter/tidewaiter/recording/ledger"
)

// BenchmarkAppend takes 100,000 leaves into a log, as the leader does, in batches of 4096.
func BenchmarkAppend100k(b *testing.B) {
	const leaves = 100_000
	for b.Loop() {
		b.StopTimer()
		m, r := newMemory(), &register{}
		for i := range leaves {
			appendLeaf(b, m, i)
		}
		s := newSequencer(b, m, r)
		b.StartTimer()
		for {
			more, err := s.Tick(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			if !more {
				break
			}
		}
		if n := published(b, m).Tree.N; n != leaves {
			b.Fatal(n)
		}
	}
	b.ReportMetric(leaves*float64(b.N)/b.Elapsed().Seconds(), "leaves/s")
}

// BenchmarkVerify1M makes a log of a million leaves anew of its entries, and reads them verified by tiles.
func BenchmarkVerify1M(b *testing.B) {
	m, tree := newMemory(), &ledger.Tree{}
	const leaves, batch = 1_000_000, 4096
	for n := 0; n < leaves; {
		var entries [][]byte
		for ; len(entries) < batch && n < leaves; n++ {
			l := leaf(n)
			l.Time = l.Time.AddDate(2026, 0, 0)
			e, err := l.Encode()
			if err != nil {
				b.Fatal(err)
			}
			entries = append(entries, e)
		}
		next, objects, err := tree.Append(entries)
		if err != nil {
			b.Fatal(err)
		}
		for _, o := range objects {
			m.m[o.Name] = o.Data
		}
		tree = next
	}
	c := &ledger.Checkpoint{Tree: tree.Head()}
	for name, verify := range map[string]func(*ledger.Reader) error{
		"root": func(r *ledger.Reader) error { return r.Verify(context.Background(), nil) },
		"leaves": func(r *ledger.Reader) error {
			return r.Verify(context.Background(), func(ledger.Entry) error { return nil })
		},
		"tiles": func(r *ledger.Reader) error {
			for _, err := range r.Leaves(context.Background(), 0, r.Size()) {
				if err != nil {
					return err
				}
			}
			return nil
		},
	} {
		b.Run(name, func(b *testing.B) {
			var before, peak runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for b.Loop() {
				if err := verify(ledger.NewReader(m, c)); err != nil {
					b.Fatal(err)
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&peak)
			b.ReportMetric(float64(int64(peak.HeapAlloc)-int64(before.HeapAlloc))/1e6, "MB-kept")
			b.ReportMetric(leaves*float64(b.N)/b.Elapsed().Seconds(), "leaves/s")
		})
	}
}
