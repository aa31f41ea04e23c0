package approvals

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// sweepAll ends what time ends.
func (d *Desk) sweepAll(ctx context.Context) {
	every := time.NewTicker(tick)
	defer every.Stop()
	orphans := time.NewTicker(min(orphanEvery, d.o.Patience))
	defer orphans.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			for _, h := range d.sweep() {
				d.abandon(ctx, h)
			}
		case <-orphans.C:
			d.orphans(ctx)
		}
	}
}

// sweep ends holds whose time is over, and returns those that have been without a stream for too long.
func (d *Desk) sweep() []*hold {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.o.Now()
	var lost []*hold
	for uid, p := range d.pods {
		for _, h := range p.all() {
			switch {
			case h.busy:
			// The leader writes that a request has expired; when it is not there, time goes on.
			case h.key.Name == "" && !now.Before(h.expires), now.After(h.expires.Add(2 * tick)):
				d.settle(h, answer(&sidecarv1alpha1.ApprovalAnswer{
					Hold: h.ask.hold, Name: h.key.Name, Outcome: outcomeExpired, Reason: "nobody answered in time",
				}), outcomeExpired)
			case h.stream == nil && now.Sub(h.lost) >= d.o.Patience:
				lost = append(lost, h)
			}
		}
		for key, at := range p.fresh {
			if now.Sub(at) > seenWithin {
				delete(p.fresh, key)
				d.count(key.Namespace, -1)
			}
		}
		for len(p.created) > 0 && now.Sub(p.created[0]) >= window {
			p.created = p.created[1:]
		}
		if p.stream == nil && !p.busy && !p.listed && len(p.holds)+len(p.fresh)+len(p.created)+len(p.gone) == 0 {
			delete(d.pods, uid)
		}
	}
	d.poke() // the pods whose creations are no longer recent have room
	return lost
}

// abandon ends a hold whose sidecar has not come back.
func (d *Desk) abandon(ctx context.Context, h *hold) {
	d.mu.Lock()
	here := h.pod.stream != nil
	d.mu.Unlock()
	elsewhere := !here && d.o.Served(ctx, h.pod.Pod, h.ask.dataSource)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case h.over || h.stream != nil:
	case elsewhere:
		h.lost = d.o.Now() // that replica has the hold; should it be lost there too, it is found out here
	default:
		d.leave(h, "the sidecar has gone and did not come back")
	}
}

// orphan is an open request for which nobody here waits.
type orphan struct {
	key     types.NamespacedName
	pod     Pod
	expires time.Time
	here    bool // its pod has a stream here, and has not asked for it again
}

// orphans withdraws open requests of pods that are gone, also those that were asked at replicas that are gone, and of sidecars
// that have started anew and know nothing of them.
func (d *Desk) orphans(ctx context.Context) {
	for _, o := range d.unclaimed() {
		reason := "the sidecar has started anew and does not wait for it"
		if !o.here {
			if !d.gone(ctx, o.pod) {
				continue
			}
			reason = "the pod is gone or has finished"
		}
		d.mu.Lock()
		if r := d.store.requests[o.key]; r != nil && open(r) && d.waiting[o.key] == nil {
			d.withdraw(d.podOf(o.pod), o.key, reason, o.expires)
		}
		d.mu.Unlock()
	}
}

func (d *Desk) unclaimed() []orphan {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []orphan
	now := d.o.Now()
	for uid, keys := range d.store.byPod {
		p := d.pods[uid]
		here := p != nil && p.stream != nil && now.Sub(p.since) >= d.o.Patience
		for key := range keys {
			r := d.store.requests[key]
			if open(r) && d.waiting[key] == nil && now.Sub(r.CreationTimestamp.Time) >= d.o.Patience && (p == nil || p.holds[r.Spec.Statement.Hold] == nil) {
				out = append(out, orphan{key, podOfRequest(r), r.Spec.ExpiresAt.Time, here})
			}
		}
	}
	return out
}

func podOfRequest(r *v1alpha1.AccessRequest) Pod {
	by := &r.Spec.Requester
	return Pod{Namespace: by.Namespace, Name: string(by.Pod.Name), UID: types.UID(by.Pod.UID), ServiceAccount: string(by.ServiceAccount)}
}

// gone reports whether a pod is. One that cannot be looked up is not.
func (d *Desk) gone(ctx context.Context, who Pod) bool {
	var found corev1.Pod
	err := d.o.Cache.Get(ctx, types.NamespacedName{Namespace: who.Namespace, Name: who.Name}, &found, client.UnsafeDisableDeepCopy)
	if err != nil {
		return apierrors.IsNotFound(err)
	}
	return found.UID != who.UID || found.Status.Phase == corev1.PodSucceeded || found.Status.Phase == corev1.PodFailed
}
