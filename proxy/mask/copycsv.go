package mask

import "bytes"

// csvState says where in a field the reader stands.
type csvState uint8

const (
	csvStart   csvState = iota // before the first byte
	csvBare                    // in a field without quotes
	csvQuoted                  // inside of quotes
	csvEscaped                 // inside of quotes, behind an escape that is not the quote
	csvQuote                   // behind a quote that ends the field, unless another one follows and quotes escape themselves
)

// csvDialect is COPY's CSV format as PostgreSQL writes it (CopyAttributeOutCSV in copyto.c): a field is quoted as a whole or not at all.
type csvDialect struct {
	finder
	delim, quote, escape byte
	nullText             string
	force                bool
	state                csvState
}

func newCSVDialect(f CopyFormat) *csvDialect {
	d := &csvDialect{delim: f.Delimiter, quote: f.Quote, escape: f.Escape, nullText: f.Null, force: f.ForceQuoteAll}
	d.set = [4]byte{f.Delimiter, '\n', f.Quote, f.Escape}
	return d
}

func (d *csvDialect) whole() bool { return d.state != csvQuoted && d.state != csvEscaped }

func (d *csvDialect) fieldEnd(pos int) (int, error) {
	for pos < len(d.chunk) {
		b := d.chunk[pos]
		switch d.state {
		case csvStart:
			d.state = csvBare
			if b == d.quote {
				d.state = csvQuoted
				pos++
			}
		case csvBare:
			return d.bareEnd(pos)
		case csvQuoted:
			if pos = d.find(pos, 2, 4); pos < len(d.chunk) {
				d.state = csvEscaped
				if d.chunk[pos] == d.quote {
					d.state = csvQuote
				}
				pos++
			}
		case csvEscaped:
			d.state = csvQuoted
			pos++
		case csvQuote:
			if b == d.delim || b == '\n' {
				d.state = csvStart
				return pos, nil
			}
			if b != d.quote || d.escape != d.quote {
				return 0, ErrCopyMalformed
			}
			d.state = csvQuoted
			pos++
		}
	}
	return pos, nil
}

// bareEnd finds the end of a field without quotes.
func (d *csvDialect) bareEnd(pos int) (int, error) {
	pos = d.find(pos, 0, 3)
	if pos == len(d.chunk) {
		return pos, nil
	}
	if d.chunk[pos] == d.quote {
		return 0, ErrCopyMalformed
	}
	d.state = csvStart
	return pos, nil
}

// null compares the field as it stands: a value that looks like NULL is quoted.
func (d *csvDialect) null(raw []byte) bool { return string(raw) == d.nullText }

func (d *csvDialect) decode(buf, raw []byte) (value, newBuf []byte) {
	if len(raw) < 2 || raw[0] != d.quote {
		return raw, buf
	}
	raw = raw[1 : len(raw)-1]
	if bytes.IndexByte(raw, d.escape) < 0 {
		return raw, buf
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] == d.escape && i+1 < len(raw) && (raw[i+1] == d.quote || raw[i+1] == d.escape) {
			i++
		}
		buf = append(buf, raw[i])
	}
	return buf, buf
}

func (d *csvDialect) encode(dst []byte, from int) []byte {
	quoted, extra := d.force || string(dst[from:]) == d.nullText, 2
	for _, b := range dst[from:] {
		switch b {
		case d.quote, d.escape:
			extra++
			quoted = quoted || b == d.quote
		case d.delim, '\n', '\r':
			quoted = true
		}
	}
	if !quoted {
		return dst
	}
	end := len(dst)
	dst = grow(dst, extra)
	to := len(dst) - 1
	dst[to] = d.quote
	for end > from {
		end--
		to--
		dst[to] = dst[end]
		if b := dst[to]; b == d.quote || b == d.escape {
			to--
			dst[to] = d.escape
		}
	}
	dst[from] = d.quote
	return dst
}
