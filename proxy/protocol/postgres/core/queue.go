package core

import (
	"slices"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// maxInFlight bounds the queue of expected answers. A client that pipelines more
// is made to wait until the server has answered some.
const maxInFlight = 10_000

// owed is what the server owes for one forwarded message.
type owed uint8

const (
	owedQuery    owed = iota // results, then ReadyForQuery
	owedParse                // ParseComplete
	owedBind                 // BindComplete
	owedClose                // CloseComplete
	owedDescribe             // [ParameterDescription] RowDescription or NoData
	owedExecute              // rows, then CommandComplete, PortalSuspended or EmptyQueryResponse
	owedCopyEnd              // nothing: marks where the client ended a COPY
	owedSync                 // ReadyForQuery
	owedCall                 // FunctionCallResponse, ReadyForQuery
)

// answer is one entry of the queue.
type answer struct {
	owed     owed
	exchange *session.Exchange // nil for control traffic
	stmts    []analysis.Statement
	times    []int // when each of stmts was forwarded, by names.clock
	index    int   // which of stmts is answering, in a simple query
	portal   *portal
	plan     *rowPlan
	tag      string // of the last CommandComplete
	function uint32 // OID, of a FunctionCall
	copying  *copyPlan
	watch    *watch      // of the data of a COPY FROM STDIN
	refusal  *wire.Error // why that COPY is refused: in place of the server's error
	failed   bool        // and the server has been told to end it

	poison  *wire.Error // what the client is told in place of the server's error
	absent  bool        // poison is about a name that is not there, see Answer.Absent
	judged  judged
	checked bool // the definitions were those of judged when the rows began
	changed bool // they were not
	made    int  // so many of stmts had been looked at again when they had made what they hold

	hidden bool   // asked for by us: the client must not see the answer
	maybe  bool   // a Sync that a COPY may have swallowed
	undo   func() // takes back what forwarding changed, when it fails or is skipped
	stays  bool   // undo is for being skipped alone: failing has the same effect
	did    func() // notes that it has happened
}

// statement returns the facts of the statement that is answering now.
func (a *answer) statement() *analysis.Statement {
	if a.index < len(a.stmts) {
		return &a.stmts[a.index]
	}
	return nil
}

// rewritten reports whether another text than the client's went upstream.
func (a *answer) rewritten() bool {
	return slices.ContainsFunc(a.stmts, func(st analysis.Statement) bool { return st.Rewritten })
}

// queue is a first-in first-out list of answers.
type queue struct {
	items []*answer
	first int
}

func (q *queue) len() int { return len(q.items) - q.first }

func (q *queue) push(a *answer) { q.items = append(q.items, a) }

// head returns the answer that the server is giving, or nil.
func (q *queue) head() *answer {
	if q.len() == 0 {
		return nil
	}
	return q.items[q.first]
}

// pop removes the head.
func (q *queue) pop() {
	q.items[q.first] = nil
	q.first++
	if q.first == len(q.items) {
		q.items, q.first = q.items[:0], 0
		if cap(q.items) > 256 {
			q.items = nil
		}
	}
}

// waiting returns the entries behind the head.
func (q *queue) waiting() []*answer {
	if q.len() < 2 {
		return nil
	}
	return q.items[q.first+1:]
}

// remove deletes the i-th entry behind the head.
func (q *queue) remove(i int) {
	at := q.first + 1 + i
	q.items = append(q.items[:at], q.items[at+1:]...)
}
