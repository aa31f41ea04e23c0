package approvals

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

type answerMessage = *sidecarv1alpha1.ConnectResponse

// Stream is one sidecar's stream as the desk knows it. Its messages wait to be taken; they are no more than one question
// makes, and two for each hold and each approval, all of which are bounded.
type Stream struct {
	desk  *Desk
	pod   *pod
	ready chan struct{}
	// The rest belongs to the desk's lock.
	out    []*sidecarv1alpha1.ConnectResponse
	given  []types.NamespacedName // whose approval it has, the oldest first
	closed bool
}

// Open begins a stream of a pod. An earlier one of it has ended.
func (d *Desk) Open(who Pod) *Stream {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.podOf(who)
	s := &Stream{desk: d, pod: p, ready: make(chan struct{}, 1)}
	p.stream, p.since = s, d.o.Now()
	return s
}

// Ready has an element when there are messages to take.
func (s *Stream) Ready() <-chan struct{} { return s.ready }

// Take returns the messages that wait, in their order.
func (s *Stream) Take() []*sidecarv1alpha1.ConnectResponse {
	s.desk.mu.Lock()
	defer s.desk.mu.Unlock()
	out := s.out
	s.out = nil
	return out
}

// Close ends the stream. Its holds stay for a time, for the sidecar to come back, unless its pod is over.
func (s *Stream) Close(over bool) {
	d := s.desk
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.closed {
		return
	}
	s.closed, s.out = true, nil
	for _, key := range s.given {
		d.forget(s, key)
	}
	s.given = nil
	if s.pod.stream == s {
		s.pod.stream = nil
	}
	for _, h := range s.pod.all() {
		switch {
		case over:
			d.leave(h, "the pod is gone or has finished")
		case h.stream == s:
			h.stream, h.lost = nil, d.o.Now()
		}
	}
}

// Ask takes a question. The answer, and what comes before it, waits to be taken.
func (s *Stream) Ask(q Question) {
	d := s.desk
	a, err := read(q)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case s.closed:
	case err != nil:
		s.refuse(q.Message.GetHold(), err.Error(), "Question")
	default:
		d.ask(s, a)
	}
}

// Refuse answers a question that cannot even be asked.
func (s *Stream) Refuse(m *sidecarv1alpha1.ApprovalRequest, reason string) {
	s.desk.mu.Lock()
	defer s.desk.mu.Unlock()
	if !s.closed {
		s.refuse(m.GetHold(), reason, "Question")
	}
}

func (s *Stream) refuse(hold, reason, why string) {
	s.post(refused(hold, reason))
	s.desk.metrics.answered.WithLabelValues(label(outcomeRefused)).Inc()
	s.desk.metrics.refused.WithLabelValues(why).Inc()
}

// ask finds the answer, or the request that waits for it already, or has it wait for its turn to be asked.
func (d *Desk) ask(s *Stream, a *ask) {
	p, now := s.pod, d.o.Now()
	h, r := p.holds[a.hold], d.store.ofHold(p.UID, a.hold)
	if h != nil && !h.ask.same(a) || r != nil && !a.about(p.Pod, r) {
		s.refuse(a.hold, "the hold was used for another statement", "Question")
		return
	}
	if h != nil && h.left == "" {
		d.claim(h, s)
		return
	}
	if r == nil || open(r) {
		if of, grant := d.store.granted(p.Pod, a, now); of != nil {
			d.grant(s, a.hold, of, grant)
			if r != nil {
				d.withdraw(p, keyOf(r), "another request was approved for the like of it", r.Spec.ExpiresAt.Time)
			}
			return
		}
	}
	expires := now.Add(a.terms.timeout - a.waited)
	switch {
	case r == nil && !now.Before(expires):
		s.post(answer(&sidecarv1alpha1.ApprovalAnswer{Hold: a.hold, Outcome: outcomeExpired, Reason: "nobody answered in time"}))
		d.metrics.answered.WithLabelValues(label(outcomeExpired)).Inc()
		return
	case h != nil: // it is being created and withdrawn: the sidecar has changed its mind
		s.refuse(a.hold, "the request is being withdrawn", "Question")
		return
	case r == nil && len(p.queue) >= maxQueued:
		s.refuse(a.hold, "too many statements of this pod wait for their turn", "Queue")
		return
	case d.holds >= d.o.MaxHolds:
		s.refuse(a.hold, "too many statements wait at this replica of the operator", "Replica")
		return
	}
	h = &hold{ask: a, pod: p, key: types.NamespacedName{Namespace: a.dataSource.Namespace}, expires: expires, stream: s}
	d.holds++
	p.holds[a.hold] = h
	if r != nil {
		d.found(h, r)
		return
	}
	p.queue = append(p.queue, h)
	if !d.room(p, now) || len(p.queue) > 1 || d.full(h.key.Namespace) {
		s.post(pending(a.hold, "", expires))
	}
	d.list(p)
}

// found waits for a request that is there already, or answers by it.
func (d *Desk) found(h *hold, r *v1alpha1.AccessRequest) {
	if open(r) {
		d.named(h, r)
	} else {
		h.key = keyOf(r)
	}
	d.judge(h, r)
}

// claim makes a hold wait for another stream.
func (d *Desk) claim(h *hold, s *Stream) {
	h.stream, h.lost = s, time.Time{}
	s.post(pending(h.ask.hold, h.key.Name, h.expires))
}

// grant answers a hold by what was approved before.
func (d *Desk) grant(s *Stream, hold string, r *v1alpha1.AccessRequest, grant *sidecarv1alpha1.Grant) {
	if grant == nil {
		grant = accessGrant(r, d.o.Now())
	}
	a := d.answerOf(hold, r, outcomeApproved, v1alpha1.ConditionApproved)
	a.Grant = grant
	d.give(s, keyOf(r))
	s.post(answer(a))
	d.metrics.answered.WithLabelValues("Granted").Inc()
}

// same reports whether a hold is asked for again, and not used for something else.
func (a *ask) same(b *ask) bool {
	return a.dataSource == b.dataSource && a.digest == b.digest && a.parameters == b.parameters && a.session == b.session &&
		a.shapeKey == b.shapeKey && a.ruleKey == b.ruleKey && (a.exceeded == nil) == (b.exceeded == nil)
}

// Withdraw takes a question back.
func (s *Stream) Withdraw(m *sidecarv1alpha1.ApprovalWithdrawal) {
	d := s.desk
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.closed || !isHold(m.GetHold()) {
		return
	}
	reason := clip(m.GetReason(), 256)
	if reason == "" {
		reason = "nobody waits for it any longer"
	}
	if h := s.pod.holds[m.GetHold()]; h != nil {
		d.leave(h, reason)
	} else if r := d.store.ofHold(s.pod.UID, m.GetHold()); r != nil && open(r) { // asked over another stream
		d.withdraw(s.pod, keyOf(r), reason, r.Spec.ExpiresAt.Time)
	}
}

func (s *Stream) post(msg *sidecarv1alpha1.ConnectResponse) {
	if s.closed {
		return
	}
	s.out = append(s.out, msg)
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

func (s *Stream) drop(key types.NamespacedName) {
	s.given = slices.DeleteFunc(s.given, func(k types.NamespacedName) bool { return k == key })
}

// all are the pod's holds. The caller owns the slice.
func (p *pod) all() []*hold {
	out := make([]*hold, 0, len(p.holds))
	for _, h := range p.holds {
		out = append(out, h)
	}
	return out
}
