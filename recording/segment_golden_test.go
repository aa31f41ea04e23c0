package recording_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/recording"
)

// goldenFile compares bytes with a file of testdata, or writes it.
func goldenFile(t *testing.T, name string, got []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// TestVersion2IsWrittenAsTheGoldenFile holds heads, signatures, framing and records to a stream of three segments. Not the bytes of
// zstd: another release of the library may compress otherwise, and what it has compressed before must still be read.
func TestVersion2IsWrittenAsTheGoldenFile(t *testing.T) {
	segments := seal(t, chunks(t, 6))
	want := goldenFile(t, "session-segments.twr", stream(segments...))
	events, rep, err := read(want, operatorKey())
	if err != nil || !rep.Verified() {
		t.Fatalf("the golden file: %s, %v", rep, err)
	}
	if all, _, _ := read(encode(session())); !reflect.DeepEqual(events, all) {
		t.Errorf("the golden file has other events")
	}
	in := bytes.NewReader(want)
	var again []byte
	for _, s := range segments {
		golden, err := recording.ReadSegment(in)
		if err != nil {
			t.Fatal(err)
		}
		again = golden.Append(again)
		if bytes.Equal(golden.Body, s.Body) {
			if !reflect.DeepEqual(golden, s) {
				t.Errorf("segment %d is\n%s\nand was\n%s", s.Head.Segment, s.Signed.Statement, golden.Signed.Statement)
			}
			continue
		}
		head := s.Head
		head.Body, head.Size = golden.Head.Body, golden.Head.Size
		if statement, err := json.Marshal(head); err != nil || string(statement) != string(golden.Signed.Statement) {
			t.Errorf("the head of segment %d is\n%s (%v), but for its body, and was\n%s", s.Head.Segment, statement, err, golden.Signed.Statement)
		}
	}
	if _, err := recording.ReadSegment(in); !errors.Is(err, io.EOF) {
		t.Errorf("after the last segment: %v", err)
	}
	if !bytes.Equal(again, want) {
		t.Error("what was read is not written as it was")
	}
}

func TestStatementsAreSignedAsTheGoldenFiles(t *testing.T) {
	beat, err := recording.Beat(testKey("sidecar"), &recording.Heartbeat{
		Key: recording.IDOf(public(testKey("sidecar"))), Number: 3, Time: at(3 * time.Minute), Every: 60, Sealed: 3,
		Sum: sumOf(seal(t, chunks(t, 6))), Open: 1, Recording: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, signed := range map[string]recording.Signed{"attestation.json": *attest(t, "operator", "sidecar", podUID), "heartbeat.json": beat} {
		got, err := json.MarshalIndent(map[string]any{"signed": signed, "statement": json.RawMessage(signed.Statement)}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, '\n')
		if want := goldenFile(t, name, got); !bytes.Equal(got, want) {
			t.Errorf("%s is\n%s\nand was\n%s", name, got, want)
		}
	}
}

// sumOf is the running hash over segments' heads, as a heartbeat says it and anybody computes it.
func sumOf(segments []*recording.Segment) (sum recording.Hash) {
	for _, s := range segments {
		sum = recording.NextSum(sum, &s.Signed)
	}
	return sum
}

func TestASealersSumIsThatOfItsHeads(t *testing.T) {
	sealer := newSealer(t, "sidecar")
	var segments []*recording.Segment
	for _, c := range chunks(t, 4) {
		s, err := sealer.Seal(c.head, c.records)
		if err != nil {
			t.Fatal(err)
		}
		segments = append(segments, s)
		if serial, sum := sealer.Serial(); serial != uint64(len(segments)) || serial != s.Head.Serial || sum != sumOf(segments) {
			t.Errorf("after %d segments: %d, %s", len(segments), serial, sum)
		}
	}
}

func FuzzReadSegment(f *testing.F) {
	for _, s := range seal(f, chunks(f, 6)) {
		f.Add(s.Append(nil))
	}
	f.Add([]byte("\x89TWS\r\n\x1a\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := recording.ReadSegment(bytes.NewReader(b))
		if (s == nil) == (err == nil) {
			t.Fatalf("%v and %v", s, err)
		}
		if err != nil {
			return
		}
		if again := s.Append(nil); !bytes.HasPrefix(b, again) {
			t.Errorf("it is written again as %d other bytes", len(again))
		}
		_ = s.Head.Check()
		if records, err := s.Records(nil); err == nil && int64(len(records)) != s.Head.Plain {
			t.Errorf("%d bytes of records, and the head says %d", len(records), s.Head.Plain)
		}
	})
}

// FuzzSegments changes a stream in one place. What comes of it is never complete with all of its content, unless nothing changed.
func FuzzSegments(f *testing.F) {
	whole := stream(seal(f, chunks(f, 6))...)
	f.Add(uint16(0), uint16(0), []byte{})
	f.Add(uint16(9), uint16(1), []byte{1})
	f.Add(uint16(400), uint16(900), whole[400:900])
	f.Fuzz(func(t *testing.T, at, cut uint16, put []byte) {
		i := min(int(at), len(whole))
		j := min(i+int(cut), len(whole))
		b := append(append(bytes.Clone(whole[:i]), put...), whole[j:]...)
		events, rep, err := read(b, operatorKey())
		switch {
		case bytes.Equal(b, whole):
			if !rep.Verified() {
				t.Errorf("nothing was changed: %s, %v", rep, err)
			}
		case rep.Verified() || rep.State == recording.Complete && rep.Erased == 0 || rep.State == recording.Unread:
			t.Errorf("%s, %v", rep, err)
		case (rep.State == recording.Broken) != (err != nil):
			t.Errorf("%s, and %v", rep, err)
		}
		if rep.Bytes+rep.Torn > int64(len(b)) || len(events) > len(session()) {
			t.Errorf("%+v of %d bytes", rep, len(b))
		}
	})
}
