package recordings

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/ledger"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

func TestASessionIsReadBackAsItWasRecorded(t *testing.T) {
	for kind, where := range map[string]string{"memory": "mem://", "a folder": filepath.Join(t.TempDir(), "store")} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, where)
			c := newSidecar(t, pod).join(w.start(t))
			r := c.session("s-1", w.now)
			c.kept(r.seal(recording.EndNone, access.Event{Kind: access.EventDecided, Statement: 1, Decided: &access.Decided{
				Text: "select name from customers", Resources: []string{"Read public.customers"}, Tags: []string{"pii"}, Effect: "Deny",
			}}))
			c.kept(r.seal(recording.EndNone))
			last := r.seal(recording.EndComplete)
			c.kept(last)
			got, err := w.read(t, r.name(), c.public())
			if err != nil || !slices.Equal(got, []string{"select name from customers", "select secret1", "select secret2"}) {
				t.Errorf("%v, %v", got, err)
			}
			raw, err := w.bucket.Get(t.Context(), r.name().Segment(2), maxFile)
			if err != nil || strings.Contains(string(raw), "secret1") {
				t.Errorf("the content is in clear text: %v", err)
			}
			e := w.entry(t, r.name(), r.began)
			if e.Statements != 3 || e.Denied != 1 || e.User != "ada" || e.Pod != pod.Name || e.DataSource != orders || e.End != "Complete" ||
				e.Segments != 3 || e.Chain != last.Head.Chain || !slices.Equal(e.Tables, []string{"public.customers"}) || !slices.Equal(e.Tags, []string{"pii"}) {
				t.Errorf("entry %+v", e)
			}
			if got := w.leaves(t, ledger.KindSealed); len(got) != 3 {
				t.Errorf("%d leaves", len(got))
			}
			if done, known := c.stream.Latest(orders); !known || done.Session != "s-1" || done.Chain != last.Head.Chain || done.URI != w.bucket.URI(r.name().Folder()) {
				t.Errorf("latest: %+v, %t", done, known)
			}
		})
	}
}

func TestTheLeafOfASegmentIsThatOfTheObject(t *testing.T) {
	w := newWorld(t, "mem://")
	c := newSidecar(t, pod).join(w.start(t))
	seg := c.session("s-1", w.now).seal(recording.EndNone)
	c.kept(seg)
	leaf := w.leaves(t, ledger.KindSealed)[0]
	raw, err := w.bucket.Get(t.Context(), leaf.Sealed.Object, maxFile)
	must(t, err)
	if leaf.Sealed.Size != int64(len(raw)) || leaf.Sealed.Stored != sumOf(raw) || string(leaf.Sealed.Head.Statement) != string(seg.Signed.Statement) || leaf.Pod.UID != pod.UID {
		t.Errorf("%+v", leaf)
	}
	attested := w.leaves(t, ledger.KindAttested)
	if len(attested) != 1 {
		t.Fatalf("%d leaves of attestations", len(attested))
	}
	att, err := recording.OpenAttestation(w.key.Public().(ed25519.PublicKey), attested[0].Attestation)
	if err != nil || att.UID != pod.UID || att.Node != pod.Node || !att.Key.Equal(c.public()) {
		t.Errorf("%+v, %v", att, err)
	}
}

func TestAnotherProcessGoesOnWhereOneStopped(t *testing.T) {
	w := newWorld(t, "mem://")
	first := w.start(t)
	c := newSidecar(t, pod).join(first)
	r := c.session("s-1", w.now)
	c.kept(r.seal(recording.EndNone))
	c.kept(r.seal(recording.EndNone))
	c.join(w.start(t)) // the operator was restarted, or this is another replica
	c.kept(r.seal(recording.EndNone))
	c.join(first) // which knows two, while there are three
	last := r.seal(recording.EndComplete)
	c.kept(last)
	c.kept(last) // the sidecar did not hear
	if got, err := w.read(t, r.name(), c.public()); err != nil || len(got) != 3 {
		t.Errorf("%v, %v", got, err)
	}
	if e := w.entry(t, r.name(), r.began); e.Segments != 4 || e.Statements != 3 {
		t.Errorf("entry %+v", e)
	}
	if got := w.leaves(t, ledger.KindSealed); len(got) != 4 {
		t.Errorf("%d leaves", len(got))
	}
	// Yet another finds the session that has ended.
	c.join(w.start(t))
	must(t, c.stream.Look(t.Context(), orders, "s-1"))
	if done, known := c.stream.Latest(orders); !known || done.Chain != last.Head.Chain {
		t.Errorf("%+v, %t", done, known)
	}
}

