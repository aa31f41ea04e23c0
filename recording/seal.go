package recording

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"
)

// sealWindow is how far back a segment's compression looks, in bytes. More finds nothing more at the fastest level, and
// falls out of a core's cache.
const sealWindow = 256 << 10

// Sealer makes segments of records. It is not safe for concurrent use.
type Sealer struct {
	key    ed25519.PrivateKey
	id     KeyID
	serial uint64
	sum    Hash
	enc    *zstd.Encoder
	body   []byte // kept, as it grows to the size of the largest
}

// NewSealer returns a Sealer with a key.
func NewSealer(key ed25519.PrivateKey) (*Sealer, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("recording: a sealer's key has %d bytes, not the %d of an Ed25519 key", len(key), ed25519.PrivateKeySize)
	}
	// Without zstd's own checksum: the head has a better one.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(sealWindow), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	return &Sealer{key: key, id: IDOf(key.Public().(ed25519.PublicKey)), enc: enc}, nil
}

// Serial is how many segments were sealed, and Sum the running hash over their heads, as a Heartbeat says them.
func (s *Sealer) Serial() (serial uint64, sum Hash) { return s.serial, s.sum }

// Seal makes a segment of whole records, as an Encoder writes them and without the header of the recording. Of the head the
// caller sets Session, DataSource, Segment, Sealed (which becomes To where it is before that), End, Recovered and Attestation;
// the rest is set here.
//
// A recording that was cut off exactly where its last segment ends is ended by one without records, for which the caller also
// sets First, Previous and From: what would have come next, and the To of the segment before.
//
// Numbers, chain and times of the records are checked, their hashes are not: they come from an Encoder, or from a journal that
// was verified. On an error nothing was sealed and no serial is taken.
func (s *Sealer) Seal(h Head, records []byte) (*Segment, error) {
	if err := h.cover(records); err != nil {
		return nil, err
	}
	s.body = s.enc.EncodeAll(records, s.body[:0])
	h.Serial, h.Key, h.PublicKey = s.serial+1, s.id, nil
	if h.Attestation == nil {
		h.PublicKey = s.key.Public().(ed25519.PublicKey)
	}
	h.Body, h.Size, h.Plain = sha256.Sum256(s.body), int64(len(s.body)), int64(len(records))
	if err := h.Check(); err != nil {
		return nil, err
	}
	signed, err := sign(s.key, signedSegment, &h)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	if len(signed.Statement) > MaxHead {
		return nil, fmt.Errorf("recording: the head of a segment has %d bytes, more than %d", len(signed.Statement), MaxHead)
	}
	s.serial, s.sum = h.Serial, NextSum(s.sum, &signed)
	return &Segment{Head: h, Signed: signed, Kind: BodyZstd, Body: bytes.Clone(s.body)}, nil
}

// cover sets what a head says of its records.
func (h *Head) cover(records []byte) error {
	switch {
	case len(records) > MaxSegment:
		return fmt.Errorf("recording: a segment of %d bytes is larger than %d", len(records), MaxSegment)
	case len(records) > 0:
		if err := h.coverAll(records); err != nil {
			return err
		}
	case h.End != EndCutOff || h.First == 0:
		return errors.New("recording: there is nothing to seal")
	default:
		h.Last, h.Chain, h.To = h.First-1, h.Previous, h.From
	}
	if h.Sealed.Before(h.To) { // a clock that was set back
		h.Sealed = h.To
	}
	h.Sealed = h.Sealed.UTC()
	return nil
}

func (h *Head) coverAll(records []byte) error {
	var f frame
	if len(records) >= recordHeader && f.get(records) {
		h.First, h.From, h.Previous = f.seq, f.time(), f.previous
	}
	c := h.cursor(records)
	c.hashed = false
	for !c.done() {
		if _, what := c.next(&f); what != "" {
			return fmt.Errorf("recording: what should be sealed is no whole record that can stand at byte %d: %s", c.at, what)
		}
	}
	if c.ended != (h.End == EndComplete) {
		return fmt.Errorf("recording: a segment that ends as %q has an end mark, or one that is Complete has none", h.End)
	}
	h.Last, h.Chain, h.To = c.seq-1, c.chain, time.Unix(0, c.nanos).UTC()
	return nil
}
