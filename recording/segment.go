package recording

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
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

// What is signed begins with one of these, so that no signature is good for something else.
const (
	signedSegment     = "tidewaiter.dev/recording/v2/segment\n"
	signedAttestation = "tidewaiter.dev/recording/v2/attestation\n"
	signedHeartbeat   = "tidewaiter.dev/recording/v2/heartbeat\n"
	signedProof       = "tidewaiter.dev/recording/v2/proof\n"
)

// ErrSignature is returned where a signature is not that of the key.
var ErrSignature = errors.New("recording: the signature is not of the key that it should be of")

// KeyID names a public key: its SHA-256.
type KeyID = Hash

// IDOf returns the name of a public key.
func IDOf(key ed25519.PublicKey) KeyID { return sha256.Sum256(key) }

// MarshalText writes the hash in hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText reads a hash of 64 hexadecimal digits.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("recording: a hash has %d hexadecimal digits, not %d", hex.EncodedLen(len(h)), len(b))
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// Signed is a statement in JSON, as the very bytes that were signed, and their Ed25519 signature (RFC 8032).
type Signed struct {
	Statement []byte `json:"statement"`
	Signature []byte `json:"signature"`
}

func sign(key ed25519.PrivateKey, context string, statement any) (Signed, error) {
	b, err := json.Marshal(statement)
	if err != nil {
		return Signed{}, err
	}
	return Signed{Statement: b, Signature: ed25519.Sign(key, append([]byte(context), b...))}, nil
}

func (s *Signed) open(key ed25519.PublicKey, context string, into any) error {
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, append([]byte(context), s.Statement...), s.Signature) {
		return ErrSignature
	}
	return json.Unmarshal(s.Statement, into)
}

// Attestation is the operator's word for a sidecar's key: it has seen that the pod holds it. It is made when the sidecar's
// stream begins.
type Attestation struct {
	Namespace      string            `json:"namespace"`
	Pod            string            `json:"pod"`
	UID            string            `json:"uid"`
	ServiceAccount string            `json:"serviceAccount"`
	Node           string            `json:"node,omitempty"`
	Key            ed25519.PublicKey `json:"key"`
	Time           time.Time         `json:"time"`
}

// Prove shows that a sidecar holds the key that it wants attested: nobody else can have it attested for a pod of theirs.
func Prove(key ed25519.PrivateKey, instance string) []byte {
	return ed25519.Sign(key, []byte(signedProof+instance))
}

// Proven reports whether a proof is of a key.
func Proven(key ed25519.PublicKey, instance string, proof []byte) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, []byte(signedProof+instance), proof)
}

// Attest signs an attestation with the operator's key.
func Attest(operator ed25519.PrivateKey, a *Attestation) (Signed, error) {
	return sign(operator, signedAttestation, a)
}

// OpenAttestation returns what an operator's key has attested. With a nil key the signature is not looked at.
func OpenAttestation(operator ed25519.PublicKey, s *Signed) (a Attestation, err error) {
	if operator == nil {
		err = json.Unmarshal(s.Statement, &a)
	} else {
		err = s.open(operator, signedAttestation, &a)
	}
	if err == nil && len(a.Key) != ed25519.PublicKeySize {
		err = errors.New("recording: the attestation has no Ed25519 key")
	}
	return a, err
}

// Heartbeat is a sidecar's word that it lives, and how much it has sealed: what is missing of that was taken away.
type Heartbeat struct {
	Key    KeyID     `json:"key"`
	Number uint64    `json:"number"` // of the heartbeat of this key, from 1
	Time   time.Time `json:"time"`
	// Every is how often one comes, in seconds.
	Every int `json:"every"`
	// Sealed is the serial of the last segment that the key has sealed, and Sum the running hash over the heads of all of
	// them: Sum(n) = SHA-256(Sum(n-1) ‖ statement of head n), Sum(0) = zeros.
	Sealed uint64 `json:"sealed"`
	Sum    Hash   `json:"sum"`
	// Open is how many sessions are open; Recording whether everything is being recorded (see onRecorderLoss).
	Open      int  `json:"open"`
	Recording bool `json:"recording"`
	// Last says that the sidecar stops: no more come.
	Last bool `json:"last,omitempty"`
}

// Beat signs a heartbeat with the sidecar's key.
func Beat(key ed25519.PrivateKey, h *Heartbeat) (Signed, error) { return sign(key, signedHeartbeat, h) }

// OpenHeartbeat returns what a sidecar's key has signed.
func OpenHeartbeat(key ed25519.PublicKey, s *Signed) (h Heartbeat, err error) {
	return h, s.open(key, signedHeartbeat, &h)
}

// NextSum is the running hash after the head of one more segment.
func NextSum(sum Hash, head *Signed) Hash {
	return sha256.Sum256(append(sum[:], head.Statement...))
}

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
