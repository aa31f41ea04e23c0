package recording

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"iter"
)

// Events goes through the events in a segment's records and verifies each record before: its place, its time, its hash, and in
// the end that the records are all that the head says. The error is a *BrokenError, and the last of the sequence; offsets
// count from the segment's first record. What came before an error is as it was signed.
func (h *Head) Events(records []byte) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		broken := func(c *cursor, what string) {
			yield(Record{}, &BrokenError{Segment: h.Segment, Seq: c.seq, Offset: int64(c.at), What: what})
		}
		c := h.cursor(records)
		for !c.done() {
			rec := Record{Seq: c.seq, Offset: int64(c.at)}
			var f frame
			payload, what := c.next(&f)
			if what != "" {
				broken(&c, what)
				return
			}
			if f.kind != typeEvent {
				continue
			}
			if err := json.Unmarshal(payload, &rec.Event); err != nil {
				yield(Record{}, &BrokenError{Segment: h.Segment, Seq: rec.Seq, Offset: rec.Offset, What: notAnEvent(err)})
				return
			}
			rec.Event.Time = f.time()
			if !yield(rec, nil) {
				return
			}
		}
		if what := c.finish(); what != "" {
			broken(&c, what)
		}
	}
}

func notAnEvent(err error) string { return fmt.Sprintf("it is no event: %v", err) }

// cursor goes through the records of one segment and verifies each.
type cursor struct {
	head    *Head
	b       []byte // the records
	at      int    // where in b the next one begins
	seq     uint64 // of the next one
	chain   Hash   // of the last one
	nanos   int64  // the time of the last one
	ended   bool   // the end mark was there
	hashed  bool   // whether hashes are computed, or believed
	anyTime bool   // whether the first record may be of any time: no head says it
}

func (h *Head) cursor(records []byte) cursor {
	return cursor{head: h, b: records, seq: h.First, chain: h.Previous, nanos: h.From.UnixNano(), hashed: true}
}

func (c *cursor) done() bool { return c.at == len(c.b) }

// next verifies the next record, or says what is wrong with it and stays before it.
func (c *cursor) next(f *frame) (payload []byte, what string) {
	b := c.b[c.at:]
	if what := c.place(f, b); what != "" {
		return nil, what
	}
	end := recordHeader + int(f.length)
	hash := Hash(b[end : end+len(Hash{})])
	if c.hashed && sha256.Sum256(b[:end]) != hash {
		return nil, "it was changed: its hash is not the one written"
	}
	c.at += f.size()
	c.seq, c.chain, c.nanos, c.ended = c.seq+1, hash, f.nanos, f.kind == typeEnd
	return b[recordHeader:end], ""
}

// place reads the header of the record that b begins with, and says why it cannot stand there.
func (c *cursor) place(f *frame, b []byte) string {
	switch {
	case len(b) < recordHeader:
		return "it is cut off"
	case !f.get(b):
		return "its header was changed"
	case f.length > MaxPayload || len(b) < f.size():
		return "it is cut off, or claims more than is allowed"
	case c.ended:
		return "it follows the end mark"
	case f.seq != c.seq:
		return fmt.Sprintf("number %d stands here: records were removed, added or moved", f.seq)
	case f.previous != c.chain:
		return "it does not follow from the record before it: one of the two was replaced"
	case !f.known():
		return fmt.Sprintf("its type %q is unknown", f.kind)
	case c.at == 0 && f.nanos != c.nanos && !c.anyTime:
		return "its time is not when the segment begins, as its head says"
	case f.nanos < c.nanos:
		return "its time is before that of the record before it"
	default:
		return ""
	}
}

// finish says what the records lack of what their head says, once all were read.
func (c *cursor) finish() string {
	h := c.head
	switch {
	case c.seq != h.Last+1 || c.chain != h.Chain:
		return "the records of the segment do not end as its head says"
	case c.nanos != h.To.UnixNano():
		return "the last record's time is not when the segment ends, as its head says"
	case c.ended != (h.End == EndComplete):
		return "the end mark is there and the segment's head does not say so, or the other way round"
	default:
		return ""
	}
}
