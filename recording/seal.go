package recording

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Sealer makes segments of records. It is not safe for concurrent use.
type Sealer struct {
	key    ed25519.PrivateKey
	id     KeyID
	serial uint64
	sum    Hash
	enc    *zstd.Encoder
}

// NewSealer returns a Sealer with a key.
func NewSealer(key ed25519.PrivateKey) (*Sealer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	return &Sealer{key: key, id: IDOf(key.Public().(ed25519.PublicKey)), enc: enc}, nil
}

// Serial is how many segments were sealed, and Sum the running hash over their heads, as a Heartbeat says them.
func (s *Sealer) Serial() (serial uint64, sum Hash) { return s.serial, s.sum }

// Seal makes a segment of whole records, as an Encoder writes them and without the header of the recording. Of the head the
// caller sets Session, DataSource, Segment, Sealed, End, Recovered and Attestation; the rest is set here.
func (s *Sealer) Seal(h Head, records []byte) (*Segment, error) {
	if err := h.cover(records); err != nil {
		return nil, err
	}
	body := s.enc.EncodeAll(records, nil)
	h.Serial, h.Key = s.serial+1, s.id
	h.Body, h.Size, h.Plain = sha256.Sum256(body), int64(len(body)), int64(len(records))
	signed, err := sign(s.key, signedSegment, &h)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	if len(signed.Statement) > MaxHead {
		return nil, fmt.Errorf("recording: the head of a segment has %d bytes, more than %d", len(signed.Statement), MaxHead)
	}
	s.serial, s.sum = h.Serial, NextSum(s.sum, &signed)
	return &Segment{Head: h, Signed: signed, Kind: BodyZstd, Body: body}, nil
}

// cover sets what a head says of its records.
func (h *Head) cover(records []byte) error {
	if len(records) > MaxSegment {
		return fmt.Errorf("recording: a segment of %d bytes is larger than %d", len(records), MaxSegment)
	}
	var f frame
	for at := 0; at < len(records); {
		rest := records[at:]
		if len(rest) < recordHeader || !f.get(rest) || f.length > MaxPayload || len(rest) < recordHeader+int(f.length)+len(Hash{}) {
			return fmt.Errorf("recording: what should be sealed is no whole record at byte %d", at)
		}
		if at == 0 {
			h.First, h.From, h.Previous = f.seq, f.time, f.previous
		}
		at += recordHeader + int(f.length) + len(Hash{})
		h.Last, h.To = f.seq, f.time
		copy(h.Chain[:], records[at-len(Hash{}):at])
	}
	if h.First == 0 {
		return errors.New("recording: there is nothing to seal")
	}
	return nil
}
