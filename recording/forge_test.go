package recording

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

var forger = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

var forgersZstd, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))

// forged signs a head over records, whatever the two say: only who holds the key can, and a reader must not be fooled even so
// by what contradicts itself.
func forged(h Head, records []byte) []byte {
	body := forgersZstd.EncodeAll(records, nil)
	h.Body, h.Size, h.Plain = sha256.Sum256(body), int64(len(body)), int64(len(records))
	return signedOver(h, body)
}

func signedOver(h Head, body []byte) []byte {
	h.Key, h.PublicKey = IDOf(forger.Public().(ed25519.PublicKey)), forger.Public().(ed25519.PublicKey)
	signed, err := sign(forger, signedSegment, &h)
	if err != nil {
		panic(err)
	}
	return (&Segment{Head: h, Signed: signed, Kind: BodyZstd, Body: body}).Append(nil)
}

// sample is n events and the end mark as records, each a second after the other, and the head that is true of them.
func sample(n int) (records [][]byte, h Head) {
	enc, _ := Begin(nil)
	start := time.Unix(1_764_000_000, 0).UTC()
	for i := range n {
		b, err := enc.Event(nil, &access.Event{Kind: access.EventDisagreed, Time: start.Add(time.Duration(i) * time.Second), Statement: int64(i + 1), Note: fmt.Sprint("note ", i)})
		if err != nil {
			panic(err)
		}
		records = append(records, b)
	}
	records = append(records, enc.End(nil, start.Add(time.Duration(n)*time.Second)))
	end := start.Add(time.Duration(n) * time.Second)
	return records, Head{
		Session: "s", DataSource: "data/orders", Segment: 1, Serial: 1, First: 1, Last: uint64(n + 1), Previous: genesis, Chain: enc.Head(),
		From: start, To: end, Sealed: end, End: EndComplete,
	}
}

func TestAForgedSampleIsCompleteWhereNothingIsForged(t *testing.T) {
	records, h := sample(5)
	rep, err := Verify(bytes.NewReader(forged(h, bytes.Join(records, nil))))
	if err != nil || rep.State != Complete || rep.Trust != SelfSigned || rep.Events != 5 {
		t.Errorf("%+v, %v", rep, err)
	}
}

// TestRecordsChangedWithinASignedSegmentShow changes which records a segment has, at random, and signs it again.
func TestRecordsChangedWithinASignedSegmentShow(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 5))
	for range 1000 {
		records, h := sample(6)
		want := bytes.Join(records, nil)
		i, j := random.IntN(len(records)), random.IntN(len(records))
		switch random.IntN(5) {
		case 0:
			records = slices.Delete(records, i, i+1)
		case 1:
			records[i], records[j] = records[j], records[i]
		case 2:
			records = slices.Insert(records, i, records[j])
		case 3:
			records[i] = records[i][:random.IntN(len(records[i]))]
		default:
			records[i][random.IntN(len(records[i]))] ^= 1 << random.IntN(8)
		}
		got := bytes.Join(records, nil)
		if bytes.Equal(got, want) {
			continue
		}
		if rep, err := Verify(bytes.NewReader(forged(h, got))); err == nil || rep.State != Broken {
			t.Fatalf("%+v, %v; want it broken", rep, err)
		}
	}
}

