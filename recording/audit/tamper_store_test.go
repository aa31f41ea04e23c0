package audit

import (
	"crypto/ed25519"
	"encoding/json"
	"math/rand/v2"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/note"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/index"
	"github.com/tidewaiter/tidewaiter/recording/ledger"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// storeCases are done by somebody who can write to the store.
var storeCases = []tamperCase{
	onObject("a byte of a segment's header is changed", []Code{SegmentBroken}, func(w *world, r *rand.Rand, l *ledger.Leaf) bool {
		return w.flip(r, l.Sealed.Object, 0, recording.SegmentHeader)
	}),
	onObject("a byte of a head is changed", []Code{SegmentBroken, ObjectChanged}, func(w *world, r *rand.Rand, l *ledger.Leaf) bool {
		return w.flip(r, l.Sealed.Object, recording.SegmentHeader, recording.SegmentHeader+len(l.Sealed.Head.Statement))
	}),
	onObject("a byte of a signature is changed", []Code{ObjectChanged}, func(w *world, r *rand.Rand, l *ledger.Leaf) bool {
		at := recording.SegmentHeader + len(l.Sealed.Head.Statement)
		return w.flip(r, l.Sealed.Object, at, at+ed25519.SignatureSize)
	}),
	onObject("a byte of a body is changed", []Code{ObjectChanged}, func(w *world, r *rand.Rand, l *ledger.Leaf) bool {
		return w.flip(r, l.Sealed.Object, recording.SegmentHeader+len(l.Sealed.Head.Statement)+ed25519.SignatureSize, -1)
	}),
	onObject("a segment is cut short", []Code{SegmentBroken}, func(w *world, r *rand.Rand, l *ledger.Leaf) bool {
		b := w.objects[l.Sealed.Object].data
		w.put(l.Sealed.Object, b[:r.IntN(len(b))])
		return true
	}),
	onObject("bytes are added to a segment", []Code{ObjectChanged}, func(w *world, r *rand.Rand, l *ledger.Leaf) bool {
		w.put(l.Sealed.Object, append(append([]byte{}, w.objects[l.Sealed.Object].data...), make([]byte, 1+r.IntN(99))...))
		return true
	}),
	onObject("a segment is deleted", []Code{ObjectMissing}, func(w *world, _ *rand.Rand, l *ledger.Leaf) bool {
		delete(w.objects, l.Sealed.Object)
		return true
	}),
	{name: "all segments of a session are deleted", by: "the store", want: []Code{ObjectMissing}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, _, ok := w.aSegment(r, nil)
		for _, name := range w.names(s.name.Folder()) {
			delete(w.objects, name)
		}
		return nil, ok
	}},
	{name: "a segment is replaced by one of another session", by: "the store", want: []Code{ObjectChanged}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		_, a, ok := w.aSegment(r, nil)
		_, b, _ := w.aSegment(r, nil)
		w.put(a.Sealed.Object, w.objects[b.Sealed.Object].data)
		return nil, ok && a != b
	}},
	{name: "two segments of a session are swapped", by: "the store", want: []Code{ObjectChanged}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, _, ok := w.aSegment(r, many(2))
		if !ok {
			return nil, false
		}
		i := r.IntN(len(s.leaves) - 1)
		a, b := s.leaves[i].Sealed.Object, s.leaves[i+1].Sealed.Object
		x, y := w.objects[a].data, w.objects[b].data
		w.put(a, y)
		w.put(b, x)
		return nil, true
	}},
	{name: "records are dropped and all hashes computed anew", by: "the store", want: []Code{ObjectChanged}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		return nil, rewritten(w, r, false)
	}},
	{name: "a session is copied into another pod's folder", by: "the store", want: []Code{NotInLog}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, l, ok := w.aSegment(r, nil)
		p, _ := pick(r, w.pods)
		w.put(store.Session{Namespace: p.pod.Namespace, UID: p.pod.UID, ID: s.name.ID}.Segment(headOf(l).Segment), w.objects[l.Sealed.Object].data)
		return nil, ok && p != s.pod
	}},
	{name: "a session is copied into another namespace", by: "the store", want: []Code{NotInLog}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, l, ok := w.aSegment(r, nil)
		w.put(store.Session{Namespace: "other", UID: s.pod.pod.UID, ID: s.name.ID}.Segment(1), w.objects[l.Sealed.Object].data)
		return nil, ok
	}},
	{name: "a segment is added after a session's end", by: "the store", want: []Code{NotInLog}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, l, ok := w.aSegment(r, hasEnded)
		w.put(s.name.Segment(s.segment+1), w.objects[l.Sealed.Object].data)
		return nil, ok
	}},
	{name: "a session's key is deleted", by: "the store", want: []Code{KeyMissing}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, ok := pick(r, w.sessions(func(s *gsession) bool { return s.id != nil }))
		if ok {
			delete(w.objects, s.name.Key())
		}
		return nil, ok
	}},
	{name: "a session's key is replaced", by: "the store", want: []Code{BodyChanged}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, ok := pick(r, w.sessions(func(s *gsession) bool { return s.id != nil }))
		if ok {
			id, err := age.GenerateX25519Identity()
			must(err)
			w.put(s.name.Key(), []byte(id.String()))
		}
		return nil, ok
	}},
	{name: "an erased session's key is put back", by: "the store", want: []Code{EraseUnfinished}, level: Incomplete, do: func(w *world, r *rand.Rand) ([]View, bool) {
		for _, p := range w.pods {
			for _, s := range p.sessions {
				if s.gone && s.id != nil && len(w.names(s.name.Folder())) > 0 {
					w.put(s.name.Key(), []byte(s.id.String()))
					return nil, true
				}
			}
		}
		return nil, false
	}},
	{name: "the index is changed", by: "the store", want: []Code{IndexWrong}, level: Note, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, ok := pick(r, w.sessions(nil))
		if !ok {
			return nil, false
		}
		e := s.indexed
		switch r.IntN(4) {
		case 0:
			e.Denied++
		case 1:
			e.Chain[0] ^= 1
		case 2:
			e.Segments++
		case 3:
			e.Session = "other"
		}
		return nil, w.entry(s, &e)
	}},
	{name: "an entry is taken out of the index", by: "the store", want: []Code{IndexWrong}, level: Note, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, ok := pick(r, w.sessions(func(s *gsession) bool { return s.ended && w.now.Sub(s.leaves[len(s.leaves)-1].Time) > Grace }))
		if ok {
			delete(w.objects, s.name.Entry(s.entry.Began))
		}
		return nil, ok
	}},
}

