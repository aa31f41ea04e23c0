package core

import (
	"crypto/sha256"
	"fmt"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/mask"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// Settings of a connection.
type Settings struct {
	// RecordRows asks for the rows that the client saw in the recording.
	RecordRows bool
	// DigestRows asks for digests of them instead, even where RecordRows is set.
	DigestRows bool
	// MaskKey is the data source's key for the Hash strategy.
	MaskKey []byte
	// MaxText bounds a statement's text in bytes. 0 means 16 MiB.
	MaxText int
	// MaxRow bounds, in bytes, what is kept of a row that must be masked. 0 means
	// 16 MiB.
	MaxRow int
}

// Conn is the state of one connection. It is not safe for concurrent use; its
// driver serializes every call.
type Conn struct {
	set  Settings
	ctrl *session.Exchange

	// ToServer collects what goes upstream, ToClient what goes to the client. The
	// driver takes from both.
	ToServer session.Outbox
	ToClient []byte

	client frame
	bind   *bindScan
	ask    *Ask // what the client side waits for

	server  frame
	row     rowScan
	digests *answer // whose digest takes in what passes of the server's message
	owe     queue
	status  byte // transaction status as the server last said

	names   names
	catalog *catalog.Snapshot
	check   *Check      // what the server side waits for
	pause   *pause      // or why it stands still
	held    []byte      // of the server, behind either
	unsure  []*prepared // made, and not yet known to mean what the catalog of then says
	reading []*prepared // cursors WITH HOLD whose transaction has not ended

	notices    []byte // for the client, at the next message boundary
	skipping   bool   // messages of the client are dropped up to Sync
	ran        bool   // a statement was forwarded since the last Sync, in the extended protocol
	sinceSync  bool   // extended messages were forwarded since the last Sync
	discarding bool   // messages of the server are dropped up to ReadyForQuery
	touched    bool   // a tagged relation was used in this transaction
	changed    bool   // DDL in this transaction
	altered    bool   // DDL in this transaction that the catalog cannot show yet
	uncertain  bool   // DDL on a tagged relation in this transaction
	stale      bool   // the catalog must be reloaded before the next decision
	settling   bool   // a ReadyForQuery is held until the transaction has failed
	poisonNext bool   // a poison must go upstream at the next message boundary

	cancel    bool // the driver must cancel what runs
	canceling bool // a cancel request is under way
	closed    bool // the client has said goodbye
	farewell  bool // the client has the server's own word for why the connection ends
	copyIn    bool // the head answer is taking COPY data
	copyEnded bool // the client has ended the COPY that is under way
	definers  int  // DDL statements under way
}

// New returns the state of a connection that has just become ready. control is
// the session's standing exchange.
func New(set Settings, control *session.Exchange, cat *catalog.Snapshot) *Conn {
	if set.MaxText == 0 {
		set.MaxText = 16 << 20
	}
	if set.MaxRow == 0 {
		set.MaxRow = 16 << 20
	}
	return &Conn{set: set, ctrl: control, status: 'I', names: newNames(), catalog: cat}
}

// Ask is a question to the driver: may this be forwarded? The client side stands
// still until it is answered by Answer.
type Ask struct {
	Kind AskKind
	// Text of the statement, and what is bound to its parameters.
	Text       string
	Parameters []access.Value
	// Bound is equal for equal parameters, as a number that nobody outside of this
	// process can tell anything from. 0: nothing is bound.
	Bound uint64
	// May lists what an AskExecute may run: mostly one.
	May []*prepared
	// Function is the OID of a FunctionCall.
	Function uint32
	// Stale: the catalog must be reloaded first.
	Stale bool
	// Backslash: the server may read a backslash in a text otherwise than the
	// analyzer does.
	Backslash bool
	// Session is what the analyzer must know of the session.
	Session analysis.State

	name    string // AskParse: the statement's name
	used    used
	forward []byte // the message
	sent    Digest // of the text in it, if that is not Text
	portal  *portal
}

// Candidate returns the text of the i-th statement that an AskExecute may run, or
// its facts where the text is not known.
func (a *Ask) Candidate(i int) (text string, facts []analysis.Statement) {
	return a.May[i].text, a.May[i].stmts
}

// Digest stands for a text that went upstream in place of the client's, which may be
// a thousand times as long; the zero Digest for the client's own.
type Digest [sha256.Size]byte

func digest(text string) Digest {
	if text == "" {
		return Digest{}
	}
	return sha256.Sum256([]byte(text))
}

// Sent reports whether what went upstream for the i-th statement is the text given;
// empty: the client's own.
func (a *Ask) Sent(i int, text string) bool { return a.May[i].sent == digest(text) }

// AskKind says what an Ask is about.
type AskKind uint8

// The kinds of questions.
const (
	AskQuery AskKind = iota
	AskParse
	AskExecute
	AskCall
)

// Answer is the driver's answer to an Ask. Exchange, Denial or Error is set;
// the zero Answer refuses.
type Answer struct {
	Exchange *session.Exchange
	// Result holds the facts and, in Runs, the text to forward instead of the
	// client's.
	Result  *analysis.Result
	Catalog *catalog.Snapshot
	Denial  *access.Denial
	Error   *wire.Error // a refusal in PostgreSQL's own words
	// Absent: Error is about a name that is not there, which PostgreSQL does not look
	// for in a transaction that has failed.
	Absent bool
}

// fatal ends the connection: the protocol was broken, and to go on would be to
// guess.
type fatal struct{ what string }

func (f fatal) Error() string { return "protocol: " + f.what }

func broken(format string, args ...any) error { return fatal{fmt.Sprintf(format, args...)} }

// Status returns the transaction status as the server last said it: 'I', 'T' or
// 'E'.
func (c *Conn) Status() byte { return c.status }

// Idle reports whether nothing is under way, so that the session can end without
// anyone losing an answer.
func (c *Conn) Idle() bool {
	return c.owe.len() == 0 && c.ask == nil && !c.client.inside() && !c.server.inside() && !c.sinceSync && c.status == 'I'
}

// Closed reports whether the client has sent Terminate.
func (c *Conn) Closed() bool { return c.closed }

// WantsCancel reports, once, that what runs upstream must be canceled. The
// driver calls Canceled when that is done; until then nothing more of the client
// is forwarded, so that the cancel cannot hit a later statement.
func (c *Conn) WantsCancel() bool {
	want := c.cancel
	c.cancel = false
	return want
}

// Canceled says that the cancel request has reached the server.
func (c *Conn) Canceled() { c.canceling = false }

// Blocked reports whether the client side must wait for the server: a question
// is open, a cancel is under way, DDL must finish first, or too much is in flight.
func (c *Conn) Blocked() bool {
	return c.ask != nil || c.canceling || c.settling || (c.definers > 0 && !c.copyIn) || c.owe.len() >= maxInFlight
}

// End says that the connection is over, and ends every exchange still open.
func (c *Conn) End() {
	for c.owe.len() > 0 {
		_ = c.finish(c.owe.head(), access.Ended{Outcome: access.OutcomeLost}) // the recorder's error has nobody left to be told
		c.owe.pop()
	}
	c.names.endTransaction()
}

// state is what the analyzer must know of this session. used collects what it asks
// for.
func (c *Conn) state(used *used) analysis.State {
	return analysis.State{
		PathChanged: c.names.path,
		Stale:       c.altered,
		Unsettled:   c.changed,
		Temp:        c.names.temp,
		Prepared: func(name string) []*analysis.Statement {
			all := c.names.known(name)
			used.prepared = append(used.prepared, all...)
			return facts(all)
		},
		Cursor: func(name string) []*analysis.Statement {
			used.cursors = append(used.cursors, c.names.cursors[name]...)
			used.cursors = append(used.cursors, c.names.behind(name)...)
			return append(facts(c.names.cursors[name]), c.names.asked(name)...)
		},
	}
}

// maskSpec turns a policy's mask into the maskers' terms. An unknown strategy
// redacts.
func (c *Conn) maskSpec(m access.Mask) mask.Spec {
	strategy, err := mask.ParseStrategy(m.Strategy)
	if err != nil {
		strategy = mask.Redact
	}
	return mask.Spec{Strategy: strategy, KeepDomain: m.KeepDomain, KeepFirst: m.KeepFirst, KeepLast: m.KeepLast, TruncateTo: m.TruncateTo, Key: c.set.MaskKey}
}

// ServerSaidFarewell reports whether the server has ended the connection with an
// error of its own, which the client has got.
func (c *Conn) ServerSaidFarewell() bool { return c.farewell }

// BetweenMessages reports whether the client has been sent whole messages only,
// so that another may follow.
func (c *Conn) BetweenMessages() bool {
	return c.server.treat != pass || !c.server.inside() || c.server.have < len(c.server.header)
}
