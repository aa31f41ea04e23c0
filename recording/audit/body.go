package audit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"filippo.io/age"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/index"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// counts is what was in the records of a session.
type counts struct {
	events, signatures                                   int64
	statements, denied, held, masked, rows, size, alarms int64
	// claimed is what the end mark says, -1 while there is none.
	claimedEvents, claimedSignatures int64
}

func (c *counts) add(d counts) {
	c.events, c.signatures = c.events+d.events, c.signatures+d.signatures
	c.statements, c.denied, c.held, c.masked = c.statements+d.statements, c.denied+d.denied, c.held+d.held, c.masked+d.masked
	c.rows, c.size, c.alarms = c.rows+d.rows, c.size+d.size, c.alarms+d.alarms
	if d.claimedEvents >= 0 {
		c.claimedEvents, c.claimedSignatures = d.claimedEvents, d.claimedSignatures
	}
}

// opened is what became of the content of a segment.
type opened struct {
	counts
	read    bool // the records were read to their end
	missing Code // ObjectMissing or KeyMissing: for whoever knows whether that is in order
}

// maxObject is the largest segment as it is stored.
const maxObject = recording.SegmentHeader + recording.MaxHead + 64 + 2*recording.MaxSegment

// stored reads an object of a segment and compares it with its leaf. It is nil where that was not possible.
func (v *verifier) stored(ctx context.Context, w where, head *recording.Signed, want recording.Hash, size int64) (*recording.Segment, Code, error) {
	open := v.Source.Open
	if o, ok := v.Source.(store.Stored); ok {
		open = o.OpenStored
	}
	r, err := open(ctx, w.object)
	if errors.Is(err, store.ErrNotFound) {
		return nil, ObjectMissing, nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", w.object, err)
	}
	defer r.Close()
	sum := sha256.New()
	n := new(counter)
	in := io.TeeReader(io.LimitReader(r, maxObject+1), io.MultiWriter(sum, n))
	s, err := recording.ReadSegment(in)
	if _, rest := io.Copy(io.Discard, in); rest != nil {
		return nil, "", fmt.Errorf("%s: %w", w.object, rest)
	}
	v.count(func(s *Summary) { s.Bytes += int64(*n) })
	same := recording.Hash(sum.Sum(nil)) == want && int64(*n) == size
	switch {
	case err != nil:
		v.add(w.finding(SegmentBroken, "the object is no whole segment: %v", err))
		return nil, "", nil
	case string(s.Signed.Statement) != string(head.Statement) || string(s.Signed.Signature) != string(head.Signature):
		v.add(w.finding(ObjectChanged, "the object has another head than the one that was logged"))
		return nil, "", nil
	case !same:
		v.add(w.finding(ObjectChanged, "the object's %d bytes are not the %d that were logged", int64(*n), size))
		return nil, "", nil
	}
	return s, "", nil
}

type counter int64

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }

// content checks what is in a segment.
func (v *verifier) content(w where, s *recording.Segment, id age.Identity) (out opened) {
	out.claimedEvents = -1
	records, err := s.Records(id)
	if errors.Is(err, recording.ErrNoKey) {
		return out
	}
	if err != nil {
		v.add(w.finding(BodyChanged, "%v", err))
		return out
	}
	entry := index.Entry{}
	for rec, err := range s.Head.Events(records) {
		if broken := (*recording.BrokenError)(nil); errors.As(err, &broken) {
			f := w.finding(RecordChanged, "%s (byte %d of the records)", broken.What, broken.Offset)
			f.Record = broken.Seq
			v.add(f)
			return out
		} else if err != nil {
			v.add(w.finding(RecordChanged, "%v", err))
			return out
		}
		entry.Add(&rec.Event)
	}
	out.counts = counts{
		statements: entry.Statements, denied: entry.Denied, held: entry.Held, masked: entry.Masked, rows: entry.Rows, size: entry.Bytes,
		alarms: entry.Alarms, claimedEvents: -1,
	}
	f, ok := frames(&s.Head, records, &out.counts)
	if !ok {
		f.Pod, f.Session, f.Segment, f.LogIndex, f.Object = w.pod, w.session, w.segment, w.index, w.object
		v.add(f)
		return out
	}
	v.count(func(sum *Summary) { sum.Records += int64(s.Head.Last - s.Head.First + 1) })
	out.read = true
	return out
}

// The frame of a record, see docs/recording-format.md.
const (
	frameHeader = 60
	frameHash   = 32
	frameType   = 4
	frameTime   = 16
)

// frames goes over records whose chain is known to be right: their types and times, and where the end mark stands.
func frames(h *recording.Head, records []byte, c *counts) (Finding, bool) {
	last, seq := h.From, h.First
	for at := 0; at < len(records); seq++ {
		b := records[at:]
		n := int(binary.BigEndian.Uint32(b))
		t := time.Unix(0, int64(binary.BigEndian.Uint64(b[frameTime:]))).UTC()
		at += frameHeader + n + frameHash
		bad := func(code Code, format string, args ...any) (Finding, bool) {
			return Finding{Code: code, Record: seq, What: fmt.Sprintf(format, args...)}, false
		}
		switch {
		case t.Before(last):
			return bad(TimeBack, "the record is of %s, which is before %s of the one before it", utc(t), utc(last))
		case seq == h.First && !t.Equal(h.From), seq == h.Last && !t.Equal(h.To):
			return bad(HeadWrong, "the record's time is not the one that the segment's head says")
		}
		last = t
		switch b[frameType] {
		case 'E':
			c.events++
		case 'S':
			c.signatures++
		case 'Z':
			if seq != h.Last || h.End != recording.EndComplete {
				return bad(EndMarkWrong, "an end mark stands where the session does not end by the segment's head")
			}
			var end struct {
				Events     int64 `json:"events"`
				Signatures int64 `json:"signatures"`
			}
			if err := json.Unmarshal(b[frameHeader:frameHeader+n], &end); err != nil {
				return bad(EndMarkWrong, "the end mark cannot be read")
			}
			c.claimedEvents, c.claimedSignatures = end.Events, end.Signatures
		default:
			return bad(RecordChanged, "the record's type %q is unknown", b[frameType])
		}
	}
	if h.End == recording.EndComplete && c.claimedEvents < 0 {
		return Finding{Code: EndMarkWrong, Record: h.Last, What: "the head says that the session's end is here, and there is no end mark"}, false
	}
	return Finding{}, true
}
