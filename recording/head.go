package recording

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"
)

// End says whether more of a session follows after a segment.
type End string

// How a segment ends.
const (
	EndNone     End = ""         // more follows
	EndComplete End = "Complete" // the session's end mark is in it
	EndCutOff   End = "CutOff"   // its recorder has died, and the segment was sealed from what it left: nothing follows
)

// Head says what is in a segment. The sidecar signs it.
type Head struct {
	Session    string `json:"session"`
	DataSource string `json:"dataSource"` // namespace/name
	// Segment numbers those of the session, from 1. Serial numbers those of the key, over all sessions, from 1.
	Segment uint64 `json:"segment"`
	Serial  uint64 `json:"serial"`
	Key     KeyID  `json:"key"`
	// First and Last are the sequence numbers of the records; Previous is the chain's hash before the first, and Chain that
	// of the last. A segment without records, which only one that ends as CutOff may be, has Last = First-1.
	First    uint64 `json:"first"`
	Last     uint64 `json:"last"`
	Previous Hash   `json:"previous"`
	Chain    Hash   `json:"chain"`
	// From and To are the times of the first and the last record; Sealed is when the segment was made, and not before To.
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Sealed time.Time `json:"sealed"`
	// Body is the SHA-256 of the body as it was sealed: compressed, before any encryption; Size its bytes; Plain those of
	// the records.
	Body  Hash  `json:"body"`
	Size  int64 `json:"size"`
	Plain int64 `json:"plain"`
	End   End   `json:"end,omitempty"`
	// Recovered says that the key is not of the process that recorded, but of one that came after it.
	Recovered bool `json:"recovered,omitempty"`
	// Attestation is the operator's word for Key; nil where there is no operator. PublicKey is then the key itself, so that
	// the signature can be verified, for what it is worth: it is anybody's.
	Attestation *Signed           `json:"attestation,omitempty"`
	PublicKey   ed25519.PublicKey `json:"publicKey,omitempty"`
}

// Check says what a head contradicts itself in. No signature is looked at. The Sealer signs none that does not pass it.
func (h *Head) Check() error {
	records := h.Last - h.First + 1
	switch {
	case h.Session == "" || h.DataSource == "":
		return errors.New("recording: the head names no session, or no data source")
	case h.Segment == 0 || h.Serial == 0 || h.First == 0:
		return errors.New("recording: segments, serials and records are numbered from 1, and the head has a 0")
	case (h.Segment == 1) != (h.First == 1):
		return fmt.Errorf("recording: the head is of segment %d, and its records begin with number %d: the first has the first", h.Segment, h.First)
	case h.Segment == 1 && h.Previous != genesis:
		return errors.New("recording: the first segment does not follow from the beginning of a recording")
	case h.End != EndNone && h.End != EndComplete && h.End != EndCutOff:
		return fmt.Errorf("recording: the head says that the segment ends as %q, which is unknown", h.End)
	case h.Last < h.First-1 || records == 0 && h.End != EndCutOff:
		return fmt.Errorf("recording: the head's records are %d to %d, which is none", h.First, h.Last)
	case h.Plain < 0 || h.Plain > MaxSegment || h.Size < 0 || h.Size > maxBody || (records == 0) != (h.Plain == 0) ||
		records > MaxSegment/emptyRecord || int64(records)*emptyRecord > h.Plain:
		return fmt.Errorf("recording: the head's sizes are not possible: %d records in %d bytes, %d compressed", records, h.Plain, h.Size)
	case h.To.Before(h.From) || h.Sealed.Before(h.To):
		return errors.New("recording: the head's times go back")
	case records == 0 && (h.Chain != h.Previous || !h.From.Equal(h.To)):
		return errors.New("recording: the segment has no records, and yet its head says that something changes")
	default:
		return nil
	}
}

// Follows says why a segment cannot be the one after another, both heads having passed Check; nil as the other stands for the
// beginning. Keys and signatures are not looked at.
func (h *Head) Follows(prev *Head) error {
	switch {
	case prev == nil && h.Segment != 1:
		return fmt.Errorf("recording: segment %d stands where the first should be: what came before was removed", h.Segment)
	case prev == nil:
		return nil
	case prev.End != EndNone:
		return fmt.Errorf("recording: something follows the segment that ends the recording as %s", prev.End)
	case h.Session != prev.Session || h.DataSource != prev.DataSource:
		return errors.New("recording: the segment is of another session or data source than the one before it")
	case h.Segment != prev.Segment+1:
		return fmt.Errorf("recording: segment %d stands where %d should be: segments were removed, added or moved", h.Segment, prev.Segment+1)
	case h.First != prev.Last+1 || h.Previous != prev.Chain:
		return errors.New("recording: the segment does not follow from the one before it: one of the two was replaced")
	case h.From.Before(prev.To):
		return errors.New("recording: the segment begins before the one before it ends")
	default:
		return nil
	}
}