func TestAHeadThatIsNotTrueOfItsRecordsBreaksTheRecording(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(h *Head)
		what   string
	}{
		{"begins later", func(h *Head) { h.From = h.From.Add(1) }, "not when the segment begins"},
		{"ends later", func(h *Head) { h.To, h.Sealed = h.To.Add(1), h.Sealed.Add(1) }, "not when the segment ends"},
		{"ends before it begins", func(h *Head) { h.To = h.From.Add(-1) }, "times go back"},
		{"sealed before it ends", func(h *Head) { h.Sealed = h.To.Add(-1) }, "times go back"},
		{"one record more", func(h *Head) { h.Last++ }, "do not end as its head says"},
		{"one record less", func(h *Head) { h.Last-- }, "do not end as its head says"},
		{"no records", func(h *Head) { h.Last = 0 }, "which is none"},
		{"no records, cut off", func(h *Head) { h.Last, h.End = 0, EndCutOff }, "sizes are not possible"},
		{"all the records there could be", func(h *Head) { h.Last = 1<<64 - 1 }, "sizes are not possible"},
		{"another chain", func(h *Head) { h.Chain[3]++ }, "do not end as its head says"},
		{"another beginning", func(h *Head) { h.Previous[3]++ }, "does not follow from the beginning"},
		{"the end not said", func(h *Head) { h.End = EndNone }, "end mark is there"},
		{"the end said to be another", func(h *Head) { h.End = EndCutOff }, "end mark is there"},
		{"an unknown end", func(h *Head) { h.End = "Complete " }, "unknown"},
		{"no serial", func(h *Head) { h.Serial = 0 }, "numbered from 1"},
		{"no session", func(h *Head) { h.Session = "" }, "names no session"},
	} {
		t.Run(test.name, func(t *testing.T) {
			records, h := sample(5)
			test.change(&h)
			rep, err := Verify(bytes.NewReader(forged(h, bytes.Join(records, nil))))
			if err == nil || rep.State != Broken || !strings.Contains(rep.Broken.What, test.what) {
				t.Errorf("%+v, %v; want it broken: %s", rep.Broken, err, test.what)
			}
		})
	}
}

// crafted is an end, or an event, that an Encoder would not write, in a segment whose head is true of it.
func crafted(kind byte, payload string, back time.Duration) []byte {
	records, h := sample(3)
	enc := Encoder{seq: 3, head: Hash(records[2][len(records[2])-32:]), last: h.From.UnixNano()}
	b := enc.seal(append(enc.reserve(nil), payload...), 0, kind, h.To.Add(-back))
	records[3], h.Chain, h.To = b, enc.head, h.To.Add(-back)
	if kind != typeEnd {
		h.End = EndNone
	}
	return forged(h, bytes.Join(records, nil))
}

func TestRecordsThatNoEncoderWritesBreakARecordingOfSegments(t *testing.T) {
	for _, test := range []struct {
		name, what string
		b          []byte
	}{
		{"an end mark that counts too few", "counts 2 events", crafted(typeEnd, `{"events":2,"signatures":0}`, 0)},
		{"an end mark that counts signatures", "counts 3 events and 1 signatures", crafted(typeEnd, `{"events":3,"signatures":1}`, 0)},
		{"no end mark", "no end mark", crafted(typeEnd, `[]`, 0)},
		{"no event", "no event", crafted(typeEvent, `{"kind":7}`, 0)},
		{"an unknown type", "type 'X' is unknown", crafted('X', ``, 0)},
		{"a time that goes back", "before that of the record before it", crafted(typeEvent, `{"kind":"Closed"}`, 3*time.Second/2)},
	} {
		if rep, err := Verify(bytes.NewReader(test.b)); err == nil || rep.State != Broken || !strings.Contains(rep.Broken.What, test.what) {
			t.Errorf("%s: %s, %v; want it broken: %s", test.name, rep, err, test.what)
		}
	}
	if rep, err := Verify(bytes.NewReader(crafted(typeSignature, `anything`, 0))); err != nil || rep.Signatures != 1 {
		t.Errorf("the reserved type: %s, %v", rep, err)
	}
}

func TestARecordReplacedWithItsOwnHashMadeAnewShowsInTheNextOne(t *testing.T) {
	records, h := sample(5)
	enc := Encoder{seq: 2, head: Hash(records[1][len(records[1])-32:]), last: h.From.UnixNano()}
	replaced, err := enc.Event(nil, &access.Event{Kind: access.EventDisagreed, Time: h.From.Add(2 * time.Second), Note: "something else"})
	if err != nil {
		t.Fatal(err)
	}
	records[2] = replaced
	b := bytes.Join(records, nil)
	rep, err := Verify(bytes.NewReader(forged(h, b)))
	if err == nil || rep.Broken.Seq != 4 || !strings.Contains(rep.Broken.What, "does not follow from the record before it") {
		t.Errorf("%s, %v", rep, err)
	}
	sealer, err := NewSealer(forger)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealer.Seal(h, b); err == nil || !strings.Contains(err.Error(), "does not follow") {
		t.Errorf("Seal: %v", err)
	}
}

