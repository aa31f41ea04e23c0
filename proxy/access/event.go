package access

import (
	"fmt"
	"strings"
	"time"
)

// EventKind names what happened in a session.
type EventKind string

// The kinds of events, in the order in which a session meets them.
const (
	EventOpened    EventKind = "Opened"    // the session began
	EventDecided   EventKind = "Decided"   // an operation was decided: the intent record
	EventHeld      EventKind = "Held"      // an operation waits for people
	EventAnswered  EventKind = "Answered"  // how they answered, or why nobody did
	EventRows      EventKind = "Rows"      // rows as the client saw them
	EventEnded     EventKind = "Ended"     // an operation is over
	EventDisagreed EventKind = "Disagreed" // the server's attestation contradicted the analysis
	EventClosed    EventKind = "Closed"    // the session ended
)

// Event is one entry of a session's record. Exactly the part that belongs to
// its Kind is set.
type Event struct {
	Kind EventKind `json:"kind"`
	Time time.Time `json:"time"`
	// Statement numbers the operations of a session from 1; 0 for the session's
	// own events.
	Statement int64   `json:"statement,omitempty"`
	Opened    *Opened `json:"opened,omitempty"`
	// Decided comes again, with the same number, where an operation was held: it is
	// decided anew when it is let go.
	Decided  *Decided  `json:"decided,omitempty"`
	Held     *Notice   `json:"held,omitempty"`
	Answered *Answered `json:"answered,omitempty"`
	Rows     *Rows     `json:"rows,omitempty"`
	Ended    *Ended    `json:"ended,omitempty"`
	Note     string    `json:"note,omitempty"` // Disagreed: what was found
	Closed   *Closed   `json:"closed,omitempty"`
}

// Opened describes a session at its start.
type Opened struct {
	Session    string   `json:"session"` // unique name
	DataSource string   `json:"dataSource"`
	Protocol   string   `json:"protocol"`
	Identity   Identity `json:"identity"`
	Hello      Hello    `json:"hello"`
	Client     string   `json:"client,omitempty"` // address of the peer
}

// Decided is the intent record of an operation: written before any of it goes
// upstream.
type Decided struct {
	Phase      Phase    `json:"phase"`
	Text       string   `json:"text"`
	TextSize   int64    `json:"textSize,omitempty"` // bytes, where Text was cut short
	Parameters []Value  `json:"parameters,omitempty"`
	Kinds      []string `json:"kinds,omitempty"`
	Features   []string `json:"features,omitempty"`
	Resources  []string `json:"resources,omitempty"` // "Read public.customers"
	Tags       []string `json:"tags,omitempty"`
	Effect     string   `json:"effect"`
	Policy     string   `json:"policy,omitempty"`
	Rule       string   `json:"rule,omitempty"`
	Reason     string   `json:"reason,omitempty"`
	Observed   bool     `json:"observed,omitempty"`
	Flags      []string `json:"flags,omitempty"`
	Revision   uint64   `json:"revision,omitempty"`
}

// Notice says that an operation waits for people, and of whom that is asked.
type Notice struct {
	// Request is "namespace/name" of the AccessRequest.
	Request string `json:"request"`
	// Rules that ask, the one that is named to the client first.
	Rules []RuleRef `json:"rules"`
	// Until is when it is void.
	Until time.Time `json:"until"`
	// Hint says how somebody answers.
	Hint string `json:"-"`
	// Refused: the client does not wait, but comes again.
	Refused bool `json:"refused,omitempty"`
}

// ApproveHint says how an approver answers the AccessRequest "namespace/name".
func ApproveHint(request string) string {
	namespace, name, _ := strings.Cut(request, "/")
	return fmt.Sprintf("An approver runs: kubectl tidewaiter approve -n %s %s", namespace, name)
}

// Answered is how an operation ceased to be held.
type Answered struct {
	// Request is "namespace/name" of the AccessRequest; empty where nobody was asked.
	Request string        `json:"request,omitempty"`
	Outcome AnswerOutcome `json:"outcome"`
	By      []string      `json:"by,omitempty"`     // who decided
	Reason  string        `json:"reason,omitempty"` // their words, or why there is no answer
	// Grant is what the approval is good for beyond this operation, such as
	// "Session" or "1h0m0s"; Granted that it was let through by an earlier one.
	Grant   string `json:"grant,omitempty"`
	Granted bool   `json:"granted,omitempty"`
}

// AnswerOutcome classifies answers. Only AnswerApproved approves.
type AnswerOutcome string

// The outcomes of holding an operation.
const (
	AnswerApproved  AnswerOutcome = "Approved"
	AnswerDenied    AnswerOutcome = "Denied"
	AnswerExpired   AnswerOutcome = "Expired"   // nobody answered in time
	AnswerWithdrawn AnswerOutcome = "Withdrawn" // nobody waits any longer, or the request was taken away
	AnswerRefused   AnswerOutcome = "Refused"   // nobody was asked
	AnswerPending   AnswerOutcome = "Pending"   // people are asked, and the client comes again
)

// Rows is a batch of rows as the client saw them, or a digest of them.
type Rows struct {
	Columns []Column    `json:"columns,omitempty"` // in a result's first batch
	Values  [][]Value   `json:"values"`
	Digest  *RowsDigest `json:"digest,omitempty"` // in place of Values
}

// RowsDigest stands for a batch of rows. docs/recording-format.md says of which bytes.
type RowsDigest struct {
	Count int64 `json:"count"` // rows of the batch; of COPY data, messages
	Bytes int64 `json:"bytes"` // of the batch
	// SHA256, in hex, of the result from its first row to the end of this batch.
	SHA256 string `json:"sha256"`
}

// Column describes a result's column.
type Column struct {
	Name   string `json:"name"`
	Type   string `json:"type,omitempty"`
	Masked string `json:"masked,omitempty"` // the strategy, where it is masked
}

// Ended is how an operation went.
type Ended struct {
	Outcome  Outcome       `json:"outcome"`
	Tag      string        `json:"tag,omitempty"`  // the server's word: "SELECT 2"
	Code     string        `json:"code,omitempty"` // SQLSTATE or its like
	Message  string        `json:"message,omitempty"`
	Rows     int64         `json:"rows"`
	Bytes    int64         `json:"bytes"`  // of results, to the client
	Masked   int64         `json:"masked"` // values
	Flags    []string      `json:"flags,omitempty"`
	Duration time.Duration `json:"durationNanos"`
}

// Outcome classifies the end of an operation.
type Outcome string

// The outcomes.
const (
	OutcomeDone    Outcome = "Done"
	OutcomeFailed  Outcome = "Failed"  // the server answered with an error
	OutcomeDenied  Outcome = "Denied"  // refused before it ran
	OutcomeStopped Outcome = "Stopped" // cut short by a limit
	OutcomeSkipped Outcome = "Skipped" // not run, because something before it failed
	OutcomeLost    Outcome = "Lost"    // a connection ended first
)

// Closed sums a session up.
type Closed struct {
	Reason     string `json:"reason"`
	Statements int64  `json:"statements"`
	Denied     int64  `json:"denied"`
	Masked     int64  `json:"masked"`
	Held       int64  `json:"held"`
	Rows       int64  `json:"rows"`
	Bytes      int64  `json:"bytes"`
	// Probes are the distinct comparisons with tagged columns, and failures while
	// using them, that were counted because policy bounds them.
	Probes int64 `json:"probes,omitempty"`
}
