package ledger

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// roomForTime is what an entry may grow by when the log sets its time.
const roomForTime = 64

// Check says what is wrong with a leaf: exactly the member that belongs to its kind must be set. Time and ID may be left out,
// for whoever appends it to set.
func (l *Leaf) Check() error {
	set := map[Kind]bool{
		KindAttested: l.Attestation != nil, KindSealed: l.Sealed != nil, KindAlive: l.Alive != nil, KindGone: l.Gone != "", KindErased: l.Ended != nil,
	}
	kind := l.Kind
	if kind == KindRemoved {
		kind = KindErased // they have the same member
	}
	if !set[kind] {
		return fmt.Errorf("ledger: a leaf of kind %q without what belongs to it", l.Kind)
	}
	for other, there := range set {
		if there && other != kind {
			return fmt.Errorf("ledger: a leaf of kind %q with what belongs to one of kind %s", l.Kind, other)
		}
	}
	if l.Pod.UID == "" || l.Pod.Namespace == "" {
		return errors.New("ledger: a leaf without pod.namespace and pod.uid")
	}
	if id, err := hex.DecodeString(l.ID); l.ID != "" && (err != nil || len(id) != 16 || hex.EncodeToString(id) != l.ID) {
		return errors.New("ledger: a leaf whose id is not 16 bytes in lower-case hexadecimal digits")
	}
	return nil
}

// Encode returns a leaf as an entry of the log.
func (l *Leaf) Encode() ([]byte, error) {
	if err := l.Check(); err != nil {
		return nil, err
	}
	if l.ID == "" || l.Time.IsZero() {
		return nil, errors.New("ledger: a leaf without id or time")
	}
	b, err := json.Marshal(l)
	if err == nil && len(b) > MaxLeaf-roomForTime {
		err = fmt.Errorf("ledger: a leaf of %d bytes: the log takes %d", len(b), MaxLeaf-roomForTime)
	}
	return b, err
}
