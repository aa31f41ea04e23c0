package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/ledger"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// leaf takes one entry of the log.
func (v *verifier) leaf(ctx context.Context, index int64, entry []byte) {
	var l ledger.Leaf
	w := where{index: &index}
	if err := json.Unmarshal(entry, &l); err != nil {
		v.add(w.finding(LogEntry, "the entry is no leaf: %v", err))
		return
	}
	if what := leafShape(&l); what != "" {
		v.add(w.finding(LogEntry, "%s", what))
		return
	}
	w.at = l.Time
	v.leafTime(w)
	if again, same := v.ids.seen(l.ID, entry); again {
		if !same {
			v.add(where{index: &index}.finding(LogDuplicate, "the leaf's ID %s was that of another leaf before", l.ID))
		}
		return
	}
	p := v.podOf(&l.Pod)
	w.pod = p.String()
	switch l.Kind {
	case ledger.KindAttested:
		v.attestedLeaf(p, l.Attestation, w)
	case ledger.KindSealed:
		v.sealedLeaf(ctx, p, l.Sealed, w)
	case ledger.KindAlive:
		v.aliveLeaf(p, l.Alive, w)
	case ledger.KindGone:
		v.goneLeaf(p, w)
	case ledger.KindErased, ledger.KindRemoved:
		v.endedLeaf(p, &l, w)
	default:
		f := w.finding(LogEntry, "the leaf's kind %q is unknown: a newer version is needed to verify it", l.Kind)
		f.Severity, f.Pod = Incomplete, ""
		v.add(f)
	}
}

// leafShape says what cannot be in a leaf.
func leafShape(l *ledger.Leaf) string {
	members := map[ledger.Kind]bool{
		ledger.KindAttested: l.Attestation != nil, ledger.KindSealed: l.Sealed != nil, ledger.KindAlive: l.Alive != nil,
		ledger.KindGone: l.Gone != "", ledger.KindErased: l.Ended != nil,
	}
	n := 0
	for _, set := range members {
		if set {
			n++
		}
	}
	members[ledger.KindRemoved] = l.Ended != nil
	id, err := hex.DecodeString(l.ID)
	switch has, known := members[l.Kind]; {
	case err != nil || len(id) != 16:
		return "the leaf has no ID of 16 bytes"
	case l.Time.IsZero():
		return "the leaf has no time"
	case known && (!has || n != 1):
		return fmt.Sprintf("the leaf's members are not those of the kind %s", l.Kind)
	case l.Pod.Namespace == "" || l.Pod.UID == "":
		return "the leaf names no pod"
	default:
		return ""
	}
}

// ids remembers the leaves of late, to find those that were written twice.
type ids struct {
	digest map[[16]byte][8]byte
	ring   [][16]byte
	at     int
}

// maxIDs is how many are remembered: what is doubled is doubled soon. What a late double says is judged like any leaf.
const maxIDs = 1 << 16

func (s *ids) seen(id string, entry []byte) (again, same bool) {
	var key [16]byte
	if _, err := hex.Decode(key[:], []byte(id)); err != nil {
		return false, false
	}
	sum := sha256.Sum256(entry)
	digest := [8]byte(sum[:8])
	if was, ok := s.digest[key]; ok {
		return true, was == digest
	}
	if s.digest == nil {
		s.digest = map[[16]byte][8]byte{}
	}
	if len(s.ring) < maxIDs {
		s.ring = append(s.ring, key)
	} else {
		delete(s.digest, s.ring[s.at])
		s.ring[s.at], s.at = key, (s.at+1)%maxIDs
	}
	s.digest[key] = digest
	return false, false
}

func (v *verifier) podOf(l *ledger.Pod) *pod {
	id := l.Namespace + "/" + l.UID
	p := v.pods[id]
	if p == nil {
		p = &pod{namespace: l.Namespace, uid: l.UID}
		v.pods[id] = p
	}
	if p.name == "" {
		p.name = l.Name
	}
	return p
}

// attestedLeaf takes the operator's word for a key.
func (v *verifier) attestedLeaf(p *pod, s *recording.Signed, w where) {
	att, err := v.attested.open(s)
	if err != nil {
		v.add(w.finding(BadAttestation, "the attestation in the log is not of the operator's key"))
		return
	}
	if d := w.at.Sub(att.Time); d > Grace || d < -Skew {
		f := w.finding(LogTime, "the attestation is of %s, and was logged at %s", utc(att.Time), utc(w.at))
		if d > Grace { // as after an outage of the store, and nobody gains by it: what the key had signed waited with it
			f.Severity, f.Cause = Incomplete, "the operator could not write to the log for that long, or the leaf was held back"
		}
		v.add(f)
	}
	if k := v.keyOf(p, &att, w); k != nil {
		k.logged = true
		v.currentKey(p, k, &att, w)
	}
}

