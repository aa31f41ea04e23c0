package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/recording"
)

// pod is one whose sidecars have keys.
type pod struct {
	namespace, name, uid string
	keys                 int // how many it has had
	current              *key
	gone                 time.Time
}

func (p *pod) String() string {
	if p.name == "" {
		return p.namespace + "/" + p.uid
	}
	return p.namespace + "/" + p.name
}

// key is one sidecar process.
type key struct {
	id     recording.KeyID
	pub    ed25519.PublicKey
	pod    *pod
	logged bool      // its attestation is in the log
	early  bool      // it was said that it sealed before it was attested
	since  time.Time // it was attested first
	at     int64     // the leaf that it came with

	// ended is when nothing more should come of it; how says why. final is the last serial, where the sidecar said that it stops.
	ended time.Time
	how   string
	final bool

	done   uint64 // the serials to here are all there
	sum    recording.Hash
	known  bool // whether sum is
	ahead  map[uint64]aheadSerial
	recent []serialSum // since the last heartbeat
	sealed time.Time   // when the last of done was sealed

	beats beats
}

type aheadSerial struct {
	digest    [sha256.Size]byte
	statement []byte
	w         where
	sealed    time.Time
}

type serialSum struct {
	serial uint64
	sum    recording.Hash
	digest [8]byte
}

// Bounds of what is kept for a key.
const (
	maxAheadSerials = 512
	maxRecent       = 4096
	maxWaiting      = 64
)

// serial takes the serial of a segment, in the order of the log.
func (v *verifier) serial(k *key, h *recording.Head, s *recording.Signed, w where) {
	digest := sha256.Sum256(s.Statement)
	switch {
	case h.Serial <= k.done:
		i, ok := slices.BinarySearchFunc(k.recent, h.Serial, func(r serialSum, n uint64) int { return int(min(max(int64(r.serial-n), -1), 1)) })
		if ok && k.recent[i].digest != [8]byte(digest[:8]) {
			v.add(w.finding(SerialReused, "serial %d of key %s is on two different segments", h.Serial, short(k.id)))
		}
		return
	case h.Serial == k.done+1:
		v.next(k, h.Serial, s.Statement, h.Sealed, w)
	default:
		if was, ok := k.ahead[h.Serial]; ok {
			if was.digest != digest {
				v.add(w.finding(SerialReused, "serial %d of key %s is on two different segments", h.Serial, short(k.id)))
			}
			return
		}
		if len(k.ahead) >= maxAheadSerials {
			v.skipSerials(k)
		}
		if k.ahead == nil {
			k.ahead = map[uint64]aheadSerial{}
		}
		k.ahead[h.Serial] = aheadSerial{digest, s.Statement, w, h.Sealed}
	}
	v.drain(k)
}

// drain takes what had waited for serials that are there now.
func (v *verifier) drain(k *key) {
	for {
		a, ok := k.ahead[k.done+1]
		if !ok {
			return
		}
		delete(k.ahead, k.done+1)
		v.next(k, k.done+1, a.statement, a.sealed, a.w)
	}
}

// next takes the serial that comes next.
func (v *verifier) next(k *key, serial uint64, statement []byte, sealed time.Time, w where) {
	if sealed.Add(Skew).Before(k.sealed) {
		f := w.finding(Clock, "it was sealed at %s, and serial %d before it at %s: the clock was turned back", utc(sealed), k.done, utc(k.sealed))
		v.add(f)
	}
	k.done, k.sealed = serial, sealed
	k.sum = recording.NextSum(k.sum, &recording.Signed{Statement: statement})
	digest := sha256.Sum256(statement)
	if len(k.recent) >= maxRecent {
		k.recent = slices.Delete(k.recent, 0, maxRecent/2)
	}
	k.recent = append(k.recent, serialSum{serial, k.sum, [8]byte(digest[:8])})
	v.settleBeats(k)
}

// skipSerials says which serials are missing before those that wait, and goes on with these.
func (v *verifier) skipSerials(k *key) {
	next := slices.Min(slices.Collect(maps.Keys(k.ahead)))
	a := k.ahead[next]
	f := a.w.finding(SerialGap, "%s of key %s of pod %s: this one, the %s of the key, is there", missing("segment", k.done+1, next-1), short(k.id), k.pod, ordinal(next))
	f.Session, f.Segment, f.Object = "", 0, ""
	if code := v.late(k, a.w.at); code != "" {
		f.Code = code
	}
	v.add(f)
	k.done, k.known = next-1, false
	v.settleBeats(k)
	v.drain(k)
}

// late says what else than tampering explains that segments have not arrived, which others of their key show that were logged
// at a time. A sidecar ships the segments of different sessions side by side, and what the process before it had left; its last
// heartbeat says that all of its pod has arrived.
func (v *verifier) late(k *key, shown time.Time) Code {
	if k.final || k.pod.current != nil && k.pod.current.final {
		return ""
	}
	if k.ended.After(shown) {
		shown = k.ended // from then on the next process has the time
	}
	switch {
	case !k.pod.gone.IsZero():
		return Lost
	case v.last.Sub(shown) < Grace:
		return Unshipped
	}
	return ""
}

// missing says which numbers are not there.
func missing(noun string, from, to uint64) string {
	if from == to {
		return fmt.Sprintf("%s %d is missing", noun, from)
	}
	return fmt.Sprintf("%ss %d to %d are missing", noun, from, to)
}

func ordinal(n uint64) string { return fmt.Sprintf("%d.", n) }

// How keys end.
const (
	endGone     = "the pod was gone"
	endLast     = "the sidecar had stopped"
	endReplaced = "the sidecar had restarted with another key"
)

// end ends a key, if it has not.
func (k *key) end(how string, at time.Time) {
	if k.ended.IsZero() {
		k.ended, k.how = at, how
	}
}

// believed checks a segment that was logged after its key's end. Whoever has an old key can sign whatever time they like, so a
// time alone is not believed: after the pod's end only what a heartbeat had counted, or what was on its way.
func (v *verifier) believed(k *key, h *recording.Head, w where) {
	if k.ended.IsZero() && k.pod.gone.IsZero() {
		return
	}
	counted := h.Serial <= k.beats.claimed
	switch {
	case h.Sealed.After(k.ended.Add(Skew)):
		v.add(w.finding(AfterEnd, "it was sealed at %s by key %s, and %s at %s", utc(h.Sealed), short(k.id), k.how, utc(k.ended)))
	case k.final && !counted:
		v.add(w.finding(AfterEnd, "serial %d of key %s is more than the %d that the sidecar had sealed when it stopped", h.Serial, short(k.id), k.beats.claimed))
	case counted:
	case !k.pod.gone.IsZero() && w.at.Sub(k.pod.gone) > Skew:
		v.add(w.finding(AfterEnd, "it was logged at %s, the pod was gone at %s, and no heartbeat had counted it", utc(w.at), utc(k.pod.gone)))
	case k.how == endReplaced:
		v.add(w.finding(LateSealed, "key %s was replaced at %s, no heartbeat had counted this segment, and it was logged at %s", short(k.id), utc(k.ended), utc(w.at)))
	}
}
