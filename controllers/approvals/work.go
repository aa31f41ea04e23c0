package approvals

import (
	"context"
	"errors"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

const (
	writeTimeout = 10 * time.Second
	firstRetry   = 250 * time.Millisecond
	lastRetry    = 10 * time.Second
)

// job is one write for one pod: a hold to create the request of, or a request to withdraw.
type job struct {
	pod      *pod
	hold     *hold
	object   *v1alpha1.AccessRequest
	withdraw *withdrawal
}

// next is the write whose turn it is: each pod has one at a time, and those with more to write wait behind the others.
func (d *Desk) next() *job {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.o.Now()
	for range len(d.ring) {
		p := d.ring[0]
		d.ring = d.ring[1:]
		if len(p.gone) == 0 && len(p.queue) == 0 {
			p.listed = false
			continue
		}
		d.ring = append(d.ring, p)
		if p.busy || now.Before(p.retry) {
			continue
		}
		if j := d.jobOf(p, now); j != nil {
			p.busy = true
			return j
		}
	}
	return nil
}

// jobOf is the next write for a pod, or nil while there is no room for one.
func (d *Desk) jobOf(p *pod, now time.Time) *job {
	for i, w := range p.gone {
		if _, unseen := p.fresh[w.key]; !unseen { // of what the cache does not have yet, it would be said that it is gone
			p.gone = slices.Delete(slices.Clone(p.gone), i, i+1)
			return &job{pod: p, withdraw: &w}
		}
	}
	for _, h := range slices.Clone(p.queue) {
		if of, grant := d.store.granted(p.Pod, h.ask, now); of != nil && h.stream != nil { // approved since it was asked
			d.grant(h.stream, h.ask.hold, of, grant)
			d.remove(h)
		}
	}
	if !d.room(p, now) {
		return nil
	}
	for _, h := range p.queue {
		if d.full(h.key.Namespace) || h.stream == nil {
			continue
		}
		object := h.ask.object(p.Pod, h.expires)
		object.Name = nameOf(object.Spec.Policy, p.UID, h.ask.dataSource, h.ask.hold, suffixes[h.tries])
		h.busy = true
		p.fresh[keyOf(object)] = now
		d.count(object.Namespace, 1)
		return &job{pod: p, hold: h, object: object}
	}
	return nil
}

func (d *Desk) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-d.jobs:
			d.do(ctx, j)
		}
	}
}

func (d *Desk) do(ctx context.Context, j *job) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if j.withdraw != nil {
		err := withdraw(ctx, d.o.Client, j.withdraw.key, j.withdraw.reason, d.o.Now())
		d.mu.Lock()
		defer d.mu.Unlock()
		if err != nil && ctx.Err() == nil {
			d.o.Log.Error(err, "an AccessRequest could not be withdrawn", "request", j.withdraw.key.String())
		}
		if err != nil && d.o.Now().Before(j.withdraw.until) {
			j.pod.gone = append(j.pod.gone, *j.withdraw)
		}
		d.done(j.pod, err)
		return
	}
	found, err := d.create(ctx, j)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.created(j, found, err)
	d.done(j.pod, err)
}

// errTaken says that the name is another request's.
var errTaken = errors.New("the name is taken")

// create makes the request, or finds it: it was asked for over another stream, or at another replica.
func (d *Desk) create(ctx context.Context, j *job) (*v1alpha1.AccessRequest, error) {
	err := d.o.Client.Create(ctx, j.object)
	if !apierrors.IsAlreadyExists(err) {
		return j.object, err
	}
	var found v1alpha1.AccessRequest
	if err := d.o.Client.Get(ctx, client.ObjectKeyFromObject(j.object), &found); err != nil {
		if apierrors.IsNotFound(err) {
			err = errors.New("not in the cache yet")
		}
		return nil, err
	}
	if !j.hold.ask.about(j.pod.Pod, &found) {
		return nil, errTaken
	}
	return &found, nil
}

// created takes note of what has become of a hold's request.
func (d *Desk) created(j *job, r *v1alpha1.AccessRequest, err error) {
	h, key := j.hold, keyOf(j.object)
	h.busy = false
	fresh := err == nil && d.store.requests[key] == nil
	if _, counted := j.pod.fresh[key]; counted && !fresh {
		delete(j.pod.fresh, key)
		d.count(key.Namespace, -1)
	}
	switch {
	case err == nil && r == j.object:
		j.pod.created = append(j.pod.created, d.o.Now())
		d.metrics.created.Inc()
		if now := d.store.requests[key]; now != nil { // answered already, perhaps
			r = now
		}
	case err == nil:
	case errors.Is(err, errTaken) && h.tries+1 < len(suffixes):
		h.tries++
	case errors.Is(err, errTaken), apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsForbidden(err), apierrors.IsNotFound(err):
		d.o.Log.Error(err, "an AccessRequest was refused", "request", key.String())
		d.metrics.refused.WithLabelValues("Cluster").Inc()
		d.settle(h, refused(h.ask.hold, "the cluster refused the AccessRequest: the operator's log says why"), outcomeRefused)
	default:
		d.o.Log.Error(err, "an AccessRequest could not be created", "request", key.String())
	}
	switch {
	case h.over:
	case h.left != "" && err == nil:
		d.withdraw(j.pod, keyOf(r), h.left, r.Spec.ExpiresAt.Time)
		d.remove(h)
	case h.left != "":
		d.remove(h)
	case err == nil:
		d.found(h, r)
	}
}

// done lets a pod have its next turn: later, if writes fail.
func (d *Desk) done(p *pod, err error) {
	p.busy = false
	if err == nil || errors.Is(err, errTaken) {
		p.tries, p.retry = 0, time.Time{}
	} else {
		p.retry = d.o.Now().Add(min(firstRetry<<min(p.tries, 6), lastRetry))
		p.tries++
		time.AfterFunc(p.retry.Sub(d.o.Now()), d.poke)
	}
	if len(p.gone) > 0 || len(p.queue) > 0 {
		d.list(p)
	}
	d.poke()
}