func TestNothingMayFollowTheEndMarkWithinASegment(t *testing.T) {
	records, h := sample(3)
	enc := Encoder{seq: h.Last, events: 3, head: h.Chain, last: h.To.UnixNano()}
	records = append(records, enc.End(nil, h.To)) // which would do for the end, were the first not there
	h.Last, h.Chain = h.Last+1, enc.Head()
	rep, err := Verify(bytes.NewReader(forged(h, bytes.Join(records, nil))))
	if err == nil || rep.Broken.Seq != 5 || !strings.Contains(rep.Broken.What, "it follows the end mark") {
		t.Errorf("%s, %v", rep, err)
	}
}

// TestAHeadWithoutAKeyIsNotBelieved keeps an attestation without a key from being taken for one that need not be verified.
func TestAHeadWithoutAKeyIsNotBelieved(t *testing.T) {
	records, h := sample(2)
	b := forged(h, bytes.Join(records, nil))
	s, err := ReadSegment(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(h *Head){
		"no key":                 func(h *Head) { h.PublicKey = nil },
		"half a key":             func(h *Head) { h.PublicKey = h.PublicKey[:16] },
		"another key's name":     func(h *Head) { h.Key[0]++ },
		"an attestation of none": func(h *Head) { h.PublicKey, h.Attestation = nil, &Signed{Statement: []byte(`{}`)} },
		"an attestation and a key": func(h *Head) {
			a, _ := Attest(forger, &Attestation{Key: h.PublicKey})
			h.Attestation = &a
		},
	} {
		changed := s.Head
		change(&changed)
		signed, err := sign(forger, signedSegment, &changed)
		if err != nil {
			t.Fatal(err)
		}
		forgery := Segment{Signed: signed, Kind: BodyZstd, Body: s.Body}
		if rep, err := Verify(bytes.NewReader(forgery.Append(nil))); err == nil || rep.State != Broken {
			t.Errorf("%s: %s, %v", name, rep, err)
		}
	}
}

func TestASignatureIsGoodForOneThingOnly(t *testing.T) {
	key := forger.Public().(ed25519.PublicKey)
	beat, err := Beat(forger, &Heartbeat{Key: IDOf(key), Number: 1})
	if err != nil {
		t.Fatal(err)
	}
	if h, err := OpenHeartbeat(key, &beat); err != nil || h.Number != 1 {
		t.Errorf("a heartbeat: %+v, %v", h, err)
	}
	if _, err := OpenAttestation(key, &beat); !errors.Is(err, ErrSignature) {
		t.Errorf("a heartbeat as an attestation: %v", err)
	}
	if err := (&Segment{Signed: beat}).VerifyHead(key); !errors.Is(err, ErrSignature) {
		t.Errorf("a heartbeat as a head: %v", err)
	}
	if !Proven(key, "instance", Prove(forger, "instance")) || Proven(key, "another", Prove(forger, "instance")) || Proven(nil, "instance", nil) {
		t.Error("a proof is good for its instance and key alone")
	}
}

// TestADecompressionBombIsRefused: little of a body must not become much in memory, whatever head and frame say.
func TestADecompressionBombIsRefused(t *testing.T) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	bomb := enc.EncodeAll(make([]byte, 1<<28), nil) // 256 MiB in some KiB
	var streamed bytes.Buffer                       // the same without its size in the frame's header
	w, _ := zstd.NewWriter(&streamed, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	for range 1 << 8 {
		_, _ = w.Write(make([]byte, 1<<20))
	}
	_ = w.Close()
	for name, body := range map[string][]byte{"sized": bomb, "without a size": streamed.Bytes(), "many frames": bytes.Repeat(enc.EncodeAll(make([]byte, 1<<20), nil), 256)} {
		for _, plain := range []int64{1000, MaxSegment, 1 << 28} {
			_, h := sample(5)
			h.Body, h.Size, h.Plain = sha256.Sum256(body), int64(len(body)), plain
			b := signedOver(h, body)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			rep, err := Verify(bytes.NewReader(b))
			runtime.ReadMemStats(&after)
			if err == nil || rep.State != Broken {
				t.Errorf("%s, said to be %d bytes: %s, %v", name, plain, rep, err)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 4*MaxSegment { // the records, and what a decoder has once for all
				t.Errorf("%s, said to be %d bytes: %d bytes were allocated", name, plain, got)
			}
		}
	}
}

func TestASegmentsClaimedSizeIsNotAllocated(t *testing.T) {
	records, h := sample(5)
	b := forged(h, bytes.Join(records, nil))
	claim := (&Segment{Kind: BodyZstd, Body: make([]byte, maxBody)}).Append(nil)[:SegmentHeader]
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rep, err := Verify(bytes.NewReader(claim))
	runtime.ReadMemStats(&after)
	if err != nil || rep.State != Unfinished {
		t.Errorf("%s, %v; want it unfinished", rep, err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes were allocated for a segment that is not there", got)
	}
	tooLarge := (&Segment{Kind: BodyZstd, Body: make([]byte, maxBody+1)}).Append(nil)
	if rep, err := Verify(bytes.NewReader(tooLarge[:SegmentHeader])); err == nil || !strings.Contains(err.Error(), "larger than one may be") {
		t.Errorf("%s, %v", rep, err)
	}
	if s, err := ReadSegment(bytes.NewReader(b[:len(b)-1])); s != nil || err == nil {
		t.Errorf("a segment cut off: %v", err)
	}
}

func TestEventsOfASegmentAreVerifiedToItsEnd(t *testing.T) {
	records, h := sample(5)
	count := func(h *Head, b []byte) (n int, err error) {
		for _, err = range h.Events(b) {
			if err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	}
	if n, err := count(&h, bytes.Join(records, nil)); n != 5 || err != nil {
		t.Errorf("%d events, %v", n, err)
	}
	if n, err := count(&h, bytes.Join(records[:3], nil)); n != 3 || err == nil {
		t.Errorf("with the rest missing: %d events, %v", n, err)
	}
	records[2][recordHeader]++
	var broken *BrokenError
	if n, err := count(&h, bytes.Join(records, nil)); n != 2 || !errors.As(err, &broken) || broken.Seq != 3 || broken.Segment != 1 {
		t.Errorf("with the third changed: %d events, %v", n, err)
	}
}

// FuzzSigned gets past the checksums and signatures that stop FuzzSegments: all is signed, and what is signed is anything.
func FuzzSigned(f *testing.F) {
	records, h := sample(3)
	f.Add(h.Segment, h.First, h.Last, h.Plain, string(h.End), bytes.Join(records, nil), []byte(nil))
	f.Add(uint64(1), uint64(1), uint64(0), int64(0), "CutOff", []byte(nil), []byte(nil))
	f.Add(uint64(1), uint64(1), uint64(1<<64-1), int64(100), "", records[0], []byte{0x28, 0xb5, 0x2f, 0xfd})
	f.Fuzz(func(t *testing.T, segment, first, last uint64, plain int64, end string, b, body []byte) {
		_, h := sample(3)
		h.Segment, h.First, h.Last, h.Plain, h.End = segment, first, last, plain, End(end)
		var stream []byte
		if body == nil {
			stream = forged(h, b)
		} else {
			h.Body, h.Size = sha256.Sum256(body), int64(len(body))
			stream = signedOver(h, body)
		}
		rep, err := Verify(bytes.NewReader(stream))
		switch {
		case (err == nil) != (rep.State != Broken), rep.State == Unread, rep.Verified():
			t.Errorf("%s, %v", rep, err)
		case rep.State == Complete && (h.End != EndComplete || uint64(rep.Records) != last-first+1):
			t.Errorf("complete, with a head that says otherwise: %+v", rep)
		}
	})
}
