package audit

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/index"
	"github.com/tidewaiter/tidewaiter/recording/ledger"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// sealedLeaf takes a segment of the log.
func (v *verifier) sealedLeaf(ctx context.Context, p *pod, l *ledger.Sealed, w where) {
	w.object = l.Object
	if name, n, ok := store.ParseSegment(l.Object); ok {
		w.session, w.segment = name.ID, n
	}
	h, att, ok := v.signedHead(w, &l.Head)
	if !ok {
		return
	}
	delete(v.heads, sha256.Sum256(l.Head.Statement))
	name := store.Session{Namespace: p.namespace, UID: p.uid, ID: h.Session}
	if l.Object != name.Segment(h.Segment) {
		v.add(w.finding(WrongPlace, "segment %d of session %s of pod %s was logged under this name", h.Segment, h.Session, p))
	}
	w.session, w.segment = h.Session, h.Segment
	k := v.keyOf(p, &att, w)
	if k == nil {
		return
	}
	if h.Attestation != nil {
		v.sealedTimes(k, &h, &att, w)
	} else if !k.early {
		k.early = true
		v.add(w.finding(AttestedLater, "it was sealed at %s, and its key %s was attested at %s", utc(h.Sealed), short(k.id), utc(k.since)))
	}
	h.Attestation = nil // it was looked at, and is large
	v.believed(k, &h, w)
	v.serial(k, &h, &l.Head, w)
	fp := fingerprintOf(name)
	over, done := v.settled[fp]
	var s *session
	switch {
	case !done:
		if s = v.session(fp, name, p); s == nil {
			return
		}
		v.take(s, &h, w)
		s.logged = w.at
	case h.Segment > uint64(over.last):
		v.add(w.finding(SessionGoesOn, "the session was over with segment %d", over.last))
	}
	v.lookInto(ctx, s, name, &h, l, w)
	if s != nil && s.end != recording.EndNone && len(s.ahead) == 0 {
		v.settle(ctx, fp, s)
	}
}

// sealedTimes compares the sidecar's times with the operator's.
func (v *verifier) sealedTimes(k *key, h *recording.Head, att *recording.Attestation, w where) {
	switch {
	case h.Sealed.After(w.at.Add(Skew)):
		v.add(w.finding(Clock, "it was sealed at %s by the sidecar's clock, and logged at %s by the operator's", utc(h.Sealed), utc(w.at)))
	case h.Sealed.Add(Skew).Before(att.Time):
		v.add(w.finding(Clock, "it was sealed at %s by the sidecar's clock, and its key was attested at %s by the operator's", utc(h.Sealed), utc(att.Time)))
	case !h.Recovered && !k.early && h.From.Add(Skew).Before(k.since):
		v.add(w.finding(Clock, "its first record is of %s by the sidecar's clock, and its key was first attested at %s by the operator's", utc(h.From), utc(k.since)))
	}
}

// session returns the session that goes on; nil where there are too many.
func (v *verifier) session(fp fingerprint, name store.Session, p *pod) *session {
	s := v.live[fp]
	if s == nil {
		if len(v.live) >= MaxLive {
			v.fail(fmt.Errorf("more than %d sessions have no end", MaxLive))
			return nil
		}
		s = &session{name: name, pod: p.String(), chain: genesis, counts: counts{claimedEvents: -1}}
		v.live[fp] = s
	}
	return s
}

// lookInto has a worker read the segment, if it is in scope.
func (v *verifier) lookInto(ctx context.Context, s *session, name store.Session, h *recording.Head, l *ledger.Sealed, w where) {
	if !v.wanted(h) {
		if s != nil {
			s.skipped = true
		}
		return
	}
	if !v.found[name.ID] || s != nil && !s.counted {
		v.found[name.ID], v.podsIn[w.pod] = true, true
		v.count(func(sum *Summary) { sum.Sessions++ })
	}
	if s != nil {
		s.counted = true
		s.jobs.Add(1)
	}
	v.jobs <- func() {
		out, err := v.segment(ctx, name, l, w)
		v.fail(err)
		if out.missing != "" {
			v.absent(v.missing, fingerprintOf(name), absent{code: out.missing, w: w})
		}
		if s != nil {
			s.mu.Lock()
			s.counts.add(out.counts)
			s.unread = s.unread || !out.read
			s.mu.Unlock()
			s.jobs.Done()
		}
	}
}

// absent remembers the first that is missing of each session: the log may say later that this is in order.
func (v *verifier) absent(in map[fingerprint]absent, fp fingerprint, a absent) {
	v.missMu.Lock()
	defer v.missMu.Unlock()
	was, ok := in[fp]
	if !ok || a.code == ObjectMissing && was.code == KeyMissing || a.code == was.code && a.w.segment < was.w.segment {
		a.count = was.count
		was = a
	}
	was.count++
	in[fp] = was
}

