package wire

import (
	"bytes"
	"encoding/binary"
)

// Reader takes a message body apart. After the first read past the end Bad is
// set and every later read returns a zero value.
type Reader struct {
	Rest []byte
	Bad  bool
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if len(r.Rest) < 1 {
		r.fail()
		return 0
	}
	b := r.Rest[0]
	r.Rest = r.Rest[1:]
	return b
}

// Int16 reads a big-endian signed 16-bit integer.
func (r *Reader) Int16() int16 {
	if len(r.Rest) < 2 {
		r.fail()
		return 0
	}
	v := int16(binary.BigEndian.Uint16(r.Rest))
	r.Rest = r.Rest[2:]
	return v
}

// Int32 reads a big-endian signed 32-bit integer.
func (r *Reader) Int32() int32 {
	if len(r.Rest) < 4 {
		r.fail()
		return 0
	}
	v := int32(binary.BigEndian.Uint32(r.Rest))
	r.Rest = r.Rest[4:]
	return v
}

// String reads a zero-terminated string, without its zero.
func (r *Reader) String() string {
	i := bytes.IndexByte(r.Rest, 0)
	if i < 0 {
		r.fail()
		return ""
	}
	s := string(r.Rest[:i])
	r.Rest = r.Rest[i+1:]
	return s
}

// Bytes reads n bytes without copying them.
func (r *Reader) Bytes(n int) []byte {
	if n < 0 || n > len(r.Rest) {
		r.fail()
		return nil
	}
	b := r.Rest[:n:n]
	r.Rest = r.Rest[n:]
	return b
}

// Done reports whether everything was read, and nothing past it.
func (r *Reader) Done() bool { return !r.Bad && len(r.Rest) == 0 }

func (r *Reader) fail() { r.Bad, r.Rest = true, nil }
