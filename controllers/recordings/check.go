package recordings

import (
	"bytes"
	"crypto/ed25519"
	"time"

	"github.com/tidewaiter/tidewaiter/recording"
)

// clockSkew is how far a sidecar's clock may be before the operator's. What it records is not kept longer than by that.
const clockSkew = 24 * time.Hour

// read reads a segment as a sidecar ships it, or says why it is none.
func read(whole []byte) (*recording.Segment, string) {
	r := bytes.NewReader(whole)
	seg, err := recording.ReadSegment(r)
	if err != nil || r.Len() > 0 || seg.Kind != recording.BodyZstd {
		return nil, RejectedSegment
	}
	return seg, ""
}

// place says why a segment is not the one that the chunk said it is, or nothing.
func place(h *recording.Head, c *Chunk, now time.Time) string {
	latest := now.Add(clockSkew)
	switch {
	case h.Session != c.ID, h.DataSource != c.DataSource, h.Segment != c.Segment:
		return RejectedHead
	case h.From.IsZero(), h.To.Before(h.From), h.To.After(latest), h.Sealed.After(latest):
		return RejectedHead
	case h.Check() != nil:
		return RejectedHead
	}
	return ""
}

// signed says why a segment's signature is not believed, or nothing: its key has to be the one that this stream proved, or one that
// the operator has attested before for the same pod, by its UID. What a process left behind is shipped by the one after it.
func (s *Store) signed(seg *recording.Segment, pod Pod, proven ed25519.PublicKey) string {
	key := proven
	switch {
	case seg.Head.Attestation != nil:
		att, ok := s.attested(seg.Head.Attestation)
		if !ok || att.Namespace != pod.Namespace || att.UID != pod.UID || recording.IDOf(att.Key) != seg.Head.Key {
			return RejectedAttestation
		}
		key = att.Key
	case proven == nil || recording.IDOf(proven) != seg.Head.Key:
		return RejectedKey
	}
	if seg.VerifyHead(key) != nil {
		return RejectedSignature
	}
	return ""
}

// attested opens an attestation by the operator's key, or by one that it had before.
func (s *Store) attested(signed *recording.Signed) (recording.Attestation, bool) {
	att, err := recording.OpenAttestation(s.o.Key.Public().(ed25519.PublicKey), signed)
	if err == nil {
		return att, true
	}
	for _, key := range s.o.EarlierKeys {
		if len(key) == ed25519.PublicKeySize { // nil would believe everything
			if att, err := recording.OpenAttestation(key, signed); err == nil {
				return att, true
			}
		}
	}
	return recording.Attestation{}, false
}

// begin is the chain's hash before the first record of a session.
func begin() recording.Hash {
	enc, _ := recording.Begin(nil)
	return enc.Head()
}

// follows says why a segment does not follow from what the store has of its session, or nothing.
func (st *state) follows(h *recording.Head) string {
	switch {
	case h.Segment != st.last+1:
		return RejectedOrder
	case st.end != recording.EndNone:
		return RejectedEnded
	case st.last > 0 && h.DataSource != st.entry.DataSource:
		return RejectedHead
	case h.First != st.seq+1 || h.Previous != st.chain:
		return RejectedChain
	}
	return ""
}

// same reports whether an object of the store is a segment, however it is encrypted there.
func same(stored []byte, seg *recording.Segment) bool {
	there, err := recording.ReadSegment(bytes.NewReader(stored))
	return err == nil && bytes.Equal(there.Signed.Statement, seg.Signed.Statement) && bytes.Equal(there.Signed.Signature, seg.Signed.Signature)
}
