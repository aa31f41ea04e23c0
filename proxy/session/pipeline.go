package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// openTimeout bounds everything before a session relays: a client that opens a
// connection and says nothing, a server that does not answer.
const openTimeout = 30 * time.Second

// ErrDrained is what Relay returns when it has ended a session because of
// Session.Draining, and nothing has gone wrong.
var ErrDrained = errors.New("the proxy stopped")

// errCutOff is why a session ends that has outlived the drain timeout.
var errCutOff = errors.New("the proxy stopped, and cut off what was under way")

// Pipeline takes connections for one data source through every stage. All
// stages but Approver and Observer are required. It is safe for concurrent use.
type Pipeline struct {
	DataSource string // "namespace/name"
	Protocol   Protocol
	Identifier Identifier
	Dialer     Dialer
	Decider    Decider
	Approver   Approver // nil: what needs approval is refused
	Recorder   Recorder
	Observer   Observer // nil: nobody watches
	Budgets    *Budgets
	Now        func() time.Time // nil: time.Now
}

// Serve takes one client connection through the pipeline and closes it. Drain
// asks the session to end once nothing is under way; the context ends it at once, and
// where its cause is an *access.Denial, the client is told that.
func (p *Pipeline) Serve(ctx context.Context, client net.Conn, drain <-chan struct{}) error {
	defer client.Close()
	stop := context.AfterFunc(ctx, func() { client.SetDeadline(time.Unix(1, 0)) })
	defer stop() // Relay has ended it before: from then on the protocol ends the session, which can tell the client why

	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	client.SetDeadline(time.Now().Add(openTimeout))
	conv, err := p.Protocol.Accept(opening, client)
	if errors.Is(err, ErrHandled) || errors.Is(err, io.EOF) {
		return nil // a probe that only connects says nothing and goes away
	}
	if err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	id, err := p.Identifier.Identify(opening, client)
	if err != nil {
		return errors.Join(err, conv.Refuse(&access.Denial{What: "tidewaiter: it could not be established who you are, so the connection was refused", Cause: err}))
	}
	if c, ok := conv.(Canceller); ok {
		return c.Cancel(opening, func(ctx context.Context) (*Upstream, error) { return p.Dialer.Dial(ctx, id) })
	}
	s := &Session{p: p, identity: id, hello: conv.Hello(), client: client, draining: drain, opened: stop}
	return p.session(ctx, opening, s, conv)
}

// Refuse answers a client that is not served at all, such as one over a limit.
func (p *Pipeline) Refuse(ctx context.Context, client net.Conn, d *access.Denial) error {
	defer client.Close()
	client.SetDeadline(time.Now().Add(2 * time.Second))
	conv, err := p.Protocol.Accept(ctx, client)
	if err != nil {
		return err
	}
	if _, ok := conv.(Canceller); ok {
		return nil
	}
	return conv.Refuse(d)
}

func (p *Pipeline) session(ctx, opening context.Context, s *Session, conv Conversation) error {
	s.control = Exchange{s: s, live: true, standing: true}
	s.name = sessionName(p.now())
	record, err := p.Recorder.Open(access.Opened{
		Session: s.name, DataSource: p.DataSource, Protocol: p.Protocol.Name(),
		Identity: s.identity, Hello: s.hello, Client: s.client.RemoteAddr().String(),
	})
	if err != nil {
		return errors.Join(err, conv.Refuse(recorderDown(err)))
	}
	s.record = record
	if p.Observer != nil {
		p.Observer.Opened(p.DataSource)
	}
	err = p.relay(ctx, opening, s, conv)
	if ctx.Err() != nil && !errors.Is(err, ErrDrained) {
		err = cutOff(ctx) // whatever it was that the end of the context broke
	}
	reason := "the client ended the session"
	if err != nil {
		reason = err.Error()
	}
	if errors.Is(err, ErrDrained) {
		err = nil
	}
	return errors.Join(err, s.close(reason))
}

func (p *Pipeline) relay(ctx, opening context.Context, s *Session, conv Conversation) error {
	up, err := p.Dialer.Dial(opening, s.identity)
	if err != nil {
		return errors.Join(err, conv.Refuse(unreachable(p.DataSource, err)))
	}
	conn, err := conv.Open(opening, s, up)
	if err != nil {
		up.Conn.Close()
		return errors.Join(err, conv.Refuse(access.AsDenial(err)))
	}
	s.server = NewServer(conn)
	defer s.server.Close()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.opened()
	s.client.SetDeadline(time.Time{})
	if ctx.Err() != nil { // and it may have come between the two
		return context.Cause(ctx)
	}
	return conv.Relay(ctx, s)
}

// cutOff says why a session ended with its context: what the client was told, if
// there was something to tell.
func cutOff(ctx context.Context) error {
	var d *access.Denial
	if errors.As(context.Cause(ctx), &d) {
		return d
	}
	return errCutOff
}

func unreachable(dataSource string, err error) *access.Denial {
	return &access.Denial{
		Code: access.CodeUnavailable, Cause: err,
		What: fmt.Sprintf("tidewaiter: DataSource %s could not be reached", dataSource),
		Hint: "Check the DataSource's host, port and tls settings, and that the server runs.",
	}
}

// sessionName is unique, sorts by time, and is a legal file and object name.
func sessionName(now time.Time) string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return fmt.Sprintf("%s-%x", now.UTC().Format("2006-01-02t15-04-05.000"), b)
}
