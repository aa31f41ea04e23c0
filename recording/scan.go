package recording

import (
	"crypto/sha256"
	"fmt"
)

// Place is a place between the records of a recording, with what must follow there.
type Place struct {
	Seq   uint64 `json:"seq"`   // of the record before it; 0 at the beginning
	Chain Hash   `json:"chain"` // its hash; at the beginning that of the recording's header
}

// HeaderSize is the size of the header of a recording of version 1, in bytes: its first record begins there.
const HeaderSize = headerSize

// MaxRecord is the largest size of a record, in bytes.
const MaxRecord = recordHeader + MaxPayload + len(Hash{})

// Start is the place before a recording's first record.
func Start() Place {
	h := header()
	return Place{Chain: sha256.Sum256(h[:])}
}

// StartsWith says what is wrong with the header that b begins with, or nothing.
func StartsWith(b []byte) error {
	what := "it is cut off in its header"
	if len(b) >= headerSize {
		what = checkHeader(b[:headerSize])
	}
	if what != "" {
		return &BrokenError{What: what}
	}
	return nil
}

// Whole goes over the whole records that b begins with: no more than fit into most bytes, but always the first. It verifies
// the place and the hash of each, and does not look into their events. It returns their size, the place behind them, and
// whether the last is the end mark. A record of which b has only a part is not counted. The error is a *BrokenError where
// what follows is not what was written; what was counted before is good.
func (p Place) Whole(b []byte, most int) (n int, next Place, ended bool, err error) {
	next = p
	for !ended && len(b)-n >= recordHeader {
		var f frame
		size, what := 0, "its header was changed"
		if rest := b[n:]; f.get(rest) && f.length <= MaxPayload {
			size = recordHeader + int(f.length) + len(Hash{})
			if len(rest) < size || n > 0 && n+size > most {
				break
			}
			what = next.misplaced(&f, rest[:size])
		}
		if what != "" {
			return n, next, false, &BrokenError{Seq: next.Seq + 1, Offset: int64(n), What: what}
		}
		n += size
		next.Seq, ended = f.seq, f.kind == typeEnd
		copy(next.Chain[:], b[n-len(Hash{}):n])
	}
	return n, next, ended, nil
}

// misplaced says why a record with header f cannot stand at a place.
func (p Place) misplaced(f *frame, record []byte) string {
	body := record[:len(record)-len(Hash{})]
	switch sum := sha256.Sum256(body); {
	case f.seq != p.Seq+1:
		return fmt.Sprintf("number %d stands here: records were removed, added or moved", f.seq)
	case f.previous != p.Chain:
		return "it does not follow from the record before it: one of the two was replaced"
	case f.kind != typeEvent && f.kind != typeSignature && f.kind != typeEnd:
		return fmt.Sprintf("its type %q is unknown", f.kind)
	case string(sum[:]) != string(record[len(body):]):
		return "it was changed: its hash is not the one written"
	default:
		return ""
	}
}

// Continue returns an Encoder that goes on behind a place. It cannot write an end mark that counts what was before.
func Continue(p Place) Encoder { return Encoder{seq: p.Seq, head: p.Chain} }

// Torn reports whether b, which goes to the end of a file, can be what a crash has left of a record: its beginning, and where
// the rest should be nothing or zeros. To dress a change up as that gains nobody more than to cut the record off.
func Torn(b []byte) bool {
	var f frame
	end := recordHeader
	if len(b) >= end && f.get(b) && f.length <= MaxPayload {
		end += int(f.length) + len(Hash{})
	}
	for _, c := range b[min(len(b), end-1):] {
		if c != 0 {
			return false
		}
	}
	return true
}
