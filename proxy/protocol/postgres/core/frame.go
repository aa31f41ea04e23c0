package core

import (
	"encoding/binary"
	"fmt"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

// treatment says what happens to a message's body as it arrives.
type treatment uint8

const (
	hold treatment = iota // collect the whole body, then handle it
	pass                  // forward header and body as they come
	drop                  // discard the body as it comes
	scan                  // hand the body on piece by piece
)

// frame is the message that one side is sending.
type frame struct {
	header [wire.HeaderSize]byte
	have   int  // bytes of the header seen
	kind   byte // message type
	left   int  // bytes of the body still to come
	treat  treatment
	body   []byte // collected so far, when held
}

// inside reports whether a message has begun and not ended.
func (f *frame) inside() bool { return f.have > 0 }

// readHeader takes header bytes from p and reports how many it took and whether
// the header is complete.
func (f *frame) readHeader(p []byte) (used int, complete bool, err error) {
	used = copy(f.header[f.have:], p)
	f.have += used
	if f.have < wire.HeaderSize {
		return used, false, nil
	}
	size := int64(binary.BigEndian.Uint32(f.header[1:]))
	if size < 4 || size > wire.MaxMessage {
		return used, false, fmt.Errorf("message %q claims a length of %d bytes", f.header[0], size)
	}
	f.kind, f.left = f.header[0], int(size)-4
	return used, true, nil
}

// take returns the part of p that belongs to the body, and whether the body ends
// with it.
func (f *frame) take(p []byte) (part []byte, ends bool) {
	n := min(len(p), f.left)
	f.left -= n
	return p[:n], f.left == 0
}

// next makes the frame ready for another message. A large buffer is given back.
func (f *frame) next() {
	body := f.body[:0]
	if cap(body) > 64<<10 {
		body = nil
	}
	*f = frame{body: body}
}
