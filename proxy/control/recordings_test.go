package control

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"sync"
	"testing"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/test/operatortest"
)

// signer signs with a key, and keeps what it was told.
type signer struct {
	key ed25519.PrivateKey

	mu     sync.Mutex
	told   []*recording.Signed
	refuse error
	beats  uint64
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{key: key}
}

func (s *signer) public() ed25519.PublicKey { return s.key.Public().(ed25519.PublicKey) }

func (s *signer) Key(instance string) (ed25519.PublicKey, []byte) {
	return s.public(), recording.Prove(s.key, instance)
}

func (s *signer) Attested(a *recording.Signed) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, a)
	return s.refuse
}

func (s *signer) Beat(last bool) (recording.Signed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beats++
	return recording.Beat(s.key, &recording.Heartbeat{Key: recording.IDOf(s.public()), Number: s.beats, Last: last})
}

// heard waits for the next heartbeat.
func heard(t *testing.T, s *operatortest.Stream, key ed25519.PublicKey) recording.Heartbeat {
	t.Helper()
	b := s.Until(t, func(m *sidecarv1alpha1.ConnectRequest) bool { return m.GetHeartbeat() != nil }).GetHeartbeat()
	h, err := recording.OpenHeartbeat(key, &recording.Signed{Statement: b.GetStatement(), Signature: b.GetSignature()})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func attest(t *testing.T, s *operatortest.Stream, word string) {
	t.Helper()
	s.Send(t, &sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_Attestation{
		Attestation: &sidecarv1alpha1.RecordingAttestation{Statement: []byte(word), Signature: []byte("signature")},
	}})
}

func TestTheKeyOfRecordingsIsProvenAndTheOperatorsWordForItTaken(t *testing.T) {
	o, keeper := operatortest.Start(t), newSigner(t)
	c, _ := run(t, o, func(opt *Options) { opt.Recordings, opt.BeatEvery = keeper, 5*time.Millisecond })
	s := o.Next(t)
	if h := s.Hello; !bytes.Equal(h.GetRecordingKey(), keeper.public()) || !recording.Proven(h.GetRecordingKey(), h.GetInstance(), h.GetRecordingProof()) ||
		recording.Proven(h.GetRecordingKey(), h.GetInstance()+"0", h.GetRecordingProof()) {
		t.Errorf("the key is not proven: %v", h)
	}
	attest(t, s, "first")
	s.Snapshot(t, whole(o, 7, 60))
	for n := range uint64(3) {
		if h := heard(t, s, keeper.public()); h.Number != n+1 || h.Last {
			t.Errorf("heartbeat %d is %+v", n+1, h)
		}
	}
	keeper.mu.Lock()
	if len(keeper.told) != 2 || string(keeper.told[0].Statement) != "first" || string(keeper.told[0].Signature) != "signature" || keeper.told[1] != nil {
		t.Errorf("told %v", keeper.told)
	}
	keeper.mu.Unlock()

	done := make(chan struct{})
	go func() { c.Finish(context.Background()); close(done) }()
	for h := heard(t, s, keeper.public()); !h.Last; h = heard(t, s, keeper.public()) {
		continue
	}
	if m, err := s.Recv(); err == nil {
		t.Errorf("behind the last heartbeat came %v", m)
	}
	<-done
	select {
	case again := <-o.Streams():
		t.Errorf("it came again after its end: %v", again.Hello)
	case <-time.After(50 * time.Millisecond):
	}
}

func TestAnAttestationThatIsNotTakenEndsTheStream(t *testing.T) {
	o, keeper := operatortest.Start(t), newSigner(t)
	keeper.refuse = errors.New("it is for another key")
	_, l := run(t, o, func(opt *Options) { opt.Recordings = keeper })
	s := o.Next(t)
	attest(t, s, "wrong")
	if _, err := s.Recv(); err == nil {
		t.Error("the stream goes on")
	}
	o.Next(t) // it tries again
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) > 0 {
		t.Errorf("something is served: %v", l.lines)
	}
}

func TestAnAcknowledgementOfAnotherSegmentIsNotTaken(t *testing.T) {
	o := operatortest.Start(t)
	c, _ := run(t, o)
	s := o.Next(t)
	s.Snapshot(t, whole(o, 7, 60))
	attached(t, c)
	got := make(chan *sidecarv1alpha1.RecordingAck, 1)
	go func() {
		ack, _ := c.SendRecording(context.Background(), &sidecarv1alpha1.RecordingChunk{Id: "a", Segment: 2, Data: []byte("x")})
		got <- ack
	}()
	s.Until(t, func(m *sidecarv1alpha1.ConnectRequest) bool { return m.GetRecording() != nil })
	s.AckRecording(t, &sidecarv1alpha1.RecordingAck{Id: "a", Segment: 1, Size: 1, Complete: true}) // late, of the one before
	s.AckRecording(t, &sidecarv1alpha1.RecordingAck{Id: "a", Segment: 2, Size: 1})
	if ack := <-got; ack.GetSegment() != 2 || ack.GetComplete() {
		t.Errorf("got %v", ack)
	}
}
