package mask

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"strconv"
	"sync"
	"unicode"
	"unicode/utf8"
)

// hashText is how many bytes of the hash of a character string are shown, as twice as many hexadecimal digits.
const hashText = 16

const sha256Size = sha256.Size

// hasher replaces values by HMAC-SHA256 over their canonical text, so that values that PostgreSQL calls equal have equal masks: in either
// format, in char(n) as in text, whatever the case in citext. Integers take the low bits of their hash and stay positive, so in smaller types
// two values may share a mask (int2: likely among 200 values, int4: among 50,000); joins on hashed integers are then approximate.
type hasher struct {
	class    class
	redacted *constant
	pool     *sync.Pool // of *mac
}

// mac is the state of one computation.
type mac struct {
	hash.Hash
	sum [sha256.Size]byte
	buf [128]byte // canonical text on its way into the hash
	// shown is what a mask shows of sum, kept what is sealed of that.
	shown, kept [sha256.Size]byte
}

func newHash(c class, key []byte, redacted *constant) Masker {
	switch c {
	case classText, classBpchar, classCitext, classUUID, classInt2, classInt4, classInt8, classBytea:
	default:
		return redacted
	}
	key = bytes.Clone(key)
	return &hasher{class: c, redacted: redacted, pool: &sync.Pool{New: func() any {
		return &mac{Hash: hmac.New(sha256.New, key)}
	}}}
}

func (m *hasher) redaction() *constant { return m.redacted }

func (m *hasher) Append(dst, value []byte, f Format) ([]byte, bool) {
	if f > Binary {
		return dst, true
	}
	h := m.pool.Get().(*mac)
	defer m.pool.Put(h)
	h.Reset()
	if !h.write(m.class, value, f) {
		return m.redacted.Append(dst, value, f)
	}
	h.Sum(h.sum[:0])
	return h.appendMask(dst, m.class, f), false
}

// write feeds the canonical text of value to the hash, or reports that value is malformed.
func (h *mac) write(c class, value []byte, f Format) bool {
	switch c {
	case classUUID:
		return h.writeUUID(value, f)
	case classInt2, classInt4, classInt8:
		return h.writeInt(value, intSize(c), f)
	case classBytea:
		if f == Text {
			return h.writeByteaText(value)
		}
		h.Write(value)
	case classBpchar:
		h.Write(bytes.TrimRight(value, " ")) // trailing blanks do not count in char(n)
	case classCitext:
		h.writeLower(value)
	default:
		h.Write(value)
	}
	return true
}

// appendMask appends the mask that the finished hash makes for the class.
func (h *mac) appendMask(dst []byte, c class, f Format) []byte {
	switch c {
	case classUUID:
		id := h.shown[:copy(h.shown[:], h.sum[:16])]
		id[6] = id[6]&0x0f | 0x80 // version 8, RFC 9562: made by the vendor
		id[8] = id[8]&0x3f | 0x80
		h.sealOver(id)
		if f == Binary {
			return append(dst, id...)
		}
		return append(dst, h.uuidText(id)...)
	case classInt2, classInt4, classInt8:
		size := intSize(c)
		n := binary.BigEndian.Uint64(h.sum[:]) & (1<<(8*size-1) - 1)
		if f == Text {
			return strconv.AppendUint(dst, n, 10)
		}
		full := binary.BigEndian.AppendUint64(h.buf[:0], n)
		return append(dst, full[8-size:]...)
	case classBytea:
		shown := h.shown[:copy(h.shown[:], h.sum[:])]
		h.sealOver(shown)
		if f == Binary {
			return append(dst, shown...)
		}
		return hex.AppendEncode(append(dst, `\x`...), shown)
	default:
		shown := h.shown[:copy(h.shown[:], h.sum[:hashText])]
		h.sealOver(shown)
		return hex.AppendEncode(dst, shown)
	}
}

// intSize returns the size in bytes of an integer class.
func intSize(c class) int {
	switch c {
	case classInt2:
		return 2
	case classInt4:
		return 4
	default:
		return 8
	}
}

