package core

import (
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

// serverError handles ErrorResponse. In the extended protocol PostgreSQL skips
// everything up to the next Sync, and so does the queue.
func (c *Conn) serverError(body []byte) error {
	e := wire.ParseError(body)
	c.passMarks()
	a := c.owe.head()
	out, show := e, !c.discarding
	switch {
	case a != nil && a.absent && e.Code == "25P02": // the server would not have looked for the name
	case a != nil && a.poison != nil:
		out = *a.poison
	case a != nil && a.failed:
		out = *a.refusal
	case a != nil && a.hidden && a.owed == owedQuery:
		show = false // the poison of injectPoison
	case c.touched:
		out = redact(e)
	}
	if a != nil && a.hidden { // the place is where the server takes messages that the client has not sent
		out.Extra = slices.DeleteFunc(slices.Clone(out.Extra), func(f wire.ErrorField) bool { return strings.IndexByte("FLR", f.Type) >= 0 })
	}
	if a != nil && a.rewritten() { // the place is in another text than the client's
		out.Extra = slices.DeleteFunc(slices.Clone(out.Extra), func(f wire.ErrorField) bool { return f.Type == 'P' })
		if out.Hint == "" && strings.HasPrefix(out.Code, "42") {
			out.Hint = "Columns are masked at the source, so a sub-select stood in the table's place: kubectl tidewaiter explain shows it."
		}
	}
	if show {
		c.ToClient = out.Append(c.ToClient, 'E')
	}
	if e.Severity == "FATAL" || e.Severity == "PANIC" {
		c.farewell = show && out.Severity == e.Severity
		return nil // the server ends the connection next
	}
	if a == nil {
		return nil
	}
	ended := access.Ended{Outcome: access.OutcomeFailed, Code: out.Code, Message: c.recordedMessage(a, &out)}
	if a.exchange != nil && a.poison == nil && !a.failed && !c.discarding && tells(e.Code) {
		a.exchange.Told()
	}
	switch a.owed {
	case owedQuery, owedCall, owedSync: // ReadyForQuery follows
		c.definers, c.copyIn = 0, false
		return c.finish(a, ended)
	default:
		return c.skipToSync(a, ended)
	}
}

// skipToSync drops the failed head and everything behind it up to the next Sync.
func (c *Conn) skipToSync(a *answer, ended access.Ended) error {
	dropped := []*answer{a}
	if err := c.done(a, ended); err != nil {
		return err
	}
	next := c.owe.head()
	for ; next != nil && next.owed != owedSync; next = c.owe.head() {
		dropped = append(dropped, next)
		if err := c.done(next, access.Ended{Outcome: access.OutcomeSkipped}); err != nil {
			return err
		}
	}
	for i := len(dropped) - 1; i >= 0; i-- {
		if dropped[i].undo != nil && (i > 0 || !a.stays) {
			dropped[i].undo()
		}
	}
	if c.copyIn {
		c.copyFailed()
	}
	c.copyIn, c.copyEnded, c.definers = false, false, 0
	if next == nil {
		c.skipping = true
	}
	return nil
}

// copyFailed marks every Sync in flight as one that may go unanswered: which of
// them the server swallowed as COPY data before the error cannot be known.
func (c *Conn) copyFailed() {
	uncertain := false
	for i := c.owe.first; i < len(c.owe.items); i++ {
		if a := c.owe.items[i]; a.owed == owedSync {
			uncertain = uncertain || a.maybe
			a.maybe = uncertain
		}
	}
}

// stop ends a result in the middle: the client is told e in order, what still
// comes for it is discarded, and the server is asked to stop.
func (c *Conn) stop(a *answer, e *wire.Error) error {
	c.ToClient = e.Append(c.ToClient, 'E')
	c.discarding, c.cancel, c.canceling = true, true, true
	if a.owed != owedQuery {
		c.skipping = true
		for _, w := range c.owe.waiting() {
			if w.owed == owedSync {
				c.skipping = false
			}
		}
	}
	return c.finish(a, access.Ended{Outcome: access.OutcomeStopped, Code: e.Code, Message: e.Message})
}
