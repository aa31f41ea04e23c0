package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tidewaiter/tidewaiter/recording/ledger"
)

const (
	// idsKept is how many leaves back one that is written twice is known: some minutes at the fastest, and days in most
	// clusters. Readers of the log count the first of an ID only, so that a later one does no harm.
	idsKept = 1 << 17
	// idsRead is how many of them a new leader reads.
	idsRead = 1 << 14
)

// seen is what is known of the leaves in the log, up to a size.
type seen struct {
	size int64
	root tlog.Hash // at size, by which another log is told from this one
	last time.Time
	ids  map[[16]byte]int64
	ring [][16]byte // the IDs, the oldest of them at next once it is full
	next int
	pods map[string]*openPod // by UID: attested, and not gone
}

// openPod is one of which more is expected.
type openPod struct {
	ledger.Pod
	missing time.Time // since when it is known to have ended
}

func newSeen() *seen {
	return &seen{ids: make(map[[16]byte]int64), pods: make(map[string]*openPod)}
}

// add takes the leaf at index size into account. Leaves that were left out before are jumped over.
func (s *seen) add(index int64, l *ledger.Leaf) {
	s.size = index + 1
	if l.Time.After(s.last) {
		s.last = l.Time
	}
	if id, ok := parseID(l.ID); ok {
		if _, twice := s.ids[id]; !twice {
			if len(s.ring) < idsKept {
				s.ring = append(s.ring, id)
			} else {
				delete(s.ids, s.ring[s.next])
				s.ring[s.next] = id
				s.next = (s.next + 1) % idsKept
			}
			s.ids[id] = index
		}
	}
	s.addPod(l)
}

func (s *seen) addPod(l *ledger.Leaf) {
	switch l.Kind {
	case ledger.KindAttested:
		s.pods[l.Pod.UID] = &openPod{Pod: l.Pod}
	case ledger.KindGone:
		delete(s.pods, l.Pod.UID)
	}
}

// where is the index of a leaf.
func (s *seen) where(id string) (int64, bool) {
	key, ok := parseID(id)
	if !ok {
		return 0, false
	}
	index, ok := s.ids[key]
	return index, ok
}

func parseID(text string) (id [16]byte, ok bool) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(id) {
		return id, false
	}
	copy(id[:], b)
	return id, true
}

// goneID is the ID of the leaf that says that a pod is gone: whoever finds it out, however often, means the same leaf.
func goneID(uid string) string {
	sum := sha256.Sum256(bytes.Join([][]byte{[]byte("tidewaiter.dev/log/gone"), []byte(uid)}, []byte{0}))
	return hex.EncodeToString(sum[:16])
}
