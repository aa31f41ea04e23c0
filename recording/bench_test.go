package recording_test

import (
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
)

// BenchmarkEncoder measures the two events of a statement: encoded, hashed and
// chained.
func BenchmarkEncoder(b *testing.B) {
	now := time.Now()
	decided := access.Event{Kind: access.EventDecided, Time: now, Statement: 7, Decided: &access.Decided{
		Phase: access.PhaseRun, Text: "SELECT abalance FROM pgbench_accounts WHERE aid = $1;", Kinds: []string{"Select"},
		Parameters: []access.Value{{Text: "4711"}}, Resources: []string{"Read public.pgbench_accounts"},
		Effect: "Allow", Policy: "data/bench", Rule: "read", Revision: 17,
	}}
	ended := access.Event{Kind: access.EventEnded, Time: now, Statement: 7, Ended: &access.Ended{
		Outcome: access.OutcomeDone, Tag: "SELECT 1", Rows: 1, Bytes: 12, Duration: time.Millisecond,
	}}
	enc, buf := recording.Begin(nil)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = enc.Event(buf[:0], &decided)
		buf, _ = enc.Event(buf, &ended)
	}
	b.SetBytes(int64(len(buf)))
}
