package recording_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
)

// statement is what is recorded of a small statement: what was decided, and how it ended.
func statement(now time.Time) []access.Event {
	return []access.Event{
		{Kind: access.EventDecided, Time: now, Statement: 7, Decided: &access.Decided{
			Phase: access.PhaseRun, Text: "SELECT abalance FROM pgbench_accounts WHERE aid = $1;", Kinds: []string{"Select"},
			Parameters: []access.Value{{Text: "4711"}}, Resources: []string{"Read public.pgbench_accounts"},
			Effect: "Allow", Policy: "data/bench", Rule: "read", Revision: 17,
		}},
		{Kind: access.EventEnded, Time: now, Statement: 7, Ended: &access.Ended{
			Outcome: access.OutcomeDone, Tag: "SELECT 1", Rows: 1, Bytes: 12, Duration: time.Millisecond,
		}},
	}
}

// words are what texts of rows are made of, so that they compress about as well as people's data does.
var words = strings.Fields(`order invoice shipped pending Amsterdam Lisbon Hamburg customer returned the of and was not delivered on time
 because a courier could find nobody at home see ticket refund approved Müller O'Neill García 14 days warehouse pallet blue large`)

// rows is a batch of n rows of customers, each different, with a masked column and one of bytes. first numbers the first.
func rows(now time.Time, first, n int) access.Event {
	state := uint64(first)*0x9e3779b97f4a7c15 + 1
	random := func(n int) int {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		return int(state % uint64(n))
	}
	batch := &access.Rows{Values: make([][]access.Value, n)}
	for i := range batch.Values {
		var note strings.Builder
		for range 4 + random(12) {
			note.WriteString(words[random(len(words))])
			note.WriteByte(' ')
		}
		binary := make([]byte, 16)
		for j := range binary {
			binary[j] = byte(random(256))
		}
		batch.Values[i] = []access.Value{
			{Text: fmt.Sprint(first + i)},
			{Text: words[random(len(words))] + " " + words[random(len(words))]},
			{Text: "***@example.org", Masked: true},
			{Text: fmt.Sprintf("2026-%02d-%02d %02d:%02d:%02d.%06d+00", 1+random(12), 1+random(28), random(24), random(60), random(60), random(1e6))},
			{Text: fmt.Sprintf("%d.%02d", random(1e5), random(100))},
			{Null: true},
			{Binary: binary},
			{Text: note.String()},
		}
	}
	return access.Event{Kind: access.EventRows, Time: now, Statement: 7, Rows: batch}
}

// workload is what a benchmark records: small statements, or batches of 200 rows.
type workload struct {
	name   string
	events []access.Event
}

func workloads() []workload {
	now := time.Unix(1_764_000_000, 0)
	result := workload{name: "rows"}
	for i := range 64 {
		result.events = append(result.events, rows(now, i*200, 200))
	}
	return []workload{{name: "statements", events: statement(now)}, result}
}

// fillWith encodes events again and again until there are n bytes of records.
func fillWith(tb testing.TB, enc *recording.Encoder, dst []byte, events []access.Event, n int) []byte {
	for i := 0; len(dst) < n; i++ {
		var err error
		if dst, err = enc.Event(dst, &events[i%len(events)]); err != nil {
			tb.Fatal(err)
		}
	}
	return dst
}

// BenchmarkEncoder measures JSON, SHA-256 and chain: of the two events of a statement, and of batches of rows.
func BenchmarkEncoder(b *testing.B) {
	for _, load := range workloads() {
		b.Run(load.name, func(b *testing.B) {
			enc, buf := recording.Begin(make([]byte, 0, 1<<20))
			b.ReportAllocs()
			size := 0
			for i := 0; b.Loop(); i++ {
				buf = buf[:0]
				if load.name == "statements" {
					buf, _ = enc.Event(buf, &load.events[0])
					buf, _ = enc.Event(buf, &load.events[1])
				} else {
					buf, _ = enc.Event(buf, &load.events[i%len(load.events)])
				}
				size = len(buf)
			}
			b.SetBytes(int64(size))
		})
	}
}

// benchmarkSegment is how much of records a segment has in benchmarks.
const benchmarkSegment = 4 << 20

// BenchmarkSeal measures zstd, SHA-256 and Ed25519, in bytes of records.
func BenchmarkSeal(b *testing.B) {
	for _, load := range workloads() {
		b.Run(load.name, func(b *testing.B) {
			enc, _ := recording.Begin(nil)
			records := fillWith(b, &enc, nil, load.events, benchmarkSegment)
			sealer := newSealer(b, "sidecar")
			b.SetBytes(int64(len(records)))
			b.ReportAllocs()
			var size int
			for b.Loop() {
				s, err := sealer.Seal(recording.Head{Session: "s", DataSource: "data/bench", Segment: 1}, records)
				if err != nil {
					b.Fatal(err)
				}
				size = len(s.Body)
			}
			b.ReportMetric(float64(len(records))/float64(size), "times-smaller")
		})
	}
}

// BenchmarkPipeline measures all that a sidecar's core does for a recording but for the disk: encode, seal, and write the segment out.
func BenchmarkPipeline(b *testing.B) {
	for _, load := range workloads() {
		b.Run(load.name, func(b *testing.B) {
			sealer, enc, plain, total := newSealer(b, "sidecar"), recording.Encoder{}, make([]byte, 0, benchmarkSegment+1<<20), 0
			var out []byte
			b.ReportAllocs()
			for b.Loop() {
				enc, plain = recording.Begin(plain[:0])
				plain = fillWith(b, &enc, plain[:0], load.events, benchmarkSegment)
				s, err := sealer.Seal(recording.Head{Session: "s", DataSource: "data/bench", Segment: 1}, plain)
				if err != nil {
					b.Fatal(err)
				}
				out = s.Append(out[:0])
				total = len(plain)
			}
			b.SetBytes(int64(total))
		})
	}
}

// BenchmarkVerify measures all that Verify does of a stream of segments, in bytes of records.
func BenchmarkVerify(b *testing.B) {
	for _, load := range workloads() {
		b.Run(load.name, func(b *testing.B) {
			enc, _ := recording.Begin(nil)
			records := fillWith(b, &enc, nil, load.events, benchmarkSegment)
			s, err := newSealer(b, "sidecar").Seal(recording.Head{Session: "s", DataSource: "data/bench", Segment: 1}, records)
			if err != nil {
				b.Fatal(err)
			}
			stream := s.Append(nil)
			b.SetBytes(int64(len(records)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := recording.Verify(bytes.NewReader(stream)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
