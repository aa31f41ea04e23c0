package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/ledger"
)

// sidecarCases are done by a sidecar that was taken over, and seals what it likes. Its key is good: only what contradicts itself
// or the operator shows.
var sidecarCases = []tamperCase{
	cheat("a record is changed in what is sealed", []Code{RecordChanged}, func(r *rand.Rand, all [][]byte) bool {
		one, _ := pick(r, all)
		one[frameHeader+r.IntN(len(one)-frameHeader)] ^= 1
		return true
	}, nil),
	cheat("records are swapped in what is sealed", []Code{RecordChanged, RecordGap}, func(r *rand.Rand, all [][]byte) bool {
		if len(all) < 4 {
			return false
		}
		i := 1 + r.IntN(len(all)-3)
		all[i], all[i+1] = all[i+1], all[i]
		return true
	}, nil),
	cheat("a record is left out of what is sealed", []Code{RecordChanged, RecordGap}, nil, func(r *rand.Rand, all [][]byte) [][]byte {
		if len(all) < 3 {
			return nil
		}
		return slices.Delete(all, 1+r.IntN(len(all)-2), len(all)-1)
	}),
	cheat("a record is doubled in what is sealed", []Code{RecordChanged}, nil, func(r *rand.Rand, all [][]byte) [][]byte {
		i := r.IntN(len(all))
		return slices.Insert(all, i, all[i])
	}),
	cheat("the first record of a segment is left out", []Code{RecordGap}, nil, func(_ *rand.Rand, all [][]byte) [][]byte {
		if len(all) < 2 {
			return nil
		}
		return all[1:]
	}),
	{name: "times go back in what is sealed", by: "the sidecar", want: []Code{TimeBack, RecordChanged}, level: Tampered, do: happened, hook: func(r *rand.Rand) hook {
		return once(r, func(_ *gsession, _ *recording.Head, records []byte) ([]byte, bool) {
			all := cut(bytes.Clone(records))
			if len(all) < 3 {
				return nil, false
			}
			at := 1 + r.IntN(len(all)-2)
			return rechained(all, func(i int, b []byte) {
				if i == at {
					t := int64(binary.BigEndian.Uint64(b[frameTime:]))
					binary.BigEndian.PutUint64(b[frameTime:], uint64(t-int64(time.Hour)))
				}
			}, true), true
		})
	}},
	{name: "the end mark is cut off, and the head says that it is there", by: "the sidecar", want: []Code{EndMarkWrong, RecordChanged}, level: Tampered, do: happened, hook: func(r *rand.Rand) hook {
		return atEnd(r, func(_ *gsession, _ *recording.Head, all [][]byte) [][]byte { return all[:len(all)-1] })
	}},
	{name: "the end mark is there, and the head does not say so", by: "the sidecar", want: []Code{EndMarkWrong, RecordChanged}, level: Tampered, do: happened, hook: func(r *rand.Rand) hook {
		return atEnd(r, func(_ *gsession, h *recording.Head, all [][]byte) [][]byte { h.End = recording.EndNone; return all })
	}},
	{name: "the end mark counts wrong", by: "the sidecar", want: []Code{EndMarkWrong, RecordChanged}, level: Tampered, do: happened, hook: func(r *rand.Rand) hook {
		return atEnd(r, func(_ *gsession, _ *recording.Head, all [][]byte) [][]byte {
			last := all[len(all)-1]
			at := bytes.IndexByte(last[frameHeader:], ':') + frameHeader + 1
			last[at] = '1' + (last[at]-'0')%9
			return [][]byte{rechained(all, func(int, []byte) {}, true)}
		})
	}},
	{name: "a session goes on after its end", by: "the sidecar", want: []Code{SessionGoesOn}, level: Tampered, do: func(w *world, _ *rand.Rand) ([]View, bool) { return nil, w.hook.ended == nil }, hook: func(r *rand.Rand) hook {
		skip := r.IntN(3)
		return hook{ended: func(s *gsession, t time.Time) {
			if skip--; skip >= 0 {
				return
			}
			s.pod.w.hook.ended = nil
			s.statement(t.Add(2 * time.Second))
			s.seal(s.pod.key, t.Add(2*time.Second), recording.EndNone, false)
		}}
	}},
	{name: "an end is passed off as recovered by the very key that recorded", by: "the sidecar", want: []Code{RecoveredFalse}, level: Tampered, do: happened, hook: func(r *rand.Rand) hook {
		return once(r, func(s *gsession, h *recording.Head, records []byte) ([]byte, bool) {
			if h.Segment < 2 || h.Recovered {
				return nil, false
			}
			h.Recovered, h.End, s.closed = true, recording.EndCutOff, true
			return records, true
		})
	}},
	{name: "a session of a pod's first process claims to be recovered", by: "the sidecar", want: []Code{RecoveredFalse}, level: Tampered, kinds: []string{"alive", "stopped"}, do: happened, hook: func(r *rand.Rand) hook {
		return once(r, func(s *gsession, h *recording.Head, records []byte) ([]byte, bool) {
			if h.Segment > 1 {
				return nil, false
			}
			h.Recovered, h.End, s.closed = true, recording.EndCutOff, true
			return records, true
		})
	}},
	{name: "a session is cut off by the process that lives", by: "the sidecar", want: []Code{Unfinished}, level: Incomplete, do: happened, hook: func(r *rand.Rand) hook {
		return once(r, func(s *gsession, h *recording.Head, records []byte) ([]byte, bool) {
			h.End, s.closed = recording.EndCutOff, true
			return records, !h.Recovered
		})
	}},
	{name: "a session says another data source in its midst", by: "the sidecar", want: []Code{HeadWrong}, level: Tampered, do: happened, hook: func(r *rand.Rand) hook {
		return once(r, func(_ *gsession, h *recording.Head, records []byte) ([]byte, bool) {
			if h.Segment == 1 {
				return nil, false
			}
			h.DataSource = "data/other"
			return records, true
		})
	}},
	{name: "the clock is turned back an hour", by: "the node's clock", want: []Code{Clock}, level: Tampered, do: func(w *world, _ *rand.Rand) ([]View, bool) { return nil, true }, hook: func(r *rand.Rand) hook {
		return turned(r, -time.Hour)
	}},
	{name: "the clock is turned back three minutes", by: "the node's clock", want: []Code{Clock}, level: Tampered, do: func(w *world, _ *rand.Rand) ([]View, bool) { return nil, true }, hook: func(r *rand.Rand) hook {
		return turned(r, -3*time.Minute)
	}},
	{name: "the clock is turned ahead", by: "the node's clock", want: []Code{Clock}, level: Tampered, do: func(w *world, _ *rand.Rand) ([]View, bool) { return nil, true }, hook: func(r *rand.Rand) hook {
		return turned(r, 5*time.Minute)
	}},
	{name: "the clock is wrong from the start", by: "the node's clock", want: []Code{Clock}, level: Tampered, do: func(w *world, _ *rand.Rand) ([]View, bool) { return nil, true }, hook: func(r *rand.Rand) hook {
		by := -time.Duration(3+r.IntN(600)) * time.Minute
		return hook{clock: func(_ *gpod, t time.Time) time.Time { return t.Add(by) }}
	}},
}

