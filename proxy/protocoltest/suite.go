package protocoltest

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// patience bounds every wait of the suite.
const patience = 20 * time.Second

// Subject is a protocol under test with a server to run it against.
type Subject struct {
	// Protocol makes the protocol for one test.
	Protocol func(t *testing.T) session.Protocol
	// Dialer reaches a server that answers.
	Dialer session.Dialer
	// Connect opens a session as a client would.
	Connect func(t *testing.T, address string) Client
	// Opening is what a client sends first.
	Opening []byte
	// Harmless is a statement with an answer. Marked is another, which holds
	// Marker, a text that appears nowhere else.
	Harmless, Marked, Marker string
}

// Client is a client of the protocol under test.
type Client interface {
	// Do runs a statement. Refused is set for an error that the protocol lets the
	// connection survive; err for anything else.
	Do(statement string) (answer, refused string, err error)
	Close() error
}

// Bench is a running pipeline around a protocol under test.
type Bench struct {
	Address  string
	Recorder *Recorder
	Tap      *Tap
	drain    chan struct{}
	cut      context.CancelCauseFunc
	said     *hearing
	sessions sync.WaitGroup
	listener net.Listener
}

// Run runs the suite.
func Run(t *testing.T, s Subject) {
	t.Run("what is allowed is answered", s.allowed)
	t.Run("a zero decision reaches no server, and the connection goes on", func(t *testing.T) {
		s.refused(t, func(*Recorder) Decide {
			return s.onMarked(func() (access.Decision, error) { return access.Decision{}, nil })
		})
	})
	t.Run("a policy that fails reaches no server, even if it says allow", func(t *testing.T) {
		s.refused(t, func(*Recorder) Decide {
			return s.onMarked(func() (access.Decision, error) {
				return access.Decision{Effect: access.Allow}, errors.New("evaluation failed")
			})
		})
	})
	t.Run("an unknown effect reaches no server", func(t *testing.T) {
		s.refused(t, func(*Recorder) Decide {
			return s.onMarked(func() (access.Decision, error) { return access.Decision{Effect: 99}, nil })
		})
	})
	t.Run("what needs approval reaches no server where nobody can be asked", func(t *testing.T) {
		s.refused(t, func(*Recorder) Decide {
			return s.onMarked(func() (access.Decision, error) { return access.Decision{Effect: access.RequireApproval}, nil })
		})
	})
	t.Run("what cannot be recorded reaches no server", func(t *testing.T) {
		s.refused(t, func(r *Recorder) Decide {
			return func(op *access.Operation) (access.Decision, error) {
				r.Fail(nil)
				if strings.Contains(op.Text, s.Marker) {
					r.Fail(errors.New("disk full"))
				}
				return Allow(op)
			}
		})
	})
	t.Run("a session that cannot be recorded reaches no server", s.unopened)
	t.Run("an idle session ends when the proxy drains", s.drained)
	t.Run("a session that is cut off is told why", s.cutOff)
	t.Run("every session has a beginning, an intent before its end, and a close", s.recorded)
}

// onMarked answers the marked statement by f and allows the rest.
func (s Subject) onMarked(f func() (access.Decision, error)) Decide {
	return func(op *access.Operation) (access.Decision, error) {
		if strings.Contains(op.Text, s.Marker) {
			return f()
		}
		return Allow(op)
	}
}

// Start runs a pipeline around the protocol under test until the test ends, and
// then makes sure that no goroutine is left.
func (s Subject) Start(t *testing.T, policy func(*Recorder) Decide) *Bench {
	t.Helper()
	before := goleak.IgnoreCurrent()
	b := &Bench{Recorder: &Recorder{}, Tap: &Tap{Dialer: s.Dialer}, drain: make(chan struct{}), said: &hearing{}}
	protocol := s.Protocol(t)
	p := &session.Pipeline{
		DataSource: "data/test", Protocol: protocol, Identifier: Identify{}, Dialer: b.Tap,
		Decider: policy(b.Recorder), Recorder: b.Recorder, Budgets: &session.Budgets{},
	}
	var err error
	if b.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	b.Address = b.listener.Addr().String()
	var ctx context.Context
	ctx, b.cut = context.WithCancelCause(context.Background())
	b.sessions.Add(1)
	go b.accept(ctx, p)
	t.Cleanup(func() {
		b.listener.Close()
		b.cut(nil)
		b.sessions.Wait()
		if c, ok := protocol.(interface{ Close() }); ok {
			c.Close()
		}
		goleak.VerifyNone(t, before)
	})
	return b
}

func (b *Bench) accept(ctx context.Context, p *session.Pipeline) {
	defer b.sessions.Done()
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.sessions.Add(1)
		go func() {
			defer b.sessions.Done()
			_ = p.Serve(ctx, b.said.to(conn), b.drain) // how it ended is in the record
		}()
	}
}

