package audit

import (
	"crypto/ed25519"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/ledger"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// logKeyCases are done by somebody who has the store and the log's key, and so can make a whole log anew: what the operator's
// administrators could do. Nobody looks at it from elsewhere, but where a case says so.
var logKeyCases = []tamperCase{
	{name: "history is rewritten, and another view remembers it", by: "the log's key", want: []Code{LogForked}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		view := View{Name: "another store", Note: w.checkpoint(1+r.IntN(len(w.raw)-1), w.signer)}
		c, err := OpenCheckpoint(w.logKey, view.Note)
		must(err)
		i := r.IntN(int(c.Size))
		w.drop(func(l *ledger.Leaf) bool { return l == w.leaves[i] })
		w.publish()
		return []View{view}, true
	}},
	{name: "two people are shown two histories of one length", by: "the log's key", want: []Code{LogForked}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		view := View{Name: "another auditor", Note: w.checkpoint(len(w.raw), w.signer)}
		l, ok := pick(r, w.leaves)
		l.Time = l.Time.Add(time.Millisecond)
		w.publish()
		return []View{view}, ok
	}},
	{name: "a view from elsewhere is not signed by the log", by: "the log's key", want: []Code{LogSignature}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		b := w.checkpoint(len(w.raw), w.signer)
		b[r.IntN(len(b))] ^= 1
		return []View{{Name: "the ConfigMap", Note: b}}, true
	}},
	{name: "a leaf's time is put back", by: "the log's key", want: []Code{LogTime}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		i := len(w.leaves)/2 + r.IntN(len(w.leaves)/2)
		w.leaves[i].Time = w.leaves[i].Time.Add(-time.Hour)
		return nil, w.inOrder()
	}},
	{name: "a leaf is of the future", by: "the log's key", want: []Code{LogTime}, level: Tampered, do: func(w *world, _ *rand.Rand) ([]View, bool) {
		w.leaves[len(w.leaves)-1].Time = w.now.Add(time.Hour)
		return nil, w.inOrder()
	}},
	{name: "two leaves have one ID", by: "the log's key", want: []Code{LogDuplicate}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		i := 1 + r.IntN(len(w.leaves)-1)
		w.leaves[i].ID = w.leaves[r.IntN(i)].ID
		w.publish()
		return nil, true
	}},
	{name: "something that is no leaf is in the log", by: "the log's key", want: []Code{LogEntry}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		w.raw[r.IntN(len(w.raw))] = []byte([]string{`{}`, `hello`, `{"kind":"Sealed","id":"00"}`, ``}[r.IntN(4)])
		w.publishRaw()
		return nil, true
	}},
	{name: "a segment's leaf and object are dropped", by: "the log's key", want: []Code{SegmentMissing, SerialGap}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, ok := pick(r, w.sessions(many(2)))
		if !ok || !settledLong(w)(s) {
			return nil, false
		}
		w.hide(s.leaves[r.IntN(len(s.leaves)-1)])
		return nil, true
	}},
	{name: "a whole session is dropped from log, store and index", by: "the log's key", want: []Code{SerialGap}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, ok := pick(r, w.sessions(settledLong(w)))
		if !ok || !w.shownLong(s) {
			return nil, false
		}
		w.hide(s.leaves...)
		delete(w.objects, s.name.Entry(s.entry.Began))
		delete(w.objects, s.name.Key())
		return nil, true
	}},
	{name: "a session's end is dropped", by: "the log's key", want: []Code{SerialGap, Lost}, level: Tampered, kinds: []string{"stopped"}, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, ok := pick(r, w.sessions(settledLong(w)))
		if ok {
			w.hide(s.leaves[len(s.leaves)-1])
		}
		return nil, ok
	}},
	{name: "only the leaf of a segment is dropped", by: "the log's key", want: []Code{NotInLog, SegmentMissing, SerialGap}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		_, l, ok := w.aSegment(r, settledLong(w))
		w.drop(func(one *ledger.Leaf) bool { return one == l })
		w.publish()
		return nil, ok
	}},
	{name: "the attestation of a key is dropped", by: "the log's key", want: []Code{KeyNotAttested}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		l, ok := w.ofKind(r, ledger.KindAttested)
		w.drop(func(one *ledger.Leaf) bool { return one == l })
		w.publish()
		return nil, ok
	}},
	{name: "heartbeats are dropped", by: "the log's key", want: []Code{HeartbeatGap}, level: Incomplete, do: func(w *world, r *rand.Rand) ([]View, bool) {
		l, ok := pick(r, slices.DeleteFunc(slices.Clone(w.leaves), func(l *ledger.Leaf) bool {
			if l.Kind != ledger.KindAlive {
				return true
			}
			h := beatOf(l)
			return h.Last || h.Number == w.keyOf(h.Key).beats
		}))
		w.drop(func(one *ledger.Leaf) bool { return one == l })
		w.publish()
		return nil, ok
	}},
	{name: "all heartbeats of some minutes are dropped", by: "the log's key", want: []Code{Silent}, level: Incomplete, do: func(w *world, r *rand.Rand) ([]View, bool) {
		p := w.pods[len(w.pods)-1]
		from := w.base.Add(time.Duration(4+r.IntN(8)) * time.Minute)
		w.drop(func(l *ledger.Leaf) bool {
			return l.Kind == ledger.KindAlive && l.Pod == p.pod && l.Time.After(from) && l.Time.Before(from.Add(5*time.Minute))
		})
		w.publish()
		return nil, true
	}},
	{name: "heartbeats stop, and segments go on", by: "the log's key", want: []Code{Silent}, level: Incomplete, kinds: []string{"alive", "alive"}, do: func(w *world, r *rand.Rand) ([]View, bool) {
		p := w.pods[0]
		from := w.base.Add(time.Duration(4+r.IntN(8)) * time.Minute)
		w.drop(func(l *ledger.Leaf) bool { return l.Kind == ledger.KindAlive && l.Pod == p.pod && l.Time.After(from) })
		w.publish()
		return nil, true
	}},
	{name: "a heartbeat's signature is another's", by: "the log's key", want: []Code{BadHeartbeat}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		l, ok := w.ofKind(r, ledger.KindAlive)
		l.Alive = &recording.Signed{Statement: slices.Clone(l.Alive.Statement), Signature: ed25519.Sign(w.operator, l.Alive.Statement)}
		w.publish()
		return nil, ok
	}},
	{name: "a heartbeat's count is changed", by: "the log's key", want: []Code{BadHeartbeat}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		l, ok := w.ofKind(r, ledger.KindAlive)
		h := beatOf(l)
		h.Sealed++
		b, err := json.Marshal(&h)
		must(err)
		l.Alive = &recording.Signed{Statement: b, Signature: l.Alive.Signature}
		w.publish()
		return nil, ok
	}},
	{name: "a heartbeat is put under another pod", by: "the log's key", want: []Code{WrongPod}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		l, ok := w.ofKind(r, ledger.KindAlive)
		p, _ := pick(r, w.pods)
		was := l.Pod
		l.Pod = p.pod
		w.publish()
		return nil, ok && was != p.pod
	}},
	{name: "a session is moved to another pod", by: "the log's key", want: []Code{WrongPod}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, ok := pick(r, w.sessions(nil))
		p, _ := pick(r, w.pods)
		if !ok || p == s.pod {
			return nil, false
		}
		return nil, w.move(s, store.Session{Namespace: p.pod.Namespace, UID: p.pod.UID, ID: s.name.ID}, p.pod)
	}},
	{name: "a session is moved to another namespace", by: "the log's key", want: []Code{WrongPod}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, ok := pick(r, w.sessions(nil))
		if !ok {
			return nil, false
		}
		pod := s.pod.pod
		pod.Namespace = "other"
		return nil, w.move(s, store.Session{Namespace: "other", UID: pod.UID, ID: s.name.ID}, pod)
	}},
	{name: "a session is given another name", by: "the log's key", want: []Code{WrongPlace}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, ok := pick(r, w.sessions(nil))
		if !ok {
			return nil, false
		}
		return nil, w.move(s, store.Session{Namespace: s.name.Namespace, UID: s.name.UID, ID: s.name.ID + "-x"}, s.pod.pod)
	}},
	{name: "a segment of one session stands in the place of another's", by: "the log's key", want: []Code{WrongPlace}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		a, la, ok := w.aSegment(r, nil)
		b, lb, _ := w.aSegment(r, nil)
		if !ok || a == b {
			return nil, false
		}
		la.Sealed.Head, la.Sealed.Stored, la.Sealed.Size = lb.Sealed.Head, lb.Sealed.Stored, lb.Sealed.Size
		w.put(la.Sealed.Object, w.objects[lb.Sealed.Object].data)
		w.publish()
		return nil, true
	}},
	{name: "a head is changed and not signed", by: "the log's key", want: []Code{BadSignature}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, l, ok := w.aSegment(r, nil)
		if !ok {
			return nil, false
		}
		h := headOf(l)
		seg := s.resealed(s.pod.key.priv, s.records[h.Segment-1], func(n *recording.Head) { *n = h; n.DataSource = "data/other" })
		seg.Signed.Signature = l.Sealed.Head.Signature
		w.restore(l, seg)
		w.publish()
		return nil, true
	}},
	{name: "records are dropped, and a head signed by a key of the attacker's with the sidecar's attestation", by: "the log's key", want: []Code{BadSignature}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		return nil, rewritten(w, r, true)
	}},
	{name: "a head is signed by a key of the attacker's, which they attest", by: "the log's key", want: []Code{BadAttestation}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, l, ok := w.aSegment(r, nil)
		if !ok {
			return nil, false
		}
		good := w.operator
		_, w.operator, _ = ed25519.GenerateKey(nil)
		mine := w.newKey(s.pod, w.base)
		w.operator = good
		h := headOf(l)
		w.restore(l, s.resealed(mine.priv, s.records[h.Segment-1], func(n *recording.Head) {
			h.Attestation, h.Key = &mine.att, recording.IDOf(mine.priv.Public().(ed25519.PublicKey))
			*n = h
		}))
		w.publish()
		return nil, true
	}},
	{name: "a pod's attestation is exchanged for another pod's", by: "the log's key", want: []Code{WrongPod}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		a, ok := w.ofKind(r, ledger.KindAttested)
		b, _ := w.ofKind(r, ledger.KindAttested)
		if !ok || a.Pod == b.Pod {
			return nil, false
		}
		a.Attestation = b.Attestation
		w.publish()
		return nil, true
	}},
	{name: "content is exchanged, and encrypted to the session's key", by: "the log's key", want: []Code{BodyChanged}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, l, ok := w.aSegment(r, many(2))
		if !ok {
			return nil, false
		}
		h := headOf(l)
		other := s.records[int(h.Segment)%len(s.records)]
		seg := s.resealed(s.pod.key.priv, other, func(*recording.Head) {})
		seg.Head, seg.Signed = h, l.Sealed.Head
		w.restore(l, seg)
		w.publish()
		return nil, true
	}},
	{name: "a sidecar is declared gone", by: "the log's key", want: []Code{AfterEnd}, level: Tampered, kinds: []string{"alive", "alive"}, do: func(w *world, r *rand.Rand) ([]View, bool) {
		w.leafAt(w.base.Add(time.Duration(5+r.IntN(10))*time.Minute), ledger.Leaf{Kind: ledger.KindGone, Pod: w.pods[r.IntN(2)].pod, Gone: "so they say"})
		w.publish()
		return nil, true
	}},
	{name: "a session is removed that goes on", by: "the log's key", want: []Code{RemovedEarly}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, ok := pick(r, w.sessions(func(s *gsession) bool { return !s.closed }))
		return nil, ok && w.remove(s, w.base.Add(27*time.Minute))
	}},
	{name: "a session is removed just after its end", by: "the log's key", want: []Code{RemovedEarly}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, ok := pick(r, w.sessions(func(s *gsession) bool { return s.ended && s.entry.Began.After(w.base) }))
		return nil, ok && w.remove(s, w.base.Add(27*time.Minute))
	}},
	{name: "a leaf says of a session that it was erased, and its objects are deleted", by: "the log's key", want: []Code{ObjectMissing}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, ok := pick(r, w.sessions(hasEnded))
		if !ok {
			return nil, false
		}
		w.leafAt(w.base.Add(27*time.Minute), ledger.Leaf{Kind: ledger.KindErased, Pod: s.pod.pod, Ended: &ledger.Ended{Session: s.name.ID, By: "x", Reason: "x"}})
		for _, name := range w.names(s.name.Folder()) {
			delete(w.objects, name)
		}
		w.publish()
		return nil, true
	}},
}

