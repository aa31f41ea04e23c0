package recording

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
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

	maxBody     = 2 * MaxSegment             // of a segment as it is stored
	maxWindow   = 1 << 20                    // of its zstd frame
	emptyRecord = recordHeader + sha256.Size // the size of a record with an empty payload
)

const segmentMagic = "\x89TWS\r\n\x1a\n"

// How a segment's body is stored.
const (
	BodyZstd      = 'z' // one zstd frame (RFC 8878) of whole records
	BodyEncrypted = 'a' // that, encrypted by age (C2SP age) to its session's key
)

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
	s, _, _, err := readSegment(r, nil)
	return s, err
}

// errShape is what is wrong with the shape of a segment.
type errShape string

func (e errShape) Error() string { return "recording: " + string(e) }

// readSegment is ReadSegment, into the memory of room where that suffices, which it returns. n is how many bytes it has read.
func readSegment(r io.Reader, room []byte) (s *Segment, all []byte, n int64, err error) {
	var b [SegmentHeader]byte
	m, err := io.ReadFull(r, b[:])
	if got := min(m, len(segmentMagic)); string(b[:got]) != segmentMagic[:got] {
		return nil, room, int64(m), errShape("it is no segment: it does not begin as one")
	}
	if err != nil {
		return nil, room, int64(m), err
	}
	head, body, err := sizes(&b)
	if err != nil {
		return nil, room, int64(m), err
	}
	all, err = readArriving(r, room[:0], head+ed25519.SignatureSize+body)
	n = int64(m + len(all))
	if err != nil {
		return nil, all, n, err
	}
	s = &Segment{Kind: b[10]}
	s.Signed.Statement, s.Signed.Signature = all[:head:head], all[head:head+ed25519.SignatureSize:head+ed25519.SignatureSize]
	s.Body = all[head+ed25519.SignatureSize:]
	if err := json.Unmarshal(s.Signed.Statement, &s.Head); err != nil {
		return nil, all, n, errShape(fmt.Sprintf("the head of the segment cannot be read: %v", err))
	}
	return s, all, n, nil
}

// sizes reads what a segment's header says.
func sizes(b *[SegmentHeader]byte) (head, body int, err error) {
	version := binary.BigEndian.Uint16(b[8:])
	h, n := binary.BigEndian.Uint32(b[12:]), binary.BigEndian.Uint64(b[16:])
	switch {
	case crc32.Checksum(b[:24], castagnoli) != binary.BigEndian.Uint32(b[24:]):
		return 0, 0, errShape("the header of the segment was changed")
	case version != SegmentVersion:
		return 0, 0, errShape(fmt.Sprintf("the segment is of version %d, and only %d is known here", version, SegmentVersion))
	case b[10] != BodyZstd && b[10] != BodyEncrypted, b[11] != 0:
		return 0, 0, errShape("the kind of the segment is unknown")
	case h > MaxHead, n > maxBody:
		return 0, 0, errShape("the segment claims to be larger than one may be")
	}
	return int(h), int(n), nil
}

// readArriving reads n bytes into dst, which grows with what arrives, not with what is claimed. The error is
// io.ErrUnexpectedEOF where there are fewer.
func readArriving(r io.Reader, dst []byte, n int) ([]byte, error) {
	for len(dst) < n {
		at := len(dst)
		dst = slices.Grow(dst, min(n-at, max(at, cap(dst)-at, 64<<10)))
		end := min(n, cap(dst))
		m, err := io.ReadFull(r, dst[at:end])
		dst = dst[:at+m]
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return dst, err
		}
	}
	return dst, nil
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
