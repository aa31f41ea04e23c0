package recording_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/recording"
)

// split returns the header of a recording and its records.
func split(raw []byte) (header []byte, records [][]byte) {
	header, raw = raw[:16], raw[16:]
	for len(raw) > 0 {
		n := 60 + int(binary.BigEndian.Uint32(raw)) + 32
		records = append(records, raw[:n:n])
		raw = raw[n:]
	}
	return header, records
}

func join(header []byte, records [][]byte) []byte {
	return slices.Concat(header, slices.Concat(records...))
}

func TestTamperingIsFoundWhereItIs(t *testing.T) {
	other := session()
	other[4].Decided.Text = "select 1"
	_, otherRecords := split(encode(other))
	for _, test := range []struct {
		name   string
		change func(header []byte, r [][]byte) []byte
		seq    uint64
		what   string
	}{
		{"a changed statement", func(h []byte, r [][]byte) []byte {
			return bytes.Replace(join(h, r), []byte("customers"), []byte("customerz"), 1)
		}, 2, "its hash is not the one written"},
		{"a record removed", func(h []byte, r [][]byte) []byte { return join(h, slices.Delete(r, 4, 5)) }, 5, "number 6 stands here"},
		{"two records swapped", func(h []byte, r [][]byte) []byte {
			r[2], r[3] = r[3], r[2]
			return join(h, r)
		}, 3, "number 4 stands here"},
		{"a record twice", func(h []byte, r [][]byte) []byte { return join(h, slices.Insert(r, 4, r[4])) }, 6, "number 5 stands here"},
		{"a record replaced, its own hash recomputed", func(h []byte, r [][]byte) []byte {
			r[4] = otherRecords[4]
			return join(h, r)
		}, 6, "it does not follow from the record before it"},
		{"a tail from another recording", func(h []byte, r [][]byte) []byte { return join(h, append(r[:7], otherRecords[7:]...)) }, 8, "it does not follow"},
		{"the first records cut off", func(h []byte, r [][]byte) []byte { return join(h, r[2:]) }, 1, "number 3 stands here"},
		{"something after the end mark", func(h []byte, r [][]byte) []byte { return append(join(h, r), 0) }, 18, "something follows the end mark"},
		{"a second recording after the first", func(h []byte, r [][]byte) []byte { return append(join(h, r), join(h, r)...) }, 18, "something follows the end mark"},
		{"events removed before the end mark", func(h []byte, r [][]byte) []byte { return join(h, append(r[:5], r[16])) }, 6, "number 17 stands here"},
		{"another version", func(h []byte, r [][]byte) []byte { h[9] = 2; return join(h, r) }, 0, "its format is version 2, and only version 1 is known here"},
		{"no recording", func([]byte, [][]byte) []byte { return []byte("PGDMP and so on, for more than a header") }, 0, "it is not a recording"},
		{"a reserved byte set", func(h []byte, r [][]byte) []byte { h[15] = 1; return join(h, r) }, 0, "reserved bytes"},
		{"a line end converted", func(h []byte, r [][]byte) []byte {
			return bytes.ReplaceAll(join(h, r), []byte("\r\n"), []byte("\n"))
		}, 0, "it is not a recording"},
	} {
		t.Run(test.name, func(t *testing.T) {
			header, records := split(encode(session()))
			rep, err := recording.Verify(bytes.NewReader(test.change(header, records)))
			var broken *recording.BrokenError
			if !errors.As(err, &broken) || rep.State != recording.Broken || rep.Broken != broken {
				t.Fatalf("Verify: %+v, %v; want it broken", rep, err)
			}
			if broken.Seq != test.seq || !strings.Contains(broken.What, test.what) {
				t.Errorf("broken at record %d: %s; want record %d: %s", broken.Seq, broken.What, test.seq, test.what)
			}
			if want := rep.Bytes; broken.Offset != want {
				t.Errorf("broken at byte %d; want %d, the end of what was verified", broken.Offset, want)
			}
		})
	}
}

