// Package recording is the format in which sessions are kept: how a recording is
// written, sealed, read and verified. A journal (version 1) is a header, then
// records, each with one event as JSON and chained to the one before by SHA-256,
// then an end mark. Segments (version 2) are whole records of a journal,
// compressed, each with a head that a sidecar's key has signed and that carries
// the operator's word for that key. docs/recording-format.md describes both byte
// by byte.
//
// The chain shows every change to a recording whose head is known from
// elsewhere. Whoever can rewrite the whole file and everything that quotes its
// head can also compute a new chain; the signatures stop that, and the log of
// package ledger shows what was taken away as a whole.
//
// It must not know files, folders, durability, policy or any protocol: it turns
// events into bytes and back. Who writes them where is the business of
// proxy/record, who prints them that of recording/replay.
package recording

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// Extension is how the names of recordings end.
const Extension = ".twr"

// Version is the version of journals that this package writes, and the only one
// that it reads. That of segments is SegmentVersion.
const Version = 1

// MaxPayload is the largest payload of a record, in bytes. It bounds what a
// reader allocates for a record, whatever the record claims; decoded, a payload
// takes up to some 25 times as much.
const MaxPayload = 4 << 20

// ErrTooLarge is returned for an event whose JSON is larger than MaxPayload.
var ErrTooLarge = fmt.Errorf("recording: the event is larger than %d bytes", MaxPayload)

var errNoTime = errors.New("recording: the event has no time")

// magic opens every recording. As in PNG, its bytes show a transfer that
// stripped the eighth bit, changed line endings or stopped at a Ctrl-Z.
const magic = "\x89TWR\r\n\x1a\n"

// headerSize is that of a recording's header: magic, version, six zero bytes.
const headerSize = 16

// What a record is, in its fifth byte.
const (
	typeEvent     = 'E'
	typeSignature = 'S' // reserved and never written: chained and counted by readers, not understood
	typeEnd       = 'Z'
)

// Where the parts of a record begin. The payload and the record's own hash
// follow its header.
const (
	atLength     = 0
	atType       = 4 // three zero bytes follow
	atSeq        = 8
	atTime       = 16
	atPrevious   = 24
	atCheck      = 56
	recordHeader = 60
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Hash is a link of the chain: the SHA-256 of a record, which includes the hash
// of the record before it. The first record's previous hash is that of the
// recording's header.
type Hash [32]byte

// String returns the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// genesis is what the first record of every recording follows: the hash of the header of a journal.
var genesis = func() Hash {
	h := header()
	return sha256.Sum256(h[:])
}()

// header returns the header of a recording of version 1.
func header() (h [headerSize]byte) {
	copy(h[:], magic)
	binary.BigEndian.PutUint16(h[len(magic):], Version)
	return h
}

// checkHeader says what is wrong with the header of a recording, or nothing.
func checkHeader(h []byte) string {
	want := header()
	version := binary.BigEndian.Uint16(h[len(magic):])
	switch {
	case !bytes.Equal(h[:len(magic)], want[:len(magic)]):
		return "it is not a recording: it does not begin as one"
	case version != Version:
		return fmt.Sprintf("its format is version %d, and only version %d is known here", version, Version)
	case !bytes.Equal(h, want[:]):
		return "reserved bytes of its header are not zero"
	default:
		return ""
	}
}

// frame is a record's header.
type frame struct {
	length   uint32 // of the payload
	kind     byte
	seq      uint64
	nanos    int64 // since 1970
	previous Hash
}

// known reports whether the record is of a type that there is.
func (f *frame) known() bool {
	return f.kind == typeEvent || f.kind == typeSignature || f.kind == typeEnd
}

// time is when the record was made.
func (f *frame) time() time.Time { return time.Unix(0, f.nanos).UTC() }

// size is that of the whole record.
func (f *frame) size() int { return recordHeader + int(f.length) + len(Hash{}) }

// put writes f into the first recordHeader bytes of b.
func (f *frame) put(b []byte) {
	clear(b[:recordHeader])
	binary.BigEndian.PutUint32(b[atLength:], f.length)
	b[atType] = f.kind
	binary.BigEndian.PutUint64(b[atSeq:], f.seq)
	binary.BigEndian.PutUint64(b[atTime:], uint64(f.nanos))
	copy(b[atPrevious:], f.previous[:])
	binary.BigEndian.PutUint32(b[atCheck:], crc32.Checksum(b[:atCheck], castagnoli))
}

// get reads f from b and reports whether b's own checksum is right. The checksum
// keeps a damaged length from passing for a record that was cut short.
func (f *frame) get(b []byte) bool {
	f.length = binary.BigEndian.Uint32(b[atLength:])
	f.kind = b[atType]
	f.seq = binary.BigEndian.Uint64(b[atSeq:])
	f.nanos = int64(binary.BigEndian.Uint64(b[atTime:]))
	copy(f.previous[:], b[atPrevious:])
	zero := b[atType+1] | b[atType+2] | b[atType+3]
	return zero == 0 && binary.BigEndian.Uint32(b[atCheck:]) == crc32.Checksum(b[:atCheck], castagnoli)
}

// ending is the payload of the end mark.
type ending struct {
	Events     int64 `json:"events"`
	Signatures int64 `json:"signatures"`
}