// networkCases are done between sidecar and operator: things never arrive.
var networkCases = []tamperCase{
	{name: "the last segments of a pod are held back until it is gone", by: "the network", want: []Code{Lost}, level: Incomplete, kinds: []string{"stopped", "alive"}, do: func(w *world, r *rand.Rand) ([]View, bool) {
		_, l, ok := w.lastSegment(w.pods[0])
		if ok {
			w.hide(l)
		}
		return nil, ok
	}},
	{name: "a pod is killed, and the ends of its sessions are lost", by: "the network", want: []Code{Unfinished}, level: Incomplete, kinds: []string{"killed", "alive"}, do: func(w *world, r *rand.Rand) ([]View, bool) {
		return nil, slices.ContainsFunc(w.pods[0].sessions, func(s *gsession) bool { return !s.closed && len(s.leaves) > 0 })
	}},
	{name: "segments of a pod that was killed are held back", by: "the network", want: []Code{Lost}, level: Incomplete, kinds: []string{"killed", "alive"}, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, ok := pick(r, w.sessions(func(s *gsession) bool { return s.pod == w.pods[0] && !w.lastOfKey(s) }))
		if ok {
			w.hide(s.leaves[len(s.leaves)-1])
		}
		return nil, ok
	}},
	{name: "the operator is stopped", by: "the network", want: []Code{LogStale}, level: Incomplete, do: func(w *world, r *rand.Rand) ([]View, bool) {
		w.now = w.now.Add(Grace + time.Duration(1+r.IntN(100))*time.Minute)
		return nil, true
	}},
}

