package control

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc/status"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
)

// Fleet is what serves data sources. The client calls one method at a time, but Reports, which has to be safe beside the
// others. None waits for a session.
type Fleet interface {
	// Put serves a data source as told, or leaves everything about it as it was and says why; a *Refusal says why in a
	// word. It ends what a revocation has begun.
	Put(p Part) error
	// Remove ends a data source.
	Remove(name string)
	// Revoke cuts a data source's sessions off and refuses new ones.
	Revoke(name, reason, message string)
	// Lease says whether new connections may be served. It is called when that changes.
	Lease(held bool)
	// Reports says how the data sources are used.
	Reports() []*sidecarv1alpha1.Report
}

// Options of a Client. Operator, Identity and Fleet are required.
type Options struct {
	Operator    string // host:port
	Identity    Identity
	DataSources []string // "namespace/name"s that the sidecar was started for
	Version     string
	Fleet       Fleet
	// Approvals asks people over the stream; nil: nobody is asked.
	Approvals Approvals
	// Recordings signs what is recorded; nil: nothing is said of a key.
	Recordings Recordings
	// BeatEvery is how often a heartbeat is sent, which the heartbeats say. Default 1 minute.
	BeatEvery time.Duration
	// Backoff is how long the client waits after the first stream that failed, and MaxBackoff after many; each with
	// jitter. Defaults 200 ms and 10 s.
	Backoff, MaxBackoff time.Duration
	// ReportEvery is how often reports that have changed are sent, and ReportSoon how long a change of state (see
	// Client.Changed) may wait for others. Defaults 1 minute and 1 s.
	ReportEvery, ReportSoon time.Duration
	// Now is the clock, which has to be monotonic. Default time.Now.
	Now func() time.Time
	// Log takes what operators must know. Default slog.Default().
	Log *slog.Logger
}

func (o *Options) complete() {
	defaults := map[*time.Duration]time.Duration{
		&o.Backoff: 200 * time.Millisecond, &o.MaxBackoff: 10 * time.Second, &o.ReportEvery: time.Minute, &o.ReportSoon: time.Second,
		&o.BeatEvery: time.Minute,
	}
	for field, value := range defaults {
		if *field <= 0 {
			*field = value
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Approvals == nil {
		o.Approvals = nobody{}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
}

// Client keeps a stream to the operator. Its exported methods are safe for concurrent use.
type Client struct {
	opt      Options
	instance string
	changed  chan struct{} // see Changed
	renewed  chan struct{} // the lease is another
	uplink   uplink
	tags     tagKeeper
	budgets  budgets
	stopping chan struct{} // closed when the last heartbeat is to be sent
	finish   sync.Once

	fleet  sync.Mutex // one call of Fleet at a time
	leased bool       // what Fleet was told; under fleet

	mu       sync.Mutex
	machine  Machine
	accepted bool // the operator has believed the identity at least once
}

// New returns a client; Run runs it.
func New(o Options) *Client {
	o.complete()
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program instead
	return &Client{
		opt: o, instance: hex.EncodeToString(b[:]), changed: make(chan struct{}, 1), renewed: make(chan struct{}, 1), stopping: make(chan struct{}),
		uplink: uplink{patience: answerPatience},
	}
}

// Accepted reports whether the operator has accepted the sidecar since it started.
func (c *Client) Accepted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.accepted
}

// Leased reports whether the lease holds.
func (c *Client) Leased() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.machine.Leased(c.opt.Now())
	return ok
}

// Revision of the snapshot that is held; 0 without one.
func (c *Client) Revision() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.machine.Revision()
}

// Changed says that a report tells something that should not wait for the next minute.
func (c *Client) Changed() {
	select {
	case c.changed <- struct{}{}:
	default: // it is known
	}
}

// Run keeps a stream open until ctx ends. An operator that is not there, or that refuses, is asked again and again: what the
// sidecar holds stays, and the lease runs out by itself.
func (c *Client) Run(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	watching.Go(func() { c.watchLease(ctx) })
	wait, said := c.opt.Backoff, ""
	for ctx.Err() == nil {
		took, err := c.stream(ctx)
		if took {
			wait, said = c.opt.Backoff, ""
		}
		if ctx.Err() != nil || c.finished() {
			return
		}
		if text := describe(err); text != said { // not the same line for every try
			c.opt.Log.Info("the stream to the operator ended, trying again", "operator", c.opt.Operator, "error", text)
			said = text
		}
		pause(ctx, jitter(wait))
		wait = min(wait*2, c.opt.MaxBackoff)
	}
}

func describe(err error) string {
	if s, ok := status.FromError(err); ok {
		return s.Code().String() + ": " + s.Message()
	}
	return err.Error()
}

// jitter is between half of d and all of it, so that a thousand sidecars do not come back at the same moment.
func jitter(d time.Duration) time.Duration { return d/2 + mathrand.N(d/2+1) }

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