// segment reads one segment and all that is in it.
func (v *verifier) segment(ctx context.Context, name store.Session, l *ledger.Sealed, w where) (opened, error) {
	v.count(func(s *Summary) { s.Segments++ })
	out := opened{counts: counts{claimedEvents: -1}}
	seg, missing, err := v.stored(ctx, w, &l.Head, l.Stored, l.Size)
	if seg == nil {
		out.missing = missing
		return out, err
	}
	if seg.Kind != recording.BodyEncrypted {
		return v.content(w, seg, nil), nil
	}
	id, err := v.Source.Identity(ctx, name)
	switch _, decrypts := v.Source.(store.Stored); {
	case errors.Is(err, store.ErrErased):
		out.missing = KeyMissing
		return out, nil
	case errors.Is(err, store.ErrNoUnwrapper), err == nil && id == nil && !decrypts:
		v.count(func(s *Summary) { s.Unopened++ })
		return out, nil
	case ctx.Err() != nil:
		return out, ctx.Err()
	case err != nil:
		f := w.finding(ContentUnread, "the session's key cannot be had: %v", err)
		f.Severity, f.Cause = Incomplete, "the key's object was changed, or whoever unwraps keys cannot be reached or refuses"
		v.add(f)
		return out, nil
	case id == nil:
		if seg, err = v.decrypted(ctx, w, seg); seg == nil {
			return out, err
		}
	}
	return v.content(w, seg, id), nil
}

// decrypted has the source decrypt a segment, which is believed only under the head that was logged.
func (v *verifier) decrypted(ctx context.Context, w where, stored *recording.Segment) (*recording.Segment, error) {
	r, err := v.Source.Open(ctx, w.object)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.object, err)
	}
	defer r.Close()
	s, err := recording.ReadSegment(r)
	if err != nil || s.Kind == recording.BodyEncrypted || string(s.Signed.Statement) != string(stored.Signed.Statement) {
		v.add(w.finding(BodyChanged, "what the operator decrypted is not the segment that is stored"))
		return nil, nil
	}
	return s, nil
}

// settle forgets a session that is over, but for its last number, once its segments have been read.
func (v *verifier) settle(ctx context.Context, fp fingerprint, s *session) {
	v.settled[fp] = settled{last: uint32(min(s.segment, 1<<32-1)), at: s.logged.Unix()}
	delete(v.live, fp)
	v.jobs <- func() { v.whole(ctx, fp, s) }
}

// whole checks what is known of a session only when all its segments have been read.
func (v *verifier) whole(ctx context.Context, fp fingerprint, s *session) {
	s.jobs.Wait()
	w := where{pod: s.pod, session: s.name.ID, segment: s.segment, at: s.logged}
	c := &s.counts
	read := !s.skipped && !s.unread
	if read && s.end == recording.EndComplete && (c.claimedEvents != c.events || c.claimedSignatures != c.signatures) {
		v.add(w.finding(EndMarkWrong, "the end mark counts %d events and %d signatures, but %d and %d are there", c.claimedEvents, c.claimedSignatures, c.events, c.signatures))
	}
	if s.counted {
		v.fail(v.indexed(ctx, fp, s, read, w))
	}
}

// maxEntry is the largest entry of the index that is read.
const maxEntry = 1 << 20

// readEntry is not ok where it is no entry, which whoever writes to the store can have done.
func readEntry(b []byte) (e index.Entry, ok bool) {
	err := json.Unmarshal(b, &e)
	return e, err == nil
}

// indexed compares a session with its entry in the index.
func (v *verifier) indexed(ctx context.Context, fp fingerprint, s *session, read bool, w where) error {
	w.segment, w.object = 0, s.name.Entry(s.began)
	b, err := object(ctx, v.Source, w.object, maxEntry)
	if errors.Is(err, store.ErrNotFound) {
		if v.Now.Sub(s.logged) > Grace {
			v.absent(v.noIndex, fp, absent{w: w})
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", w.object, err)
	}
	e, ok := readEntry(b)
	if !ok {
		v.add(w.finding(IndexWrong, "the entry cannot be read"))
		return nil
	}
	c := &s.counts
	switch {
	case e.Session != s.name.ID || e.Namespace != s.name.Namespace || e.UID != s.name.UID || e.DataSource != s.source:
		v.add(w.finding(IndexWrong, "the entry is of another session, pod or data source"))
	case e.Segments > s.segment || e.Segments == s.segment && e.Chain != s.chain:
		v.add(w.finding(IndexWrong, "the entry says %d segments with another chain than the %d in the log", e.Segments, s.segment))
	case e.Segments < s.segment && v.Now.Sub(s.logged) > Grace:
		v.add(w.finding(IndexWrong, "the entry knows %d segments of %d", e.Segments, s.segment))
	case read && e.Segments == s.segment && (e.Statements != c.statements || e.Denied != c.denied || e.Held != c.held || e.Masked != c.masked || e.Rows != c.rows || e.Bytes != c.size || e.Alarms != c.alarms):
		v.add(w.finding(IndexWrong, "the entry counts other statements, rows or alarms than are recorded: %d statements, %d denied, %d rows", c.statements, c.denied, c.rows))
	}
	return nil
}
