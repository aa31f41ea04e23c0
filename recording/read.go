package recording

import (
	"bufio"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// Record is one event as it was recorded.
type Record struct {
	Seq uint64 // from 1, without gaps
	// Offset is that of the record's first byte in the journal, be it read from the journal itself or from segments.
	Offset int64
	Event  access.Event
}

// ReaderOption says how a Reader reads.
type ReaderOption func(*readerOptions)

type readerOptions struct {
	identity  func(*Head) (age.Identity, error)
	operators []ed25519.PublicKey
	operator  bool // operators is what counts, even where there are none
}

// WithIdentity sets where the keys of encrypted segments come from. It is asked for each of them, its head verified. Where it
// returns nil, or an error that is ErrNoKey, the session was erased, or its key is not at hand: the segment's records are left out
// and Report.Erased counts it. Any other error ends the reading, with nothing known. Without this option there are no keys.
func WithIdentity(of func(*Head) (age.Identity, error)) ReaderOption {
	return func(o *readerOptions) { o.identity = of }
}

// WithOperatorKey sets the operator's keys, one of which must have signed every attestation that is there: more than one where
// the operator's key has changed. A key of the wrong length has signed nothing, and so has none at all. Without this option
// attestations are read and not verified, which Report.Trust says.
func WithOperatorKey(keys ...ed25519.PublicKey) ReaderOption {
	return func(o *readerOptions) { o.operator, o.operators = true, append(o.operators, keys...) }
}

// Reader reads a recording and verifies it as it goes: what Next returns has been
// verified. It knows by its first bytes whether it reads a journal (version 1),
// which takes memory for one record, or segments (version 2), one after the other,
// which takes memory for one of them; and for no more than has arrived. It is not
// safe for concurrent use.
type Reader struct {
	input
	options readerOptions
	from    source // nil until it is known
	err     error
}

// input is what sources read from, and what they have found.
type input struct {
	in     *bufio.Reader
	report Report
}

// source is a version of the format.
type source interface {
	// event reads the next event. The errors are those of Reader.Next.
	event() (Record, error)
}

// NewReader returns a Reader of the recording in r.
func NewReader(r io.Reader, options ...ReaderOption) *Reader {
	reader := &Reader{input: input{in: bufio.NewReaderSize(r, 64<<10)}}
	for _, o := range options {
		o(&reader.options)
	}
	return reader
}

// Report returns what is known so far; it is complete once Next has returned an
// error.
func (r *Reader) Report() Report {
	report := r.report
	report.Signers = append([]Signer(nil), r.report.Signers...)
	return report
}

// Next returns the next event. Its error is io.EOF where the recording is over,
// be it with its end mark or without (see Report); a *BrokenError where the recording
// is not what was written; or that of the underlying reader, or of WithIdentity.
func (r *Reader) Next() (rec Record, err error) {
	if r.err == nil && r.from == nil {
		r.from, r.err = r.recognize()
	}
	if r.err == nil {
		rec, r.err = r.from.event()
	}
	if r.err != nil {
		return Record{}, r.err
	}
	return rec, nil
}

// recognize tells the versions apart. What is neither, or too short to say, is left to version 1 to refuse.
func (r *Reader) recognize() (source, error) {
	b, err := r.in.Peek(len(segmentMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("recording: %w", err)
	}
	const differ = 4 // as many bytes tell the two apart
	if len(b) >= differ && string(b) == segmentMagic[:len(b)] {
		r.report.Version = SegmentVersion
		return &segments{input: &r.input, options: &r.options, start: headerSize}, nil
	}
	return &journal{input: &r.input}, nil
}

// broken ends the reading at a record of a journal, or in a segment.
func (r *input) broken(seq uint64, offset int64, what string) error {
	r.report.State = Broken
	r.report.Broken = &BrokenError{Seq: seq, Offset: offset, What: what}
	return r.report.Broken
}