func (w *world) inOrder() bool {
	w.raw = nil
	for _, l := range w.leaves {
		b, err := json.Marshal(l)
		must(err)
		w.raw = append(w.raw, b)
	}
	w.publishRaw()
	return true
}

func beatOf(l *ledger.Leaf) (h recording.Heartbeat) {
	must(json.Unmarshal(l.Alive.Statement, &h))
	return h
}

// hide takes segments out of log and store.
func (w *world) hide(leaves ...*ledger.Leaf) {
	for _, l := range leaves {
		delete(w.objects, l.Sealed.Object)
	}
	w.drop(func(l *ledger.Leaf) bool { return slices.Contains(leaves, l) })
	w.publish()
}

// lastSegment is that with the last serial of a pod's key.
func (w *world) lastSegment(p *gpod) (s *gsession, l *ledger.Leaf, ok bool) {
	last := uint64(0)
	for _, one := range p.sessions {
		for _, leaf := range one.leaves {
			if h := headOf(leaf); h.Serial > last && w.keyOf(h.Key) == p.key && !one.gone {
				s, l, last, ok = one, leaf, h.Serial, true
			}
		}
	}
	serial, _ := p.key.sealed()
	return s, l, ok && last == serial
}

// lastOfKey reports whether the session's last segment is the last of its key, so that what is missing is no hole.
func (w *world) lastOfKey(s *gsession) bool {
	h := headOf(s.leaves[len(s.leaves)-1])
	serial, _ := w.keyOf(h.Key).sealed()
	if h.Serial == serial {
		return true
	}
	for _, one := range s.pod.sessions { // another's last may be all that follows
		for _, l := range one.leaves {
			if o := headOf(l); o.Key == h.Key && o.Serial > h.Serial && one != s {
				return false
			}
		}
	}
	return true
}

// move moves a session in store and log.
func (w *world) move(s *gsession, to store.Session, pod ledger.Pod) bool {
	for _, l := range s.leaves {
		old := l.Sealed.Object
		l.Sealed.Object = strings.Replace(old, s.name.Folder(), to.Folder(), 1)
		l.Pod = pod
		w.put(l.Sealed.Object, w.objects[old].data)
		delete(w.objects, old)
	}
	if k, ok := w.objects[s.name.Key()]; ok {
		w.put(to.Key(), k.data)
	}
	w.publish()
	return true
}

// remove logs that a session was removed, and removes it.
func (w *world) remove(s *gsession, at time.Time) bool {
	w.leafAt(at, ledger.Leaf{Kind: ledger.KindRemoved, Pod: s.pod.pod, Ended: &ledger.Ended{Session: s.name.ID, By: "retention", Reason: "2h"}})
	for _, name := range w.names(s.name.Folder()) {
		delete(w.objects, name)
	}
	w.publish()
	return true
}
