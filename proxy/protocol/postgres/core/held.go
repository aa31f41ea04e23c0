package core

import (
	"cmp"
	"strings"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

// Hold says that the open question will take long, because people are asked. What the
// server has kept back of answers is fetched: an exchange that stays open for it would
// be waited for by other connections.
func (c *Conn) Hold() error {
	if c.ask == nil || !c.sinceSync || c.skipping {
		return nil
	}
	return c.forward(wire.Flush(nil))
}

// Again returns the open question as it is now: what the session's names stand for, and
// what is known of the catalog, may have changed since it was asked. nil: there is none.
func (c *Conn) Again() *Ask {
	if c.ask != nil {
		c.ask.used = used{}
		_ = c.question(c.ask) // it only fills the question in
	}
	return c.ask
}

// Notice tells the client something as soon as a message may begin.
func (c *Conn) Notice(e *wire.Error) {
	c.notices = e.Append(c.notices, 'N')
	c.sendNotices()
}

// sendNotices sends the notices that wait, if the client has been sent whole messages.
func (c *Conn) sendNotices() {
	if len(c.notices) > 0 && c.BetweenMessages() {
		c.ToClient = append(c.ToClient, c.notices...)
		c.notices = nil
	}
}

// Skipping reports whether what the client sends is dropped up to Sync, because
// something before it has failed: an open question is about nothing then.
func (c *Conn) Skipping() bool { return c.skipping }

// Running reports whether the server is running, or about to run, a statement.
func (c *Conn) Running() bool {
	for _, a := range c.owe.items[c.owe.first:] {
		if a.exchange != nil && (a.owed == owedQuery || a.owed == owedExecute || a.owed == owedCall) {
			return true
		}
	}
	return false
}

// InTransaction reports whether statements that have run, or are running, may keep
// locks until the client goes on.
func (c *Conn) InTransaction() bool { return c.status != 'I' || c.ran || c.Running() }

// Uses returns the texts behind the names of the session that the facts of the question
// were made of: of what EXECUTE runs, or FETCH fetches from. It is false where one is not
// known.
func (a *Ask) Uses() (texts []string, known bool) {
	known = true
	note := func(p *prepared) {
		switch {
		case p.text != "":
			texts = append(texts, p.text)
		case p.madeBy != "":
			texts = append(texts, p.madeBy)
		default:
			known = false
		}
	}
	for _, p := range a.used.prepared {
		note(p)
	}
	for _, p := range a.used.cursors {
		note(p)
	}
	if len(a.May) > 0 { // the text of the first is the question's own
		for _, p := range a.May[1:] {
			note(p)
		}
	}
	return texts, known && a.Kind != AskCall
}

// Unbound reports whether the question is about a cursor whose query may have parameters:
// they were bound when it was opened and are not part of the question's own, so that equal
// texts may be different statements. Any "$" may be one.
func (a *Ask) Unbound() bool {
	for _, p := range a.used.cursors {
		if text := cmp.Or(p.text, p.madeBy); text == "" || strings.Contains(text, "$") {
			return true
		}
	}
	return false
}
