package recording

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"
)

// SegmentExtension is how the names of segments end.
const SegmentExtension = ".tws"

// SegmentVersion is the version of segments that this package writes, and the only one that it reads.
const SegmentVersion = 2

// The sizes of segments, in bytes.
const (
	// MaxSegment is the most of records that a segment holds, before compression. One event may be larger than what is usual
	// for a segment, so it is more than MaxPayload.
	MaxSegment = 8 << 20
	// MaxHead is the largest head of a segment.
	MaxHead = 16 << 10
	// SegmentHeader is the size of what stands before the head.
	SegmentHeader = 28
)

const segmentMagic = "\x89TWS\r\n\x1a\n"

// How a segment's body is stored.
const (
	BodyZstd      = 'z' // one zstd frame (RFC 8878) of whole records
	BodyEncrypted = 'a' // that, encrypted by age (C2SP age) to its session's key
)

// End says whether more of a session follows after a segment.
type End string

// How a segment ends.
const (
	EndNone     End = ""         // more follows
	EndComplete End = "Complete" // the session's end mark is in it
	EndCutOff   End = "CutOff"   // its recorder has died, and the segment was sealed from what it left: nothing follows
)

// Head says what is in a segment. The sidecar signs it.
type Head struct {
	Session    string `json:"session"`
	DataSource string `json:"dataSource"` // namespace/name
	// Segment numbers those of the session, from 1. Serial numbers those of the key, over all sessions, from 1.
	Segment uint64 `json:"segment"`
	Serial  uint64 `json:"serial"`
	Key     KeyID  `json:"key"`
	// First and Last are the sequence numbers of the records; Previous is the chain's hash before the first, and Chain that
	// of the last.
	First    uint64 `json:"first"`
	Last     uint64 `json:"last"`
	Previous Hash   `json:"previous"`
	Chain    Hash   `json:"chain"`
	// From and To are the times of the first and the last record; Sealed is when the segment was made.
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Sealed time.Time `json:"sealed"`
	// Body is the SHA-256 of the body as it was sealed: compressed, before any encryption; Size its bytes; Plain those of
	// the records.
	Body  Hash  `json:"body"`
	Size  int64 `json:"size"`
	Plain int64 `json:"plain"`
	End   End   `json:"end,omitempty"`
	// Recovered says that the key is not of the process that recorded, but of the one that came after it.
	Recovered bool `json:"recovered,omitempty"`
	// Attestation is the operator's word for Key; nil where there is no operator.
	Attestation *Signed `json:"attestation,omitempty"`
}

// Segment is a part of a session's recording, as it is stored.
type Segment struct {
	Head   Head
	Signed Signed // of the head
	Kind   byte   // BodyZstd or BodyEncrypted
	Body   []byte // as stored
}

// Append appends the segment as it is stored to dst.
func (s *Segment) Append(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, segmentMagic...)
	dst = binary.BigEndian.AppendUint16(dst, SegmentVersion)
	dst = append(dst, s.Kind, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s.Signed.Statement)))
	dst = binary.BigEndian.AppendUint64(dst, uint64(len(s.Body)))
	dst = binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[at:], castagnoli))
	dst = append(dst, s.Signed.Statement...)
	dst = append(dst, s.Signed.Signature...)
	return append(dst, s.Body...)
}

// ReadSegment reads one segment, in memory for it, and checks its shape alone: neither signature nor body. The error is io.EOF
// where nothing is there, io.ErrUnexpectedEOF where it is cut off.
func ReadSegment(r io.Reader) (*Segment, error) {
	var b [SegmentHeader]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return nil, err
	}
	head, body := binary.BigEndian.Uint32(b[12:]), binary.BigEndian.Uint64(b[16:])
	switch {
	case string(b[:8]) != segmentMagic:
		return nil, errors.New("recording: it is no segment: it does not begin as one")
	case crc32.Checksum(b[:24], castagnoli) != binary.BigEndian.Uint32(b[24:]):
		return nil, errors.New("recording: the header of the segment was changed")
	case binary.BigEndian.Uint16(b[8:]) != SegmentVersion:
		return nil, fmt.Errorf("recording: the segment is of version %d, and only %d is known here", binary.BigEndian.Uint16(b[8:]), SegmentVersion)
	case b[10] != BodyZstd && b[10] != BodyEncrypted, b[11] != 0:
		return nil, errors.New("recording: the kind of the segment is unknown")
	case head > MaxHead, body > 2*MaxSegment:
		return nil, errors.New("recording: the segment claims to be larger than one may be")
	}
	s := &Segment{Kind: b[10]}
	var all bytes.Buffer // grows with what arrives, not with what is claimed
	if _, err := io.CopyN(&all, r, int64(head)+ed25519.SignatureSize+int64(body)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	raw := all.Bytes()
	s.Signed.Statement, raw = raw[:head:head], raw[head:]
	s.Signed.Signature, s.Body = raw[:ed25519.SignatureSize:ed25519.SignatureSize], raw[ed25519.SignatureSize:]
	if err := json.Unmarshal(s.Signed.Statement, &s.Head); err != nil {
		return nil, fmt.Errorf("recording: the head of the segment cannot be read: %w", err)
	}
	return s, nil
}

// VerifyHead checks that a key has signed the head, and that the head names the key.
func (s *Segment) VerifyHead(key ed25519.PublicKey) error {
	var h Head
	if err := s.Signed.open(key, signedSegment, &h); err != nil {
		return err
	}
	if h.Key != IDOf(key) {
		return ErrSignature
	}
	return nil
}
