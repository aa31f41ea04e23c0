package recording

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// ErrNoKey is returned where a segment is encrypted and there is no key for it.
var ErrNoKey = errors.New("recording: the segment is encrypted, and there is no key for it")

// errBody is returned where a body is not the one of its head.
var errBody = errors.New("recording: the body of the segment is not the one that its head was signed for")

// decoder is shared: DecodeAll is safe for concurrent use. It writes no more than it is given room for, whatever a frame claims
// or holds: a few kilobytes of zstd can stand for gigabytes.
var decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(MaxSegment), zstd.WithDecoderMaxWindow(maxWindow))
})

// Encrypt returns the segment with its body encrypted. Head and signature stay.
func Encrypt(s *Segment, to age.Recipient) (*Segment, error) {
	if s.Kind != BodyZstd {
		return nil, errors.New("recording: the segment is encrypted already")
	}
	var out bytes.Buffer
	out.Grow(len(s.Body) + len(s.Body)/1024 + 1024) // a tag for each 64 KiB, and a header
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
// it is not encrypted; where it is, the error is then ErrNoKey.
func (s *Segment) Sealed(id age.Identity) (*Segment, error) {
	body := s.Body
	if s.Kind == BodyEncrypted {
		var err error
		if body, err = s.decrypt(id); err != nil {
			return nil, err
		}
	}
	if int64(len(body)) != s.Head.Size || sha256.Sum256(body) != s.Head.Body {
		return nil, errBody
	}
	return &Segment{Head: s.Head, Signed: s.Signed, Kind: BodyZstd, Body: body}, nil
}

func (s *Segment) decrypt(id age.Identity) ([]byte, error) {
	if id == nil {
		return nil, ErrNoKey
	}
	if s.Head.Size < 0 || s.Head.Size > int64(len(s.Body)) { // what is encrypted is larger
		return nil, errBody
	}
	r, err := age.Decrypt(bytes.NewReader(s.Body), id)
	if err != nil {
		return nil, fmt.Errorf("recording: the segment cannot be decrypted: %w", err)
	}
	body := make([]byte, s.Head.Size+1) // one more shows a body that is larger
	n, err := io.ReadFull(r, body)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("recording: the segment cannot be decrypted: %w", err)
	}
	return body[:n], nil
}

// Records returns the segment's records. Body and sizes are checked against the head, nothing in the records is: see
// Head.Events. The error is ErrNoKey where it is encrypted and there is no identity.
func (s *Segment) Records(id age.Identity) ([]byte, error) { return s.records(nil, id) }

// records is Records, into the memory of room where it suffices.
func (s *Segment) records(room []byte, id age.Identity) ([]byte, error) {
	sealed, err := s.Sealed(id)
	if err != nil {
		return nil, err
	}
	if s.Head.Plain < 0 || s.Head.Plain > MaxSegment {
		return nil, fmt.Errorf("recording: the segment's head claims %d bytes of records, and %d are the most", s.Head.Plain, MaxSegment)
	}
	dec, err := decoder()
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	if int64(cap(room)) < s.Head.Plain {
		room = make([]byte, 0, s.Head.Plain)
	}
	records, err := dec.DecodeAll(sealed.Body, room[:0:s.Head.Plain])
	if err != nil {
		return nil, fmt.Errorf("recording: the body of the segment cannot be decompressed: %w", err)
	}
	if int64(len(records)) != s.Head.Plain {
		return nil, fmt.Errorf("recording: the segment has %d bytes of records, and its head says %d", len(records), s.Head.Plain)
	}
	return records, nil
}
