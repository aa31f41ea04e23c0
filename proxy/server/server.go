// Package server accepts connections and hands them to pipelines: it bounds how
// many there are and how much memory they take, drains on shutdown, and tells
// health and metrics.
//
// It must not know any protocol or how policy decides.
package server

import (
	"context"
	"errors"
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
	// Log takes what operators must know. Default slog.Default().
	Log *slog.Logger
}

// maxRefusals bounds how many clients over the limit are told so at a time; the
// rest are closed without a word.
const maxRefusals = 32

// Server runs pipelines on listeners. Its methods are safe for concurrent use.
type Server struct {
	opt      Options
	slots    chan struct{}
	refusals chan struct{}
	drain    chan struct{}
	once     sync.Once
	ready    atomic.Bool
	active   atomic.Int64
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
	return &Server{opt: opt, slots: make(chan struct{}, opt.MaxConnections), refusals: make(chan struct{}, maxRefusals), drain: make(chan struct{})}
}

// Active returns the number of client connections.
func (s *Server) Active() int64 { return s.active.Load() }

// Serve accepts connections on every listener until ctx ends, then drains: it
// takes no new ones, lets what is under way finish for the drain timeout, and ends
// the rest. It returns once no connection is left.
func (s *Server) Serve(ctx context.Context, listeners map[net.Listener]*session.Pipeline) error {
	sessions, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var accepting, serving sync.WaitGroup
	failed := make(chan error, len(listeners))
	for ln, p := range listeners {
		accepting.Add(1)
		go func() {
			defer accepting.Done()
			if err := s.accept(sessions, ln, p, &serving); err != nil {
				failed <- err
			}
		}()
	}
	s.ready.Store(true)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.ready.Store(false)
	s.once.Do(func() { close(s.drain) })
	for ln := range listeners {
		_ = ln.Close() // it may be the one that failed
	}
	accepting.Wait()
	done := make(chan struct{})
	go func() { serving.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(s.opt.DrainTimeout):
		s.opt.Log.Info("drain timeout: ending sessions", "sessions", s.Active())
		cut()
		<-done
	}
	return err
}

func (s *Server) accept(ctx context.Context, ln net.Listener, p *session.Pipeline, serving *sync.WaitGroup) error {
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			var temporary interface{ Temporary() bool }
			if errors.As(err, &temporary) && temporary.Temporary() { // out of file descriptors
				s.opt.Log.Info("accept failed, trying again", "error", err)
				time.Sleep(50 * time.Millisecond)
				continue
			}
			return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
		}
		serving.Add(1)
		go func() {
			defer serving.Done()
			s.handle(ctx, conn, p)
		}()
	}
}

// handle serves a connection if there is room for it.
func (s *Server) handle(ctx context.Context, conn net.Conn, p *session.Pipeline) {
	if d := s.room(); d != nil {
		select {
		case s.refusals <- struct{}{}:
			defer func() { <-s.refusals }()
			_ = p.Refuse(ctx, conn, d) // it is turned away in any case
		default:
			_ = conn.Close()
		}
		return
	}
	defer func() { <-s.slots }()
	s.active.Add(1)
	defer s.active.Add(-1)
	if err := p.Serve(ctx, conn, s.drain); err != nil {
		s.opt.Log.Info("session ended", "dataSource", p.DataSource, "client", conn.RemoteAddr().String(), "error", err.Error())
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
