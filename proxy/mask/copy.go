package mask

import (
	"errors"
	"strings"
)

// Errors of a COPY stream. After one of them the rest of the stream must not reach the client. None of them carries data.
var (
	// ErrCopyFormat means that the format makes no sense, such as a delimiter that is also the quote or part of the NULL string.
	ErrCopyFormat = errors.New("COPY format cannot be masked: delimiter, quote, escape and NULL string contradict each other")
	// ErrCopyColumns means that a row or the header has not as many columns as the masker was made for.
	ErrCopyColumns = errors.New("COPY row does not have the expected number of columns")
	// ErrCopyMalformed means that the stream breaks the rules of its format, or ends in the middle of a value.
	ErrCopyMalformed = errors.New("COPY data is malformed")
	// ErrCopyRowTooLong means that more than 16 MiB of one row would have to be kept until its end.
	ErrCopyRowTooLong = errors.New("COPY row is longer than 16 MiB")
)

// maxHeld is the most that is kept of one row of text or CSV, and of one value that is masked by what it is.
const maxHeld = 16 << 20

// maxIdle is the most room that a buffer keeps once it is empty.
const maxIdle = 64 << 10

// CopyKind is one of COPY's data formats.
type CopyKind uint8

const (
	// CopyText is FORMAT text.
	CopyText CopyKind = iota
	// CopyCSV is FORMAT csv.
	CopyCSV
	// CopyBinary is FORMAT binary.
	CopyBinary
)

// CopyFormat holds the options of a COPY … TO STDOUT that shape its output. See DefaultCopyFormat for what PostgreSQL assumes.
type CopyFormat struct {
	Kind CopyKind
	// Delimiter stands between columns. 0 is the default: a tab in text, a comma in CSV.
	Delimiter byte
	// Quote is CSV's quote; 0 is the double quote.
	Quote byte
	// Escape is what precedes a quote inside of quotes; 0 is the same as Quote.
	Escape byte
	// Null is the string that stands for NULL. Empty is the empty string, not the default.
	Null string
	// Header says that the first line holds column names. It passes unmasked.
	Header bool
	// ForceQuoteAll is FORCE_QUOTE *: masks are quoted although they need not be.
	ForceQuoteAll bool
}

// DefaultCopyFormat returns the format of COPY without options other than FORMAT.
func DefaultCopyFormat(kind CopyKind) CopyFormat {
	switch kind {
	case CopyText:
		return CopyFormat{Kind: kind, Delimiter: '\t', Null: `\N`}
	case CopyCSV:
		return CopyFormat{Kind: kind, Delimiter: ',', Quote: '"', Escape: '"'}
	default:
		return CopyFormat{Kind: kind}
	}
}

// normal fills in defaults, or reports that the options contradict each other.
func (f CopyFormat) normal() (CopyFormat, bool) {
	defaults := DefaultCopyFormat(f.Kind)
	if f.Delimiter == 0 {
		f.Delimiter = defaults.Delimiter
	}
	if f.Quote == 0 {
		f.Quote = defaults.Quote
	}
	if f.Escape == 0 {
		f.Escape = f.Quote
	}
	lineEnd := func(b byte) bool { return b == '\n' || b == '\r' }
	nullHas := func(b byte) bool { return strings.IndexByte(f.Null, b) >= 0 }
	if f.Kind != CopyBinary && (lineEnd(f.Delimiter) || nullHas(f.Delimiter) || nullHas('\n') || nullHas('\r')) {
		return f, false
	}
	switch f.Kind {
	case CopyText:
		return f, f.Delimiter != '\\'
	case CopyCSV:
		distinct := f.Delimiter != f.Quote && f.Delimiter != f.Escape
		return f, distinct && !lineEnd(f.Quote) && !lineEnd(f.Escape) && !nullHas(f.Quote)
	default:
		return f, f.Kind == CopyBinary
	}
}

// copyCodec reads one data format. Its methods append what may be sent on to dst.
type copyCodec interface {
	append(dst, chunk []byte) ([]byte, error)
	finish(dst []byte) ([]byte, error)
	counts() (rows, masked int64)
}

// CopyMasker masks the payloads of the CopyData messages of one COPY … TO STDOUT. It is not safe for concurrent use.
//
// Rows need not end where messages end. Text and CSV rows are sent on only when they are complete and have the right number of columns, so that
// no value can slip past its mask by standing in the wrong place; binary rows say their number of columns in front and are not kept. Of masked
// values only as much is kept as their mask needs. The zero CopyMasker fails with ErrCopyFormat.
type CopyMasker struct {
	codec copyCodec
	err   error
}

// NewCopyMasker returns a masker for rows of len(cols) columns; a nil Masker shows its column. A format that makes no sense is reported by the
// first Append.
func NewCopyMasker(f CopyFormat, cols []Masker) *CopyMasker {
	f, ok := f.normal()
	if !ok {
		return &CopyMasker{}
	}
	columns := make([]copyColumn, len(cols))
	for i, m := range cols {
		columns[i] = newCopyColumn(m, len(f.Null)+1)
	}
	switch f.Kind {
	case CopyText:
		return &CopyMasker{codec: newCopyLines(f, columns, newTextDialect(f))}
	case CopyCSV:
		return &CopyMasker{codec: newCopyLines(f, columns, newCSVDialect(f))}
	default:
		return &CopyMasker{codec: &copyBinary{columns: columns}}
	}
}

// Append masks the payload of the next CopyData message and appends what is ready to be sent, which may be nothing. On an error, here or in an
// earlier call, what was appended to dst may still be sent, and nothing after it.
func (m *CopyMasker) Append(dst, chunk []byte) ([]byte, error) {
	if m.ready() {
		dst, m.err = m.codec.append(dst, chunk)
	}
	return dst, m.err
}

// Finish is called at CopyDone: it appends a last row that has no line end, and fails with ErrCopyMalformed if the stream is not complete.
func (m *CopyMasker) Finish(dst []byte) ([]byte, error) {
	if m.ready() {
		dst, m.err = m.codec.finish(dst)
	}
	return dst, m.err
}

// ready reports whether the stream may go on, and fails a masker without a format.
func (m *CopyMasker) ready() bool {
	if m.codec == nil {
		m.err = ErrCopyFormat
	}
	return m.err == nil
}

// Rows returns the number of complete rows so far, without the header.
func (m *CopyMasker) Rows() int64 {
	if m.codec == nil {
		return 0
	}
	rows, _ := m.codec.counts()
	return rows
}

// Masked returns the number of values masked so far.
func (m *CopyMasker) Masked() int64 {
	if m.codec == nil {
		return 0
	}
	_, masked := m.codec.counts()
	return masked
}

// copyColumn is what a codec knows of a column.
type copyColumn struct {
	mask  Masker // nil shows
	fixed bool   // the mask does not depend on the value
	keep  int    // how many bytes of a text value are kept to mask it
}

// shownColumn is a column without a mask.
var shownColumn copyColumn

// newCopyColumn makes a column; nullSize bytes are enough to tell whether a value is NULL.
func newCopyColumn(m Masker, nullSize int) copyColumn {
	if Shows(m) {
		return shownColumn
	}
	_, fixed := m.(*constant)
	if fixed {
		return copyColumn{mask: m, fixed: true, keep: nullSize}
	}
	return copyColumn{mask: m, keep: maxHeld}
}

// emptied returns a buffer for further use, unless it has grown large.
func emptied(b []byte) []byte {
	if cap(b) > maxIdle {
		return nil
	}
	return b[:0]
}