func (w *world) entry(s *gsession, e *index.Entry) bool {
	b, err := json.Marshal(e)
	must(err)
	name := s.name.Entry(s.entry.Began)
	_, ok := w.objects[name]
	w.put(name, b)
	return ok
}

// onObject is a case about the object of one segment.
func onObject(name string, want []Code, do func(w *world, r *rand.Rand, l *ledger.Leaf) bool) tamperCase {
	return tamperCase{name: name, by: "the store", want: want, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		_, l, ok := w.aSegment(r, nil)
		return nil, ok && do(w, r, l)
	}}
}

// rewritten makes a segment anew without its last record; logged says that the leaf is changed too.
func rewritten(w *world, r *rand.Rand, logged bool) bool {
	s, l, ok := w.aSegment(r, nil)
	if !ok {
		return false
	}
	h := headOf(l)
	all := cut(s.records[h.Segment-1])
	if len(all) < 2 {
		return false
	}
	mine := w.newKey(s.pod, w.base)
	seg := s.resealed(mine.priv, s.records[h.Segment-1][:len(s.records[h.Segment-1])-len(all[len(all)-1])], func(n *recording.Head) {
		n.Segment, n.Serial, n.Sealed, n.Attestation, n.Key = h.Segment, h.Serial, h.Sealed, h.Attestation, h.Key
	})
	if logged {
		w.restore(l, seg)
		w.publish()
	} else {
		w.put(l.Sealed.Object, seg.Append(nil))
	}
	return true
}

