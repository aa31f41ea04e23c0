package core

import (
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// What goes upstream in place of something refused, where the transaction must fail
// as PostgreSQL's own would. In place of a statement goes one that is never more
// than parsed: there is no parameter 0, whatever exists in the database. In a
// transaction that has failed the server says that instead, as it would have of the
// refused statement. In place of a name that is not known goes a portal's name that
// is not known either; and in place of a FETCH or EXECUTE of one goes another such,
// since it fails when it runs, which leaves the portal that it ran in.
const (
	poisonText      = "tidewaiter refused a statement here"
	poisonStatement = "SELECT $0 -- " + poisonText
	poisonFetch     = `FETCH "` + poisonText + `"`
	poisonExecute   = `EXECUTE "` + poisonText + `"`
)

// Answer takes the driver's answer to the open question and lets the client side
// go on.
func (c *Conn) Answer(ans Answer) error {
	a := c.ask
	c.ask = nil
	if ans.Catalog != nil {
		c.catalog, c.stale = ans.Catalog, false
	}
	if c.skipping { // an error has come meanwhile: the server skips up to Sync
		if ans.Exchange == nil {
			return nil
		}
		return ans.Exchange.End(access.Ended{Outcome: access.OutcomeSkipped})
	}
	if ans.Exchange == nil {
		return c.refuseStatement(a, &ans)
	}
	var stmts []analysis.Statement
	if ans.Result != nil {
		stmts = ans.Result.Statements
		a.rewrite(ans.Result.Runs)
	}
	stmts = c.aged(a, stmts)
	if c.uncertain {
		stmts = c.suspect(stmts)
	}
	if denial := c.writtenBack(a, ans.Exchange, stmts); denial != nil {
		return c.refuseStatement(a, &Answer{Denial: ans.Exchange.Refuse(denial)})
	}
	switch a.Kind {
	case AskQuery:
		return c.forwardQuery(a, ans.Exchange, stmts)
	case AskParse:
		return c.forwardParse(a, ans.Exchange, stmts)
	case AskExecute:
		a.portal.stmts, a.portal.judged = either(stmts), c.judgedBy(a)
		return c.forwardExecute(a.portal, ans.Exchange, a.forward)
	default:
		return c.forwardCall(a, ans.Exchange)
	}
}

// words returns the refusal that the client sees.
func (ans *Answer) words() *wire.Error {
	switch {
	case ans.Error != nil:
		return ans.Error
	case ans.Denial != nil:
		return Render(ans.Denial)
	default:
		return Render(access.AsDenial(session.ErrNoPermission))
	}
}

var kindOf = map[AskKind]byte{AskQuery: 'Q', AskParse: 'P', AskExecute: 'E', AskCall: 'F'}

// rewrite puts another text into the message that asks for a Query or Parse. What
// follows the text, such as the types of parameters, stays.
func (a *Ask) rewrite(text string) {
	if text == "" || a.Kind != AskQuery && a.Kind != AskParse {
		return
	}
	a.sent = digest(text)
	body := make([]byte, 0, len(a.forward)+len(text))
	if a.Kind == AskParse {
		body = append(append(body, a.name...), 0)
	}
	behind := wire.HeaderSize + len(body) + len(a.Text)
	body = append(append(body, text...), a.forward[behind:]...)
	a.forward = wire.Message(nil, kindOf[a.Kind], body)
}

func (c *Conn) forwardQuery(a *Ask, x *session.Exchange, stmts []analysis.Statement) error {
	c.run(stmts)
	c.owe.push(&answer{owed: owedQuery, exchange: x, stmts: stmts, times: c.begin(stmts), judged: c.judgedBy(a)})
	return c.ToServer.Append(x, a.forward)
}

func (c *Conn) forwardParse(a *Ask, x *session.Exchange, stmts []analysis.Statement) error {
	c.names.clock++
	p := &prepared{text: a.Text, sent: a.sent, stmts: stmts, born: c.names.clock, catalog: c.catalog}
	c.touch(stmts)
	undo, did := c.names.parse(a.name, p)
	c.push(&answer{owed: owedParse, exchange: x, stmts: stmts, undo: undo, did: func() {
		did()
		c.doubt(p)
	}})
	return c.ToServer.Append(x, a.forward)
}

// forwardExecute lets a portal run. Where its columns could be tagged and nobody
// has asked the server what they are, this asks, before and unseen.
func (c *Conn) forwardExecute(p *portal, x *session.Exchange, message []byte) error {
	p.exchange, c.ran = x, true
	stmts := p.stmts
	if !p.described && p.describing == 0 && c.mustAttest(stmts) {
		a := &answer{owed: owedDescribe, portal: p, stmts: stmts, hidden: true}
		c.expectDescription(a)
		c.push(a)
		if err := c.ToServer.Append(x, wire.Describe(nil, 'P', p.name)); err != nil {
			return err
		}
	}
	c.run(stmts)
	c.push(&answer{owed: owedExecute, exchange: x, stmts: stmts, times: c.begin(stmts), portal: p, judged: p.judged, checked: p.checked})
	if err := c.ToServer.Append(x, message); err != nil || c.definers == 0 {
		return err
	}
	return c.forward(wire.Flush(nil)) // or the server would keep the answer that is waited for
}

func (c *Conn) forwardCall(a *Ask, x *session.Exchange) error {
	c.touched = c.touched || c.catalog.AnyTagged()
	c.owe.push(&answer{owed: owedCall, exchange: x, function: a.Function})
	return c.ToServer.Append(x, a.forward)
}

// mustAttest reports whether rows of these statements need the server's word on
// where their columns come from.
func (c *Conn) mustAttest(stmts []analysis.Statement) bool {
	for i := range stmts {
		if stmts[i].Touches {
			return true
		}
	}
	return false
}

// touch notes that tagged relations are used: from here to the end of the
// transaction, errors and notices may carry their values.
func (c *Conn) touch(stmts []analysis.Statement) {
	c.touched = c.touched || c.mustAttest(stmts)
}

// run notes what the statements about to run do to the session.
func (c *Conn) run(stmts []analysis.Statement) {
	c.touch(stmts)
	for i := range stmts {
		if defines(&stmts[i]) {
			c.definers++
			c.altered = c.altered || alters(&stmts[i])
			c.uncertain = c.uncertain || stmts[i].Touches
		}
	}
}

// begin applies the statements' effects on the tracked state and returns their
// times.
func (c *Conn) begin(stmts []analysis.Statement) []int {
	var times []int
	for i := range stmts {
		if len(stmts[i].Effects) > 0 && times == nil {
			times = make([]int, len(stmts))
		}
		if times != nil {
			times[i] = c.names.begin(&stmts[i], c.catalog)
		}
	}
	return times
}

func defines(st *analysis.Statement) bool {
	for _, e := range st.Effects {
		if e.Kind == analysis.DDL {
			return true
		}
	}
	return false
}

// alters reports whether a statement changes what names mean that the catalog knows.
func alters(st *analysis.Statement) bool {
	for _, e := range st.Effects {
		if e.Kind == analysis.DDL && e.Alters {
			return true
		}
	}
	return false
}

// suspect widens facts after DDL on a tagged relation in an open transaction:
// names may mean something else now than the catalog says, so every output of
// unknown origin may be tagged.
func (c *Conn) suspect(stmts []analysis.Statement) []analysis.Statement {
	out := make([]analysis.Statement, len(stmts))
	for i := range stmts {
		out[i] = stmts[i]
		out[i].Touches, out[i].Derived, out[i].Outputs, out[i].Past = true, c.catalog.AllTags(), nil, true
		if out[i].Copy != nil {
			cp := *out[i].Copy
			cp.Columns = nil
			out[i].Copy = &cp
		}
	}
	return out
}

// refuseStatement refuses what a asks for.
func (c *Conn) refuseStatement(a *Ask, ans *Answer) error {
	e := ans.words()
	old := c.names.prepared[""]
	if a.Kind == AskQuery && c.quiet() || a.Kind == AskParse && a.name == "" {
		delete(c.names.prepared, "") // the server drops it before it looks at a query, or at an unnamed statement
	}
	if a.Kind == AskExecute && ans.Absent && c.quiet() { // the portal has gone with its transaction
		e = noPortal(a.portal.name)
	}
	if a.Kind == AskQuery || a.Kind == AskCall || c.quiet() {
		return c.refuseAs(kindOf[a.Kind], e, ans.Absent)
	}
	c.skipping = true
	if a.Kind == AskExecute && ans.Absent { // the server looks for the portal first, which may have gone with its transaction
		c.push(&answer{owed: owedDescribe, hidden: true})
		if err := c.forward(wire.Describe(nil, 'P', a.portal.name)); err != nil {
			return err
		}
	}
	poison := &answer{owed: owedParse, poison: e, absent: ans.Absent}
	c.push(poison)
	name := poisonText // is never given: the Parse fails
	if a.Kind == AskParse && a.name == "" {
		name = "" // the server drops its unnamed statement, as it would have
		poison.undo = func() {
			c.names.restore("", old)
		}
		poison.stays = true
	}
	return c.forward(wire.Parse(nil, name, poisonStatement))
}

// quiet reports whether the server is idle and outside of a transaction, so that a
// refusal need not reach it.
func (c *Conn) quiet() bool { return c.owe.len() == 0 && c.status == 'I' && !c.sinceSync }

// refuse answers a message of the given kind with e, in the order of the queue.
// Where the server is not idle, or might not be, a poison goes upstream in the
// message's place, so that the transaction fails as it would have and PostgreSQL
// itself does the skipping; the client sees e in place of the poison's error.
func (c *Conn) refuse(kind byte, e *wire.Error) error { return c.refuseAs(kind, e, false) }

func (c *Conn) refuseAs(kind byte, e *wire.Error, absent bool) error {
	simple := kind == 'Q' || kind == 'F'
	if !simple {
		c.skipping = true
	}
	if c.quiet() {
		c.ToClient = e.Append(c.ToClient, 'E')
		if simple {
			c.ToClient = wire.ReadyForQuery(c.ToClient, c.status)
		}
		return nil
	}
	if simple {
		c.owe.push(&answer{owed: owedQuery, poison: e, absent: absent})
		return c.forward(wire.Query(nil, poisonOf(e, absent)))
	}
	c.push(&answer{owed: owedExecute, poison: e})
	return c.forward(wire.Execute(nil, poisonText, 0))
}

// poisonOf returns the query that fails where the refused one would have.
func poisonOf(e *wire.Error, absent bool) string {
	switch {
	case absent && e.Code == "34000":
		return poisonFetch
	case absent && e.Code == "26000":
		return poisonExecute
	default:
		return poisonStatement
	}
}

// injectPoison makes the open transaction fail after a result was stopped too
// late for the server to notice. It runs between messages of the client.
func (c *Conn) injectPoison() {
	if !c.poisonNext || c.client.inside() {
		return
	}
	c.poisonNext = false
	c.owe.push(&answer{owed: owedQuery, hidden: true})
	_ = c.forward(wire.Query(nil, poisonStatement)) // the standing exchange is always live
}