// keyCases are done with the key of a sidecar, which somebody has read out of its memory.
var keyCases = []tamperCase{
	{name: "a stolen key seals a session after its pod was gone", by: "an old sidecar's key", want: []Code{AfterEnd}, level: Tampered, kinds: []string{"stopped", "alive"}, do: func(w *world, r *rand.Rand) ([]View, bool) {
		return nil, w.forge(w.pods[0], w.pods[0].key, w.base.Add(20*time.Minute), w.base.Add(20*time.Minute))
	}},
	{name: "… and says that it was sealed before", by: "an old sidecar's key", want: []Code{AfterEnd}, level: Tampered, kinds: []string{"stopped", "alive"}, do: func(w *world, r *rand.Rand) ([]View, bool) {
		return nil, w.forge(w.pods[0], w.pods[0].key, w.pods[0].gone.Add(-time.Duration(1+r.IntN(9))*time.Minute), w.base.Add(20*time.Minute))
	}},
	{name: "… of a pod that was killed, so that there is no last heartbeat", by: "an old sidecar's key", want: []Code{AfterEnd}, level: Tampered, kinds: []string{"killed", "alive"}, do: func(w *world, r *rand.Rand) ([]View, bool) {
		p := w.pods[0]
		return nil, w.forge(p, p.key, p.gone.Add(-time.Minute), p.gone.Add(Skew+time.Second+time.Duration(r.IntN(60))*time.Second))
	}},
	{name: "a stolen key seals after the sidecar restarted", by: "an old sidecar's key", want: []Code{AfterEnd}, level: Tampered, kinds: []string{"restarted", "alive"}, do: func(w *world, r *rand.Rand) ([]View, bool) {
		p := w.pods[0]
		at := p.key.since.Add(3*time.Minute + time.Duration(r.IntN(120))*time.Second)
		return nil, w.forge(p, p.old[0], at, at)
	}},
	{name: "… and says that it was sealed before the restart", by: "an old sidecar's key", want: []Code{LateSealed}, level: Note, kinds: []string{"restarted", "alive"}, do: func(w *world, r *rand.Rand) ([]View, bool) {
		p := w.pods[0]
		return nil, w.forge(p, p.old[0], p.key.since.Add(-30*time.Second), p.key.since.Add(3*time.Minute))
	}},
	{name: "a stolen key is attested again after the sidecar restarted", by: "an old sidecar's key", want: []Code{AfterEnd}, level: Tampered, kinds: []string{"restarted", "alive"}, do: func(w *world, r *rand.Rand) ([]View, bool) {
		p := w.pods[0]
		at := p.key.since.Add(3*time.Minute + time.Duration(r.IntN(120))*time.Second)
		att, err := recording.Attest(w.operator, &recording.Attestation{Namespace: p.pod.Namespace, Pod: p.pod.Name, UID: p.pod.UID, Key: p.old[0].priv.Public().(ed25519.PublicKey), Time: at})
		must(err)
		w.leafAt(at, ledger.Leaf{Kind: ledger.KindAttested, Pod: p.pod, Attestation: &att})
		w.publish()
		return nil, true
	}},
	{name: "a stolen key beats on for a pod that is gone", by: "an old sidecar's key", want: []Code{AfterEnd}, level: Tampered, kinds: []string{"killed", "alive"}, do: func(w *world, r *rand.Rand) ([]View, bool) {
		p := w.pods[0]
		p.beat(p.gone.Add(Skew+time.Duration(1+r.IntN(60))*time.Second), false)
		w.publish()
		return nil, true
	}},
	{name: "a key that lives seals a second segment of a serial", by: "a sidecar's key", want: []Code{SerialReused}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, l, ok := w.aSegment(r, nil)
		if !ok {
			return nil, false
		}
		h := headOf(l)
		w.twin(s, l, func(n *recording.Head) { n.Session += "-x"; n.Segment = 1 })
		return nil, w.keyOf(h.Key) != nil
	}},
	{name: "a segment is exchanged for another of the same key and serial before it is logged", by: "a sidecar's key", want: []Code{SumMismatch}, level: Tampered, kinds: []string{"stopped", "alive"}, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, l, ok := w.aSegment(r, hasEnded)
		if !ok {
			return nil, false
		}
		h := headOf(l)
		w.restore(l, s.resealed(w.keyOf(h.Key).priv, s.records[h.Segment-1], func(n *recording.Head) { h.Sealed = h.Sealed.Add(time.Millisecond); *n = h }))
		w.publish()
		return nil, s.pod.kind == "stopped"
	}},
	{name: "a segment is exchanged for one with other records", by: "a sidecar's key", want: []Code{RecordGap, ChainBroken, SumMismatch}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, ok := pick(r, w.sessions(many(2)))
		if !ok {
			return nil, false
		}
		i := r.IntN(len(s.leaves) - 1)
		h := headOf(s.leaves[i])
		all := cut(bytes.Clone(s.records[i]))
		records := rechained(all, func(j int, b []byte) {
			if j == 0 {
				b[len(b)-frameHash-2] ^= 1
			}
		}, true)
		w.restore(s.leaves[i], s.resealed(w.keyOf(h.Key).priv, records, func(n *recording.Head) {
			n.Segment, n.Serial, n.Sealed, n.Attestation, n.End, n.Recovered = h.Segment, h.Serial, h.Sealed, h.Attestation, h.End, h.Recovered
		}))
		w.publish()
		return nil, true
	}},
	{name: "two heartbeats have one number", by: "a sidecar's key", want: []Code{HeartbeatReused}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		l, ok := w.ofKind(r, ledger.KindAlive)
		if !ok {
			return nil, false
		}
		h := beatOf(l)
		h.Open++
		s, err := recording.Beat(w.keyOf(h.Key).priv, &h)
		must(err)
		w.leafAt(l.Time.Add(time.Millisecond), ledger.Leaf{Kind: ledger.KindAlive, Pod: l.Pod, Alive: &s})
		w.publish()
		return nil, true
	}},
	{name: "another pod's key goes on with a session", by: "a sidecar's key", want: []Code{WrongPod}, level: Tampered, do: func(w *world, r *rand.Rand) ([]View, bool) {
		s, l, ok := w.aSegment(r, nil)
		p, _ := pick(r, w.pods)
		if !ok || p == s.pod {
			return nil, false
		}
		w.twin(s, l, func(n *recording.Head) {
			n.Attestation, n.Key, n.Segment = &p.key.att, recording.IDOf(p.key.priv.Public().(ed25519.PublicKey)), s.segment+1
		})
		return nil, true
	}},
	{name: "the next process goes on with a session and does not say that it is another", by: "a sidecar's key", want: []Code{KeyChanged}, level: Tampered, kinds: []string{"restarted", "alive"}, do: happened, hook: func(r *rand.Rand) hook {
		return once(r, func(s *gsession, h *recording.Head, records []byte) ([]byte, bool) {
			if !h.Recovered || h.Segment < 2 {
				return nil, false
			}
			h.Recovered, h.End = false, recording.EndNone
			return records, true
		})
	}},
}

