package mask

import "bytes"

// textDialect is COPY's text format: CopyAttributeOutText in PostgreSQL's copyto.c writes it.
type textDialect struct {
	finder
	delim     byte
	nullText  string
	ambiguous bool // some value is written like NULL
	escaped   bool // the chunk ended behind a backslash
}

func newTextDialect(f CopyFormat) *textDialect {
	d := &textDialect{delim: f.Delimiter, nullText: f.Null}
	d.set = [4]byte{f.Delimiter, '\n', '\\'}
	value, _ := d.decode(nil, []byte(f.Null))
	d.ambiguous = string(d.encode(bytes.Clone(value), 0)) == f.Null
	return d
}

func (d *textDialect) whole() bool { return !d.escaped }

// fieldEnd takes a bare line end for the end of the row, and one behind a backslash for an error: PostgreSQL writes it as \n.
func (d *textDialect) fieldEnd(pos int) (int, error) {
	for {
		if d.escaped {
			if d.chunk[pos] == '\n' {
				return 0, ErrCopyMalformed
			}
			d.escaped = false
			pos++
		}
		end := d.find(pos, 0, 3)
		if end == len(d.chunk) || d.chunk[end] != '\\' {
			return end, nil
		}
		d.escaped = true
		if pos = end + 1; pos == len(d.chunk) {
			return pos, nil
		}
	}
}

// null does not believe a NULL string that a value may have too, since PostgreSQL does not escape it: NULL 'guess' would otherwise show where the
// guess is right. Such a field is masked like any other.
func (d *textDialect) null(raw []byte) bool { return !d.ambiguous && string(raw) == d.nullText }

func (d *textDialect) decode(buf, raw []byte) (value, newBuf []byte) {
	at := bytes.IndexByte(raw, '\\')
	if at < 0 {
		return raw, buf
	}
	buf = append(buf, raw[:at]...)
	for i := at; i < len(raw); i++ {
		b := raw[i]
		if b == '\\' && i+1 < len(raw) {
			i++
			b = controlOf(raw[i])
		}
		buf = append(buf, b)
	}
	return buf, buf
}

// controlOf returns the byte that a backslash and b stand for.
func controlOf(b byte) byte {
	switch b {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'v':
		return '\v'
	default:
		return b
	}
}

// escapeOf returns what b is written as behind a backslash, or 0 if it is written as it is.
func (d *textDialect) escapeOf(b byte) byte {
	switch b {
	case '\b':
		return 'b'
	case '\f':
		return 'f'
	case '\n':
		return 'n'
	case '\r':
		return 'r'
	case '\t':
		return 't'
	case '\v':
		return 'v'
	case '\\', d.delim:
		return b
	default:
		return 0
	}
}

func (d *textDialect) encode(dst []byte, from int) []byte {
	extra := 0
	for _, b := range dst[from:] {
		if d.escapeOf(b) != 0 {
			extra++
		}
	}
	if extra == 0 {
		return dst
	}
	end := len(dst)
	dst = grow(dst, extra)
	for to := len(dst); end > from; {
		end--
		to--
		dst[to] = dst[end]
		if e := d.escapeOf(dst[end]); e != 0 {
			dst[to] = e
			to--
			dst[to] = '\\'
		}
	}
	return dst
}
