package approvals

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// hold is something that waits at this replica.
type hold struct {
	ask     *ask
	pod     *pod
	key     types.NamespacedName // of the AccessRequest; no name: it waits for its turn
	expires time.Time
	stream  *Stream // that waits, nil if it has ended
	lost    time.Time
	tries   int  // of names that were taken
	busy    bool // it is being created
	left    string
	over    bool
}

// pod is what a desk knows of a pod that has asked.
type pod struct {
	Pod
	stream *Stream
	since  time.Time // of the stream
	holds  map[string]*hold
	queue  []*hold // whose turn it is first
	gone   []withdrawal

	fresh   map[types.NamespacedName]time.Time // created, and not in the cache yet
	created []time.Time                        // within window, the oldest first
	busy    bool                               // one write at a time
	listed  bool                               // in the ring
	tries   int                                // writes that failed in a row
	retry   time.Time                          // no write before
}

type withdrawal struct {
	key    types.NamespacedName
	reason string
	until  time.Time // it ends by itself
}

// podOf finds what is known of a pod, or begins it.
func (d *Desk) podOf(who Pod) *pod {
	p := d.pods[who.UID]
	if p == nil {
		p = &pod{Pod: who, holds: map[string]*hold{}, fresh: map[types.NamespacedName]time.Time{}}
		d.pods[who.UID] = p
	}
	return p
}

// list puts a pod into the ring, for its turn to write.
func (d *Desk) list(p *pod) {
	if !p.listed {
		p.listed = true
		d.ring = append(d.ring, p)
	}
	d.poke()
}

// remove forgets a hold.
func (d *Desk) remove(h *hold) {
	if h.over {
		return
	}
	h.over = true
	d.holds--
	delete(h.pod.holds, h.ask.hold)
	h.pod.queue = slices.DeleteFunc(h.pod.queue, func(q *hold) bool { return q == h })
	if d.waiting[h.key] == h {
		delete(d.waiting, h.key)
	}
	d.poke() // there is room for another
}

// named notes the AccessRequest that a hold waits for.
func (d *Desk) named(h *hold, r *v1alpha1.AccessRequest) {
	h.key, h.expires = keyOf(r), r.Spec.ExpiresAt.Time
	h.pod.queue = slices.DeleteFunc(h.pod.queue, func(q *hold) bool { return q == h })
	d.waiting[h.key] = h
	if h.stream != nil {
		h.stream.post(pending(h.ask.hold, h.key.Name, h.expires))
	}
}

// withdraw ends a request for which nobody waits, in the pod's turn.
func (d *Desk) withdraw(p *pod, key types.NamespacedName, reason string, until time.Time) {
	if slices.ContainsFunc(p.gone, func(w withdrawal) bool { return w.key == key }) {
		return
	}
	p.gone = append(p.gone, withdrawal{key, clip(reason, 512), until})
	d.list(p)
}

// leave ends a hold for which nobody waits any longer.
func (d *Desk) leave(h *hold, reason string) {
	switch {
	case h.busy: // whoever creates it withdraws it
		h.left, h.stream = reason, nil
	case h.key.Name != "":
		d.withdraw(h.pod, h.key, reason, h.expires)
		d.remove(h)
	default:
		d.remove(h)
	}
}

// room reports whether a pod may have one more open request now, ADR 0016 point 6. What other replicas have made for it is
// in the cache, what this one has just made perhaps not yet.
func (d *Desk) room(p *pod, now time.Time) bool {
	opened, made := d.store.ofPod(p.UID, now.Add(-window))
	for len(p.created) > 0 && now.Sub(p.created[0]) >= window {
		p.created = p.created[1:]
	}
	return opened+len(p.fresh) < maxOpen && max(made+len(p.fresh), len(p.created)) < maxCreated
}

// full reports whether a namespace holds as many requests as it may.
func (d *Desk) full(namespace string) bool {
	return d.store.perNamespace[namespace]+d.fresh[namespace] >= d.o.PerNamespace
}
