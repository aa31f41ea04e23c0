// Package server accepts connections and hands them to pipelines: it bounds how
// many there are and how much memory they take, drains on shutdown, and tells
// health and metrics.
//
// It must not know any protocol or how policy decides.
package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// Options of a Server. Zero values mean the defaults given.
type Options struct {
	// MaxConnections bounds client connections over all listeners. Default 1000.
	MaxConnections int
	// MaxMemory bounds, in bytes, the live heap beyond which new connections are
	// refused. Default 1 GiB.
	MaxMemory uint64
	// DrainTimeout is how long sessions may go on once the server stops. Default
	// 25 s, which fits in Kubernetes' 30 s of grace.
	DrainTimeout time.Duration
	// Ready says what else is missing before the proxy is of use, beside the
	// listeners; /readyz tells its text. nil: nothing.
	Ready func() error
	// Log takes what operators must know. Default slog.Default().
	Log *slog.Logger
}

// maxRefusals bounds how many clients over the limit are told so at a time; the
// rest are closed without a word.
const maxRefusals = 32

// Server runs pipelines on listeners, which may come and go. Its methods are safe
// for concurrent use.
type Server struct {
	opt      Options
	slots    chan struct{}
	refusals chan struct{}
	failed   chan error
	ready    atomic.Bool
	active   atomic.Int64

	mu        sync.Mutex
	stopping  bool
	endpoints map[*Endpoint]struct{}
	ending    sync.WaitGroup // generations whose sessions are being ended; under mu until stopping
}

// New returns a server.
func New(opt Options) *Server {
	if opt.MaxConnections <= 0 {
		opt.MaxConnections = 1000
	}
	if opt.MaxMemory == 0 {
		opt.MaxMemory = 1 << 30
	}
	if opt.DrainTimeout == 0 {
		opt.DrainTimeout = 25 * time.Second
	}
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	return &Server{
		opt: opt, slots: make(chan struct{}, opt.MaxConnections), refusals: make(chan struct{}, maxRefusals),
		failed: make(chan error, 1), endpoints: map[*Endpoint]struct{}{},
	}
}

// Active returns the number of client connections.
func (s *Server) Active() int64 { return s.active.Load() }

// Serve accepts connections on every listener until ctx ends, then drains: it
// takes no new ones, lets what is under way finish for the drain timeout, and ends
// the rest. It returns once no connection is left.
func (s *Server) Serve(ctx context.Context, listeners map[net.Listener]*session.Pipeline) error {
	for ln, p := range listeners {
		s.Open(p, ln)
	}
	return s.Run(ctx)
}

// Run serves the endpoints that are open, and those that are opened meanwhile,
// until ctx ends or a listener fails, and then drains as Serve does.
func (s *Server) Run(ctx context.Context) error {
	s.ready.Store(true)
	var err error
	select {
	case <-ctx.Done():
	case err = <-s.failed:
	}
	s.ready.Store(false)
	s.mu.Lock()
	s.stopping = true // no endpoint is opened or changed any more
	all := make([]*Endpoint, 0, len(s.endpoints))
	for e := range s.endpoints {
		all = append(all, e)
	}
	s.mu.Unlock()
	for _, e := range all {
		e.Close(nil)
	}
	s.ending.Wait()
	return err
}

// fail ends Run.
func (s *Server) fail(err error) {
	select {
	case s.failed <- err:
	default: // it is ending
	}
}

// handle serves a connection, unless it is refused or there is no room for it.
func (s *Server) handle(g *generation, conn net.Conn, refusal *access.Denial) {
	if refusal == nil {
		refusal = s.room()
		if refusal == nil {
			defer func() { <-s.slots }()
		}
	}
	if refusal != nil {
		select {
		case s.refusals <- struct{}{}:
			defer func() { <-s.refusals }()
			_ = g.pipeline.Refuse(g.ctx, conn, refusal) // it is turned away in any case
		default:
			_ = conn.Close()
		}
		return
	}
	s.active.Add(1)
	defer s.active.Add(-1)
	if err := g.pipeline.Serve(g.ctx, conn, g.drain); err != nil {
		s.opt.Log.Info("session ended", "dataSource", g.pipeline.DataSource, "client", conn.RemoteAddr().String(), "error", err.Error())
	}
}

// room takes a slot, or says why there is none.
func (s *Server) room() *access.Denial {
	if heap := liveHeap(); heap > s.opt.MaxMemory {
		return &access.Denial{Code: access.CodeTooMany, What: fmt.Sprintf("tidewaiter: no memory for another connection (%d of %d MiB are in use)", heap>>20, s.opt.MaxMemory>>20), Hint: "Close some connections, or raise the proxy's memory limit."}
	}
	select {
	case s.slots <- struct{}{}:
		return nil
	default:
		return &access.Denial{Code: access.CodeTooMany, What: fmt.Sprintf("tidewaiter: too many connections (the proxy's limit is %d)", s.opt.MaxConnections), Hint: "Use a connection pool, or raise the proxy's limit."}
	}
}

// liveHeap returns the bytes of heap that were live at the last collection.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
