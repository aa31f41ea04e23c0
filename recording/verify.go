package recording

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// State is the condition of a recording. The zero value is not a good one.
type State uint8

// The states of a recording.
const (
	Unread     State = iota // not read to its end, so nothing can be said
	Complete                // every record is as it was written, and the end mark is there
	Unfinished              // every record is as it was written, but there is no end mark
	Broken                  // it is not what was written
)

// BrokenError says where a recording is not what was written, and how that shows.
// Nothing at or after this place can be trusted.
type BrokenError struct {
	Segment uint64 // that is broken, from 1; 0 in a journal, and where the first has no header
	Seq     uint64 // of the record that should stand there; 0: the header
	Offset  int64  // in what was read: of the record's first byte, or of the segment's
	What    string
}

// Error names the place and what is wrong.
func (b *BrokenError) Error() string {
	switch {
	case b.Segment != 0:
		return fmt.Sprintf("recording: broken at record %d, in segment %d (byte %d): %s", b.Seq, b.Segment, b.Offset, b.What)
	case b.Seq == 0:
		return "recording: " + b.What
	}
	return fmt.Sprintf("recording: broken at record %d (byte %d): %s", b.Seq, b.Offset, b.What)
}

// Report says what was found in a recording.
type Report struct {
	// Version is that of a journal (Version) or of segments (SegmentVersion).
	Version int
	State   State
	// Broken is set where State is Broken.
	Broken *BrokenError
	// Torn is the number of bytes after the last whole record (after the last whole
	// segment) where State is Unfinished: of one that was being written, or whose
	// rest was cut off.
	Torn int64
	// Records, Events, Signatures and Bytes count what has been verified. Signatures
	// are records of that type, which is reserved: not those of segments. Events and
	// Signatures lack those of erased segments. Bytes are of what was read: of whole
	// records of a journal, or of whole segments.
	Records    int64
	Events     int64
	Signatures int64
	Bytes      int64
	// Head is the hash of the last record verified. Compare it with the one kept
	// elsewhere.
	Head Hash
	// First and Last are the times of the first and the last record.
	First, Last time.Time

	// What follows is of segments alone, as far as they have been verified.

	// Session and DataSource are those of the heads.
	Session, DataSource string
	// Segments counts them, Recovered those that were sealed by a process that came
	// after the one that recorded: whoever could kill that one could have written them.
	Segments, Recovered int64
	// Erased counts segments that are encrypted and for which there was no key. Their heads
	// are verified and carry the chain on, but nobody has seen what was in them.
	Erased int64
	// Trust says what the signatures are worth, of the least of all segments, and
	// Signers whose they are, at most MaxSigners.
	Trust   Trust
	Signers []Signer
	// End is how the last segment ends.
	End End
}

// Verified reports whether there is nothing left to be wished for: all of a recording is there and was read, its
// end too, signed by keys that the operator has attested with a key that was given. That no other recording was kept back, only the
// log can say.
func (r *Report) Verified() bool {
	return r.State == Complete && r.Version == SegmentVersion && r.Trust == Attested && r.Erased == 0
}

// Verify reads a whole recording and reports its condition. The error is the
// *BrokenError of the report where the recording is not what was written, or that of
// the underlying reader, or of WithIdentity. A recording without an end mark is no error:
// its session may still be running.
func Verify(r io.Reader, options ...ReaderOption) (Report, error) {
	reader := NewReader(r, options...)
	var e access.Event // one for all
	for {
		if _, err := reader.next(&e); errors.Is(err, io.EOF) {
			return reader.Report(), nil
		} else if err != nil {
			return reader.Report(), err
		}
	}
}

// String says in a line how the chain is, and what the signatures are worth. What it quotes has no control characters.
func (r Report) String() string {
	switch r.State {
	case Complete:
		return "chain ok" + r.signed()
	case Unfinished:
		return r.unfinished() + r.signed()
	case Broken:
		switch {
		case r.Broken.Seq == 0:
			return "chain BROKEN: " + r.Broken.What
		case r.Broken.Segment > 0:
			return fmt.Sprintf("chain BROKEN at record %d, in segment %d: %s (byte %d; nothing from there on can be trusted)",
				r.Broken.Seq, r.Broken.Segment, r.Broken.What, r.Broken.Offset)
		}
		return fmt.Sprintf("chain BROKEN at record %d: %s (byte %d; nothing from there on can be trusted)", r.Broken.Seq, r.Broken.What, r.Broken.Offset)
	default:
		return "chain not read to its end"
	}
}

func (r *Report) unfinished() string {
	line := fmt.Sprintf("no end mark: the recording was cut off or is still being written; the chain of its %d records is ok", r.Records)
	of := "one"
	if r.Version == SegmentVersion {
		of = "segment"
	}
	if r.End == EndCutOff {
		line = fmt.Sprintf("cut off: what recorded it died, and nothing follows; the chain of its %d records is ok", r.Records)
	}
	if r.Torn > 0 {
		line += fmt.Sprintf(" (then %d bytes of an unfinished %s, at byte %d)", r.Torn, of, r.Bytes)
	}
	return line
}

// signed says what the signatures are worth.
func (r *Report) signed() string {
	if r.Version != SegmentVersion {
		return ""
	}
	line := fmt.Sprintf(", %d segments %s", r.Segments, r.Trust)
	if r.Segments == 1 {
		line = fmt.Sprintf(", 1 segment %s", r.Trust)
	}
	if len(r.Signers) > 0 && r.Signers[0].Attestation != nil && r.Trust >= AttestedUnverified {
		a := r.Signers[0].Attestation
		line += fmt.Sprintf(" (%q)", a.Namespace+"/"+a.Pod)
	}
	if r.Erased > 0 {
		line += fmt.Sprintf("; the content of %d is ERASED, or its key was not given", r.Erased)
	}
	if r.Recovered > 0 {
		line += fmt.Sprintf("; %d were sealed by a later process, which could have changed them", r.Recovered)
	}
	return line
}
