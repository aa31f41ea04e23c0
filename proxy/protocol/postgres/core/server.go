package core

import (
	"errors"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

// maxServerMessage bounds, in bytes, messages of the server that are read whole:
// everything but rows and COPY data.
const maxServerMessage = 16 << 20

// FromServer takes bytes of the server; all of them are used. An error ends the
// connection.
func (c *Conn) FromServer(p []byte) error {
	if c.check != nil || c.pause != nil {
		c.held = append(c.held, p...)
		return nil
	}
	for len(p) > 0 {
		if !c.server.inside() && (c.mustCheck(p[0]) || c.mustCheckRead(p)) {
			c.held = append(c.held, p...)
			return nil
		}
		used, err := c.serverStep(p)
		p = p[used:]
		if errors.Is(err, errPaused) {
			c.held = append(c.held, p...)
			return nil
		}
		if err != nil {
			return err
		}
		c.sendNotices()
	}
	return nil
}

func (c *Conn) serverStep(p []byte) (used int, err error) {
	f := &c.server
	if f.have < wire.HeaderSize {
		if !f.inside() && p[0] == 'D' {
			if used, err := c.rows(p); used > 0 || err != nil {
				return used, err
			}
		}
		n, complete, err := f.readHeader(p)
		if err != nil {
			return n, broken("the server sent a bad message: %v", err)
		}
		if !complete {
			return n, nil
		}
		used = n
		if err := c.serverHeader(); err != nil {
			return used, c.then(err, func() error { _, err := c.serverBody(nil); return err })
		}
	}
	n, err := c.serverBody(p[used:])
	return used + n, err
}

// serverBody takes what p has of the body of a message whose header is there.
func (c *Conn) serverBody(p []byte) (used int, err error) {
	f := &c.server
	part, ends := f.take(p)
	switch f.treat {
	case hold:
		f.body = append(f.body, part...)
	case pass:
		c.ToClient = append(c.ToClient, part...)
		if c.digests != nil {
			c.digests.plan.digest.write(part)
		}
	case scan:
		err = c.scanPart(part)
	}
	if !ends {
		return len(part), err
	}
	if err != nil {
		return len(part), c.then(err, c.serverEnds)
	}
	return len(part), c.serverEnds()
}

// serverEnds handles a message that is there to its end.
func (c *Conn) serverEnds() (err error) {
	f := &c.server
	switch f.treat {
	case hold:
		err = c.serverMessage(f.kind, f.body)
	case scan:
		err = c.scanEnd()
	case pass:
		err = c.digestPassed()
	}
	if errors.Is(err, errPaused) {
		c.pause.steps = append(c.pause.steps, func() error { f.next(); return nil })
		return err
	}
	f.next()
	return err
}

// serverHeader decides how the message that begins is taken in.
func (c *Conn) serverHeader() error {
	f := &c.server
	f.treat = hold
	switch f.kind {
	case 'D':
		return c.startRow()
	case 'd':
		return c.startCopyData()
	}
	if f.left > maxServerMessage {
		return broken("the server sent a %q message of %d bytes, which is more than is read whole", f.kind, f.left)
	}
	return nil
}

// serverMessage handles a message that was held whole.
func (c *Conn) serverMessage(kind byte, body []byte) error {
	switch kind {
	case 'D':
		return c.heldRow(body)
	case 'd':
		return c.heldCopyData(body)
	case 'N', 'A', 'S':
		return c.asynchronous(kind, body)
	case 'E':
		return c.serverError(body)
	case 'Z':
		return c.ready(body)
	}
	a := c.skipMaybe()
	if a == nil {
		return broken("the server sent an unexpected %q message", kind)
	}
	if a.poison != nil {
		return broken("the server answered %q where it had to refuse", kind)
	}
	if !answers(a.owed, kind) {
		return broken("the server answered %q to what does not end so", kind)
	}
	switch kind {
	case 'T':
		return c.rowDescription(a, body)
	case 'n':
		return c.noData(a, body)
	case 'C', 'I', 's':
		return c.commandComplete(a, kind, body)
	case 'G', 'H':
		return c.copyBegins(a, kind, body)
	case 'V':
		return c.functionResult(a, body)
	case 'c':
		return c.copyOutEnds(a, body)
	case '1', '2', '3':
		c.send(a, kind, body)
		if a.did != nil {
			a.did()
		}
		return c.done(a, access.Ended{Outcome: access.OutcomeDone})
	default: // 't'
		c.send(a, kind, body)
		return nil
	}
}

// answers reports whether a message of the server can belong to the answer to
// what is owed.
func answers(o owed, kind byte) bool {
	var kinds string
	switch o {
	case owedQuery:
		kinds = "TCIGHc"
	case owedParse:
		kinds = "1"
	case owedBind:
		kinds = "2"
	case owedClose:
		kinds = "3"
	case owedDescribe:
		kinds = "tTn"
	case owedExecute:
		kinds = "CIsGHc"
	case owedCall:
		kinds = "V"
	}
	for i := range len(kinds) {
		if kinds[i] == kind {
			return true
		}
	}
	return false
}

// skipMaybe returns the head of the queue, after dropping what may or may not be
// answered and evidently is not.
func (c *Conn) skipMaybe() *answer {
	c.passMarks()
	for a := c.owe.head(); a != nil && a.maybe; a = c.owe.head() {
		c.owe.pop()
		c.passMarks()
	}
	return c.owe.head()
}

// passMarks drops the marks of ended COPYs from the head.
func (c *Conn) passMarks() {
	for a := c.owe.head(); a != nil && a.owed == owedCopyEnd; a = c.owe.head() {
		c.owe.pop()
	}
}

// send forwards a message of the server, unless the client must not see it.
func (c *Conn) send(a *answer, kind byte, body []byte) {
	if c.discarding || (a != nil && a.hidden) {
		return
	}
	c.ToClient = wire.Message(c.ToClient, kind, body)
}

// done ends the head's exchange and removes it.
func (c *Conn) done(a *answer, e access.Ended) error {
	if a.owed == owedExecute && a.portal != nil {
		a.portal.exchange = nil
	}
	c.owe.pop()
	return c.finish(a, e)
}

// finish ends an answer's exchange. An error of the recorder ends the connection:
// it would refuse every further statement anyway.
func (c *Conn) finish(a *answer, e access.Ended) error {
	if a.exchange == nil {
		return nil
	}
	if err := c.flushRows(a); err != nil {
		return err
	}
	return a.exchange.End(e)
}

// asynchronous passes on what the server may say at any moment.
func (c *Conn) asynchronous(kind byte, body []byte) error {
	switch {
	case kind == 'S':
		return c.parameterStatus(body)
	case kind == 'N' && c.touched:
		e := redact(wire.ParseError(body))
		if !c.discarding && !c.hiddenHead() {
			c.ToClient = e.Append(c.ToClient, 'N')
		}
	case !c.discarding || kind == 'A':
		c.ToClient = wire.Message(c.ToClient, kind, body)
	}
	return nil
}

func (c *Conn) hiddenHead() bool {
	a := c.owe.head()
	return a != nil && a.hidden
}

// parameterStatus passes on a setting that the server reports, and ends the
// connection if one has taken a value under which statements would be read
// otherwise than the server reads them.
func (c *Conn) parameterStatus(body []byte) error {
	r := wire.Reader{Rest: body}
	name, value := r.String(), r.String()
	if !r.Done() {
		return broken("the server sent a bad ParameterStatus")
	}
	if name == "standard_conforming_strings" {
		c.names.backslash = c.names.backslash || value != "on"
	} else if !SafeParameter(name, value) {
		return broken("the server's setting %s is no longer safe", name)
	}
	if name == "application_name" && c.touched {
		value = "" // could carry a value of a masked column
	}
	c.ToClient = wire.ParameterStatus(c.ToClient, name, value)
	return nil
}

// SafeParameter reports whether statements are still read as the server reads
// them while a reported setting has this value.
func SafeParameter(name, value string) bool {
	switch name {
	case "client_encoding":
		return value == "UTF8" || value == "SQL_ASCII"
	case "standard_conforming_strings":
		return value == "on"
	default:
		return true
	}
}

// ready handles ReadyForQuery: the end of a simple query, a function call, or a
// pipeline.
func (c *Conn) ready(body []byte) error {
	if len(body) != 1 {
		return broken("the server sent a bad ReadyForQuery")
	}
	c.passMarks()
	a := c.owe.head()
	if a == nil || (a.owed != owedQuery && a.owed != owedSync && a.owed != owedCall) {
		return broken("the server is ready where it owed something else")
	}
	status := body[0]
	stopped := c.discarding
	hidden := a.hidden
	if err := c.done(a, access.Ended{Outcome: access.OutcomeDone, Tag: a.tag}); err != nil {
		return err
	}
	c.status, c.discarding, c.copyIn, c.copyEnded = status, false, false, false
	c.endedWork(status)
	if c.settling && hidden {
		c.settling = false
	}
	if stopped && status == 'T' && c.owe.len() == 0 {
		// The client was told of an error, so its transaction has failed; the
		// server does not know yet. ReadyForQuery waits until it does.
		c.settling, c.poisonNext = true, true
		c.injectPoison()
		return nil
	}
	c.ToClient = wire.ReadyForQuery(c.ToClient, status)
	return nil
}

// endedWork forgets what only mattered within a transaction, once there is none.
func (c *Conn) endedWork(status byte) {
	c.definers = 0
	if status != 'I' {
		return
	}
	if c.changed {
		c.stale = true
	}
	c.changed, c.altered, c.uncertain = false, false, false
	if c.owe.len() == 0 {
		c.touched = false
	}
	if !c.sinceSync && c.owe.len() == 0 {
		c.names.endTransaction()
	}
}