func (s Subject) allowed(t *testing.T) {
	b := s.Start(t, func(*Recorder) Decide { return Allow })
	c := s.Connect(t, b.Address)
	defer func() { _ = c.Close() }()
	for _, statement := range []string{s.Harmless, s.Marked, s.Harmless} {
		if answer, refused, err := c.Do(statement); err != nil || refused != "" || answer == "" {
			t.Fatalf("%q: answer %q, refused %q, error %v", statement, answer, refused, err)
		}
	}
	if !strings.Contains(b.Tap.Sent(), s.Marker) {
		t.Fatal("the marked statement was answered without reaching the server: the suite proves nothing")
	}
}

// refused runs the marked statement between two harmless ones under a policy that
// refuses it.
func (s Subject) refused(t *testing.T, policy func(*Recorder) Decide) {
	b := s.Start(t, policy)
	c := s.Connect(t, b.Address)
	defer func() { _ = c.Close() }()
	if _, refused, err := c.Do(s.Harmless); err != nil || refused != "" {
		t.Fatalf("before: refused %q, error %v", refused, err)
	}
	answer, refused, err := c.Do(s.Marked)
	if err != nil || refused == "" {
		t.Fatalf("it was not refused as an ordinary error: answer %q, error %v", answer, err)
	}
	if answer, refused, err := c.Do(s.Harmless); err != nil || refused != "" || answer == "" {
		t.Fatalf("the connection did not go on: answer %q, refused %q, error %v", answer, refused, err)
	}
	if strings.Contains(b.Tap.Sent(), s.Marker) {
		t.Fatalf("it reached the server:\n%q", b.Tap.Sent())
	}
}

func (s Subject) drained(t *testing.T) {
	b := s.Start(t, func(*Recorder) Decide { return Allow })
	c := s.Connect(t, b.Address)
	defer func() { _ = c.Close() }()
	if _, _, err := c.Do(s.Harmless); err != nil {
		t.Fatal(err)
	}
	close(b.drain)
	if got := b.ended(t); got != session.ErrDrained.Error() {
		t.Errorf("the record does not say that it was the proxy who ended the session, but %q", got)
	}
}

// ended waits for the only session to end, and returns why by its record.
func (b *Bench) ended(t *testing.T) string {
	t.Helper()
	b.listener.Close()
	done := make(chan struct{})
	go func() { b.sessions.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the session did not end")
	}
	events := b.Recorder.Events()
	last := events[len(events)-1]
	if last.Closed == nil {
		t.Fatalf("the record ends with %s", last.Kind)
	}
	return last.Closed.Reason
}

func (s Subject) cutOff(t *testing.T) {
	b := s.Start(t, func(*Recorder) Decide { return Allow })
	c := s.Connect(t, b.Address)
	defer func() { _ = c.Close() }()
	if _, _, err := c.Do(s.Harmless); err != nil {
		t.Fatal(err)
	}
	const why = "access was revoked, and this is why"
	b.cut(&access.Denial{Code: access.CodeShutdown, What: why})
	if got := b.ended(t); got != why {
		t.Errorf("the record says that it ended because: %s", got)
	}
	if said := b.said.String(); !strings.Contains(said, why) {
		t.Errorf("the client was not told, but %q", said)
	}
}

// unopened makes sure that a session whose record cannot be begun opens nothing.
func (s Subject) unopened(t *testing.T) {
	b := s.Start(t, func(*Recorder) Decide { return Allow })
	b.Recorder.Fail(errors.New("disk full"))
	conn, err := net.Dial("tcp", b.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(s.Opening); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil { // until the proxy ends it
		t.Fatal(err)
	}
	if sent := b.Tap.Sent(); sent != "" || b.Tap.Dialed() != 0 {
		t.Fatalf("%d connections were opened upstream, and %q sent", b.Tap.Dialed(), sent)
	}
}

func (s Subject) recorded(t *testing.T) {
	b := s.Start(t, func(*Recorder) Decide {
		return s.onMarked(func() (access.Decision, error) { return access.Decision{}, nil })
	})
	c := s.Connect(t, b.Address)
	for _, statement := range []string{s.Harmless, s.Marked} {
		if _, _, err := c.Do(statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	b.listener.Close()
	b.sessions.Wait()
	events := b.Recorder.Events()
	if events[0].Kind != access.EventOpened || events[len(events)-1].Kind != access.EventClosed {
		t.Fatalf("the record runs from %s to %s", events[0].Kind, events[len(events)-1].Kind)
	}
	decided, ended := map[int64]int{}, map[int64]int{}
	for _, e := range events {
		switch e.Kind {
		case access.EventDecided:
			decided[e.Statement]++
		case access.EventEnded:
			if decided[e.Statement] != 1 {
				t.Errorf("statement %d ended before it was decided", e.Statement)
			}
			ended[e.Statement]++
		}
	}
	for n := range decided {
		if ended[n] != 1 {
			t.Errorf("statement %d ended %d times", n, ended[n])
		}
	}
	if closed := events[len(events)-1].Closed; closed.Denied == 0 || closed.Statements == 0 {
		t.Errorf("the close counts %d statements and %d denied", closed.Statements, closed.Denied)
	}
}
