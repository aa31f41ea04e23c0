package stream

import (
	"errors"
	"fmt"
	"io"

	"filippo.io/age"

	"github.com/tidewaiter/tidewaiter/recording"
)

// joined follows the segments of one session.
type joined struct {
	next     func(wait bool) (*recording.Segment, error)
	identity func(*recording.Head) (age.Identity, error)
	last     *recording.Head // of the segment before
	report   recording.Report
}

// segments reads segments one after the other, as next returns them until io.EOF. Unless wait is set, next looks only what is there.
func segments(next func(wait bool) (*recording.Segment, error), identity func(*recording.Head) (age.Identity, error)) *Recording {
	j := &joined{next: next, identity: identity, report: recording.Report{Version: recording.SegmentVersion}}
	return &Recording{events: j.events, report: func() recording.Report { return j.report }}
}

func (j *joined) events(yield func(recording.Record, error) bool) {
	for {
		s, err := j.next(true)
		if err != nil {
			j.over(err, yield)
			return
		}
		if !j.segment(s, yield) {
			return
		}
		if j.last = &s.Head; s.Head.End != recording.EndNone {
			break
		}
	}
	switch _, err := j.next(false); { // the end must be the end
	case errors.Is(err, io.EOF):
		j.report.State = recording.Unfinished
		if j.last.End == recording.EndComplete {
			j.report.State = recording.Complete
		}
	case err == nil:
		yield(recording.Record{}, j.broken("something follows the segment that says it is the last"))
	default:
		yield(recording.Record{}, err)
	}
}

// over is called where there is no next segment.
func (j *joined) over(err error, yield func(recording.Record, error) bool) {
	switch {
	case errors.Is(err, io.EOF):
		j.report.State = recording.Unfinished
	case errors.Is(err, io.ErrUnexpectedEOF):
		j.report.State, j.report.Torn = recording.Unfinished, 1
	default:
		yield(recording.Record{}, err)
	}
}

// segment goes through the events of one segment, and reports whether to go on.
func (j *joined) segment(s *recording.Segment, yield func(recording.Record, error) bool) bool {
	if what := j.misplaced(s); what != "" {
		yield(recording.Record{}, j.broken(what))
		return false
	}
	var id age.Identity
	if s.Kind == recording.BodyEncrypted {
		var err error
		if id, err = j.identity(&s.Head); err != nil {
			yield(recording.Record{}, err)
			return false
		}
	}
	records, err := s.Records(id)
	switch {
	case errors.Is(err, recording.ErrNoKey):
		yield(recording.Record{}, err)
		return false
	case err != nil:
		yield(recording.Record{}, j.broken(fmt.Sprintf("segment %d: %v", s.Head.Segment, err)))
		return false
	}
	for rec, err := range s.Head.Events(records) {
		if broken := (*recording.BrokenError)(nil); errors.As(err, &broken) {
			j.report.State, j.report.Broken = recording.Broken, broken
		}
		if err == nil {
			j.report.Events++
		}
		if !yield(rec, err) || err != nil {
			return false
		}
	}
	r := &j.report
	if r.First.IsZero() {
		r.First = s.Head.From
	}
	trust := recording.AttestedUnverified
	if s.Head.Attestation == nil {
		trust = recording.Unsigned // nothing here knows the key: recordings are verified by kubectl tidewaiter verify
	}
	if r.Segments == 0 || trust < r.Trust {
		r.Trust = trust
	}
	if r.Segments++; s.Head.Recovered {
		r.Recovered++
	}
	r.Session, r.DataSource, r.End = s.Head.Session, s.Head.DataSource, s.Head.End
	r.Last, r.Head, r.Records, r.Bytes = s.Head.To, s.Head.Chain, int64(s.Head.Last), r.Bytes+int64(len(s.Body))
	return true
}

// misplaced says why a segment cannot stand where it does.
func (j *joined) misplaced(s *recording.Segment) string {
	h, last := &s.Head, j.last
	if last == nil {
		last = &recording.Head{Session: h.Session, DataSource: h.DataSource, Chain: h.Previous}
	}
	switch {
	case h.Session != last.Session || h.DataSource != last.DataSource:
		return "a segment of another session stands here"
	case h.Segment != last.Segment+1:
		return fmt.Sprintf("segment %d stands where %d should: segments were removed, added or moved", h.Segment, last.Segment+1)
	case h.First != last.Last+1 || h.Last < h.First:
		return fmt.Sprintf("segment %d begins with record %d, not %d", h.Segment, h.First, last.Last+1)
	case h.Previous != last.Chain:
		return fmt.Sprintf("segment %d does not follow from the one before it", h.Segment)
	case h.Attestation == nil:
		return ""
	}
	a, err := recording.OpenAttestation(nil, h.Attestation)
	if err == nil {
		err = s.VerifyHead(a.Key)
	}
	if err != nil {
		return fmt.Sprintf("the head of segment %d is not signed by the key that is attested in it", h.Segment)
	}
	return ""
}

func (j *joined) broken(what string) error {
	seq := uint64(1)
	if j.last != nil {
		seq = j.last.Last + 1
	}
	j.report.State = recording.Broken
	j.report.Broken = &recording.BrokenError{Seq: seq, Offset: j.report.Bytes, What: what}
	return j.report.Broken
}
