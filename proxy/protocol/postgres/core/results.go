package core

import (
	"encoding/binary"
	"fmt"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

// rowDescription handles the server's word on a result's columns.
func (c *Conn) rowDescription(a *answer, body []byte) error {
	fields, ok := wire.RowDescription(body)
	if !ok {
		return broken("the server sent a bad RowDescription")
	}
	c.send(a, 'T', body)
	if a.owed == owedQuery {
		return c.startResult(a, fields)
	}
	if a.portal != nil {
		a.portal.fields, a.portal.described = fields, true
		a.portal.describing--
	}
	c.owe.pop()
	return nil
}

func (c *Conn) noData(a *answer, body []byte) error {
	c.send(a, 'n', body)
	if a.portal != nil {
		a.portal.described = true
		a.portal.describing--
	}
	c.owe.pop()
	return nil
}

// startResult compiles the plan for the rows that follow, and stops a result in
// which the server attests a tagged column that the analysis has not seen.
func (c *Conn) startResult(a *answer, fields []wire.Field) error {
	st := a.statement()
	if a.poison != nil || a.exchange == nil {
		return broken("the server sent rows where it had to refuse")
	}
	a.plan = c.plan(a, st, fields)
	if !a.plan.disagrees || c.discarding {
		return nil
	}
	c.stale = true
	note := fmt.Sprintf("column %q comes from relation %d, which is tagged, and the analysis had not seen that", a.plan.suspect, a.plan.suspectRelation)
	if err := a.exchange.Disagreed(note); err != nil {
		return err
	}
	return c.stop(a, Render(&access.Denial{
		What:   "tidewaiter: the result was dropped, because the server says that it holds sensitive columns which the statement does not show",
		Detail: "The catalog has probably changed; it is being loaded again.",
		Hint:   "Try again.",
	}))
}

// commandComplete handles the end of one statement's results.
func (c *Conn) commandComplete(a *answer, kind byte, body []byte) error {
	r := wire.Reader{Rest: body}
	if kind == 'C' {
		if c.copyIn {
			c.swallowed()
		}
		a.tag = r.String()
		c.confirm(a)
	}
	c.send(a, kind, body)
	if a.owed == owedQuery {
		if err := c.flushRows(a); err != nil {
			return err
		}
		a.index++
		a.plan, a.copying, c.copyIn, c.copyEnded = nil, nil, false, false
		return nil
	}
	if kind == 's' { // the portal goes on at the next Execute, as the same statement
		c.owe.pop()
		return c.flushRows(a)
	}
	c.copyIn, c.copyEnded = false, false
	return c.done(a, access.Ended{Outcome: access.OutcomeDone, Tag: a.tag})
}

// confirm applies what a statement that has succeeded does to the session.
func (c *Conn) confirm(a *answer) {
	st := a.statement()
	if st == nil {
		return
	}
	if a.times != nil {
		c.names.confirm(st, a.times[a.index], a.portal)
		c.doubtMade(a.times[a.index])
	}
	if defines(st) {
		c.definers = max(0, c.definers-1)
		c.changed, c.stale = true, true
	}
}

// largeObject holds the OIDs of the functions that libpq's lo_* calls use
// (pg_proc.dat): they return descriptors, positions and large objects' bytes, and
// nothing of a table.
var largeObject = map[uint32]bool{
	715: true, 764: true, 952: true, 953: true, 954: true, 955: true, 956: true, 957: true, 958: true,
	964: true, 1004: true, 3170: true, 3171: true, 3172: true,
}

// functionResult passes a function's result on, or NULL where it could hold a
// tagged value.
func (c *Conn) functionResult(a *answer, body []byte) error {
	shown := body
	size, masked, again := int64(len(body)), int64(0), func() error { return c.functionResult(a, body) }
	if c.catalog.AnyTagged() && !largeObject[a.function] {
		shown, masked = []byte{0xff, 0xff, 0xff, 0xff}, 1
	}
	if c.discarding {
		return nil
	}
	if stopped, err := c.take(a, 1, size, masked, again); err != nil || stopped {
		return err
	}
	c.send(a, 'V', shown)
	return nil
}

// copyBegins handles CopyInResponse and CopyOutResponse.
func (c *Conn) copyBegins(a *answer, kind byte, body []byte) error {
	if a.exchange == nil {
		return broken("the server began a COPY where it had to refuse")
	}
	if kind == 'G' {
		c.copyIn = true
		c.copyEnded = false
		c.swallowSyncs()
		c.send(a, kind, body)
		return nil
	}
	if len(body) < 3 {
		return broken("the server sent a bad CopyOutResponse")
	}
	a.copying = c.copyPlan(a.statement(), int(binary.BigEndian.Uint16(body[1:])), &a.exchange.Decision().Masks, a.exchange.Hides())
	c.send(a, kind, body)
	return nil
}

// swallowSyncs marks the Syncs directly behind a COPY FROM STDIN: the server reads
// them as part of the COPY and ignores them (copyfromparse.c, CopyGetData), unless
// the COPY has failed before.
func (c *Conn) swallowSyncs() {
	for _, w := range c.owe.waiting() {
		switch w.owed {
		case owedSync:
			w.maybe = true
		case owedCopyEnd:
			c.copyEnded = true
			return
		default:
			return
		}
	}
}

// swallowed drops the Syncs that a COPY FROM STDIN has swallowed, and the mark of
// its end, now that it has succeeded. The next mark is that of the next COPY.
func (c *Conn) swallowed() {
	for w := c.owe.waiting(); len(w) > 0 && w[0].maybe; w = c.owe.waiting() {
		c.owe.remove(0)
	}
	if w := c.owe.waiting(); len(w) > 0 && w[0].owed == owedCopyEnd {
		c.owe.remove(0)
	}
}
