package record_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/record"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/proxy/ship"
)

// BenchmarkStatement measures what one statement costs: its intent record and
// its end. sealed says that what is recorded is also sealed and shipped, as in a
// sidecar, until all of it has arrived; cpu-ns/op is the time of all processors.
func BenchmarkStatement(b *testing.B) {
	for _, sealed := range []bool{false, true} {
		for _, mode := range []record.Durability{record.Async, record.Statement} {
			for _, sessions := range []int{1, 8, 64} {
				b.Run(fmt.Sprintf("sealed=%v/%s/sessions=%d", sealed, mode, sessions), func(b *testing.B) {
					r, finish := recorder(b, mode, sealed)
					benchmark(b, r, finish, sessions)
				})
			}
		}
	}
}

// BenchmarkRows measures how many bytes of rows are recorded in a second.
func BenchmarkRows(b *testing.B) {
	values := make([][]access.Value, 100)
	for i := range values {
		values[i] = []access.Value{{Text: strconv.Itoa(i)}, {Text: fmt.Sprintf("customer-%x", i*7919)}, {Text: "*****"}, {Text: "2026-11-26 07:00:00+00"}}
	}
	event := access.Event{Kind: access.EventRows, Time: time.Now(), Statement: 1, Rows: &access.Rows{Values: values}}
	size, err := json.Marshal(event)
	if err != nil {
		b.Fatal(err)
	}
	for _, sealed := range []bool{false, true} {
		b.Run(fmt.Sprintf("sealed=%v", sealed), func(b *testing.B) {
			r, finish := recorder(b, record.Async, sealed)
			rec, err := r.Open(access.Opened{Session: "rows"})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(size)))
			defer cpu(b)()
			b.ResetTimer()
			for range b.N {
				if err := rec.Append(event); err != nil {
					b.Fatal(err)
				}
			}
			if err := rec.Close(); err != nil {
				b.Fatal(err)
			}
			finish()
		})
	}
}

// taker takes every segment.
type taker struct{}

func (taker) SendRecording(_ context.Context, c *sidecarv1alpha1.RecordingChunk) (*sidecarv1alpha1.RecordingAck, error) {
	return &sidecarv1alpha1.RecordingAck{Id: c.GetId(), Segment: c.GetSegment(), Size: c.GetOffset() + uint64(len(c.GetData())), Complete: c.GetComplete()}, nil
}

// recorder returns one that only writes journals, or one whose journals are sealed and shipped; finish waits for that.
func recorder(b *testing.B, mode record.Durability, sealed bool) (r session.Recorder, finish func()) {
	b.Helper()
	if !sealed {
		r, err := record.New(record.Options{Dir: b.TempDir(), Durability: mode})
		if err != nil {
			b.Fatal(err)
		}
		return r, func() {}
	}
	s, err := ship.New(ship.Options{Dir: b.TempDir(), Limit: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Attested(nil); err != nil {
		b.Fatal(err)
	}
	if r, err = s.Recorder("data/bench", mode, record.Deny); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Ship(ctx, taker{}); close(done) }()
	b.Cleanup(func() { stop(); <-done })
	return r, func() {
		if err := s.WaitEmpty(ctx, time.Minute); err != nil {
			b.Error(err)
		}
	}
}

// cpu reports the processors' time for an operation, once what it returns is called.
func cpu(b *testing.B) func() {
	used := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") }
}

func benchmark(b *testing.B, r session.Recorder, finish func(), sessions int) {
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
	defer cpu(b)()
	b.ResetTimer()
	var all sync.WaitGroup
	for i, rec := range records {
		all.Go(func() {
			for n := int64(i); n < int64(b.N); n += int64(sessions) {
				err := rec.Append(access.Event{Kind: access.EventDecided, Time: now, Statement: n, Decided: &decided})
				for ; errors.Is(err, ship.ErrFull); err = rec.Append(access.Event{Kind: access.EventDecided, Time: now, Statement: n, Decided: &decided}) {
					time.Sleep(time.Millisecond) // nobody but a benchmark is faster than the disk; the rate is then the disk's
				}
				if err = errors.Join(err, rec.Append(access.Event{Kind: access.EventEnded, Time: now, Statement: n, Ended: &ended})); err != nil {
					b.Errorf("an event was not taken: %v", err)
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
	finish()
}
