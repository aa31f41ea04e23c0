package ship

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/recording"
)

// BeatEvery is how often a heartbeat comes.
const BeatEvery = time.Minute

// maxAttestation bounds the operator's word for the key, in bytes: each segment's head carries it.
const maxAttestation = 4 << 10

// seal is what the key of this process has signed so far.
type seal struct {
	told        bool              // what the operator says of it is known
	attestation *recording.Signed // nil: it says nothing
	serial      uint64            // of the last segment that is on stable storage
	sum         recording.Hash
	beats       uint64
}

// Key returns the public key that recordings are signed with, and the proof, for an instance, that it is held here.
func (s *Spool) Key(instance string) (key ed25519.PublicKey, proof []byte) {
	return s.key.Public().(ed25519.PublicKey), recording.Prove(s.key, instance)
}

// Attested takes the operator's word for the key; nil: it has none. Sealing begins with the first call. The latest word counts,
// but none does not take an earlier one back.
func (s *Spool) Attested(a *recording.Signed) error {
	if a != nil {
		if n := len(a.Statement) + len(a.Signature); n > maxAttestation {
			return fmt.Errorf("ship: the attestation has %d bytes, more than %d", n, maxAttestation)
		}
		said, err := recording.OpenAttestation(nil, a) // whose key signed it is for verifiers to look at
		if err != nil {
			return fmt.Errorf("ship: the attestation cannot be read: %w", err)
		}
		if !bytes.Equal(said.Key, s.key.Public().(ed25519.PublicKey)) {
			return errors.New("ship: the attestation is for another key")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a != nil {
		s.seal.attestation = a
	}
	if !s.seal.told {
		s.seal.told = true
		close(s.told)
	}
	return nil
}

// Attestation returns the operator's word for the key; nil: it has none.
func (s *Spool) Attestation() *recording.Signed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seal.attestation
}

// Beat signs the next heartbeat. last says that none follows.
func (s *Spool) Beat(last bool) (recording.Signed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	missed := s.missed.Load()
	s.seal.beats++
	h := recording.Heartbeat{
		Key: recording.IDOf(s.key.Public().(ed25519.PublicKey)), Number: s.seal.beats, Time: s.opt.Now(), Every: int(BeatEvery / time.Second),
		Sealed: s.seal.serial, Sum: s.seal.sum, Open: len(s.active) + s.loss.open,
		Recording: s.loss.open == 0 && missed == s.loss.noted, Last: last,
	}
	s.loss.noted = missed
	return recording.Beat(s.key, &h)
}
