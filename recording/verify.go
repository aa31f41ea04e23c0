package recording

import (
	"errors"
	"fmt"
	"io"
	"time"
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
	Seq    uint64 // of the record that should stand there; 0: the header
	Offset int64  // of its first byte
	What   string
}

// Error names the place and what is wrong.
func (b *BrokenError) Error() string {
	if b.Seq == 0 {
		return "recording: " + b.What
	}
	return fmt.Sprintf("recording: broken at record %d (byte %d): %s", b.Seq, b.Offset, b.What)
}

// Report says what was found in a recording.
type Report struct {
	Version int
	State   State
	// Broken is set where State is Broken.
	Broken *BrokenError
	// Torn is the number of bytes after the last whole record, where State is
	// Unfinished: of a record that was being written.
	Torn int64
	// Records, Events, Signatures and Bytes count what has been verified. The
	// signatures themselves have not: this version does not know them.
	Records    int64
	Events     int64
	Signatures int64
	Bytes      int64
	// Head is the hash of the last record verified. Compare it with the one kept
	// elsewhere.
	Head Hash
	// First and Last are the times of the first and the last record.
	First, Last time.Time
}

// Verify reads a whole recording and reports its condition. The error is the
// *BrokenError of the report where the recording is not what was written, or that of
// the underlying reader. A recording without an end mark is no error: its session
// may still be running.
func Verify(r io.Reader) (Report, error) {
	reader := NewReader(r)
	for {
		if _, err := reader.Next(); errors.Is(err, io.EOF) {
			return reader.Report(), nil
		} else if err != nil {
			return reader.Report(), err
		}
	}
}

// String says in a line how the chain is.
func (r Report) String() string {
	switch r.State {
	case Complete:
		return "chain ok"
	case Unfinished:
		line := fmt.Sprintf("no end mark: the recording was cut off or is still being written; the chain of its %d records is ok", r.Records)
		if r.Torn > 0 {
			line += fmt.Sprintf(" (then %d bytes of an unfinished one, at byte %d)", r.Torn, r.Bytes)
		}
		return line
	case Broken:
		if r.Broken.Seq == 0 {
			return "chain BROKEN: " + r.Broken.What
		}
		return fmt.Sprintf("chain BROKEN at record %d: %s (byte %d; nothing from there on can be trusted)", r.Broken.Seq, r.Broken.What, r.Broken.Offset)
	default:
		return "chain not read to its end"
	}
}
