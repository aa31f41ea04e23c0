package recording

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// segments reads version 2: segments, one after the other. A segment's signature and the digest of its body are verified before
// anything of it is shown, and each record before it is shown.
type segments struct {
	*input
	options *readerOptions
	signers signers
	prev    *Head // of the segment before the one that is being read
	open    *Head // of the one that is being read; nil between two
	size    int64 // of the open one, in the stream
	cursor  cursor
	start   int64 // where the open one's records begin in the journal
	stored  []byte
	plain   []byte
}

// event reads up to the next event.
func (s *segments) event(into *access.Event) (place, error) {
	for {
		if s.open == nil {
			if err := s.next(); err != nil {
				return place{}, err
			}
		}
		for s.open != nil && !s.cursor.done() {
			at := place{seq: s.cursor.seq, offset: s.start + int64(s.cursor.at)}
			is, err := s.record(into)
			if err != nil || is {
				return at, err
			}
		}
		if s.open != nil {
			if what := s.cursor.finish(); what != "" {
				return place{}, s.brokenAt(s.cursor.seq, what)
			}
			s.close()
		}
	}
}

// record reads the next record of the open segment, and reports whether it was an event.
func (s *segments) record(into *access.Event) (bool, error) {
	var f frame
	payload, what := s.cursor.next(&f)
	if what != "" {
		return false, s.brokenAt(s.cursor.seq, what)
	}
	switch f.kind {
	case typeEvent:
		if err := json.Unmarshal(payload, into); err != nil {
			return false, s.brokenAt(f.seq, notAnEvent(err))
		}
		into.Time = f.time()
		s.report.Events++
	case typeSignature:
		s.report.Signatures++
	case typeEnd:
		if what := s.report.endMark(&f, payload); what != "" {
			return false, s.brokenAt(f.seq, what)
		}
	}
	s.report.Records++
	s.report.Head = s.cursor.chain
	s.report.Last = f.time()
	return f.kind == typeEvent, nil
}

// endMark says what is wrong with an end mark, or with what it counts. Where segments were erased nobody knows how many of
// their records were events, but how many records there were is known.
func (r *Report) endMark(f *frame, payload []byte) string {
	var e ending
	if err := json.Unmarshal(payload, &e); err != nil {
		return fmt.Sprintf("it is no end mark: %v", err)
	}
	wrong := e.Events != r.Events || e.Signatures != r.Signatures
	if r.Erased > 0 {
		wrong = e.Events < r.Events || e.Signatures < r.Signatures || uint64(e.Events)+uint64(e.Signatures)+1 != f.seq
	}
	if wrong {
		return fmt.Sprintf("it counts %d events and %d signatures, but %d and %d are there", e.Events, e.Signatures, r.Events, r.Signatures)
	}
	return ""
}

// next reads a segment, verifies all but its records, and opens it; where its records are not to be had, it goes by the head.
func (s *segments) next() error {
	segment, room, n, err := readSegment(s.in, s.stored)
	s.stored = room
	if err != nil {
		return s.over(n, err)
	}
	h := &segment.Head
	if err := s.admit(segment); err != nil {
		return s.brokenAt(s.expected(), reason(err))
	}
	records, err := s.records(segment)
	switch {
	case errors.Is(err, errKeyFailed):
		return err
	case err != nil && !errors.Is(err, ErrNoKey):
		return s.brokenAt(s.expected(), reason(err))
	}
	if s.prev == nil {
		s.report.Session, s.report.DataSource, s.report.First = h.Session, h.DataSource, h.From
	}
	s.open, s.size, s.plain, s.cursor = h, n, records, h.cursor(records)
	if err != nil {
		s.report.Erased++
		s.report.Records += int64(h.Last - h.First + 1)
		s.report.Head, s.report.Last = h.Chain, h.To
		s.close()
	}
	return nil
}

// admit checks a segment's head: against itself, against what came before, and its signature.
func (s *segments) admit(segment *Segment) error {
	h := &segment.Head
	if err := h.Check(); err != nil {
		return err
	}
	if err := h.Follows(s.prev); err != nil {
		return err
	}
	return s.signers.admit(segment, s.options)
}

// errKeyFailed marks that WithIdentity has failed, which says nothing of the recording.
var errKeyFailed = errors.New("recording: the key of a segment cannot be had")

// records returns the records of a segment. The error is ErrNoKey where there is no key for them.
func (s *segments) records(segment *Segment) ([]byte, error) {
	var id age.Identity
	if segment.Kind == BodyEncrypted && s.options.identity != nil {
		var err error
		id, err = s.options.identity(&segment.Head)
		switch {
		case errors.Is(err, ErrNoKey):
			return nil, ErrNoKey
		case err != nil:
			return nil, fmt.Errorf("%w: %w", errKeyFailed, err)
		}
	}
	return segment.records(s.plain, id)
}

// close takes the open segment for verified.
func (s *segments) close() {
	h := s.open
	s.report.Segments++
	if h.Recovered {
		s.report.Recovered++
	}
	s.report.End = h.End
	s.report.Bytes += s.size
	s.start += h.Plain
	s.report.Signers, s.report.Trust = s.signers.list, s.signers.trust()
	s.prev, s.open = h, nil
}

// over is called where no further segment can be read, n bytes into it. A stream may be cut off, which is the same as one that is
// still being written, until a segment has said that nothing follows.
func (s *segments) over(n int64, err error) error {
	var shape errShape
	ended := s.prev != nil && s.prev.End != EndNone
	switch {
	case errors.As(err, &shape), n > 0 && ended && errors.Is(err, io.ErrUnexpectedEOF):
		what := reason(err)
		if ended {
			what = "something follows the segment that ends the recording"
		}
		if s.prev == nil { // it may be no recording at all
			return s.broken(0, 0, what)
		}
		return s.brokenAt(s.expected(), what)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		s.report.State, s.report.Torn = Unfinished, n
		if ended && s.prev.End == EndComplete {
			s.report.State = Complete
		}
		return io.EOF
	default:
		return fmt.Errorf("recording: %w", err)
	}
}

// expected is the number of the record that should come next.
func (s *segments) expected() uint64 {
	if s.prev == nil {
		return 1
	}
	return s.prev.Last + 1
}

// brokenAt ends the reading in the segment that should come next.
func (s *segments) brokenAt(seq uint64, what string) error {
	err := s.broken(seq, s.report.Bytes, what)
	s.report.Broken.Segment = uint64(s.report.Segments) + 1
	return err
}

// reason is an error's text as a part of another one.
func reason(err error) string { return strings.TrimPrefix(err.Error(), "recording: ") }