// logStoreCases are changes of the log by somebody who has the store, and not the log's key.
var logStoreCases = []tamperCase{
	{name: "a byte of the log's entries is changed", by: "the store", want: []Code{LogRoot, LogMissing}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		name, ok := pick(r, w.names(store.Log+"tile/entries/"))
		return nil, ok && w.flip(r, name, 0, -1)
	}},
	{name: "a byte of a tile of hashes is changed", by: "the store", want: []Code{LogTile}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		name, ok := pick(r, append(w.names(store.Log+"tile/0/"), w.names(store.Log+"tile/1/")...))
		return nil, ok && w.flip(r, name, 0, -1)
	}},
	{name: "a byte of the checkpoint is changed", by: "the store", want: []Code{LogSignature}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		return nil, w.flip(r, CheckpointObject, 0, -1)
	}},
	{name: "entries of the log are deleted", by: "the store", want: []Code{LogMissing}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		name, ok := pick(r, w.names(store.Log+"tile/entries/"))
		delete(w.objects, name)
		return nil, ok
	}},
	{name: "a tile is deleted", by: "the store", want: []Code{LogTile}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		name, ok := pick(r, w.names(store.Log+"tile/0/"))
		delete(w.objects, name)
		return nil, ok
	}},
	{name: "the checkpoint is deleted", by: "the store", want: []Code{LogMissing}, level: Tampered, do: func(w *world, _ *rand.Rand) ([]View, bool) {
		delete(w.objects, CheckpointObject)
		return nil, true
	}},
	{name: "an old state of the log is put back", by: "the store", want: []Code{LogRolledBack}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		view := View{Name: "this machine", Note: w.checkpoint(len(w.raw), w.signer)}
		w.raw = w.raw[:1+r.IntN(len(w.raw)-1)]
		w.publishRaw()
		return []View{view}, true
	}},
	{name: "an old checkpoint is put back beside newer tiles", by: "the store", want: []Code{LogRolledBack}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		view := View{Name: "the ConfigMap", Note: w.checkpoint(len(w.raw), w.signer)}
		w.put(CheckpointObject, w.checkpoint(r.IntN(len(w.raw)), w.signer))
		return []View{view}, true
	}},
	unsigned("an entry is dropped from the log", func(w *world, r *rand.Rand) bool {
		i := r.IntN(len(w.raw))
		w.raw = append(w.raw[:i:i], w.raw[i+1:]...)
		return true
	}),
	unsigned("two entries of the log are swapped", func(w *world, r *rand.Rand) bool {
		i := r.IntN(len(w.raw) - 1)
		w.raw[i], w.raw[i+1] = w.raw[i+1], w.raw[i]
		return true
	}),
	unsigned("an entry of the log is doubled", func(w *world, r *rand.Rand) bool {
		i := r.IntN(len(w.raw))
		w.raw = append(w.raw[:i+1:i+1], w.raw[i:]...)
		return true
	}),
	{name: "an entry is added with a checkpoint of another key", by: "the store", want: []Code{LogSignature}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		w.raw = append(w.raw, w.raw[r.IntN(len(w.raw))])
		skey, _, err := note.GenerateKey(nil, "tidewaiter.dev/log/test")
		must(err)
		other, err := note.NewSigner(skey)
		must(err)
		good := w.signer
		w.signer = other
		w.publishRaw()
		w.signer = good
		return nil, true
	}},
	{name: "a forged leaf of removal is added, and the session deleted", by: "the store", want: []Code{LogRoot, LogMissing}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, _, ok := w.aSegment(r, hasEnded)
		old := w.objects[CheckpointObject]
		l := w.leafAt(w.now, ledger.Leaf{Kind: ledger.KindRemoved, Pod: s.pod.pod, Ended: &ledger.Ended{Session: s.name.ID, By: "retention", Reason: "2h"}})
		b, err := json.Marshal(l)
		must(err)
		w.raw[r.IntN(len(w.raw))] = b
		w.publishRaw()
		w.objects[CheckpointObject] = old
		for _, name := range w.names(s.name.Folder()) {
			delete(w.objects, name)
		}
		return nil, ok
	}},
}

// unsigned changes entries, makes all tiles anew, and can only leave the checkpoint as it was.
func unsigned(name string, do func(w *world, r *rand.Rand) bool) tamperCase {
	return tamperCase{name: name, by: "the store", want: []Code{LogRoot, LogMissing}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		old := w.objects[CheckpointObject]
		ok := do(w, r)
		w.publishRaw()
		w.objects[CheckpointObject] = old
		return nil, ok
	}}
}