// forge seals a session of its own with a key, and logs it.
func (w *world) forge(p *gpod, k *gkey, sealed, logged time.Time) bool {
	s := p.begin(sealed.Add(-time.Second))
	s.add(sealed, access.Event{Kind: access.EventClosed, Closed: &access.Closed{Reason: "Client"}})
	s.buf = s.enc.End(s.buf, sealed)
	s.seal(k, sealed, recording.EndComplete, false)
	p.ship(logged, true)
	w.publish()
	return true
}

// twin logs a second segment beside one, with a changed head.
func (w *world) twin(s *gsession, l *ledger.Leaf, change func(*recording.Head)) {
	h := headOf(l)
	h.Sealed = h.Sealed.Add(time.Millisecond)
	change(&h)
	seg := s.resealed(w.keyOf(h.Key).priv, s.records[headOf(l).Segment-1], func(n *recording.Head) { *n = h })
	name := s.name
	name.ID = h.Session
	b := seg.Append(nil)
	w.put(name.Segment(h.Segment), b)
	if s.id != nil {
		w.put(name.Key(), []byte(s.id.String()))
	}
	w.leafAt(l.Time.Add(time.Millisecond), ledger.Leaf{Kind: ledger.KindSealed, Pod: s.pod.pod, Sealed: &ledger.Sealed{
		Head: seg.Signed, Object: name.Segment(h.Segment), Stored: sha256.Sum256(b), Size: int64(len(b)),
	}})
	w.publish()
}

