package protocoltest

import (
	"context"
	"net"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// Open returns a session of its own, without client or server, for tests of what
// works with one. It ends with the test.
func Open(t testing.TB, policy Decide) (*session.Session, *Recorder) {
	t.Helper()
	rec := &Recorder{}
	holder := &holder{sessions: make(chan *session.Session, 1), end: make(chan struct{})}
	p := &session.Pipeline{DataSource: "data/test", Protocol: holder, Identifier: Identify{}, Dialer: nowhere{}, Decider: policy, Recorder: rec, Budgets: &session.Budgets{}}
	ours, theirs := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- p.Serve(context.Background(), theirs, nil) }()
	t.Cleanup(func() {
		close(holder.end)
		if err := <-done; err != nil {
			t.Errorf("the session ended with %v", err)
		}
		ours.Close()
	})
	return <-holder.sessions, rec
}

// holder is a protocol that does nothing but hand its session over.
type holder struct {
	sessions chan *session.Session
	end      chan struct{}
}

func (h *holder) Name() string { return "none" }

func (h *holder) Accept(context.Context, net.Conn) (session.Conversation, error) { return h, nil }

func (h *holder) Hello() access.Hello { return access.Hello{} }

func (h *holder) Open(_ context.Context, _ *session.Session, up *session.Upstream) (net.Conn, error) {
	return up.Conn, nil
}

func (h *holder) Relay(_ context.Context, s *session.Session) error {
	h.sessions <- s
	<-h.end
	return nil
}

func (h *holder) Refuse(*access.Denial) error { return nil }

// nowhere is a data source that nobody listens at.
type nowhere struct{}

func (nowhere) Dial(context.Context, access.Identity) (*session.Upstream, error) {
	ours, _ := net.Pipe()
	return &session.Upstream{Conn: ours}, nil
}
