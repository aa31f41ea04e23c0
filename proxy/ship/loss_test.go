package ship

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/record"
	"github.com/tidewaiter/tidewaiter/recording"
)

func (s *Spool) publicKey() ed25519.PublicKey { key, _ := s.Key(""); return key }

// hello shows an operator the key of a spool.
func hello(in *intake, s *Spool) {
	key, proof := s.Key("other")
	in.Hello(&sidecarv1alpha1.Hello{Instance: "other", RecordingKey: key, RecordingProof: proof})
}

func beat(t *testing.T, s *Spool) recording.Heartbeat {
	t.Helper()
	b, err := s.Beat(false)
	must(t, err)
	h, err := recording.OpenHeartbeat(s.publicKey(), &b)
	must(t, err)
	return h
}

func TestWhereTheOwnerWantsItStatementsRunUnrecordedAndThatIsSaid(t *testing.T) {
	var log syncBuffer
	s, in := spool(t, Options{Limit: 1 << 20}), newIntake()
	s.opt.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	rec := openWith(t, s, "one", record.Serve)
	must(t, rec.Append(intent("recorded")), rec.Append(rows(1<<20+1<<12)))
	if h := beat(t, s); !h.Recording || h.Open != 1 || h.Number != 1 || h.Every != 60 {
		t.Errorf("before: %+v", h)
	}
	in.until(t, "it is not full", func(*intake) bool { return s.Used() >= 1<<20 })
	must(t, rec.Append(intent("not recorded")), rec.Append(intent("nor this")))
	other := openWith(t, s, "two", record.Serve) // the spool is full
	must(t, other.Append(intent("nothing of it")))
	if sessions, statements := s.Unrecorded(); sessions != 2 || statements != 3 {
		t.Errorf("%d sessions and %d statements", sessions, statements)
	}
	if h := beat(t, s); h.Recording || h.Open < 2 || h.Number != 2 {
		t.Errorf("meanwhile: %+v", h)
	}
	s.shipping(t, in)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log:\n%s", log.String())
		}
	})
	in.until(t, "what was recorded did not arrive", cut("one"))
	must(t, other.Close(), rec.Append(intent("still nothing")), rec.Close(), s.WaitEmpty(t.Context(), 20*time.Second))
	if b := in.Plain()["data/orders/one"]; !bytes.Contains(b, []byte(`"recorded"`)) || bytes.Contains(b, []byte("nor this")) || bytes.Contains(b, []byte("still nothing")) {
		t.Errorf("recorded is %d bytes", len(b))
	}
	if h := beat(t, s); h.Recording { // a statement ran since the heartbeat before
		t.Errorf("just after: %+v", h)
	}
	if h := beat(t, s); !h.Recording || h.Open != 0 {
		t.Errorf("later: %+v", h)
	}
	next := openWith(t, s, "three", record.Serve)
	must(t, next.Append(intent("a")), next.Close())
	in.until(t, "a later session is not recorded", arrived("three"))
	if said := log.String(); strings.Count(said, "UNRECORDED") != 1 {
		t.Errorf("the log:\n%s", said)
	}
}

func TestASpoolWhoseDiskFailsServesWhereItsOwnerWantsThatAndRecordsOnceItWorks(t *testing.T) {
	s, in := spool(t, Options{}), newIntake()
	s.shipping(t, in)
	blocked := filepath.Join(s.opt.Dir, "data")
	must(t, os.WriteFile(blocked, nil, 0o600)) // as a disk that takes no folder
	if _, err := s.Recorder("data/orders", record.Statement, record.Deny); err == nil {
		t.Error("what is denied without a recorder is served")
	}
	r, err := s.Recorder("data/orders", record.Statement, record.Serve)
	must(t, err)
	rec, err := r.Open(access.Opened{Session: "one"})
	must(t, err, rec.Append(intent("a")))
	if sessions, statements := s.Unrecorded(); sessions != 1 || statements != 1 {
		t.Errorf("%d sessions and %d statements", sessions, statements)
	}
	must(t, rec.Close(), os.Remove(blocked))
	rec, err = r.Open(access.Opened{Session: "two"})
	must(t, err, rec.Append(intent("b")), rec.Close())
	in.until(t, "it is not recorded", arrived("two"))
	if sessions, _ := s.Unrecorded(); sessions != 0 {
		t.Errorf("%d sessions", sessions)
	}
}

func TestAnEventThatIsTooLargeIsNoWayToRunUnrecorded(t *testing.T) {
	s := spool(t, Options{})
	rec := openWith(t, s, "one", record.Serve)
	if err := rec.Append(intent(strings.Repeat("x", recording.MaxPayload))); !errors.Is(err, recording.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	if err := rec.Append(intent("small")); err == nil {
		t.Error("a statement behind it ran")
	}
}

func TestHeartbeatsCountTheSegmentsOfTheKeyAndTheirHeads(t *testing.T) {
	s, in := spool(t, Options{}), newIntake()
	s.shipping(t, in)
	for _, name := range []string{"one", "two", "three"} {
		rec := open(t, s, name)
		must(t, rec.Append(intent("a")), rec.Close())
	}
	must(t, s.WaitEmpty(t.Context(), 20*time.Second))
	bySerial := map[uint64]*recording.Segment{}
	for _, segments := range in.Segments() {
		for _, g := range segments {
			bySerial[g.Head.Serial] = g
		}
	}
	var sum recording.Hash
	for serial := uint64(1); bySerial[serial] != nil; serial++ {
		sum = recording.NextSum(sum, &bySerial[serial].Signed)
	}
	if h := beat(t, s); h.Sealed != uint64(len(bySerial)) || h.Sum != sum || h.Key != recording.IDOf(s.publicKey()) {
		t.Errorf("%+v, and %d segments with the sum %v", h, len(bySerial), sum)
	}
}

func TestTheOperatorsWordIsInEveryHeadAndNothingIsSealedBeforeIt(t *testing.T) {
	s, in := spool(t, Options{}), newIntake()
	rec := open(t, s, "one")
	must(t, rec.Append(intent("a")), rec.Close())
	_, operator, err := ed25519.GenerateKey(nil)
	must(t, err)
	other := make(ed25519.PublicKey, ed25519.PublicKeySize)
	for what, key := range map[string]ed25519.PublicKey{"another key": other, "too large": s.publicKey()} {
		a := &recording.Attestation{Pod: "p", Key: key}
		if what == "too large" {
			a.Node = strings.Repeat("n", maxAttestation)
		}
		wrong, err := recording.Attest(operator, a)
		must(t, err)
		if s.Attested(&wrong) == nil {
			t.Errorf("%s is taken", what)
		}
	}
	select {
	case <-s.told:
		t.Error("sealing has begun")
	default:
	}
	word, err := recording.Attest(operator, &recording.Attestation{Namespace: "shop", Pod: "p", UID: "u", Key: s.publicKey(), Time: time.Now()})
	must(t, err, s.Attested(&word))
	s.shipping(t, in) // which says nothing more of the key
	in.until(t, "it did not arrive", arrived("one"))
	for _, g := range in.Segments()["data/orders/one"] {
		a, err := recording.OpenAttestation(operator.Public().(ed25519.PublicKey), g.Head.Attestation)
		if err != nil || a.UID != "u" {
			t.Errorf("%+v, %v", a, err)
		}
	}
}

// syncBuffer is a log.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
