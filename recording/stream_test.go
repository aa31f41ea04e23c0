package recording_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
)

// testKey makes a key of a name. Only tests have such keys.
func testKey(name string) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, "tidewaiter test key: "+name)
	return ed25519.NewKeyFromSeed(seed)
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

func newSealer(tb testing.TB, key string) *recording.Sealer {
	tb.Helper()
	s, err := recording.NewSealer(testKey(key))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// attest is the operator's word for a key, for the pod with a UID.
func attest(tb testing.TB, operator, key, uid string) *recording.Signed {
	tb.Helper()
	s, err := recording.Attest(testKey(operator), &recording.Attestation{
		Namespace: "shop", Pod: "report-7d9f", UID: uid, ServiceAccount: "report-agent", Node: "worker-1",
		Key: public(testKey(key)), Time: at(-time.Minute),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return &s
}

const podUID = "0b2f9a52-6f0e-4f2b-9d57-0f6d0e7f3c11"

// chunk is a part of a recording, and how it is to be sealed.
type chunk struct {
	records []byte
	head    recording.Head
	key     string
}

// chunks cuts the recording of session into parts of n records each.
func chunks(tb testing.TB, n int) []chunk {
	tb.Helper()
	_, records := split(encode(session()))
	attestation := attest(tb, "operator", "sidecar", podUID)
	var all []chunk
	for i := 0; i < len(records); i += n {
		part := records[i:min(i+n, len(records))]
		c := chunk{key: "sidecar", records: bytes.Join(part, nil), head: recording.Head{
			Session: "2026-11-22t14-17-01.042-9f3c01ab", DataSource: "data/orders", Segment: uint64(len(all) + 1),
			Sealed: at(time.Hour), Attestation: attestation,
		}}
		if i+n >= len(records) {
			c.head.End = recording.EndComplete
		}
		all = append(all, c)
	}
	return all
}

// seal makes segments of chunks, with one sealer for each key.
func seal(tb testing.TB, all []chunk) []*recording.Segment {
	tb.Helper()
	sealers := map[string]*recording.Sealer{}
	var segments []*recording.Segment
	for _, c := range all {
		if sealers[c.key] == nil {
			sealers[c.key] = newSealer(tb, c.key)
		}
		s, err := sealers[c.key].Seal(c.head, c.records)
		if err != nil {
			tb.Fatal(err)
		}
		segments = append(segments, s)
	}
	return segments
}

func stream(segments ...*recording.Segment) (b []byte) {
	for _, s := range segments {
		b = s.Append(b)
	}
	return b
}

// operatorKey makes a reader verify attestations.
func operatorKey() recording.ReaderOption {
	return recording.WithOperatorKey(public(testKey("operator")))
}

// read returns all events of a recording, and what the reader says in the end.
func read(b []byte, options ...recording.ReaderOption) ([]access.Event, recording.Report, error) {
	var events []access.Event
	r := recording.NewReader(bytes.NewReader(b), options...)
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return events, r.Report(), nil
		} else if err != nil {
			return events, r.Report(), err
		}
		events = append(events, rec.Event)
	}
}

func TestAStreamOfSegmentsIsReadAsTheJournalThatItWasMadeOf(t *testing.T) {
	journal := encode(session())
	want, inJournal, err := read(journal)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 2, 5, 100} {
		parts := chunks(t, n)
		b := stream(seal(t, parts)...)
		got, rep, err := read(b, operatorKey())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("segments of %d records: %v, and %d events, want %d", n, err, len(got), len(want))
		}
		if !rep.Verified() || rep.End != recording.EndComplete || rep.Segments != int64(len(parts)) || rep.Bytes != int64(len(b)) || rep.Version != 2 {
			t.Errorf("segments of %d records: %+v", n, rep)
		}
		if rep.Head != inJournal.Head || rep.Records != inJournal.Records || rep.Events != inJournal.Events || rep.First != inJournal.First || rep.Last != inJournal.Last {
			t.Errorf("segments of %d records: %+v; the journal is %+v", n, rep, inJournal)
		}
		if rep.Session != "2026-11-22t14-17-01.042-9f3c01ab" || rep.DataSource != "data/orders" {
			t.Errorf("it is of %q and %q", rep.Session, rep.DataSource)
		}
	}
}

func TestOffsetsOfRecordsAreThoseInTheJournal(t *testing.T) {
	a, b := recording.NewReader(bytes.NewReader(encode(session()))), recording.NewReader(bytes.NewReader(stream(seal(t, chunks(t, 3))...)))
	for range session() {
		want, _ := a.Next()
		if got, err := b.Next(); err != nil || got.Offset != want.Offset || got.Seq != want.Seq {
			t.Errorf("record %d at %d: %v; want %d at %d", got.Seq, got.Offset, err, want.Seq, want.Offset)
		}
	}
}