// turned turns the clock of one pod at some time.
func turned(r *rand.Rand, by time.Duration) hook {
	at := time.Duration(5+r.IntN(10)) * time.Minute
	return hook{clock: func(p *gpod, t time.Time) time.Time {
		if p.kind == "alive" && t.Sub(p.w.base) > at {
			return t.Add(by)
		}
		return t
	}}
}

// cheat is a case of a sidecar that seals other records than it wrote: changed in place, or others.
func cheat(name string, want []Code, in func(*rand.Rand, [][]byte) bool, other func(*rand.Rand, [][]byte) [][]byte) tamperCase {
	return tamperCase{name: name, by: "the sidecar", want: want, level: Tampered, do: happened, hook: func(r *rand.Rand) hook {
		return once(r, func(_ *gsession, _ *recording.Head, records []byte) ([]byte, bool) {
			all := cut(bytes.Clone(records))
			if in != nil && !in(r, all) {
				return nil, false
			}
			if other != nil {
				if all = other(r, all); all == nil {
					return nil, false
				}
			}
			return bytes.Join(all, nil), true
		})
	}}
}

// atEnd is a hook at a session's end mark.
func atEnd(r *rand.Rand, change func(*gsession, *recording.Head, [][]byte) [][]byte) hook {
	return once(r, func(s *gsession, h *recording.Head, records []byte) ([]byte, bool) {
		if h.End != recording.EndComplete {
			return nil, false
		}
		all := cut(bytes.Clone(records))
		return bytes.Join(change(s, h, all), nil), len(all) > 1
	})
}

// rechained changes records, and computes their checks and the chain anew.
func rechained(all [][]byte, change func(i int, record []byte), chain bool) []byte {
	var previous []byte
	for i, b := range all {
		change(i, b)
		if i > 0 && chain {
			copy(b[24:56], previous)
		}
		binary.BigEndian.PutUint32(b[56:], crc32.Checksum(b[:56], crc32.MakeTable(crc32.Castagnoli)))
		sum := sha256.Sum256(b[:len(b)-frameHash])
		copy(b[len(b)-frameHash:], sum[:])
		previous = sum[:]
	}
	return bytes.Join(all, nil)
}
