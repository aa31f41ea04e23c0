package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// finishKeys says what is missing of keys at the end of the log.
func (v *verifier) finishKeys() {
	alive := false
	for _, k := range v.keys {
		for len(k.ahead) > 0 {
			v.skipSerials(k)
		}
		w := where{pod: k.pod.String(), at: v.last}
		if !k.logged {
			v.add(w.finding(KeyNotAttested, "the log has segments of key %s, and not its attestation", short(k.id)))
		}
		for _, m := range k.beats.missing {
			v.add(w.finding(HeartbeatGap, "%s, of key %s", missing("heartbeat", m.from, m.to), short(k.id)))
		}
		v.unshipped(k)
		if !k.ended.IsZero() {
			continue
		}
		alive = true
		before := k.beats.leaf
		if before.IsZero() {
			before = k.since
		}
		if v.last.Sub(before) > missed*k.beats.interval()+Skew {
			v.silence(k, before, v.last, w)
		}
	}
	if quiet := v.Now.Sub(v.last); alive && quiet > Grace && (v.Scope.Until.IsZero() || v.Scope.Until.After(v.last)) {
		v.add(Finding{Code: LogStale, What: fmt.Sprintf("the last leaf is of %s, and by the log there are sidecars that should live", utc(v.last))})
	}
}

// unshipped says which segments heartbeats have counted that are not there.
func (v *verifier) unshipped(k *key) {
	if k.beats.claimed <= k.done || len(k.beats.waiting) == 0 {
		return
	}
	w := k.beats.waiting[0].w
	f := w.finding(Lost, "%s of key %s, by the sidecar's own heartbeats", missing("segment", k.done+1, k.beats.claimed), short(k.id))
	if v.late(k, w.at) == Unshipped {
		f.Code = Unshipped
	}
	v.add(f)
}

// finishSessions says which sessions have no end that should have one.
func (v *verifier) finishSessions(ctx context.Context) {
	for fp, s := range v.live {
		v.skip(s)
		w := where{pod: s.pod, session: s.name.ID, segment: s.segment, at: s.logged}
		k := v.keys[s.key]
		switch {
		case s.end != recording.EndNone:
		case k == nil || !k.pod.gone.IsZero() || k.final || !k.ended.IsZero() && v.last.Sub(k.ended) > Grace:
			how := "its key is unknown"
			if k != nil {
				how = k.how + " at " + utc(k.ended)
			}
			v.add(w.finding(Unfinished, "the session has no end after record %d, and %s", s.seq, how))
		case s.counted:
			v.count(func(sum *Summary) { sum.Running++ })
		}
		v.jobs <- func() { v.whole(ctx, fp, s) }
	}
}

// erasures checks that keys of erased sessions are gone.
func (v *verifier) erasures(ctx context.Context) error {
	for _, w := range v.erased {
		name := v.names[w.session+"\n"+w.pod]
		if len(v.Scope.Sessions) > 0 && !slices.Contains(v.Scope.Sessions, name.ID) {
			continue
		}
		fp := fingerprintOf(name)
		_, known := v.settled[fp]
		if !known && v.live[fp] == nil {
			f := w.finding(EraseUnfinished, "the log has no segment of the session that was erased")
			f.Severity, f.Cause = Note, "nothing of it had been logged"
			v.add(f)
			continue
		}
		id, err := v.Source.Identity(ctx, name)
		switch _, decrypts := v.Source.(store.Stored); {
		case errors.Is(err, store.ErrErased), errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrNoUnwrapper):
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil, id != nil, decrypts:
			v.add(w.finding(EraseUnfinished, "the session was erased, and its key is in the store"))
		}
	}
	return nil
}

// strangers looks for objects in the store that the log does not know.
func (v *verifier) strangers(ctx context.Context) error {
	for o, err := range v.Source.List(ctx, store.Recordings) {
		if err != nil {
			return fmt.Errorf("listing %s: %w", store.Recordings, err)
		}
		name, n, ok := store.ParseSegment(o.Name)
		w := where{object: o.Name, session: name.ID, segment: n, pod: name.Namespace + "/" + name.UID}
		if p := v.pods[w.pod]; p != nil {
			w.pod = p.String()
		}
		switch {
		case !ok:
			v.add(where{object: o.Name}.finding(StrangeObject, "the object has no name of a segment"))
			continue
		case len(v.Scope.Sessions) > 0 && !slices.Contains(v.Scope.Sessions, name.ID), v.logged(name, n):
			continue
		case o.Time.After(v.Now.Add(-Grace)) && !o.Time.After(v.Now.Add(Skew)):
			continue // its leaf may be on its way
		case o.Time.Before(v.Scope.Since), !v.Scope.Until.IsZero() && o.Time.After(v.Scope.Until):
			continue
		}
		v.found[name.ID] = true
		v.add(w.finding(NotInLog, "the object was stored at %s, and the log has no leaf for it", utc(o.Time)))
	}
	return nil
}

// logged reports whether the log has the segment.
func (v *verifier) logged(name store.Session, n uint64) bool {
	fp := fingerprintOf(name)
	if over, ok := v.settled[fp]; ok {
		return n <= uint64(over.last)
	}
	s := v.live[fp]
	return s != nil && n <= s.segment
}
