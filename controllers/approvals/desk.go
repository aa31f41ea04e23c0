package approvals

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

const (
	workers = 8 // writes to the API server at the same time
	tick    = time.Second
	// orphanEvery is how often it is looked for requests whose pod is gone.
	orphanEvery = 30 * time.Second
	// seenWithin is when what was created is in the cache, or never will be.
	seenWithin = 30 * time.Second
)

// Desk asks people for the sidecars whose streams this replica has. Its methods are safe for concurrent use and return at
// once. It is a manager.Runnable that every replica runs.
type Desk struct {
	o       Options
	metrics *metrics
	wake    chan struct{}
	jobs    chan *job
	synced  chan struct{}

	mu      sync.Mutex
	store   *store
	pods    map[types.UID]*pod
	ring    []*pod // those with something to write, whose turn it is first
	waiting map[types.NamespacedName]*hold
	given   map[types.NamespacedName]map[*Stream]bool
	fresh   map[string]int // created by this replica and not in the cache yet, by namespace
	holds   int
}

// New returns a Desk that writes nothing before Start.
func New(o Options) (*Desk, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	d := &Desk{
		o: o, wake: make(chan struct{}, 1), jobs: make(chan *job), synced: make(chan struct{}), store: newStore(),
		pods: map[types.UID]*pod{}, waiting: map[types.NamespacedName]*hold{},
		given: map[types.NamespacedName]map[*Stream]bool{}, fresh: map[string]int{},
	}
	d.metrics = newMetrics(o.Registerer, d)
	return d, nil
}

// NeedLeaderElection is false: any replica has sidecars that ask.
func (d *Desk) NeedLeaderElection() bool { return false }

// Synced is closed when the desk knows every request that there was at its start. Before that nobody is to ask: what was
// granted would be asked for again.
func (d *Desk) Synced() <-chan struct{} { return d.synced }

// Start works until ctx ends. The requests that are open then stay open: another replica goes on with them.
func (d *Desk) Start(ctx context.Context) error {
	if err := d.follow(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	close(d.synced)
	var running sync.WaitGroup
	defer running.Wait()
	for range workers {
		running.Go(func() { d.work(ctx) })
	}
	running.Go(func() { d.sweepAll(ctx) })
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.wake:
		}
		for j := d.next(); j != nil; j = d.next() {
			select {
			case d.jobs <- j:
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// follow takes in the AccessRequests that there are, and those that come.
func (d *Desk) follow(ctx context.Context) error {
	if _, err := d.o.Cache.GetInformer(ctx, &v1alpha1.AccessDecision{}); err != nil {
		return err
	}
	informer, err := d.o.Cache.GetInformer(ctx, &v1alpha1.AccessRequest{})
	if err != nil {
		return err
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    d.changed,
		UpdateFunc: func(_, after any) { d.changed(after) },
		DeleteFunc: d.deleted,
	})
	if err != nil {
		return err
	}
	if !toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return ctx.Err()
	}
	return nil
}

func (d *Desk) changed(obj any) {
	r, ok := obj.(*v1alpha1.AccessRequest)
	if !ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	key := keyOf(r)
	d.store.put(r)
	if by := r.Spec.Requester.Pod; by != nil {
		d.seen(types.UID(by.UID), key)
	}
	if !approved(r) {
		d.end(key)
	}
	if h := d.waiting[key]; h != nil {
		d.judge(h, r)
	}
	d.poke()
}

func (d *Desk) deleted(obj any) {
	if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	r, ok := obj.(*v1alpha1.AccessRequest)
	if !ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	key := keyOf(r)
	d.store.drop(key)
	if by := r.Spec.Requester.Pod; by != nil {
		d.seen(types.UID(by.UID), key)
	}
	d.end(key)
	if h := d.waiting[key]; h != nil {
		a := d.answerOf(h.ask.hold, r, outcomeWithdrawn, v1alpha1.ConditionWithdrawn)
		a.By, a.Reason = nil, "the request was deleted"
		d.settle(h, answer(a), outcomeWithdrawn)
	}
	d.poke()
}

// seen notes that the cache has what this replica has created.
func (d *Desk) seen(uid types.UID, key types.NamespacedName) {
	p := d.pods[uid]
	if p == nil {
		return
	}
	if _, ok := p.fresh[key]; ok {
		delete(p.fresh, key)
		d.count(key.Namespace, -1)
	}
}

func (d *Desk) count(namespace string, more int) {
	if d.fresh[namespace] += more; d.fresh[namespace] <= 0 {
		delete(d.fresh, namespace)
	}
}

// judge answers a hold if its request is over.
func (d *Desk) judge(h *hold, r *v1alpha1.AccessRequest) {
	if !h.ask.about(h.pod.Pod, r) { // it was deleted, and is another's by now
		d.settle(h, refused(h.ask.hold, "the AccessRequest is for something else by now"), outcomeRefused)
		return
	}
	out, condition, over := outcomeOf(r, d.o.Now())
	if !over {
		return
	}
	a := d.answerOf(h.ask.hold, r, out, condition)
	if out == outcomeApproved {
		a.Grant = likeGrant(r, h.pod.Pod, h.ask, d.o.Now())
		if h.stream != nil && (a.Grant != nil || h.ask.refuse) { // else it is used at once
			d.give(h.stream, keyOf(r))
		}
	}
	d.settle(h, answer(a), out)
}

// end takes back what was lent of a request.
func (d *Desk) end(key types.NamespacedName) {
	for s := range d.given[key] {
		s.post(grantEnd(key.Name))
		s.drop(key)
	}
	delete(d.given, key)
}

// give notes that a stream has an approval of a request. A stream that has too many loses its oldest: what could not be
// taken back must not be kept.
func (d *Desk) give(s *Stream, key types.NamespacedName) {
	if d.given[key][s] {
		return
	}
	if len(s.given) >= maxGiven {
		oldest := s.given[0]
		s.post(grantEnd(oldest.Name))
		s.drop(oldest)
		d.forget(s, oldest)
	}
	if d.given[key] == nil {
		d.given[key] = map[*Stream]bool{}
	}
	d.given[key][s] = true
	s.given = append(s.given, key)
}

func (d *Desk) forget(s *Stream, key types.NamespacedName) {
	if delete(d.given[key], s); len(d.given[key]) == 0 {
		delete(d.given, key)
	}
}

// settle ends a hold with an answer. Without a stream nobody hears it: whoever asks again finds it in the AccessRequest.
func (d *Desk) settle(h *hold, msg answerMessage, out outcome) {
	if h.stream != nil {
		h.stream.post(msg)
		d.metrics.answered.WithLabelValues(label(out)).Inc()
	}
	d.remove(h)
}

func (d *Desk) poke() {
	select {
	case d.wake <- struct{}{}:
	default: // any number of changes are one
	}
}
