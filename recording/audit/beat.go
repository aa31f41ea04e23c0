package audit

import (
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/recording"
)

// beats is what heartbeats of a key have said.
type beats struct {
	number  uint64 // the highest
	digest  recording.Hash
	claimed uint64 // segments
	time    time.Time
	leaf    time.Time // when the last was logged
	every   time.Duration
	missing []span // numbers that did not come
	waiting []claim
	silent  bool // the recorder had failed, and that was said
}

type span struct{ from, to uint64 }

// claim is what a heartbeat says of segments.
type claim struct {
	serial uint64
	sum    recording.Hash
	w      where
}

// defaultEvery is how often heartbeats are expected before one has said it.
const defaultEvery = time.Minute

// maxEvery bounds what a heartbeat may say: a sidecar must not excuse itself for days.
const maxEvery = 10 * time.Minute

// missed is how many heartbeats may fail to come before that is called silence.
const missed = 3

func (b *beats) interval() time.Duration {
	if b.every <= 0 {
		return defaultEvery
	}
	return min(b.every, maxEvery)
}

// beat takes a heartbeat.
func (v *verifier) beat(k *key, h *recording.Heartbeat, digest recording.Hash, w where) {
	b := &k.beats
	switch {
	case h.Number == b.number && digest == b.digest:
		return
	case h.Number == b.number:
		v.add(w.finding(HeartbeatReused, "two different heartbeats have the number %d", h.Number))
		return
	case h.Number < b.number:
		v.lateBeat(k, h, w)
		return
	}
	if !k.ended.IsZero() && h.Time.After(k.ended.Add(Skew)) {
		v.add(w.finding(AfterEnd, "a heartbeat of key %s is of %s, and %s at %s", short(k.id), utc(h.Time), k.how, utc(k.ended)))
	}
	if h.Number > b.number+1 && len(b.missing) < maxWaiting {
		b.missing = append(b.missing, span{b.number + 1, h.Number - 1})
	}
	v.beatTimes(k, h, w)
	if h.Sealed < b.claimed {
		v.add(w.finding(SumMismatch, "the heartbeat counts %d segments, and the one before it %d", h.Sealed, b.claimed))
	}
	if !h.Recording && !b.silent {
		v.add(w.finding(NotRecording, "the sidecar says that it does not record everything, since %s at the latest", utc(h.Time)))
	}
	b.number, b.digest, b.claimed, b.time, b.leaf, b.every, b.silent = h.Number, digest, max(h.Sealed, b.claimed), h.Time, w.at, time.Duration(h.Every)*time.Second, !h.Recording
	if len(b.waiting) < maxWaiting {
		b.waiting = append(b.waiting, claim{h.Sealed, h.Sum, w})
	} else {
		v.add(w.finding(Lost, "%d segments of key %s have not arrived, that heartbeats had counted", h.Sealed-k.done, short(k.id)))
		b.waiting = append(b.waiting[1:], claim{h.Sealed, h.Sum, w})
	}
	v.settleBeats(k)
	if h.Last {
		k.final = true
		k.end(endLast, w.at)
	}
}

// lateBeat takes one that came after a later one, as it happens between two replicas.
func (v *verifier) lateBeat(k *key, h *recording.Heartbeat, w where) {
	b := &k.beats
	for i, m := range b.missing {
		if h.Number < m.from || h.Number > m.to {
			continue
		}
		b.missing = slices.Delete(b.missing, i, i+1)
		if h.Number < m.to {
			b.missing = slices.Insert(b.missing, i, span{h.Number + 1, m.to})
		}
		if m.from < h.Number {
			b.missing = slices.Insert(b.missing, i, span{m.from, h.Number - 1})
		}
		return
	}
	if w.at.Sub(b.leaf) > Grace {
		v.add(w.finding(HeartbeatReused, "heartbeat %d comes again, after number %d", h.Number, b.number))
	}
}

// beatTimes compares the sidecar's clock with the operator's, and looks for silence.
func (v *verifier) beatTimes(k *key, h *recording.Heartbeat, w where) {
	b := &k.beats
	before := b.leaf
	if before.IsZero() {
		before = k.since
	}
	gap := w.at.Sub(before)
	live := gap <= missed*b.interval()
	if !live {
		v.silence(k, before, w.at, w)
	}
	switch behind := w.at.Sub(h.Time); {
	case h.Time.Before(b.time):
		v.add(w.finding(Clock, "heartbeat %d is of %s, and the one before it of %s: the clock was turned back", h.Number, utc(h.Time), utc(b.time)))
	case behind < -Skew:
		v.add(w.finding(Clock, "the sidecar's clock was %s ahead of the operator's", (-behind).Round(time.Second)))
	case behind > Skew && live:
		v.add(w.finding(Clock, "the sidecar's clock was %s behind the operator's", behind.Round(time.Second)))
	}
}

func (v *verifier) silence(k *key, from, to time.Time, w where) {
	if to.Before(v.Scope.Since) || !v.Scope.Until.IsZero() && from.After(v.Scope.Until) {
		return
	}
	f := w.finding(Silent, "no heartbeat from %s to %s (%s), where one is due each %s", utc(from), utc(to), to.Sub(from).Round(time.Second), k.beats.interval())
	f.From, f.To = &from, &to
	v.add(f)
}

// settleBeats compares what heartbeats have claimed with the segments that are there by now.
func (v *verifier) settleBeats(k *key) {
	b := &k.beats
	for len(b.waiting) > 0 && b.waiting[0].serial <= k.done {
		c := b.waiting[0]
		b.waiting = b.waiting[1:]
		sum, ok := k.sumAt(c.serial)
		switch {
		case ok && k.known && sum != c.sum:
			v.add(c.w.finding(SumMismatch, "the heartbeat's sum over the first %d segments of key %s is not that of the segments in the log", c.serial, short(k.id)))
			k.known = false
		case c.serial == k.done:
			k.sum, k.known = c.sum, true // from here on it is known again after a hole
			if n := len(k.recent); n > 0 && k.recent[n-1].serial == k.done {
				k.recent[n-1].sum = c.sum
			}
		}
		for len(k.recent) > 1 && k.recent[0].serial < c.serial && len(k.recent) > 64 {
			k.recent = k.recent[1:]
		}
	}
}

// sumAt is the running hash after a serial.
func (k *key) sumAt(serial uint64) (recording.Hash, bool) {
	if serial == 0 {
		return recording.Hash{}, true
	}
	for i := len(k.recent) - 1; i >= 0; i-- {
		if k.recent[i].serial == serial {
			return k.recent[i].sum, true
		}
	}
	return recording.Hash{}, false
}
