package recording

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// Record is one event as it was recorded.
type Record struct {
	Seq    uint64 // from 1, without gaps
	Offset int64  // of its first byte in the recording
	Event  access.Event
}

// Reader reads a recording and verifies its chain as it goes: what Next returns
// has been verified. It takes memory for one record, and for no more of that than
// has arrived. It is not safe for concurrent use.
type Reader struct {
	in      *bufio.Reader
	opened  bool // the header has been read
	report  Report
	head    [recordHeader]byte
	payload bytes.Buffer
	err     error
}

// NewReader returns a Reader of the recording in r.
func NewReader(r io.Reader) *Reader { return &Reader{in: bufio.NewReaderSize(r, 64<<10)} }

// Report returns what is known so far; it is complete once Next has returned an
// error.
func (r *Reader) Report() Report { return r.report }

// Next returns the next event. Its error is io.EOF where the recording is over,
// be it with its end mark or without (see Report); a *BrokenError where the recording
// is not what was written; or that of the underlying reader.
func (r *Reader) Next() (Record, error) {
	for r.err == nil {
		f, err := r.next()
		if err != nil {
			r.err = err
			break
		}
		rec := Record{Seq: f.seq, Offset: r.report.Bytes}
		r.advance(f)
		if f.kind != typeEvent {
			continue
		}
		if err := json.Unmarshal(r.payload.Bytes(), &rec.Event); err != nil {
			r.err = r.broken(rec.Seq, rec.Offset, fmt.Sprintf("it is no event: %v", err))
			break
		}
		rec.Event.Time = f.time
		return rec, nil
	}
	return Record{}, r.err
}

// next reads one record into r.head and r.payload and verifies it.
func (r *Reader) next() (*frame, error) {
	if !r.opened {
		if err := r.open(); err != nil {
			return nil, err
		}
	}
	if r.report.State == Complete {
		return nil, r.nothingFollows()
	}
	n, err := io.ReadFull(r.in, r.head[:])
	if err != nil {
		return nil, r.ended(int64(n), err)
	}
	f := new(frame)
	if !f.get(r.head[:]) {
		return nil, r.damaged(recordHeader, r.head[atCheck:], "its header was changed")
	}
	if what := r.misplaced(f); what != "" {
		return nil, r.broken(r.expected(), r.report.Bytes, what)
	}
	return f, r.body(f)
}

// body reads the payload and the hash that f announces.
func (r *Reader) body(f *frame) error {
	r.payload.Reset()
	n, err := io.CopyN(&r.payload, r.in, int64(f.length)) // grows with what arrives, not with what f claims
	if err != nil {
		return r.ended(recordHeader+n, err)
	}
	var want, got Hash
	m, err := io.ReadFull(r.in, want[:])
	if err != nil {
		return r.ended(recordHeader+n+int64(m), err)
	}
	h := sha256.New()
	h.Write(r.head[:])
	h.Write(r.payload.Bytes())
	if h.Sum(got[:0]); got != want {
		return r.damaged(recordHeader+n+int64(m), want[:], "it was changed: its hash is not the one written")
	}
	r.report.Head = got
	if f.kind == typeEnd {
		return r.finish(f)
	}
	return nil
}

// open reads the header.
func (r *Reader) open() error {
	var h [headerSize]byte
	want := header()
	n, err := io.ReadFull(r.in, h[:])
	if err != nil && bytes.Equal(h[:n], want[:n]) {
		return r.ended(int64(n), err)
	}
	if what := checkHeader(h[:]); what != "" {
		return r.broken(0, 0, what)
	}
	r.opened = true
	r.report.Version = Version
	r.report.Bytes = headerSize
	r.report.Head = sha256.Sum256(h[:])
	return nil
}

// misplaced says why a record with header f cannot stand where it does.
func (r *Reader) misplaced(f *frame) string {
	switch {
	case f.length > MaxPayload:
		return fmt.Sprintf("it claims %d bytes, more than the %d allowed", f.length, MaxPayload)
	case f.seq != r.expected():
		return fmt.Sprintf("number %d stands here: records were removed, added or moved", f.seq)
	case f.previous != r.report.Head:
		return "it does not follow from the record before it: one of the two was replaced"
	case f.kind != typeEvent && f.kind != typeSignature && f.kind != typeEnd:
		return fmt.Sprintf("its type %q is unknown", f.kind)
	default:
		return ""
	}
}

func (r *Reader) expected() uint64 { return uint64(r.report.Records) + 1 }

// advance counts the record just verified.
func (r *Reader) advance(f *frame) {
	r.report.Records++
	r.report.Bytes += recordHeader + int64(f.length) + int64(len(Hash{}))
	if r.report.First.IsZero() {
		r.report.First = f.time
	}
	r.report.Last = f.time
	switch f.kind {
	case typeEvent:
		r.report.Events++
	case typeSignature:
		r.report.Signatures++
	case typeEnd:
		r.report.State = Complete
	}
}

// finish compares the end mark with what was there.
func (r *Reader) finish(f *frame) error {
	var e ending
	if err := json.Unmarshal(r.payload.Bytes(), &e); err != nil {
		return r.broken(f.seq, r.report.Bytes, fmt.Sprintf("it is no end mark: %v", err))
	}
	if e.Events != r.report.Events || e.Signatures != r.report.Signatures {
		return r.broken(f.seq, r.report.Bytes, fmt.Sprintf("it counts %d events and %d signatures, but %d and %d are there",
			e.Events, e.Signatures, r.report.Events, r.report.Signatures))
	}
	return nil
}

// nothingFollows makes sure that the end mark is the end.
func (r *Reader) nothingFollows() error {
	switch _, err := r.in.ReadByte(); {
	case err == nil:
		return r.broken(r.expected(), r.report.Bytes, "something follows the end mark")
	case errors.Is(err, io.EOF):
		return io.EOF
	default:
		r.report.State = Unread // there may be more
		return fmt.Errorf("recording: %w", err)
	}
}

// ended is called where the recording is over without an end mark, n bytes into
// a record.
func (r *Reader) ended(n int64, err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("recording: %w", err)
	}
	r.report.State = Unfinished
	r.report.Torn = n
	return io.EOF
}

// damaged is called for a record whose check, which ends n bytes into it, is
// wrong. A crash may leave a file longer than what was written of it, with zeros
// in the rest: that is a torn tail, anything else was changed. To dress a change
// up as a torn tail gains nobody more than to cut the tail off.
func (r *Reader) damaged(n int64, check []byte, what string) error {
	at, seq := r.report.Bytes, r.expected()
	if check[len(check)-1] != 0 {
		return r.broken(seq, at, what)
	}
	for {
		switch b, err := r.in.ReadByte(); {
		case err != nil:
			return r.ended(n, err)
		case b != 0:
			return r.broken(seq, at, what)
		}
		n++
	}
}

func (r *Reader) broken(seq uint64, offset int64, what string) error {
	r.report.State = Broken
	r.report.Broken = &BrokenError{Seq: seq, Offset: offset, What: what}
	return r.report.Broken
}
