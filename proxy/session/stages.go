// Package session is the pipeline that every protocol shares. Per connection
// the pipeline drives (accept, identify, dial, open, relay, close), so that no
// protocol can skip a stage; per operation the protocol drives, and must ask
// Session.Begin for an Exchange, which is the only permission to send anything
// upstream.
//
// It must not know any protocol, how policy is written, how values are masked or
// how a recording looks: those are stages, small interfaces that are implemented
// elsewhere.
package session

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// ErrHandled is what Protocol.Accept returns when the connection wanted no
// session and has had its answer, as a probe does.
var ErrHandled = errors.New("session: connection handled, no session wanted")

// Protocol speaks one wire protocol. It is safe for concurrent use.
type Protocol interface {
	// Name is the protocol's name as DataSources write it.
	Name() string
	// Accept reads a client's opening until it is known what the client wants.
	// It answers nothing that depends on a decision. ErrHandled ends the
	// connection quietly.
	Accept(ctx context.Context, client net.Conn) (Conversation, error)
}

// Conversation is one accepted connection. The pipeline calls its methods in the
// order Hello, Open, Relay; Refuse may come instead of any of the last two.
type Conversation interface {
	Hello() access.Hello
	// Open brings the upstream connection to the point where it takes
	// operations, with the credential of up, and tells the client. It returns the
	// connection to read from and write to from now on.
	Open(ctx context.Context, s *Session, up *Upstream) (net.Conn, error)
	// Relay moves traffic until either side ends, the context ends, or
	// Session.Draining closes and nothing is under way; then it returns ErrDrained.
	// Where the context's cause is an *access.Denial, it tells the client so before
	// it ends the session, and does not wait for a client that does not listen.
	Relay(ctx context.Context, s *Session) error
	// Refuse answers the client with d, as an ordinary error of the protocol.
	Refuse(d *access.Denial) error
}

// Canceller is a Conversation that only asks to cancel what another does. The
// pipeline calls Cancel instead of Open and Relay.
type Canceller interface {
	Conversation
	Cancel(ctx context.Context, dial func(context.Context) (*Upstream, error)) error
}

// Identifier establishes who is at the other end, without asking them.
type Identifier interface {
	Identify(ctx context.Context, client net.Conn) (access.Identity, error)
}

// Dialer opens a connection to the data source. It is safe for concurrent use.
type Dialer interface {
	Dial(ctx context.Context, id access.Identity) (*Upstream, error)
}

// Upstream is a fresh connection to the data source and what Open needs to
// authenticate on it.
type Upstream struct {
	Conn       net.Conn
	Host       string // as the DataSource names it
	Port       uint16
	Database   string
	TLS        *tls.Config // nil: plain
	Credential Credential
	// Proven says that nobody but the data source can be at the other end once TLS, if any, is up. Without it, a
	// password must not be sent as it is, whoever asks for it.
	Proven bool
}

// Credential is the data source's real credential. It prints as nothing.
type Credential struct {
	User     string
	Password string
}

// String hides the credential from every formatter.
func (Credential) String() string { return "(credential)" }

// GoString hides the credential from %#v.
func (Credential) GoString() string { return "(credential)" }

// Decider answers operations. An error is a refusal. It is safe for concurrent
// use and bounded in time.
type Decider interface {
	Decide(ctx context.Context, id access.Identity, op *access.Operation) (access.Decision, error)
}

// Masker is a Decider that can say beforehand what is done to values of tags, so
// that a statement can be prepared for it. It is asked about every statement and
// must answer from memory. The revision is the one that the answer is from; the map
// is shared.
type Masker interface {
	Masks(ctx context.Context, tags []string) (masks map[string]access.Mask, revision uint64, err error)
}

// Sizer is a Decider that may look at how many rows an operation is expected to return
// (access.Statement.EstimatedRows). It is asked about every bulk read.
type Sizer interface {
	Estimates() bool
}

// Approver asks people. It is safe for concurrent use.
type Approver interface {
	// Granted reports whether an operation was approved before, and how: nobody is asked
	// then. It does not wait.
	Granted(q *Question) (access.Answered, bool)
	// Approve waits until people have answered, or the context ends. Only a nil error
	// with the outcome AnswerApproved approves. An error is an *access.Denial, which the
	// client is told; the outcome comes with it.
	Approve(ctx context.Context, q *Question) (access.Answered, error)
}

// Recorder opens a record for each session. An error refuses the session.
type Recorder interface {
	Open(o access.Opened) (Record, error)
}

// Record takes a session's events in order. Append returns when the event is as
// durable as the data source asks; it may wait, and never drops an event. It is
// safe for concurrent use.
type Record interface {
	Append(e access.Event) error
	Location() string
	Close() error
}

// Observer is told what happens, for metrics. It is safe for concurrent use and
// does not block.
type Observer interface {
	Opened(dataSource string)
	Decided(dataSource string, op *access.Operation, d access.Decision)
	Ended(dataSource string, e access.Ended)
	Disagreed(dataSource string)
	Closed(dataSource string, c access.Closed)
}
