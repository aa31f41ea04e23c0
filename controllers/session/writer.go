package session

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// Options of a Writer. What is left out has a default.
type Options struct {
	// Client writes Sessions, and reads them from a cache.
	Client client.Client
	// Replica names this process among the operator's replicas: its pod's name.
	Replica string
	// Rate and Burst of the breaker, in calls to the API server: 50 a second, 300.
	Rate, Burst float64
	// PerNamespace is how many Sessions a namespace may hold: 1,000.
	PerNamespace int
	// Max bounds the Sessions that this replica keeps: 20,000.
	Max int
	// Refresh is how often numbers are written: every minute.
	Refresh time.Duration
	// Grace is how long a sidecar may be without a stream before it is Lost: 15 s.
	Grace time.Duration
	// Events gets a warning for each Session with new alarms; nil: nobody is told.
	Events events.EventRecorder
	// Log gets what fails.
	Log logr.Logger
	// Registerer gets the metrics.
	Registerer prometheus.Registerer
	// Now is the clock.
	Now func() time.Time
}

func (o *Options) defaults() {
	o.Rate, o.Burst = cmp.Or(o.Rate, 50), cmp.Or(o.Burst, 300)
	o.PerNamespace, o.Max = cmp.Or(o.PerNamespace, 1000), cmp.Or(o.Max, 20000)
	o.Refresh, o.Grace = cmp.Or(o.Refresh, time.Minute), cmp.Or(o.Grace, 15*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
}

// workers is how many Sessions are written at the same time.
const workers = 8

// Writer writes the Sessions of the sidecars whose streams this replica holds. Its
// methods return at once and are safe for concurrent use.
type Writer struct {
	o       Options
	iv      intervals
	breaker *breaker
	cap     *allotment
	metrics *metrics
	wake    chan struct{}

	mu      sync.Mutex
	entries map[key]*entry
}

// NewWriter returns a Writer that writes nothing before Start.
func NewWriter(o Options) *Writer {
	o.defaults()
	w := &Writer{
		o:       o,
		iv:      intervals{refresh: o.Refresh, flap: 10 * time.Second, patience: 3 * time.Second, grace: o.Grace},
		breaker: newBreaker(o.Rate, o.Burst, o.Now()),
		cap:     newAllotment(o.Client, o.PerNamespace, o.Now),
		wake:    make(chan struct{}, 1),
		entries: map[key]*entry{},
	}
	w.metrics = newMetrics(o.Registerer, w)
	return w
}

// Update says how a Session is now. The policies are sorted by name.
func (w *Writer) Update(who Who, status v1alpha1.SessionStatus) {
	status.Replica = w.o.Replica
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.entries[who.key()]
	if e == nil {
		if len(w.entries) >= w.o.Max {
			w.metrics.dropped.WithLabelValues("TooMany").Inc()
			return
		}
		e = &entry{who: who, first: w.o.Now(), checkedAt: w.o.Now()}
		w.entries[who.key()] = e
	}
	e.detachedAt, e.leaving = time.Time{}, false
	w.want(e, status)
}

// want sets the status and wakes the loop if that cannot wait.
func (w *Writer) want(e *entry, status v1alpha1.SessionStatus) {
	if equality.Semantic.DeepEqual(e.wanted, status) {
		return
	}
	_, before := e.due(w.iv)
	e.wanted = status
	if _, after := e.due(w.iv); after {
		if !before {
			e.since = w.o.Now()
		}
		w.poke()
	}
}

// Detach says that the sidecar's stream ended while its pod is still there. If no
// stream comes back, here or at another replica, the Session is Lost.
func (w *Writer) Detach(who Who) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.entries[who.key()]; e != nil {
		e.detachedAt = w.o.Now()
	}
}

// Recorded says where the latest recording of a Session is, its chain's last hash, and where in the log it is, if that is known. How the
// Session is stays as it was.
func (w *Writer) Recorded(who Who, uri, chainHead string, logIndex *int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.entries[who.key()]; e != nil {
		status := e.wanted
		status.Recording, status.ChainHead, status.LogIndex = uri, chainHead, logIndex
		w.want(e, status)
	}
}

// End says that the pod is gone or has finished, or uses the DataSource no more.
func (w *Writer) End(who Who, message string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.entries[who.key()]
	if e == nil {
		return
	}
	if e.written == nil { // never seen by anybody: nothing to end
		delete(w.entries, who.key())
		return
	}
	status := e.wanted
	status.State, status.Connections, status.Message = v1alpha1.SessionEnded, 0, message
	status.EndedAt = metaTime(w.o.Now())
	w.want(e, status)
	e.leaving = true
}

