package mask

import (
	"encoding/binary"
	"math"
)

// The head of a binary COPY: signature, flags, length of an extension.
const (
	copySignature = "PGCOPY\n\xff\r\n\x00"
	copyHead      = len(copySignature) + 8
	copyCritical  = 0xffff_0000 // flags that a reader must know; PostgreSQL sets none
)

// binaryState says what comes next in the stream.
type binaryState uint8

const (
	binaryHead binaryState = iota
	binaryExtension
	binaryTuple  // number of columns of a row, or the trailer
	binaryLength // length of a value
	binaryShown
	binaryMasked
	binaryDone
)

// copyBinary is the codec of COPY's binary format.
type copyBinary struct {
	columns []copyColumn
	state   binaryState
	head    [copyHead]byte // a number, or the head, that is not complete yet
	filled  int
	col     int
	left    uint32 // bytes to come of an extension or value
	raw     []byte // the beginning of a value to be masked

	rows, masked int64
}

func (b *copyBinary) counts() (rows, masked int64) { return b.rows, b.masked }

func (b *copyBinary) finish(dst []byte) ([]byte, error) {
	if b.state != binaryDone {
		return dst, ErrCopyMalformed
	}
	return dst, nil
}

func (b *copyBinary) append(dst, chunk []byte) ([]byte, error) {
	var err error
	for len(chunk) > 0 && err == nil {
		switch b.state {
		case binaryHead:
			dst, chunk, err = b.readHead(dst, chunk)
		case binaryExtension:
			if _, chunk = b.piece(chunk); b.left == 0 {
				b.state = binaryTuple
			}
		case binaryTuple:
			dst, chunk, err = b.readTuple(dst, chunk)
		case binaryLength:
			dst, chunk, err = b.readLength(dst, chunk)
		case binaryShown:
			var piece []byte
			piece, chunk = b.piece(chunk)
			if dst = append(dst, piece...); b.left == 0 {
				b.nextColumn()
			}
		case binaryMasked:
			dst, chunk = b.readMasked(dst, chunk)
		default:
			err = ErrCopyMalformed // nothing may follow the trailer
		}
	}
	return dst, err
}

// fill collects n bytes; nil means that they are not complete yet.
func (b *copyBinary) fill(chunk []byte, n int) (whole, rest []byte) {
	took := copy(b.head[b.filled:n], chunk)
	b.filled += took
	if b.filled < n {
		return nil, chunk[took:]
	}
	b.filled = 0
	return b.head[:n], chunk[took:]
}

// piece takes what the chunk has of the bytes that are left.
func (b *copyBinary) piece(chunk []byte) (piece, rest []byte) {
	n := int(min(uint64(b.left), uint64(len(chunk))))
	b.left -= uint32(n)
	return chunk[:n], chunk[n:]
}

// readHead checks the head. An extension is left out of the output, since nobody knows what is in it.
func (b *copyBinary) readHead(dst, chunk []byte) (out, rest []byte, err error) {
	head, rest := b.fill(chunk, copyHead)
	if head == nil {
		return dst, rest, nil
	}
	flags := binary.BigEndian.Uint32(head[len(copySignature):])
	extension := binary.BigEndian.Uint32(head[len(copySignature)+4:])
	if string(head[:len(copySignature)]) != copySignature || flags&copyCritical != 0 || extension > math.MaxInt32 {
		return dst, nil, ErrCopyMalformed
	}
	dst = append(dst, head[:len(copySignature)+4]...)
	dst = append(dst, zeros[:4]...)
	b.left, b.state = extension, binaryExtension
	if extension == 0 {
		b.state = binaryTuple
	}
	return dst, rest, nil
}

func (b *copyBinary) readTuple(dst, chunk []byte) (out, rest []byte, err error) {
	head, rest := b.fill(chunk, 2)
	if head == nil {
		return dst, rest, nil
	}
	switch n := int(int16(binary.BigEndian.Uint16(head))); n {
	case -1:
		b.state = binaryDone
	case len(b.columns):
		b.col = -1
		b.nextColumn()
	default:
		return dst, nil, ErrCopyColumns
	}
	return append(dst, head...), rest, nil
}

// nextColumn moves to the next column, or behind the row.
func (b *copyBinary) nextColumn() {
	b.state = binaryLength
	if b.col++; b.col == len(b.columns) {
		b.rows++
		b.state = binaryTuple
	}
}

func (b *copyBinary) readLength(dst, chunk []byte) (out, rest []byte, err error) {
	head, rest := b.fill(chunk, 4)
	if head == nil {
		return dst, rest, nil
	}
	n := int32(binary.BigEndian.Uint32(head))
	switch c := b.columns[b.col]; {
	case n < -1:
		return dst, nil, ErrCopyMalformed
	case n == -1:
		dst = append(dst, nullElement...)
		b.nextColumn()
	case c.mask == nil:
		dst = append(dst, head...)
		b.left, b.state = uint32(n), binaryShown
		if n == 0 {
			b.nextColumn()
		}
	default:
		b.left, b.state = uint32(n), binaryMasked
		if n == 0 {
			dst = b.mask(dst, nil)
		}
	}
	return dst, rest, nil
}

// readMasked collects a value that is to be masked, and masks it when it is complete. A value that is too long to keep, or whose mask does not
// depend on it, is not collected.
func (b *copyBinary) readMasked(dst, chunk []byte) (out, rest []byte) {
	piece, rest := b.piece(chunk)
	c := b.columns[b.col]
	if !c.fixed && len(b.raw) <= c.keep {
		if b.left == 0 && len(b.raw) == 0 {
			return b.mask(dst, piece), rest
		}
		b.raw = append(b.raw, piece[:min(len(piece), c.keep+1-len(b.raw))]...)
	}
	if b.left == 0 {
		dst = b.mask(dst, b.raw)
		b.raw = emptied(b.raw)
	}
	return dst, rest
}

// mask appends the masked form of a complete value.
func (b *copyBinary) mask(dst, value []byte) []byte {
	c := b.columns[b.col]
	m := c.mask
	if !c.fixed && len(value) > c.keep {
		m = redactionOf(m)
	}
	dst, _ = appendItem(dst, value, false, m)
	b.masked++
	b.nextColumn()
	return dst
}