func (h *mac) writeInt(value []byte, size int, f Format) bool {
	var n int64
	switch {
	case f == Text:
		var ok bool
		if n, ok = parseInt(value); !ok {
			return false
		}
	case len(value) != size:
		return false
	default:
		n = signed(value)
	}
	h.Write(strconv.AppendInt(h.buf[:0], n, 10))
	return true
}

// parseInt reads the output form of an integer. It exists because strconv wants a string.
func parseInt(value []byte) (int64, bool) {
	digits, negative := bytes.CutPrefix(value, []byte("-"))
	if len(digits) == 0 || len(digits) > 19 {
		return 0, false
	}
	var n uint64
	for _, b := range digits {
		if b < '0' || b > '9' {
			return 0, false
		}
		n = n*10 + uint64(b-'0')
	}
	if negative {
		return -int64(n), n <= 1<<63
	}
	return int64(n), n < 1<<63
}

// signed reads a big-endian two's complement integer of up to 8 bytes.
func signed(value []byte) int64 {
	var n int64
	for i, b := range value {
		if i == 0 {
			n = int64(int8(b))
			continue
		}
		n = n<<8 | int64(b)
	}
	return n
}

func (h *mac) writeUUID(value []byte, f Format) bool {
	if f == Binary {
		if len(value) != 16 {
			return false
		}
		h.Write(h.uuidText(value))
		return true
	}
	if len(value) != 36 {
		return false
	}
	for i, b := range value {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		hexadecimal := '0' <= b && b <= '9' || 'a' <= b && b <= 'f'
		if dash != (b == '-') || !dash && !hexadecimal {
			return false
		}
	}
	h.Write(value)
	return true
}

// uuidText returns the output form of a UUID of 16 bytes, in h.buf.
func (h *mac) uuidText(id []byte) []byte {
	out := hex.AppendEncode(h.buf[:0], id[:4])
	for _, part := range [...][2]int{{4, 6}, {6, 8}, {8, 10}, {10, 16}} {
		out = hex.AppendEncode(append(out, '-'), id[part[0]:part[1]])
	}
	return out
}

// writeByteaText feeds the bytes that the text form of a bytea stands for, in hex or in the older escape form.
func (h *mac) writeByteaText(value []byte) bool {
	if digits, ok := bytes.CutPrefix(value, []byte(`\x`)); ok {
		return h.writeHex(digits)
	}
	out := h.buf[:0]
	for len(value) > 0 {
		b, size, ok := unescapeOctal(value)
		if !ok {
			return false
		}
		value = value[size:]
		if out = append(out, b); len(out) == len(h.buf) {
			h.Write(out)
			out = out[:0]
		}
	}
	h.Write(out)
	return true
}

// unescapeOctal reads one byte of a bytea in escape form, where \\ and \nnn are escapes, and returns how many bytes it took.
func unescapeOctal(s []byte) (b byte, size int, ok bool) {
	switch {
	case s[0] != '\\':
		return s[0], 1, true
	case len(s) >= 2 && s[1] == '\\':
		return '\\', 2, true
	case len(s) < 4:
		return 0, 0, false
	}
	n := 0
	for _, digit := range s[1:4] {
		if digit < '0' || digit > '7' {
			return 0, 0, false
		}
		n = n<<3 | int(digit-'0')
	}
	return byte(n), 4, n <= 0xff
}

func (h *mac) writeHex(digits []byte) bool {
	if len(digits)%2 != 0 {
		return false
	}
	for len(digits) > 0 {
		part := digits[:min(len(digits), 2*len(h.buf))]
		n, err := hex.Decode(h.buf[:], part)
		if err != nil {
			return false
		}
		h.Write(h.buf[:n])
		digits = digits[len(part):]
	}
	return true
}

// writeLower feeds s in lower case, which is how citext compares.
func (h *mac) writeLower(s []byte) {
	out := h.buf[:0]
	for len(s) > 0 {
		r, size := utf8.DecodeRune(s)
		if r == utf8.RuneError && size <= 1 {
			out = append(out, s[0])
		} else {
			out = utf8.AppendRune(out, unicode.ToLower(r))
		}
		s = s[size:]
		if len(out) > len(h.buf)-utf8.UTFMax {
			h.Write(out)
			out = out[:0]
		}
	}
	h.Write(out)
}
