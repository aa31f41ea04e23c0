package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// Endpoint is where one data source is served: its listeners and what their
// connections go through. All of it may change while it is open. Its methods do not
// wait for sessions, and are safe for concurrent use.
type Endpoint struct {
	s *Server

	mu        sync.Mutex
	now       *generation
	refusal   *access.Denial
	listeners []net.Listener
	closed    bool // now is ending, and nothing else begins
}

// generation is a pipeline with the sessions that began in it.
type generation struct {
	pipeline *session.Pipeline
	ctx      context.Context // ends the sessions at once; its cause is told to clients
	cut      context.CancelCauseFunc
	drain    chan struct{} // closed: sessions end when nothing is under way in them
	serving  sync.WaitGroup
}

func newGeneration(p *session.Pipeline) *generation {
	g := &generation{pipeline: p, drain: make(chan struct{})}
	g.ctx, g.cut = context.WithCancelCause(context.Background())
	return g
}

// Open serves a pipeline on listeners, which the endpoint closes. Without any it
// has none until Move.
func (s *Server) Open(p *session.Pipeline, listeners ...net.Listener) *Endpoint {
	e := &Endpoint{s: s, now: newGeneration(p)}
	s.mu.Lock()
	e.closed = s.stopping
	if !s.stopping {
		s.endpoints[e] = struct{}{}
	}
	s.mu.Unlock()
	e.Move(listeners...)
	return e
}

// Move serves on other listeners from now on. Sessions go on.
func (e *Endpoint) Move(listeners ...net.Listener) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ln := range e.listeners {
		_ = ln.Close() // it is given up either way
	}
	e.listeners = listeners
	if e.closed {
		e.closeListeners()
		return
	}
	for _, ln := range listeners {
		e.s.ending.Add(1) // under e.mu and before closed, so that Run waits for it
		go func() {
			defer e.s.ending.Done()
			e.accept(ln)
		}()
	}
}

func (e *Endpoint) closeListeners() {
	for _, ln := range e.listeners {
		_ = ln.Close() // it may be the one that failed
	}
	e.listeners = nil
}

// Refuse turns new connections away with d, until it is called with nil.
func (e *Endpoint) Refuse(d *access.Denial) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refusal = d
}

// Replace lets new connections go through p. Those that are open end when nothing
// is under way in them, and at the latest after the drain timeout; then ended is
// called, if it is not nil.
func (e *Endpoint) Replace(p *session.Pipeline, ended func()) {
	e.renew(p, nil, ended)
}

// Cut ends the open connections at once and tells them d. New ones are accepted,
// unless Refuse was called before.
func (e *Endpoint) Cut(d *access.Denial) {
	e.mu.Lock()
	p := e.now.pipeline
	e.mu.Unlock()
	e.renew(p, d, nil)
}

// renew begins a generation and ends the one before, at once where there is a reason.
func (e *Endpoint) renew(p *session.Pipeline, reason *access.Denial, ended func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		old := e.now
		e.now = newGeneration(p)
		e.end(old, reason, ended)
		return
	}
	if reason != nil { // its end is under way, and comes sooner
		e.now.cut(reason)
	}
	if ended != nil {
		ended()
	}
}

// Close closes the listeners and ends the open connections as Replace does; then
// ended is called, if it is not nil. Calls after the first do nothing.
func (e *Endpoint) Close(ended func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	e.closed = true
	e.closeListeners()
	e.end(e.now, nil, func() {
		e.s.forget(e)
		if ended != nil {
			ended()
		}
	})
}

// end ends the sessions of a generation that takes no more. e.mu is held.
func (e *Endpoint) end(g *generation, reason *access.Denial, ended func()) {
	close(g.drain)
	if reason != nil {
		g.cut(reason)
	}
	e.s.ending.Add(1)
	go func() {
		defer e.s.ending.Done()
		done := make(chan struct{})
		go func() { g.serving.Wait(); close(done) }()
		timeout := time.NewTimer(e.s.opt.DrainTimeout)
		defer timeout.Stop()
		select {
		case <-done:
		case <-timeout.C:
			e.s.opt.Log.Info("drain timeout: ending sessions", "dataSource", g.pipeline.DataSource, "sessions", e.s.Active())
			g.cut(nil)
			<-done
		}
		g.cut(nil)
		if ended != nil {
			ended()
		}
	}()
}

func (s *Server) forget(e *Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.endpoints, e)
}

// enter returns the generation that a new connection belongs to, and why it is
// refused if it is; nil where the endpoint is closed. The caller has to call
// serving.Done.
func (e *Endpoint) enter() (*generation, *access.Denial) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, nil
	}
	e.now.serving.Add(1)
	return e.now, e.refusal
}

// accept serves a listener until it is closed.
func (e *Endpoint) accept(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			var temporary interface{ Temporary() bool }
			if errors.As(err, &temporary) && temporary.Temporary() { // out of file descriptors
				e.s.opt.Log.Info("accept failed, trying again", "error", err)
				time.Sleep(50 * time.Millisecond)
				continue
			}
			e.s.fail(fmt.Errorf("accept on %s: %w", ln.Addr(), err))
			return
		}
		g, refusal := e.enter()
		if g == nil {
			_ = conn.Close() // it came a moment too late
			return
		}
		go func() {
			defer g.serving.Done()
			e.s.handle(g, conn, refusal)
		}()
	}
}
