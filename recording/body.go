package recording

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// ErrNoKey is returned where a segment is encrypted and there is no key for it.
var ErrNoKey = errors.New("recording: the segment is encrypted, and there is no key for it")

// decoder is shared: DecodeAll is safe for concurrent use.
var decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxSegment), zstd.WithDecoderMaxWindow(1<<20))
})

// Encrypt returns the segment with its body encrypted. Head and signature stay.
func Encrypt(s *Segment, to age.Recipient) (*Segment, error) {
	if s.Kind != BodyZstd {
		return nil, errors.New("recording: the segment is encrypted already")
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	if _, err := w.Write(s.Body); err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	return &Segment{Head: s.Head, Signed: s.Signed, Kind: BodyEncrypted, Body: out.Bytes()}, nil
}

// Sealed returns the segment as the sidecar sealed it: decrypted, and its body that of the head. The identity may be nil where
// it is not encrypted.
func (s *Segment) Sealed(id age.Identity) (*Segment, error) {
	if s.Head.Size < 0 || s.Head.Size > 2*MaxSegment {
		return nil, fmt.Errorf("recording: the segment's head claims a body of %d bytes", s.Head.Size)
	}
	body := s.Body
	if s.Kind == BodyEncrypted {
		if id == nil {
			return nil, ErrNoKey
		}
		r, err := age.Decrypt(bytes.NewReader(s.Body), id)
		if err != nil {
			return nil, fmt.Errorf("recording: the segment cannot be decrypted: %w", err)
		}
		if body, err = io.ReadAll(io.LimitReader(r, s.Head.Size+1)); err != nil {
			return nil, fmt.Errorf("recording: the segment cannot be decrypted: %w", err)
		}
	}
	if int64(len(body)) != s.Head.Size || sha256.Sum256(body) != s.Head.Body {
		return nil, errors.New("recording: the body of the segment is not the one that its head was signed for")
	}
	return &Segment{Head: s.Head, Signed: s.Signed, Kind: BodyZstd, Body: body}, nil
}

// Records returns the segment's records. Body and sizes are checked against the head, nothing in the records is.
func (s *Segment) Records(id age.Identity) ([]byte, error) {
	sealed, err := s.Sealed(id)
	if err != nil {
		return nil, err
	}
	if s.Head.Plain < 0 || s.Head.Plain > MaxSegment {
		return nil, fmt.Errorf("recording: the segment's head claims %d bytes of records", s.Head.Plain)
	}
	dec, err := decoder()
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	records, err := dec.DecodeAll(sealed.Body, make([]byte, 0, s.Head.Plain))
	if err != nil {
		return nil, fmt.Errorf("recording: the body of the segment cannot be decompressed: %w", err)
	}
	if int64(len(records)) != s.Head.Plain {
		return nil, fmt.Errorf("recording: the segment has %d bytes of records, and its head says %d", len(records), s.Head.Plain)
	}
	return records, nil
}

// Events goes through the events in a segment's records and verifies each record: its place, its hash, the chain from
// head to head. It ends with the first error. Offsets count from the first record of the segment.
func (h *Head) Events(records []byte) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		seq, chain, at := h.First, h.Previous, 0
		for at < len(records) {
			f, payload, hash, what := readFrame(records[at:], seq, chain)
			if what != "" {
				yield(Record{}, &BrokenError{Seq: seq, Offset: int64(at), What: what})
				return
			}
			if f.kind == typeEvent {
				rec := Record{Seq: f.seq, Offset: int64(at)}
				if err := json.Unmarshal(payload, &rec.Event); err != nil {
					yield(Record{}, &BrokenError{Seq: seq, Offset: int64(at), What: fmt.Sprintf("it is no event: %v", err)})
					return
				}
				rec.Event.Time = f.time
				if !yield(rec, nil) {
					return
				}
			}
			at += recordHeader + len(payload) + len(hash)
			seq, chain = seq+1, hash
		}
		if seq != h.Last+1 || chain != h.Chain {
			yield(Record{}, &BrokenError{Seq: seq, Offset: int64(at), What: "the segment does not end as its head says"})
		}
	}
}

// readFrame reads the record at the beginning of b, or says what is wrong with it.
func readFrame(b []byte, seq uint64, previous Hash) (f frame, payload []byte, hash Hash, what string) {
	switch {
	case len(b) < recordHeader:
		return f, nil, hash, "it is cut off"
	case !f.get(b):
		return f, nil, hash, "its header was changed"
	case f.length > MaxPayload || len(b) < recordHeader+int(f.length)+len(hash):
		return f, nil, hash, "it is cut off, or claims more than is allowed"
	case f.seq != seq:
		return f, nil, hash, fmt.Sprintf("number %d stands here: records were removed, added or moved", f.seq)
	case f.previous != previous:
		return f, nil, hash, "it does not follow from the record before it: one of the two was replaced"
	}
	end := recordHeader + int(f.length)
	copy(hash[:], b[end:])
	if sha256.Sum256(b[:end]) != hash {
		return f, nil, hash, "it was changed: its hash is not the one written"
	}
	return f, b[recordHeader:end], hash, ""
}
