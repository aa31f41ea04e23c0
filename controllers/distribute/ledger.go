package distribute

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// ledger is what was sent to one sidecar, and what of it is in force. It is pure:
// the clock is passed in.
type ledger struct {
	revision uint64 // of the latest snapshot that was sent
	parts    map[types.NamespacedName]*part
	sent     []*sentSnapshot // not settled yet, the oldest first
	force    map[types.NamespacedName]*part
	rejected map[types.NamespacedName]*v1alpha1.SessionRejection
}

// sentSnapshot waits for its answer: an Ack, or a Nack for each part that was
// refused, one after the other.
type sentSnapshot struct {
	revision uint64
	at       time.Time
	parts    map[types.NamespacedName]*part
	nacked   map[types.NamespacedName]*v1alpha1.SessionRejection
	quietAt  time.Time // when no more Nacks are expected
}

const (
	maxUnsettled = 16
	// nackQuiet is how long after a Nack another one for the same snapshot may come.
	nackQuiet = 300 * time.Millisecond
)

func newLedger(held uint64) *ledger {
	return &ledger{
		revision: held, parts: map[types.NamespacedName]*part{},
		force: map[types.NamespacedName]*part{}, rejected: map[types.NamespacedName]*v1alpha1.SessionRejection{},
	}
}

// next is the revision of the next snapshot: above every one that this sidecar was
// sent by any replica, whose clocks may differ.
func (l *ledger) next(now time.Time) uint64 {
	return max(uint64(max(now.UnixMilli(), 0)), l.revision+1)
}

// send notes a snapshot.
func (l *ledger) send(revision uint64, parts map[types.NamespacedName]*part, now time.Time) {
	l.revision, l.parts = revision, parts
	if len(l.sent) == maxUnsettled {
		l.sent = slices.Delete(l.sent, 0, 1)
	}
	l.sent = append(l.sent, &sentSnapshot{
		revision: revision, at: now, parts: parts, nacked: map[types.NamespacedName]*v1alpha1.SessionRejection{},
	})
}

// revoke notes that a data source was taken away.
func (l *ledger) revoke(name types.NamespacedName) {
	delete(l.parts, name)
	delete(l.force, name)
	delete(l.rejected, name)
	for _, s := range l.sent {
		delete(s.parts, name)
	}
}

// find returns an unsettled snapshot.
func (l *ledger) find(revision uint64) *sentSnapshot {
	for _, s := range l.sent {
		if s.revision == revision {
			return s
		}
	}
	return nil
}

// ack puts a snapshot in force and returns how long its answer took. An answer to a
// snapshot that was not sent, or is settled, is none.
func (l *ledger) ack(revision uint64, now time.Time) (took time.Duration, ok bool) {
	s := l.find(revision)
	if s == nil {
		return 0, false
	}
	l.settle(s)
	return now.Sub(s.at), true
}

// nack notes a refusal of a part or, without a name, of the whole snapshot.
func (l *ledger) nack(n *sidecarv1alpha1.Nack, now time.Time) bool {
	s := l.find(n.GetRevision())
	if s == nil {
		return false
	}
	rejection := &v1alpha1.SessionRejection{
		Revision: int64(n.GetRevision()), Reason: word(n.GetReason()), Message: clip(n.GetMessage(), 512),
	}
	for name := range s.parts {
		if n.GetDataSource() == "" || n.GetDataSource() == name.String() {
			s.nacked[name] = rejection
			l.rejected[name] = rejection
		}
	}
	s.quietAt = now.Add(nackQuiet)
	return true
}

// quiet settles the snapshots whose Nacks are all there, and reports whether there
// were any.
func (l *ledger) quiet(now time.Time) bool {
	settled := false
	for _, s := range slices.Clone(l.sent) {
		if !s.quietAt.IsZero() && !now.Before(s.quietAt) {
			l.settle(s)
			settled = true
		}
	}
	return settled
}

// settle puts what was not refused in force. Snapshots before it are settled with
// it: a sidecar answers in order.
func (l *ledger) settle(s *sentSnapshot) {
	for name, p := range s.parts {
		if s.nacked[name] == nil {
			l.force[name] = p
			delete(l.rejected, name)
		}
	}
	if len(s.nacked) == 0 {
		for name := range l.force {
			if s.parts[name] == nil {
				delete(l.force, name)
			}
		}
	}
	l.sent = slices.DeleteFunc(l.sent, func(o *sentSnapshot) bool { return o.revision <= s.revision })
}

// word is a reason as the API has it, whatever a sidecar says.
func word(reason string) string {
	clean := make([]byte, 0, 64)
	for i := 0; i < len(reason) && len(clean) < 64; i++ {
		if c := reason[i]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			clean = append(clean, c)
		}
	}
	if len(clean) == 0 {
		return "Unknown"
	}
	return string(clean)
}
