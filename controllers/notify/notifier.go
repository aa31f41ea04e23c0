package notify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// waiting is how many notices may wait for one sink.
const waiting = 256

// Options of a Notifier.
type Options struct {
	// Config says where notices go.
	Config *Config
	// Cache has the AccessRequests.
	Cache cache.Cache
	// Registerer gets the metrics; nil: nobody.
	Registerer prometheus.Registerer
	// FirstPause before a second attempt: 1 s. It doubles, up to a minute.
	FirstPause time.Duration
	// Log is told of what could not be delivered.
	Log logr.Logger
}

// Notifier tells sinks of AccessRequests. Each sink has its own queue, so that one that is slow or gone holds up no other.
type Notifier struct {
	o       Options
	metrics *metrics
	lines   []*line
}

// line is a sink and what waits for it.
type line struct {
	receiver
	queue chan notice
}

// New returns a notifier, which does nothing until Start.
func New(o Options) (*Notifier, error) {
	if o.Config == nil || o.Cache == nil {
		return nil, errors.New("notify: needs the sinks and a cache")
	}
	if o.FirstPause <= 0 {
		o.FirstPause = firstPause
	}
	n := &Notifier{o: o}
	n.metrics = newMetrics()
	for i := range o.Config.Sinks {
		s := &o.Config.Sinks[i]
		transport, err := newTransport(s)
		if err != nil {
			return nil, err
		}
		tried := n.metrics.attempts.WithLabelValues(s.Name).Inc
		n.lines = append(n.lines, &line{receiver{s, transport, o.FirstPause, tried}, make(chan notice, waiting)})
	}
	if err := n.metrics.register(o.Registerer); err != nil {
		return nil, fmt.Errorf("metrics of notices: %w", err)
	}
	return n, nil
}

// NeedLeaderElection is true: one replica tells.
func (n *Notifier) NeedLeaderElection() bool { return true }

// Start watches and delivers until ctx ends. What waits then is lost, unless whoever is leader next finds that it happened
// within the last minute.
func (n *Notifier) Start(ctx context.Context) error {
	informer, err := n.o.Cache.GetInformer(ctx, &v1alpha1.AccessRequest{})
	if err != nil {
		return fmt.Errorf("watching AccessRequests: %w", err)
	}
	registration, err := informer.AddEventHandler(n.handler())
	if err != nil {
		return fmt.Errorf("watching AccessRequests: %w", err)
	}
	var deliveries sync.WaitGroup
	for _, l := range n.lines {
		deliveries.Go(func() { n.serve(ctx, l) })
	}
	<-ctx.Done()
	deliveries.Wait()
	if err := informer.RemoveEventHandler(registration); err != nil {
		n.o.Log.Error(err, "the watch of AccessRequests did not end")
	}
	return nil
}

// handler never waits: the informer has others to tell.
func (n *Notifier) handler() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(in any) {
			if r, ok := in.(*v1alpha1.AccessRequest); ok {
				n.tell(appeared(r, time.Now()))
			}
		},
		UpdateFunc: func(was, is any) {
			before, ok := was.(*v1alpha1.AccessRequest)
			after, also := is.(*v1alpha1.AccessRequest)
			switch {
			case !ok || !also:
			case before.UID != after.UID: // deleted and made anew while the watch was down
				n.tell(append(gone(before, time.Now()), appeared(after, time.Now())...))
			default:
				n.tell(changed(before, after))
			}
		},
		DeleteFunc: func(in any) {
			if lost, ok := in.(toolscache.DeletedFinalStateUnknown); ok {
				in = lost.Obj
			}
			if r, ok := in.(*v1alpha1.AccessRequest); ok {
				n.tell(gone(r, time.Now()))
			}
		},
	}
}

// tell puts notices into the queues of whoever wants them. A full queue drops the new one: it is the sink's own loss.
func (n *Notifier) tell(notices []notice) {
	for _, x := range notices {
		for _, l := range n.lines {
			if !l.sink.wants(x.request.Namespace, x.event) {
				continue
			}
			select {
			case l.queue <- x:
				n.metrics.waiting.WithLabelValues(l.sink.Name).Set(float64(len(l.queue)))
			default:
				n.dead(l, &x, "QueueFull", fmt.Errorf("%d notices wait for the sink", waiting))
			}
		}
	}
}

func (n *Notifier) serve(ctx context.Context, l *line) {
	for {
		select {
		case <-ctx.Done():
			return
		case x := <-l.queue:
			n.metrics.waiting.WithLabelValues(l.sink.Name).Set(float64(len(l.queue)))
			err := l.deliver(ctx, &x)
			switch {
			case err == nil:
				n.metrics.sent.WithLabelValues(l.sink.Name).Inc()
			case ctx.Err() == nil:
				n.dead(l, &x, "Undeliverable", err)
			}
		}
	}
}

// dead gives a notice up, and says so.
func (n *Notifier) dead(l *line, x *notice, reason string, err error) {
	n.metrics.dead.WithLabelValues(l.sink.Name, reason).Inc()
	n.o.Log.Error(err, "Warning: a notice was given up", "sink", l.sink.Name, "reason", reason, "event", x.event,
		"namespace", x.request.Namespace, "request", x.request.Name)
}

// metrics of the notices. Sinks are named in the file: there are few.
type metrics struct {
	sent, attempts, dead *prometheus.CounterVec
	waiting              *prometheus.GaugeVec
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	return &metrics{
		sent:     counter("tidewaiter_notifications_sent_total", "Notices that a sink has taken.", "sink"),
		attempts: counter("tidewaiter_notification_attempts_total", "Attempts to deliver a notice.", "sink"),
		dead:     counter("tidewaiter_notifications_dead_total", "Notices that were given up, by reason.", "sink", "reason"),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tidewaiter_notifications_waiting", Help: "Notices that wait for a sink.",
		}, []string{"sink"}),
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	return errors.Join(r.Register(m.sent), r.Register(m.attempts), r.Register(m.dead), r.Register(m.waiting))
}
