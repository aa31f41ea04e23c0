package record_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/record"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// BenchmarkStatement measures what one statement costs: its intent record and
// its end.
func BenchmarkStatement(b *testing.B) {
	for _, mode := range []record.Durability{record.Async, record.Statement} {
		for _, sessions := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/sessions=%d", mode, sessions), func(b *testing.B) {
				r, err := record.New(record.Options{Dir: b.TempDir(), Durability: mode})
				if err != nil {
					b.Fatal(err)
				}
				benchmark(b, r, sessions)
			})
		}
	}
}

func benchmark(b *testing.B, r *record.Recorder, sessions int) {
	records := make([]session.Record, sessions)
	for i := range records {
		var err error
		if records[i], err = r.Open(access.Opened{Session: fmt.Sprintf("s%d", i)}); err != nil {
			b.Fatal(err)
		}
	}
	now := time.Now()
	decided := access.Decided{
		Phase: access.PhaseRun, Text: "SELECT abalance FROM pgbench_accounts WHERE aid = $1;", Kinds: []string{"Select"},
		Parameters: []access.Value{{Text: "4711"}}, Resources: []string{"Read public.pgbench_accounts"},
		Effect: "Allow", Policy: "data/bench", Rule: "read", Revision: 17,
	}
	ended := access.Ended{Outcome: access.OutcomeDone, Tag: "SELECT 1", Rows: 1, Bytes: 12, Duration: time.Millisecond}
	b.ReportAllocs()
	b.ResetTimer()
	var all sync.WaitGroup
	for i, rec := range records {
		all.Go(func() {
			for n := int64(i); n < int64(b.N); n += int64(sessions) {
				if rec.Append(access.Event{Kind: access.EventDecided, Time: now, Statement: n, Decided: &decided}) != nil ||
					rec.Append(access.Event{Kind: access.EventEnded, Time: now, Statement: n, Ended: &ended}) != nil {
					b.Error("an event was not taken")
					return
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	for _, rec := range records {
		if err := rec.Close(); err != nil {
			b.Error(err)
		}
	}
}
