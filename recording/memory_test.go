package recording_test

import (
	"cmp"
	"errors"
	"io"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/recording"
)

// streamed writes segments with plain bytes of records of a session that goes on and on, one after the other, and never holds
// more than one.
func streamed(t *testing.T, w io.Writer, plain int64) error {
	load := workloads()[1].events
	sealer := newSealer(t, "sidecar")
	attestation := attest(t, "operator", "sidecar", podUID)
	enc, _ := recording.Begin(nil)
	var records, out []byte
	for n := uint64(1); plain > 0; n++ {
		records = fillWith(t, &enc, records[:0], load, benchmarkSegment)
		plain -= int64(len(records))
		h := recording.Head{Session: "s", DataSource: "data/bench", Segment: n, Attestation: attestation}
		if plain <= 0 {
			records, h.End = enc.End(records, time.Unix(1_764_000_000, 0)), recording.EndComplete
		}
		s, err := sealer.Seal(h, records)
		if err != nil {
			return err
		}
		out = s.Append(out[:0])
		if _, err := w.Write(out); err != nil {
			return err
		}
	}
	return nil
}

// TestALargeRecordingIsReadInConstantMemory reads as many MiB of records as TIDEWAITER_RECORDING_MIB says, 64 by default, from a
// pipe: what is not kept by the reader is nowhere. 10240 takes some minutes.
func TestALargeRecordingIsReadInConstantMemory(t *testing.T) {
	mib, err := strconv.ParseInt(cmp.Or(os.Getenv("TIDEWAITER_RECORDING_MIB"), "64"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	const most = 64 << 20
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	before := memory.HeapAlloc
	pr, pw := io.Pipe()
	go func() { _ = pw.CloseWithError(streamed(t, pw, mib<<20)) }()
	reader := recording.NewReader(pr, operatorKey())
	peak := uint64(0)
	for n := 0; ; n++ {
		if _, err = reader.Next(); err != nil {
			break
		}
		if n%16 == 0 {
			runtime.ReadMemStats(&memory)
			peak = max(peak, memory.HeapAlloc)
		}
	}
	rep := reader.Report()
	if !errors.Is(err, io.EOF) || !rep.Verified() {
		t.Fatalf("%s, %v", rep, err)
	}
	t.Logf("%d MiB of records in %d segments, %d MiB as stored; the heap was at most %d MiB, and %d before", mib, rep.Segments, rep.Bytes>>20, peak>>20, before>>20)
	if peak > most {
		t.Errorf("the heap had up to %d MiB, more than %d: the writer of this test and the reader", peak>>20, most>>20)
	}
}
