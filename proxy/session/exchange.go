package session

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// ErrNoPermission is what writing upstream without a live Exchange returns.
var ErrNoPermission = errors.New("session: no permission to send this upstream")

// Exchange is the permission to forward one operation, the binding of its masks
// and limits, and the duty to End. The zero Exchange permits nothing.
type Exchange struct {
	s        *Session
	seq      int64
	decision access.Decision
	started  time.Time
	live     bool
	standing bool
	ended    atomic.Bool
	touches  uint64 // Operation.Touches
	hides    bool   // Operation.Hides
	told     atomic.Bool
	op       *access.Operation // kept where a person may be asked about it in the middle of its result
	hour     hourly
	lifted   lifts
	paused   pause
	stopped  *access.Denial // the result was stopped for good

	rows, bytes, masked atomic.Int64
}

// Decision returns what was decided.
func (x *Exchange) Decision() *access.Decision { return &x.decision }

// Seq returns the operation's number in the session, from 1.
func (x *Exchange) Seq() int64 { return x.seq }

// Hides reports whether constants of the operation are not recorded, so that what a server says of it must not be either.
func (x *Exchange) Hides() bool { return x.hides }

// Take accounts for rows and bytes of results about to reach the client, with
// the number of values masked in them. Once a limit is passed it returns an
// *access.Denial and the protocol must stop the result; with ErrPause it must hold the
// result where it is, call Extend, and then Take the same again. What it was asked
// for is then not accounted for. It does not wait. One goroutine at a time may call
// it and Extend.
func (x *Exchange) Take(rows, bytes, masked int64) error {
	if l := &x.decision.Limits; l.Any() {
		if err := x.withinLimits(l, rows, bytes); err != nil {
			return err
		}
	}
	x.rows.Add(rows)
	x.bytes.Add(bytes)
	x.masked.Add(masked)
	if x.s != nil {
		x.s.rows.Add(rows)
		x.s.bytes.Add(bytes)
		x.s.masked.Add(masked)
	}
	return nil
}

// Refuse takes the permission back, before anything was sent by it, and records that.
// It returns the denial to tell the client, which may be another one.
func (x *Exchange) Refuse(d *access.Denial) *access.Denial {
	x.live = false
	if x.s != nil {
		x.s.denied.Add(1)
	}
	if err := x.End(access.Ended{Outcome: access.OutcomeDenied, Message: d.What}); err != nil {
		return recorderDown(err)
	}
	d.Hint = strings.TrimSpace(d.Hint + fmt.Sprintf(" Recorded as statement %d.", x.seq))
	return d
}

// Result records a batch of rows as the client sees them.
func (x *Exchange) Result(r *access.Rows) error {
	return x.s.append(access.Event{Kind: access.EventRows, Statement: x.seq, Rows: r})
}

// Disagreed records that the server contradicted the analysis in the dangerous
// direction, which is an alarm.
func (x *Exchange) Disagreed(note string) error {
	if x.s.p.Observer != nil {
		x.s.p.Observer.Disagreed(x.s.p.DataSource)
	}
	return x.s.append(access.Event{Kind: access.EventDisagreed, Statement: x.seq, Note: note})
}

// End says how the operation went. Calls after the first do nothing. Rows,
// Bytes, Masked and Duration are filled in from what Take has counted.
func (x *Exchange) End(e access.Ended) error {
	if x.standing || x.s == nil || x.ended.Swap(true) {
		return nil
	}
	x.s.underWay.Add(-1)
	e.Rows, e.Bytes, e.Masked = x.rows.Load(), x.bytes.Load(), x.masked.Load()
	e.Duration = x.s.p.now().Sub(x.started)
	if x.told.Load() {
		e.Flags = append(e.Flags, flagFailed)
	}
	e.Flags = append(e.Flags, x.lifted.flags()...)
	if x.s.p.Observer != nil {
		x.s.p.Observer.Ended(x.s.p.DataSource, e)
	}
	return x.s.append(access.Event{Kind: access.EventEnded, Statement: x.seq, Ended: &e})
}

// Outbox collects what goes upstream. Nothing can be put into it without an
// Exchange that Begin or Control has given. The zero value is empty and ready; it
// is not safe for concurrent use.
type Outbox struct{ buf []byte }

// Append adds p to what goes upstream, by the permission of x.
func (o *Outbox) Append(x *Exchange, p []byte) error {
	if x == nil || !x.live {
		return ErrNoPermission
	}
	o.buf = append(o.buf, p...)
	return nil
}

// Len returns the number of bytes waiting.
func (o *Outbox) Len() int { return len(o.buf) }

// Swap exchanges the contents of two outboxes, so that one can be filled while
// the other is written.
func (o *Outbox) Swap(other *Outbox) { o.buf, other.buf = other.buf, o.buf }

// Server is the upstream side of a session. It can be read by anyone and written
// only from an Outbox.
type Server struct{ conn net.Conn }

// NewServer returns the upstream side of a session over an open connection.
func NewServer(conn net.Conn) *Server { return &Server{conn: conn} }

// Read reads from the data source.
func (s *Server) Read(p []byte) (int, error) { return s.conn.Read(p) }

// WriteFrom writes everything in o and empties it. A buffer that has grown large
// is given back.
func (s *Server) WriteFrom(o *Outbox) error {
	_, err := s.conn.Write(o.buf)
	if cap(o.buf) > 256<<10 {
		o.buf = nil
	}
	o.buf = o.buf[:0]
	return err
}

// Interrupt makes pending and later reads and writes return at once, so that a
// relay can end, whatever the server does: one that takes nothing more would
// otherwise hold its session, and with it the proxy's end, for as long as it likes.
func (s *Server) Interrupt() error { return s.conn.SetDeadline(time.Unix(1, 0)) }

// CloseWrite ends the upstream direction where the transport can, so that the
// server sees the end of what was sent.
func (s *Server) CloseWrite() error {
	if c, ok := s.conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// Close ends the upstream connection.
func (s *Server) Close() error { return s.conn.Close() }

var _ io.Reader = (*Server)(nil)