func TestWhatAKilledSidecarLeftIsTakenFromItsSuccessor(t *testing.T) {
	w := newWorld(t, "mem://")
	s := w.start(t)
	old := newSidecar(t, pod).join(s)
	r := old.session("s-1", w.now)
	old.kept(r.seal(recording.EndNone))
	sealed := r.seal(recording.EndNone) // by the key of the process that is gone
	next := newSidecar(t, pod).join(s)
	next.kept(sealed)
	r.c, r.head = next, func(h *recording.Head) { h.Recovered = true }
	next.kept(r.seal(recording.EndCutOff))
	// Where its last segment ends is where it was cut off: its end has no records.
	short := old.session("s-2", w.now)
	whole := short.seal(recording.EndNone)
	next.kept(whole)
	next.kept(next.cutOff(&whole.Head))
	if got, err := w.read(t, r.name(), old.public(), next.public()); err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	if ack, err := next.ship(r.seal(recording.EndNone)); err != nil || ack.Rejected != RejectedEnded {
		t.Errorf("after its end: %+v, %v", ack, err)
	}
}

func TestWhatDoesNotFitIsNotTaken(t *testing.T) {
	w := newWorld(t, "mem://")
	s := w.start(t)
	c := newSidecar(t, pod).join(s)
	base := c.session("base", w.now)
	c.kept(base.seal(recording.EndNone))
	stranger := newSidecar(t, Pod{Namespace: "shop", Name: "other", UID: "other", ServiceAccount: "report"}).join(s)
	unknown := newSidecar(t, pod)
	forged, err := recording.Attest(unknown.key, &recording.Attestation{Namespace: pod.Namespace, UID: pod.UID, Key: unknown.public()})
	must(t, err)
	fresh := func(c *sidecar, id string, change func(*recording.Head)) *recording.Segment {
		r := c.session(id, w.now)
		r.head = change
		return r.seal(recording.EndNone)
	}
	altered := fresh(c, "altered", nil)
	altered.Signed.Signature[0] ^= 1
	unknownEnd := fresh(c, "end", nil) // no Sealer makes one
	unknownEnd.Signed.Statement = bytes.Replace(unknownEnd.Signed.Statement, []byte(`"session":`), []byte(`"end":"Maybe","session":`), 1)
	unknownEnd.Signed.Signature = ed25519.Sign(c.key, append([]byte("tidewaiter.dev/recording/v2/segment\n"), unknownEnd.Signed.Statement...))
	body := fresh(c, "body", nil)
	body.Body[len(body.Body)-1] ^= 1
	skipped := c.session("base", w.now)
	*skipped = *base
	skipped.seal(recording.EndNone)
	anew := c.session("base", w.now.Add(time.Second)) // as many records, and others
	anew.seal(recording.EndNone)
	encrypted := fresh(c, "encrypted", nil)
	encrypted.Kind = recording.BodyEncrypted
	for name, c2 := range map[string]struct {
		seg  *recording.Segment
		want string
		send func(*recording.Segment) (Ack, error)
	}{
		"a changed signature":           {seg: altered, want: RejectedSignature},
		"a changed body":                {seg: body, want: RejectedSegment},
		"an unknown key":                {seg: fresh(unknown, "unknown", nil), want: RejectedKey},
		"a forged attestation":          {seg: fresh(unknown, "forged", func(h *recording.Head) { h.Attestation = &forged }), want: RejectedAttestation},
		"another pod's key":             {seg: fresh(stranger, "stranger", nil), want: RejectedAttestation},
		"another's attestation":         {seg: fresh(c, "theirs", func(h *recording.Head) { h.Attestation = stranger.stream.Attestation() }), want: RejectedAttestation},
		"another data source":           {seg: fresh(c, "elsewhere", func(h *recording.Head) { h.DataSource = "data/other" }), want: RejectedHead},
		"a time to come":                {seg: c.session("future", w.now.Add(72*time.Hour)).seal(recording.EndNone), want: RejectedHead},
		"an end that is not known":      {seg: unknownEnd, want: RejectedHead},
		"a segment that is left out":    {seg: skipped.seal(recording.EndNone), want: RejectedOrder},
		"a chain that begins elsewhere": {seg: anew.seal(recording.EndNone), want: RejectedChain},
		"one that is encrypted already": {seg: encrypted, want: RejectedSegment},
		"another of the same number":    {seg: fresh(c, "base", nil), want: RejectedExists},
		"under another session's name": {seg: fresh(c, "mine", nil), want: RejectedHead, send: func(s *recording.Segment) (Ack, error) {
			return c.send("yours", 1, s.Append(nil))
		}},
		"with something behind": {seg: fresh(c, "behind", nil), want: RejectedSegment, send: func(s *recording.Segment) (Ack, error) {
			return c.send("behind", 1, append(s.Append(nil), 'x'))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			send := c2.send
			if send == nil {
				send = c.ship
			}
			if ack, err := send(c2.seg); err != nil || ack.Rejected != c2.want || ack.Complete {
				t.Errorf("%+v, %v", ack, err)
			}
		})
	}
	if got := w.leaves(t, ledger.KindSealed); len(got) != 1 {
		t.Errorf("%d leaves", len(got))
	}
	c.kept(base.seal(recording.EndNone)) // nobody is stuck
}