func (w *Writer) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// NeedLeaderElection is false: every replica writes for the streams that it holds.
func (w *Writer) NeedLeaderElection() bool { return false }

// Start writes until ctx ends.
func (w *Writer) Start(ctx context.Context) error {
	const look = 500 * time.Millisecond
	timer := time.NewTimer(look)
	defer timer.Stop()
	for ctx.Err() == nil {
		if batch := w.take(); len(batch) > 0 {
			w.write(ctx, batch)
			continue
		}
		timer.Reset(look)
		select {
		case <-ctx.Done():
		case <-w.wake:
		case <-timer.C:
		}
	}
	return nil
}

// job is one Session to write, copied out of its entry.
type job struct {
	e      *entry // who and name are read without the lock: only the loop writes them
	status v1alpha1.SessionStatus
}

// take returns what is to be written now and may be, the urgent first and among
// those the longest waiting.
func (w *Writer) take() []job {
	now := w.o.Now()
	type candidate struct {
		e      *entry
		at     time.Time
		urgent bool
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var ready []candidate
	for k, e := range w.entries {
		if w.settle(k, e, now) {
			continue
		}
		if at, urgent := e.due(w.iv); urgent || !at.IsZero() {
			if !at.After(now) {
				ready = append(ready, candidate{e, at, urgent})
			}
		}
	}
	slices.SortFunc(ready, func(a, b candidate) int {
		if a.urgent != b.urgent {
			if a.urgent {
				return -1
			}
			return 1
		}
		return a.at.Compare(b.at)
	})
	const batch = 64
	var jobs []job
	for _, c := range ready {
		if len(jobs) == batch || !w.breaker.take(c.e.cost(), c.urgent, now) {
			break
		}
		jobs = append(jobs, job{c.e, *c.e.wanted.DeepCopy()})
	}
	w.metrics.waiting.Set(float64(len(ready) - len(jobs)))
	return jobs
}

// settle turns an entry whose stream is long gone into a lost one, and looks once a
// refresh whether others have changed what was written. True means that the entry
// is gone.
func (w *Writer) settle(k key, e *entry, now time.Time) bool {
	gone := !e.detachedAt.IsZero() && now.Sub(e.detachedAt) >= w.iv.grace && !e.leaving
	if !gone && now.Sub(e.checkedAt) < w.iv.refresh {
		return false
	}
	e.checkedAt = now
	found := w.cached(e)
	if !gone {
		if e.written != nil && !found.mine(w.o.Replica, e.written.State) {
			e.written, e.name, e.since = nil, "", now
		}
		return false
	}
	// What was cut off stays so: it did not lose contact, it was sent away.
	revoked := e.wanted.State == v1alpha1.SessionRevoked && e.written != nil && e.written.State == v1alpha1.SessionRevoked
	if e.written == nil || revoked || found.elsewhere(w.o.Replica) {
		delete(w.entries, k)
		return true
	}
	status := e.wanted
	status.State, status.Connections = v1alpha1.SessionLost, 0
	status.Message = "the sidecar has lost contact; it refuses new connections when its lease ends"
	e.wanted, e.leaving, e.since = status, true, now
	return false
}

// write writes a batch and waits for it.
func (w *Writer) write(ctx context.Context, batch []job) {
	queue := make(chan job)
	var wg sync.WaitGroup
	for range min(workers, len(batch)) {
		wg.Go(func() {
			for j := range queue {
				w.done(j, w.put(ctx, j))
			}
		})
	}
	for _, j := range batch {
		queue <- j
	}
	close(queue)
	wg.Wait()
}

// done notes the outcome.
func (w *Writer) done(j job, out outcome) {
	now := w.o.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	e := j.e
	w.metrics.writes.WithLabelValues(out.result).Inc()
	if out.err != nil {
		e.failures = min(e.failures+1, 7)
		e.notBefore = now.Add(time.Second << (e.failures - 1))
		if out.wait > 0 {
			e.notBefore = now.Add(out.wait)
		}
		if out.forget {
			e.name, e.written = "", nil
		}
		if e.leaving && (out.forget || e.failures > 5) {
			w.drop(e)
		}
		return
	}
	e.name, e.failures, e.notBefore = out.name, 0, time.Time{}
	w.alarm(e, j.status.Alarms)
	w.drip(e, j.status.Conditions)
	e.written, e.writtenAt, e.checkedAt = &j.status, now, now
	if e.leaving && equality.Semantic.DeepEqual(e.wanted, j.status) {
		w.drop(e)
	}
}

// drop forgets e, unless another has taken its place.
func (w *Writer) drop(e *entry) {
	if w.entries[e.who.key()] == e {
		delete(w.entries, e.who.key())
	}
}