func TestTheReportSaysWhatSignaturesAreWorth(t *testing.T) {
	unattested := chunks(t, 6)
	for i := range unattested {
		unattested[i].head.Attestation = nil
	}
	partly := chunks(t, 6)
	partly[1].head.Attestation = nil
	for _, test := range []struct {
		name    string
		b       []byte
		options []recording.ReaderOption
		want    recording.Trust
		says    string
	}{
		{"a journal", encode(session()), []recording.ReaderOption{operatorKey()}, recording.Unsigned, "chain ok"},
		{"no operator", stream(seal(t, unattested)...), []recording.ReaderOption{operatorKey()}, recording.SelfSigned, "nobody attests"},
		{"one segment without an attestation", stream(seal(t, partly)...), []recording.ReaderOption{operatorKey()}, recording.SelfSigned, "nobody attests"},
		{"no operator's key given", stream(seal(t, chunks(t, 6))...), nil, recording.AttestedUnverified, "not verified"},
		{"the operator's key", stream(seal(t, chunks(t, 6))...), []recording.ReaderOption{operatorKey()}, recording.Attested, `signed by an attested key ("shop/report-7d9f")`},
		{"an older key of the operator's too", stream(seal(t, chunks(t, 6))...), []recording.ReaderOption{recording.WithOperatorKey(public(testKey("older"))), operatorKey()}, recording.Attested, "signed by an attested key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, rep, err := read(test.b, test.options...)
			if err != nil || rep.State != recording.Complete || rep.Trust != test.want || !strings.Contains(rep.String(), test.says) {
				t.Errorf("%v (%v): %s, %v; want %v", rep.Trust, rep.State, rep, err, test.want)
			}
			if rep.Verified() != (test.want == recording.Attested) {
				t.Errorf("Verified is %v", rep.Verified())
			}
			if test.want == recording.Unsigned {
				return
			}
			if len(rep.Signers) != 1 || rep.Signers[0].Key != recording.IDOf(public(testKey("sidecar"))) || rep.Signers[0].Segments != rep.Segments || rep.Signers[0].Trust != test.want {
				t.Errorf("the signers are %+v", rep.Signers)
			}
		})
	}
}

func TestAKeyThatIsNoneOfTheOperatorsIsNotNoKey(t *testing.T) {
	b := stream(seal(t, chunks(t, 6))...)
	for name, o := range map[string]recording.ReaderOption{
		"another key": recording.WithOperatorKey(public(testKey("other"))), "nil": recording.WithOperatorKey(nil),
		"none": recording.WithOperatorKey(), "half a key": recording.WithOperatorKey(public(testKey("operator"))[:16]),
	} {
		if events, rep, err := read(b, o); err == nil || rep.State != recording.Broken || len(events) > 0 {
			t.Errorf("%s: %d events and %s, %v", name, len(events), rep, err)
		}
	}
}

func TestWhatALaterProcessHasSealedIsNamed(t *testing.T) {
	parts := chunks(t, 5)
	parts = parts[:3]
	parts[2].key, parts[2].head.Recovered, parts[2].head.End = "later", true, recording.EndCutOff
	parts[2].head.Attestation = attest(t, "operator", "later", podUID)
	_, rep, err := read(stream(seal(t, parts)...), operatorKey())
	if err != nil || rep.State != recording.Unfinished || rep.End != recording.EndCutOff || rep.Recovered != 1 || rep.Trust != recording.Attested || rep.Records != 15 {
		t.Fatalf("%+v, %v", rep, err)
	}
	if len(rep.Signers) != 2 || rep.Signers[0].Recovered || !rep.Signers[1].Recovered {
		t.Errorf("the signers are %+v", rep.Signers)
	}
	for _, want := range []string{"cut off: what recorded it died", "1 were sealed by a later process"} {
		if !strings.Contains(rep.String(), want) {
			t.Errorf("the report says %q, which lacks %q", rep, want)
		}
	}
}

