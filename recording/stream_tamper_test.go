package recording_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/tidewaiter/tidewaiter/recording"
)

func TestEveryChangedByteOfAStreamShows(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	identity := recording.WithIdentity(func(*recording.Head) (age.Identity, error) { return id, nil })
	segments := seal(t, chunks(t, 9))
	encrypted := slices.Clone(segments)
	for i := range encrypted {
		if encrypted[i], err = recording.Encrypt(encrypted[i], id.Recipient()); err != nil {
			t.Fatal(err)
		}
	}
	for name, b := range map[string][]byte{"plain": stream(segments...), "encrypted": stream(encrypted...)} {
		if _, rep, err := read(b, operatorKey(), identity); err != nil || !rep.Verified() {
			t.Fatalf("%s, unchanged: %s, %v", name, rep, err)
		}
		for i := range b {
			bit := byte(1) << (i % 8)
			b[i] ^= bit
			rep, err := recording.Verify(bytes.NewReader(b), operatorKey(), identity)
			var broken *recording.BrokenError
			if !errors.As(err, &broken) || rep.State != recording.Broken || rep.Verified() {
				t.Fatalf("%s: byte %d, bit %#x: %s, %v; want it broken", name, i, bit, rep, err)
			}
			b[i] ^= bit
		}
	}
}

func TestAStreamCutOffIsUnfinishedAndKeepsWhatIsWhole(t *testing.T) {
	segments := seal(t, chunks(t, 6))
	b := stream(segments...)
	want, _, _ := read(b)
	var bounds []int
	for i := range segments {
		bounds = append(bounds, len(stream(segments[:i+1]...)))
	}
	for n := range len(b) {
		whole, _ := slices.BinarySearch(bounds, n+1)
		events, rep, err := read(b[:n], operatorKey())
		at := 0
		if whole > 0 {
			at = bounds[whole-1]
		}
		if err != nil || rep.State != recording.Unfinished || rep.Torn != int64(n-at) || rep.Bytes != int64(at) {
			t.Fatalf("cut at byte %d: %+v, %v; want it unfinished with %d torn bytes", n, rep, err, n-at)
		}
		if len(events) != whole*6 || !reflect.DeepEqual(events, want[:len(events):len(events)]) && whole > 0 {
			t.Fatalf("cut at byte %d: %d events, want %d", n, len(events), whole*6)
		}
	}
}

// TestSegmentsTakenMovedOrAddedShow changes which segments there are, at random. All signatures stay good.
func TestSegmentsTakenMovedOrAddedShow(t *testing.T) {
	whole := seal(t, chunks(t, 2))
	other := chunks(t, 2)
	for i := range other {
		other[i].head.Session = "another"
	}
	foreign := seal(t, other)
	want := stream(whole...)
	random := rand.New(rand.NewPCG(7, 11))
	for range 1000 {
		s := slices.Clone(whole)
		i, j := random.IntN(len(s)), random.IntN(len(s))
		switch random.IntN(5) {
		case 0:
			s = slices.Delete(s, i, i+1)
		case 1:
			s[i], s[j] = s[j], s[i]
		case 2:
			s = slices.Insert(s, i, s[j])
		case 3:
			s[i] = foreign[i]
		default:
			s = append(s[:i+1], s[j:]...)
		}
		b := stream(s...)
		if bytes.Equal(b, want) {
			continue
		}
		events, rep, err := read(b, operatorKey())
		isPrefix := len(b) < len(want) && bytes.Equal(b, want[:len(b)])
		switch {
		case rep.State == recording.Complete:
			t.Fatalf("it passes for complete: %+v", rep)
		case isPrefix && (err != nil || rep.State != recording.Unfinished), !isPrefix && (err == nil || rep.State != recording.Broken):
			t.Fatalf("a beginning (%v): %+v, %v", isPrefix, rep, err)
		}
		if all := session(); len(events) > len(all) || len(events) > 0 && events[0].Opened == nil {
			t.Fatalf("%d events were shown", len(events))
		}
	}
}