func TestOnlyWhoHoldsAKeyHasItAttested(t *testing.T) {
	w := newWorld(t, "mem://")
	s := w.start(t)
	c, thief := newSidecar(t, pod), newSidecar(t, pod)
	for name, proof := range map[string][]byte{
		"none": nil, "of another key": recording.Prove(thief.key, instance), "for another start": recording.Prove(c.key, "before"),
	} {
		if _, err := s.Join(pod, c.public(), instance, proof); !errors.Is(err, ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
	st, err := s.Join(pod, nil, instance, nil)
	must(t, err)
	c.stream = st
	if ack, err := c.ship(c.session("s-1", w.now).seal(recording.EndNone)); err != nil || ack.Rejected != RejectedKey {
		t.Errorf("without a key: %+v, %v", ack, err)
	}
}

func TestNothingIsAcknowledgedBeforeItsLeafIsWritten(t *testing.T) {
	w := newWorld(t, "mem://")
	log := &flaky{Log: w.log}
	w.log = log
	s := w.start(t)
	c := newSidecar(t, pod).join(s)
	r := c.session("s-1", w.now)
	seg := r.seal(recording.EndNone)
	log.fail(1) // the attestation's
	if ack, err := c.ship(seg); err == nil || ack.Complete {
		t.Fatalf("a key that the log does not know: %+v, %v", ack, err)
	}
	if got := w.leaves(t, ledger.KindAttested); len(got) != 0 {
		t.Fatalf("%d leaves", len(got))
	}
	must(t, c.stream.Flush(t.Context()))
	log.fail(1) // the segment's
	if ack, err := c.ship(seg); err == nil || ack.Complete {
		t.Fatalf("no leaf: %+v, %v", ack, err)
	}
	if _, err := w.bucket.Get(t.Context(), r.name().Segment(1), maxFile); err != nil {
		t.Fatalf("it is in the store by now: %v", err)
	}
	c.kept(seg)
	if got := w.leaves(t, ledger.KindSealed); len(got) != 1 {
		t.Errorf("%d leaves", len(got))
	}
	if e := w.entry(t, r.name(), r.began); e.Segments != 1 {
		t.Errorf("entry %+v", e)
	}
	c.kept(r.seal(recording.EndNone))
}

// A replica put the last segment and died before its leaf and entry; the one that takes it again knew the session as it was before.
func TestWhatAReplicaLeftUndoneIsMadeUpForByOneThatKnewTheSession(t *testing.T) {
	w := newWorld(t, "mem://")
	log := &flaky{Log: w.log}
	w.log = log
	dies, stays := w.start(t), w.start(t)
	c := newSidecar(t, pod).join(stays)
	r := c.session("s-1", w.now)
	c.kept(r.seal(recording.EndNone))
	c.join(dies)
	must(t, c.stream.Flush(t.Context()))
	last := r.seal(recording.EndComplete)
	log.fail(1)
	if ack, err := c.ship(last); err == nil {
		t.Fatalf("%+v without a leaf", ack)
	}
	c.join(stays)
	c.kept(last)
	if e := w.entry(t, r.name(), r.began); e.Segments != 2 || e.End != string(recording.EndComplete) || e.Statements != 1 {
		t.Errorf("entry %+v", e)
	}
	if got := w.leaves(t, ledger.KindSealed); len(got) != 2 {
		t.Errorf("%d leaves", len(got))
	}
}

func TestAnEntryThatWasLostIsMadeAgain(t *testing.T) {
	w := newWorld(t, "mem://")
	c := newSidecar(t, pod).join(w.start(t))
	r := c.session("s-1", w.now)
	for range 3 {
		c.kept(r.seal(recording.EndNone))
	}
	want := w.entry(t, r.name(), r.began)
	must(t, w.bucket.Delete(t.Context(), r.name().Entry(r.began)))
	c.join(w.start(t))
	c.kept(r.seal(recording.EndNone))
	got := w.entry(t, r.name(), r.began)
	if got.Segments != 4 || got.Statements != want.Statements+1 || got.User != want.User || !slices.Equal(got.Tables, want.Tables) {
		t.Errorf("%+v, before %+v", got, want)
	}
}

func TestNobodyFillsTheStore(t *testing.T) {
	w := newWorld(t, "mem://")
	big := access.Event{Kind: access.EventDecided, Decided: &access.Decided{Effect: "Allow", Text: random(40 << 10)}}
	full := func(limits Limits, p Pod, n int) string {
		w.limits = limits
		c := newSidecar(t, p).join(w.start(t))
		r := c.session("s-"+p.UID, w.now)
		for range n {
			ack, err := c.ship(r.seal(recording.EndNone, big))
			must(t, err)
			if ack.Rejected != "" {
				return ack.Rejected
			}
		}
		return ""
	}
	of := func(uid string) Pod { return Pod{Namespace: "shop", Name: uid, UID: uid} }
	for name, c := range map[string]struct {
		limits Limits
		n      int
		want   string
	}{
		"a session that goes on and on": {Limits{File: 100 << 10}, 4, RejectedSession},
		"a pod with much":               {Limits{Pod: 100 << 10}, 4, RejectedPodFull},
		"a pod with many":               {Limits{Files: 2}, 3, RejectedPodFull},
		"within the limits":             {Limits{}, 4, ""},
	} {
		if got := full(c.limits, of(strings.ReplaceAll(name, " ", "-")), c.n); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	used := int64(0)
	for o, err := range w.bucket.List(t.Context(), store.Recordings) {
		must(t, err)
		used += o.Size
	}
	if got := full(Limits{Total: used + 1000}, of("late"), 1); got != RejectedStoreFull {
		t.Errorf("what was there before does not count: %q", got)
	}
	if got := full(Limits{Total: -1}, of("unbounded"), 1); got != "" {
		t.Errorf("without a limit: %q", got)
	}
}

func TestNoNameLeadsOutOfAPodsFolder(t *testing.T) {
	w := newWorld(t, "mem://")
	c := newSidecar(t, pod).join(w.start(t))
	for _, id := range []string{"", ".", "..", "../x", "a/b", "/etc/x", ".hidden", "A", "a\x00", `a\b`, "é", strings.Repeat("a", 129), "a..b"} {
		if ack, err := c.send(id, 1, []byte("x")); err != nil || ack.Rejected != RejectedName {
			t.Errorf("%q: %+v, %v", id, ack, err)
		}
	}
	if ack, err := c.send("a", 0, []byte("x")); err != nil || ack.Rejected != RejectedName {
		t.Errorf("number 0: %+v, %v", ack, err)
	}
	if ack, err := c.stream.Append(t.Context(), Chunk{ID: "a", Segment: 1, Data: make([]byte, MaxChunk+1)}); err != nil || ack.Rejected != RejectedChunk {
		t.Errorf("a large chunk: %+v, %v", ack, err)
	}
	if ack, err := c.stream.Append(t.Context(), Chunk{ID: "a", Segment: 1, Data: []byte("x"), Complete: true, SHA256: []byte("y")}); err != nil || ack.Rejected != RejectedDigest {
		t.Errorf("another digest: %+v, %v", ack, err)
	}
}
