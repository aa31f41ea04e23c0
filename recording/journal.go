package recording

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// journal reads version 1. It takes memory for one record, and for no more of that than has arrived.
type journal struct {
	*input
	opened  bool // the header has been read
	head    [recordHeader]byte
	payload bytes.Buffer
}

// event reads up to the next event.
func (r *journal) event(into *access.Event) (rec place, err error) {
	for {
		f, err := r.next()
		if err != nil {
			return rec, err
		}
		rec = place{seq: f.seq, offset: r.report.Bytes}
		r.advance(f)
		if f.kind != typeEvent {
			continue
		}
		if err := json.Unmarshal(r.payload.Bytes(), into); err != nil {
			return rec, r.broken(rec.seq, rec.offset, notAnEvent(err))
		}
		into.Time = f.time()
		return rec, nil
	}
}

// next reads one record into r.head and r.payload and verifies it.
func (r *journal) next() (*frame, error) {
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
func (r *journal) body(f *frame) error {
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
func (r *journal) open() error {
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
	r.report.Head = genesis
	return nil
}

// misplaced says why a record with header f cannot stand where it does.
func (r *journal) misplaced(f *frame) string {
	switch {
	case f.length > MaxPayload:
		return fmt.Sprintf("it claims %d bytes, more than the %d allowed", f.length, MaxPayload)
	case f.seq != r.expected():
		return fmt.Sprintf("number %d stands here: records were removed, added or moved", f.seq)
	case f.previous != r.report.Head:
		return "it does not follow from the record before it: one of the two was replaced"
	case !f.known():
		return fmt.Sprintf("its type %q is unknown", f.kind)
	default:
		return ""
	}
}

func (r *journal) expected() uint64 { return uint64(r.report.Records) + 1 }

// advance counts the record just verified.
func (r *journal) advance(f *frame) {
	r.report.Records++
	r.report.Bytes += recordHeader + int64(f.length) + int64(len(Hash{}))
	if r.report.First.IsZero() {
		r.report.First = f.time()
	}
	r.report.Last = f.time()
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
func (r *journal) finish(f *frame) error {
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
func (r *journal) nothingFollows() error {
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
func (r *journal) ended(n int64, err error) error {
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
func (r *journal) damaged(n int64, check []byte, what string) error {
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