func TestTamperingWithSegmentsIsFoundWhereItIs(t *testing.T) {
	for _, test := range []struct {
		name    string
		change  func(all []chunk) []chunk // before it is sealed, by whoever holds the key
		after   func([]*recording.Segment) []*recording.Segment
		segment uint64
		what    string
	}{
		{name: "the first removed", after: func(s []*recording.Segment) []*recording.Segment { return s[1:] }, segment: 1, what: "segment 2 stands where the first should be"},
		{name: "one removed", after: func(s []*recording.Segment) []*recording.Segment { return slices.Delete(s, 1, 2) }, segment: 2, what: "segment 3 stands where 2 should be"},
		{name: "one twice", after: func(s []*recording.Segment) []*recording.Segment { return slices.Insert(s, 1, s[0]) }, segment: 2, what: "segment 1 stands where 2"},
		{name: "one after the end", after: func(s []*recording.Segment) []*recording.Segment { return append(s, s[3]) }, segment: 5, what: "something follows the segment that ends the recording as Complete"},
		{name: "the body of another", after: func(s []*recording.Segment) []*recording.Segment {
			c := *s[1]
			c.Body = s[2].Body
			return []*recording.Segment{s[0], &c, s[2], s[3]}
		}, segment: 2, what: "not the one that its head was signed for"},
		{name: "the signature of another key", after: func(s []*recording.Segment) []*recording.Segment {
			c := *s[1]
			forged := chunks(t, 5)[:2]
			forged[0].key, forged[1].key = "mallory", "mallory"
			c.Signed.Signature = seal(t, forged)[1].Signed.Signature
			return []*recording.Segment{s[0], &c, s[2], s[3]}
		}, segment: 2, what: "the signature is not of the key"},
		{name: "a head signed by another key under the same attestation", change: func(all []chunk) []chunk {
			all[1].key = "mallory"
			return all
		}, segment: 2, what: "the signature is not of the key"},
		{name: "an attestation that the operator did not sign", change: func(all []chunk) []chunk {
			all[1].key, all[1].head.Attestation = "mallory", attest(t, "mallory", "mallory", podUID)
			return all
		}, segment: 2, what: "not signed by the operator's key"},
		{name: "another attested key that does not say that it recovers", change: func(all []chunk) []chunk {
			all[1].key, all[1].head.Attestation = "later", attest(t, "operator", "later", podUID)
			return all
		}, segment: 2, what: "signed by another key than the one before it"},
		{name: "another pod's attested key", change: func(all []chunk) []chunk {
			all[1].key, all[1].head.Recovered, all[1].head.Attestation = "later", true, attest(t, "operator", "later", "ffffffff-6f0e-4f2b-9d57-0f6d0e7f3c11")
			return all
		}, segment: 2, what: "another pod"},
		{name: "the same key attested for another pod", change: func(all []chunk) []chunk {
			all[1].head.Attestation = attest(t, "operator", "sidecar", "ffffffff-6f0e-4f2b-9d57-0f6d0e7f3c11")
			return all
		}, segment: 2, what: "another pod"},
		{name: "a process that signs again after another has recovered", change: func(all []chunk) []chunk {
			all[1].key, all[1].head.Recovered, all[1].head.Attestation = "later", true, attest(t, "operator", "later", podUID)
			return all
		}, segment: 3, what: "signs again"},
		{name: "the recorder's key that calls itself a later one", change: func(all []chunk) []chunk {
			all[1].head.Recovered = true
			return all
		}, segment: 2, what: "as one that came later"},
		{name: "another session's", change: func(all []chunk) []chunk { all[1].head.Session = "other"; return all }, segment: 2, what: "of another session"},
		{name: "another data source's", change: func(all []chunk) []chunk { all[1].head.DataSource = "data/other"; return all }, segment: 2, what: "of another session or data source"},
		{name: "one after what was cut off", change: func(all []chunk) []chunk { all[1].head.End = recording.EndCutOff; return all }, segment: 3, what: "ends the recording as CutOff"},
		{name: "an older one of the same key", change: func(all []chunk) []chunk { // sealed in another order than they are in
			return []chunk{all[1], all[0], all[2], all[3]}
		}, after: func(s []*recording.Segment) []*recording.Segment {
			return []*recording.Segment{s[1], s[0], s[2], s[3]}
		}, segment: 2, what: "the same key has already sealed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			all := chunks(t, 5)
			if test.change != nil {
				all = test.change(all)
			}
			s := seal(t, all)
			if test.after != nil {
				s = test.after(s)
			}
			events, rep, err := read(stream(s...), operatorKey())
			var broken *recording.BrokenError
			if !errors.As(err, &broken) || rep.State != recording.Broken || rep.Broken != broken {
				t.Fatalf("%+v, %v; want it broken", rep, err)
			}
			if broken.Segment != test.segment || !strings.Contains(broken.What, test.what) || broken.Offset != rep.Bytes {
				t.Errorf("%v; want segment %d: %s", broken, test.segment, test.what)
			}
			if want := int(test.segment-1) * 5; len(events) > want {
				t.Errorf("%d events were shown, more than the %d before the place", len(events), want)
			}
		})
	}
}

