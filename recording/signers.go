package recording

import (
	"crypto/ed25519"
	"errors"
	"fmt"
)

// MaxSigners is how many keys may have signed a recording. There is one, and another for each time that its recorder died and
// the process that came after it died before all was sealed.
const MaxSigners = 64

// Trust says what the signatures of a recording are worth. More is better; the zero value is worth nothing.
type Trust uint8

// What signatures are worth.
const (
	// Unsigned is a recording of version 1, or one of which no segment was read.
	Unsigned Trust = iota
	// SelfSigned is signed by a key for which nobody speaks: whoever made the recording anew can make that too.
	SelfSigned
	// AttestedUnverified is signed by keys for which attestations speak, whose own signatures were not verified, since the
	// operator's key was not given: worth no more than SelfSigned to whoever does not trust where the recording comes from.
	AttestedUnverified
	// Attested is signed by keys that the operator has attested with the key given.
	Attested
)

// String says it in words.
func (t Trust) String() string {
	switch t {
	case SelfSigned:
		return "signed by a key that nobody attests"
	case AttestedUnverified:
		return "signed, the attestation not verified"
	case Attested:
		return "signed by an attested key"
	default:
		return "not signed"
	}
}

// Signer is a key that has signed segments of a recording.
type Signer struct {
	Key   KeyID
	Trust Trust // the least of its segments
	// Attestation is the first for this key, nil where Trust is SelfSigned. It is not to be believed unless Trust is Attested.
	Attestation *Attestation
	Segments    int64
	Recovered   bool // it has sealed what another process had recorded

	serial uint64 // of its last segment
}

// signers are the keys of a recording as far as it was read.
type signers struct {
	list []Signer
	pod  *Attestation // the first of any key: all are of the same pod
}

// trust is the least of all segments.
func (s *signers) trust() Trust {
	if len(s.list) == 0 {
		return Unsigned
	}
	least := Attested
	for i := range s.list {
		least = min(least, s.list[i].Trust)
	}
	return least
}

// admit verifies who has signed a segment.
func (s *signers) admit(segment *Segment, o *readerOptions) error {
	h := &segment.Head
	attestation, trust, err := attestationOf(h, o)
	if err != nil {
		return err
	}
	key := h.PublicKey
	if attestation != nil {
		key = attestation.Key
	}
	if err := segment.VerifyHead(key); err != nil {
		return err
	}
	if err := s.samePod(attestation); err != nil {
		return err
	}
	signer, err := s.signer(h)
	if err != nil {
		return err
	}
	if h.Serial <= signer.serial {
		return fmt.Errorf("the segment's serial is %d, and the same key has already sealed %d: it was sealed before", h.Serial, signer.serial)
	}
	if signer.Segments == 0 {
		signer.Trust = trust
	}
	if signer.Attestation == nil {
		signer.Attestation = attestation
	}
	signer.Trust = min(signer.Trust, trust)
	signer.serial = h.Serial
	signer.Segments++
	return nil
}

// attestationOf returns the operator's word for the key of a head, nil where there is none, and what it is worth.
func attestationOf(h *Head, o *readerOptions) (*Attestation, Trust, error) {
	if h.Attestation == nil {
		return nil, SelfSigned, nil
	}
	if len(h.PublicKey) > 0 {
		return nil, Unsigned, errors.New("the head has an attestation and a key of its own: it must have one of the two")
	}
	if !o.operator {
		a, err := OpenAttestation(nil, h.Attestation)
		return &a, AttestedUnverified, err
	}
	for _, key := range o.operators {
		if len(key) != ed25519.PublicKeySize { // nil would mean not to look
			continue
		}
		if a, err := OpenAttestation(key, h.Attestation); err == nil {
			return &a, Attested, nil
		}
	}
	return nil, Unsigned, errors.New("the attestation of the segment's key is not signed by the operator's key")
}

// samePod makes sure that one pod's sidecar has recorded all: a recording never leaves the pod but as segments.
func (s *signers) samePod(a *Attestation) error {
	switch {
	case a == nil:
		return nil
	case s.pod == nil:
		s.pod = a
		return nil
	case a.Namespace != s.pod.Namespace || a.Pod != s.pod.Pod || a.UID != s.pod.UID || a.ServiceAccount != s.pod.ServiceAccount:
		return fmt.Errorf("the segment was sealed by the sidecar of another pod, %q with UID %q", a.Namespace+"/"+a.Pod, a.UID)
	default:
		return nil
	}
}

// signer returns the entry of a head's key, made anew where the key may begin to sign here. The process that records signs with
// one key. Only a later one, whose segments say so, may sign with another, and then the first never signs again.
func (s *signers) signer(h *Head) (*Signer, error) {
	for i := range s.list {
		if s.list[i].Key != h.Key {
			continue
		}
		switch {
		case s.list[i].Recovered != h.Recovered:
			return nil, errors.New("the same key has sealed segments as the process that recorded them and as one that came later")
		case i != len(s.list)-1:
			return nil, errors.New("a key signs again after a later process's key has")
		}
		return &s.list[i], nil
	}
	switch {
	case len(s.list) > 0 && !h.Recovered:
		return nil, errors.New("the segment is signed by another key than the one before it, and does not say that a later process has sealed it")
	case len(s.list) == MaxSigners:
		return nil, fmt.Errorf("more than %d keys have signed the recording", MaxSigners)
	}
	s.list = append(s.list, Signer{Key: h.Key, Recovered: h.Recovered})
	return &s.list[len(s.list)-1], nil
}