// currentKey lets a newer key of a pod replace the one before.
func (v *verifier) currentKey(p *pod, k *key, att *recording.Attestation, w where) {
	switch {
	case !p.gone.IsZero() && att.Time.After(p.gone.Add(Skew)):
		v.add(w.finding(AfterEnd, "key %s was attested at %s, and the pod was gone at %s", short(k.id), utc(att.Time), utc(p.gone)))
	case p.current == nil || p.current == k:
		p.current = k
	case k.since.After(p.current.since):
		v.endKey(p.current, endReplaced, att.Time)
		p.current = k
	case att.Time.After(p.current.since.Add(Skew)):
		v.add(w.finding(AfterEnd, "key %s was attested again at %s, and the sidecar has had the key %s since %s", short(k.id), utc(att.Time), short(p.current.id), utc(p.current.since)))
	}
}

// keyOf returns the key that an attestation is about, or nil where it is not the pod's.
func (v *verifier) keyOf(p *pod, att *recording.Attestation, w where) *key {
	if att.Namespace != p.namespace || att.UID != p.uid {
		v.add(w.finding(WrongPod, "the key is attested for pod %s/%s (%s), and this is in the place of pod %s (%s)", att.Namespace, att.Pod, att.UID, p, p.uid))
		return nil
	}
	id := recording.IDOf(att.Key)
	k := v.keys[id]
	switch {
	case k == nil:
		k = &key{id: id, pub: att.Key, pod: p, since: att.Time, known: true}
		if w.index != nil {
			k.at = *w.index
		}
		p.keys++
		v.keys[id] = k
		if p.name == "" {
			p.name = att.Pod
		}
	case k.pod != p:
		v.add(w.finding(WrongPod, "the key %s is that of pod %s", short(id), k.pod))
		return nil
	case att.Time.Before(k.since):
		k.since = att.Time
	}
	return k
}

// aliveLeaf takes a heartbeat.
func (v *verifier) aliveLeaf(p *pod, s *recording.Signed, w where) {
	var claimed recording.Heartbeat
	if err := json.Unmarshal(s.Statement, &claimed); err != nil {
		v.add(w.finding(BadHeartbeat, "the heartbeat cannot be read"))
		return
	}
	k := v.keys[claimed.Key]
	if k == nil {
		v.add(w.finding(KeyNotAttested, "a heartbeat is of key %s, which the log does not know", short(claimed.Key)))
		return
	}
	h, err := recording.OpenHeartbeat(k.pub, s)
	switch {
	case err != nil:
		v.add(w.finding(BadHeartbeat, "the heartbeat is not signed by the key %s that it names", short(k.id)))
	case k.pod != p:
		v.add(w.finding(WrongPod, "a heartbeat of pod %s was logged for pod %s", k.pod, p))
	case h.Number == 0:
		v.add(w.finding(BadHeartbeat, "the heartbeat has no number"))
	default:
		v.beat(k, &h, sha256.Sum256(s.Statement), w)
	}
}

func (v *verifier) goneLeaf(p *pod, w where) {
	if p.gone.IsZero() {
		p.gone = w.at
	}
	if p.current != nil {
		v.endKey(p.current, endGone, w.at)
	}
}

// endKey ends a key, and says whether it had been silent before.
func (v *verifier) endKey(k *key, how string, at time.Time) {
	before := k.beats.leaf
	if before.IsZero() {
		before = k.since
	}
	if k.ended.IsZero() && at.Sub(before) > missed*k.beats.interval()+Skew {
		v.silence(k, before, at, where{pod: k.pod.String(), at: at})
	}
	k.end(how, at)
}

// endedLeaf takes that a session was erased or removed.
func (v *verifier) endedLeaf(p *pod, l *ledger.Leaf, w where) {
	name := store.Session{Namespace: p.namespace, UID: p.uid, ID: l.Ended.Session}
	w.session = l.Ended.Session
	if !name.Valid() {
		w.session = ""
		v.add(w.finding(LogEntry, "the leaf names no session"))
		return
	}
	fp := fingerprintOf(name)
	if l.Kind == ledger.KindRemoved {
		v.removed(p, fp, w)
	} else if len(v.erased) < MaxFindings {
		v.erased = append(v.erased, w)
		v.names[w.session+"\n"+w.pod] = name
	}
	was, before := v.ended[fp]
	v.ended[fp] = ended{erased: l.Kind == ledger.KindErased && (!before || was.erased)}
	if before {
		return
	}
	v.count(func(s *Summary) {
		if l.Kind == ledger.KindErased {
			s.Erased++
		} else {
			s.Removed++
		}
	})
}

// removed checks that a session was over for long enough when it was removed.
func (v *verifier) removed(p *pod, fp fingerprint, w where) {
	over, done := v.settled[fp]
	s := v.live[fp]
	since := time.Unix(over.at, 0)
	switch {
	case !done && s == nil:
		v.add(w.finding(RemovedEarly, "the log has no segment of the session that was removed"))
		return
	case !done && p.gone.IsZero():
		v.add(w.finding(RemovedEarly, "the session was removed before it was over"))
		return
	case !done:
		since = p.gone
	}
	if kept := w.at.Sub(since); kept < MinRetention {
		v.add(w.finding(RemovedEarly, "the session was removed %s after its end, and the shortest retention is %s", kept.Round(time.Second), MinRetention))
	}
}