func TestARecordingThatWasCutOffBetweenSegmentsIsEndedByOneWithoutRecords(t *testing.T) {
	segments := seal(t, chunks(t, 5)[:2])
	last := segments[1].Head
	end, err := newSealer(t, "later").Seal(recording.Head{
		Session: last.Session, DataSource: last.DataSource, Segment: 3, End: recording.EndCutOff, Recovered: true,
		First: last.Last + 1, Previous: last.Chain, From: last.To, Sealed: at(time.Hour), Attestation: attest(t, "operator", "later", podUID),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, rep, err := read(stream(append(segments, end)...), operatorKey())
	if err != nil || rep.State != recording.Unfinished || rep.End != recording.EndCutOff || rep.Records != 10 || rep.Head != last.Chain {
		t.Errorf("%+v, %v", rep, err)
	}
}

func TestAnErasedRecordingStillVerifiesFromHeadToHead(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	segments := seal(t, chunks(t, 5))
	for _, i := range []int{1, 3} { // the first and the third stay readable
		if segments[i], err = recording.Encrypt(segments[i], id.Recipient()); err != nil {
			t.Fatal(err)
		}
	}
	b := stream(segments...)
	want, inJournal, _ := read(encode(session()))
	identity := func(id age.Identity, err error) recording.ReaderOption {
		return recording.WithIdentity(func(h *recording.Head) (age.Identity, error) {
			if h.Session != "2026-11-22t14-17-01.042-9f3c01ab" {
				t.Errorf("asked for the key of %q", h.Session)
			}
			return id, err
		})
	}
	if got, rep, err := read(b, operatorKey(), identity(id, nil)); err != nil || !rep.Verified() || !reflect.DeepEqual(got, want) {
		t.Errorf("with the key: %d events, %+v, %v", len(got), rep, err)
	}
	for name, o := range map[string][]recording.ReaderOption{
		"no option": {operatorKey()}, "no key": {operatorKey(), identity(nil, nil)}, "erased": {operatorKey(), identity(nil, errors.Join(recording.ErrNoKey))},
	} {
		got, rep, err := read(b, o...)
		if err != nil || rep.State != recording.Complete || rep.Erased != 2 || rep.Verified() || rep.Head != inJournal.Head || rep.Records != inJournal.Records {
			t.Errorf("%s: %+v, %v", name, rep, err)
		}
		if len(got) != 10 || !reflect.DeepEqual(got[5:], want[10:15]) || !strings.Contains(rep.String(), "content of 2 is ERASED") {
			t.Errorf("%s: %d events; %s", name, len(got), rep)
		}
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if _, rep, err := read(b, identity(other, nil)); err == nil || rep.State != recording.Broken || rep.Broken.Segment != 2 {
		t.Errorf("with another key: %+v, %v", rep, err)
	}
	failed := errors.New("the key server is down")
	if _, rep, err := read(b, identity(nil, failed)); !errors.Is(err, failed) || rep.State != recording.Unread {
		t.Errorf("where the key cannot be had: %+v, %v", rep, err)
	}
}

// TestABodyPassedOffAsErasedIsCounted: whoever holds what is stored can make it unreadable, by deleting it for one. It never passes for
// what was read, and the log knows whether it was erased.
func TestABodyPassedOffAsErasedIsCounted(t *testing.T) {
	segments := seal(t, chunks(t, 9))
	segments[0].Kind, segments[0].Body = recording.BodyEncrypted, []byte("gone")
	events, rep, err := read(stream(segments...), operatorKey())
	if err != nil || rep.Erased != 1 || rep.Verified() || len(events) != 7 {
		t.Errorf("%d events, %+v, %v", len(events), rep, err)
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	withKey := recording.WithIdentity(func(*recording.Head) (age.Identity, error) { return id, nil })
	if events, rep, err := read(stream(segments...), operatorKey(), withKey); err == nil || rep.State != recording.Broken || len(events) > 0 {
		t.Errorf("where there is a key: %d events, %+v, %v", len(events), rep, err)
	}
}

func TestAClockThatWasSetBackDoesNotTurnTimesBack(t *testing.T) {
	events := session()[:4]
	events[2].Time = events[1].Time.Add(-time.Hour)
	enc, b := recording.Begin(nil)
	for i := range events {
		b, _ = enc.Event(b, &events[i])
	}
	b = enc.End(b, at(-24*time.Hour))
	s, err := newSealer(t, "sidecar").Seal(recording.Head{Session: "s", DataSource: "data/orders", Segment: 1, End: recording.EndComplete, Sealed: at(-time.Hour)}, b[16:])
	if err != nil {
		t.Fatal(err)
	}
	got, rep, err := read(s.Append(nil))
	if err != nil || rep.State != recording.Complete {
		t.Fatalf("%+v, %v", rep, err)
	}
	if !got[2].Time.Equal(events[1].Time) || !s.Head.Sealed.Equal(events[3].Time) || !rep.Last.Equal(events[3].Time) {
		t.Errorf("times are %v, sealed %v, the last %v", got[2].Time, s.Head.Sealed, rep.Last)
	}
}
