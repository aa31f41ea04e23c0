package mask

import "bytes"

// dialect is what distinguishes text from CSV: where fields end and how they are written.
type dialect interface {
	// load takes the next chunk.
	load(chunk []byte)
	// fieldEnd returns the position in the chunk, at or after pos, of the delimiter or line end that ends the present field, or the chunk's
	// length if the field goes on in the next one.
	fieldEnd(pos int) (int, error)
	// whole reports whether the stream may end here.
	whole() bool
	// null reports whether a field, as it stands in the stream, is NULL beyond doubt.
	null(raw []byte) bool
	// decode returns the value of a field, which may be part of raw or be made in buf.
	decode(buf, raw []byte) (value, newBuf []byte)
	// encode turns the value dst[from:] into a field, in place.
	encode(dst []byte, from int) []byte
}

// copyLines is the codec of text and CSV: it splits lines into fields and masks them.
type copyLines struct {
	dialect
	nullText string
	columns  []copyColumn

	header  bool // the present line is the header
	started bool // something of the present line has been seen
	col     int
	row     []byte // what will be sent of the present line
	raw     []byte // the beginning of a masked field
	cut     bool   // raw is not all that has been seen of the field
	buf     []byte // for decoding

	rows, masked int64
}

func newCopyLines(f CopyFormat, columns []copyColumn, d dialect) *copyLines {
	return &copyLines{dialect: d, nullText: f.Null, columns: columns, header: f.Header}
}

func (l *copyLines) counts() (rows, masked int64) { return l.rows, l.masked }

func (l *copyLines) append(dst, chunk []byte) ([]byte, error) {
	l.load(chunk)
	for pos := 0; pos < len(chunk); {
		end, err := l.fieldEnd(pos)
		if err != nil {
			return dst, err
		}
		l.started = true
		if end == len(chunk) {
			return dst, l.take(chunk[pos:])
		}
		if err := l.endField(chunk[pos:end], chunk[end]); err != nil {
			return dst, err
		}
		if chunk[end] == '\n' {
			dst = l.endRow(append(dst, l.row...))
		}
		pos = end + 1
	}
	return dst, nil
}

func (l *copyLines) finish(dst []byte) ([]byte, error) {
	if !l.started {
		return dst, nil
	}
	if !l.whole() {
		return dst, ErrCopyMalformed
	}
	if err := l.endField(nil, '\n'); err != nil {
		return dst, err
	}
	dst = append(dst, l.row[:len(l.row)-1]...)
	return l.endRow(dst), nil
}

// endRow makes ready for the next line, after this one has been sent on.
func (l *copyLines) endRow(dst []byte) []byte {
	if !l.header {
		l.rows++
	}
	l.header, l.started, l.col = false, false, 0
	l.row = emptied(l.row)
	return dst
}

// column returns the present column. The header's names are shown, and so is the nothing that a table without columns has in each line.
func (l *copyLines) column() *copyColumn {
	if l.header || len(l.columns) == 0 {
		return &shownColumn
	}
	return &l.columns[l.col]
}

// take keeps a piece of the present field as far as it is needed.
func (l *copyLines) take(piece []byte) error {
	if len(l.columns) == 0 && len(piece) > 0 {
		return ErrCopyColumns
	}
	c := l.column()
	if c.mask == nil {
		l.row = append(l.row, piece...)
		return l.checkSize()
	}
	if room := c.keep - len(l.raw); len(piece) > room {
		piece, l.cut = piece[:room], true
	}
	l.raw = append(l.raw, piece...)
	return nil
}

func (l *copyLines) checkSize() error {
	if len(l.row) > maxHeld {
		return ErrCopyRowTooLong
	}
	return nil
}

// endField takes the last piece of a field and what follows it, a delimiter or line end.
func (l *copyLines) endField(piece []byte, separator byte) error {
	c := l.column()
	switch {
	case c.mask == nil, len(l.raw) > 0, l.cut, len(piece) > c.keep:
		if err := l.take(piece); err != nil {
			return err
		}
		piece = l.raw
	}
	if c.mask != nil {
		l.maskField(c, piece)
		l.raw, l.cut = emptied(l.raw), false
	}
	l.row = append(l.row, separator)
	l.col++
	last := l.col == max(len(l.columns), 1)
	if last != (separator == '\n') {
		return ErrCopyColumns
	}
	return l.checkSize()
}

// maskField appends the masked form of a field to the row.
func (l *copyLines) maskField(c *copyColumn, raw []byte) {
	if !l.cut && l.null(raw) {
		l.row = append(l.row, raw...)
		return
	}
	l.masked++
	m := c.mask
	var value []byte
	switch {
	case c.fixed:
	case l.cut:
		m = redactionOf(m)
	default:
		value, l.buf = l.decode(l.buf[:0], raw)
	}
	from := len(l.row)
	out, null := m.Append(l.row, value, Text)
	if null {
		l.row = append(out[:from], l.nullText...)
	} else {
		l.row = l.encode(out, from)
	}
	l.buf = emptied(l.buf)
}

// finder finds the next of a few bytes in a chunk. It remembers where each comes next, so that each byte of the chunk is looked at no more than
// once per byte looked for.
type finder struct {
	set   [4]byte
	chunk []byte
	next  [4]int
}

func (f *finder) load(chunk []byte) {
	f.chunk = chunk
	f.next = [4]int{-1, -1, -1, -1}
}

// find returns the first position from pos on of one of set[lo:hi], or the chunk's length. Positions must not go backwards.
func (f *finder) find(pos, lo, hi int) int {
	first := len(f.chunk)
	for i := lo; i < hi; i++ {
		if f.next[i] < pos {
			f.next[i] = len(f.chunk)
			if at := bytes.IndexByte(f.chunk[pos:], f.set[i]); at >= 0 {
				f.next[i] = pos + at
			}
		}
		first = min(first, f.next[i])
	}
	return first
}

// grow makes room for n bytes more at the end of dst.
func grow(dst []byte, n int) []byte {
	return append(dst, make([]byte, n)...)
}