func TestEveryChangedByteBreaksARecording(t *testing.T) {
	raw := encode(session())
	header, records := split(raw)
	bounds, end := []int{len(header)}, len(header)
	for _, r := range records {
		end += len(r)
		bounds = append(bounds, end)
	}
	for i := range raw {
		want, _ := slices.BinarySearch(bounds, i+1) // the record that byte i is in
		for _, bit := range []byte{0x01, 0x80} {
			changed := bytes.Clone(raw)
			changed[i] ^= bit
			_, err := recording.Verify(bytes.NewReader(changed))
			var broken *recording.BrokenError
			if !errors.As(err, &broken) || broken.Seq != uint64(want) {
				t.Fatalf("byte %d, bit %#x: %v; want record %d broken", i, bit, err, want)
			}
		}
	}
}

func TestATornTailIsNoTampering(t *testing.T) {
	raw := encode(session())
	_, records := split(raw)
	whole, next := int64(0), 16
	for n := range len(raw) {
		if whole < int64(len(records)) && n == next+len(records[whole]) {
			next += len(records[whole])
			whole++
		}
		for _, tail := range []int{0, 5, 5000} { // zeros that a crash leaves in a file grown before it was written
			if n < 16 && tail > 0 || next == n && tail > 0 && whole == int64(len(records)) {
				continue
			}
			rep, err := recording.Verify(bytes.NewReader(append(bytes.Clone(raw[:n]), make([]byte, tail)...)))
			if err != nil || rep.State != recording.Unfinished {
				t.Fatalf("cut at byte %d with %d zeros: %+v, %v; want it unfinished", n, tail, rep, err)
			}
			if rep.Records != whole || n >= 16 && rep.Torn != int64(n-next+tail) {
				t.Fatalf("cut at byte %d with %d zeros: %d records and %d torn bytes; want %d and %d", n, tail, rep.Records, rep.Torn, whole, n-next+tail)
			}
		}
	}
}

func TestARecordingOfNothingButZerosIsBroken(t *testing.T) {
	if rep, err := recording.Verify(bytes.NewReader(make([]byte, 4096))); err == nil {
		t.Errorf("Verify: %+v, want an error", rep)
	}
}

// claim is a record whose header is valid and claims n bytes of payload.
func claim(raw []byte, n uint32) []byte {
	b := bytes.Clone(raw[:16+60])
	binary.BigEndian.PutUint32(b[16:], n)
	binary.BigEndian.PutUint32(b[16+56:], crc32.Checksum(b[16:16+56], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func TestAClaimedLengthIsNotAllocated(t *testing.T) {
	raw := encode(session())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rep, err := recording.Verify(bytes.NewReader(claim(raw, recording.MaxPayload)))
	runtime.ReadMemStats(&after)
	if err != nil || rep.State != recording.Unfinished {
		t.Errorf("Verify: %+v, %v; want it unfinished", rep, err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes were allocated for a record that is not there", got)
	}
	for _, n := range []uint32{recording.MaxPayload + 1, 1<<31 + 5, 1<<32 - 1} {
		if _, err := recording.Verify(bytes.NewReader(claim(raw, n))); err == nil || !strings.Contains(err.Error(), "more than the") {
			t.Errorf("a record of %d bytes: %v, want it refused", n, err)
		}
	}
}

func TestAReaderGivesBackTheErrorOfItsSource(t *testing.T) {
	raw := encode(session())
	for _, n := range []int{0, 10, 16, 40, 100, len(raw)} {
		rep, err := recording.Verify(io.MultiReader(bytes.NewReader(raw[:n]), failing{}))
		if !errors.Is(err, errFull) || rep.State != recording.Unread {
			t.Errorf("failing after %d bytes: %v, %v; want %v and nothing known", n, rep.State, err, errFull)
		}
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errFull }

func FuzzReader(f *testing.F) {
	raw := encode(session())
	f.Add(raw)
	f.Add(raw[:len(raw)-40])
	f.Add(claim(raw, 1<<20))
	f.Add([]byte{})
	f.Add(stream(seal(f, chunks(f, 9))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		rep, err := recording.Verify(bytes.NewReader(b))
		switch rep.State {
		case recording.Complete, recording.Unfinished:
			if err != nil || rep.Broken != nil {
				t.Errorf("%v, and yet %v", rep, err)
			}
		case recording.Broken:
			if err == nil || rep.Broken == nil {
				t.Errorf("%v without an error", rep)
			}
		default:
			t.Errorf("nothing is known: %v", err)
		}
		if rep.Bytes+rep.Torn > int64(len(b)) {
			t.Errorf("%d bytes verified and %d torn, of %d", rep.Bytes, rep.Torn, len(b))
		}
	})
}