func TestNothingMayFollowAnEnd(t *testing.T) {
	whole := stream(seal(t, chunks(t, 5))...)
	for name, tail := range map[string][]byte{"a byte": {0}, "half a segment": whole[:100], "a recording": whole, "a journal": encode(session()), "zeros": make([]byte, 4096)} {
		if _, rep, err := read(append(bytes.Clone(whole), tail...)); err == nil || rep.State != recording.Broken || !strings.Contains(rep.Broken.What, "something follows") {
			t.Errorf("%s: %s, %v", name, rep, err)
		}
	}
}

func TestWhatASealerWouldHaveToLieAboutIsNotSealed(t *testing.T) {
	good := func() (recording.Head, [][]byte) {
		_, records := split(encode(session()))
		return recording.Head{Session: "s", DataSource: "data/orders", Segment: 1, Sealed: at(time.Hour), End: recording.EndComplete}, records
	}
	for _, test := range []struct {
		name   string
		change func(h *recording.Head, r [][]byte) [][]byte
		what   string
	}{
		{"nothing", func(*recording.Head, [][]byte) [][]byte { return nil }, "nothing to seal"},
		{"a record missing", func(_ *recording.Head, r [][]byte) [][]byte { return slices.Delete(r, 3, 4) }, "number 5 stands here"},
		{"half a record", func(_ *recording.Head, r [][]byte) [][]byte { r[16] = r[16][:90]; return r }, "cut off"},
		{"no end mark", func(_ *recording.Head, r [][]byte) [][]byte { return r[:16] }, "end mark"},
		{"an end mark that the head does not say", func(h *recording.Head, r [][]byte) [][]byte { h.End = recording.EndNone; return r }, "end mark"},
		{"no session", func(h *recording.Head, r [][]byte) [][]byte { h.Session = ""; return r }, "names no session"},
		{"no number", func(h *recording.Head, r [][]byte) [][]byte { h.Segment = 0; return r }, "numbered from 1"},
		{"a first segment that is not", func(_ *recording.Head, r [][]byte) [][]byte { return r[2:] }, "the first has the first"},
		{"an unknown end", func(h *recording.Head, r [][]byte) [][]byte { h.End = "Soon"; return r[:16] }, "unknown"},
		{"too long a head", func(h *recording.Head, r [][]byte) [][]byte {
			h.DataSource = strings.Repeat("x", recording.MaxHead)
			return r
		}, "more than 16384"},
	} {
		t.Run(test.name, func(t *testing.T) {
			sealer := newSealer(t, "sidecar")
			h, records := good()
			records = test.change(&h, records)
			if _, err := sealer.Seal(h, bytes.Join(records, nil)); err == nil || !strings.Contains(err.Error(), test.what) {
				t.Errorf("Seal: %v, want an error that says %q", err, test.what)
			}
			if serial, sum := sealer.Serial(); serial != 0 || sum != (recording.Hash{}) {
				t.Errorf("a serial was taken: %d", serial)
			}
		})
	}
	if _, err := recording.NewSealer(testKey("sidecar")[:32]); err == nil {
		t.Error("half a key makes a sealer")
	}
}

func TestAReaderOfSegmentsGivesBackTheErrorOfItsSource(t *testing.T) {
	b := stream(seal(t, chunks(t, 6))...)
	for _, n := range []int{0, 4, 10, 28, 100, len(b) / 2, len(b)} {
		rep, err := recording.Verify(io.MultiReader(bytes.NewReader(b[:n]), failing{}))
		if !errors.Is(err, errFull) || rep.State != recording.Unread {
			t.Errorf("failing after %d bytes: %v, %v; want %v and nothing known", n, rep.State, err, errFull)
		}
	}
}
