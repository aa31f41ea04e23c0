package core

import (
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

// maxSmall bounds messages that carry a name or two, in bytes.
const maxSmall = 64 << 10

// FromClient takes bytes of the client and returns how many were used. Fewer than
// all are used when the client side must wait: see Question and Blocked. An error
// ends the connection; Farewell words it for the client.
func (c *Conn) FromClient(p []byte) (used int, err error) {
	for used < len(p) && (c.client.inside() || !c.Blocked()) && c.ask == nil && !c.closed {
		n, err := c.clientStep(p[used:])
		used += n
		if err != nil {
			return used, err
		}
	}
	if c.closed {
		return len(p), nil
	}
	return used, nil
}

// Question returns what the client side waits for, or nil.
func (c *Conn) Question() *Ask { return c.ask }

func (c *Conn) clientStep(p []byte) (used int, err error) {
	f := &c.client
	if f.have < wire.HeaderSize {
		n, complete, err := f.readHeader(p)
		if err != nil {
			return n, broken("%v", err)
		}
		if !complete {
			return n, nil
		}
		used = n
		if err := c.clientHeader(); err != nil {
			return used, err
		}
	}
	part, ends := f.take(p[used:])
	used += len(part)
	switch f.treat {
	case hold:
		f.body = append(f.body, part...)
	case pass:
		if err := c.copyData(part); err != nil {
			return used, err
		}
	case scan:
		if err := c.bindPart(part); err != nil {
			return used, err
		}
	}
	if !ends {
		return used, nil
	}
	kind, treat, body := f.kind, f.treat, f.body
	if treat == pass {
		err = c.copyDataEnds()
	}
	if treat == hold {
		err = c.clientMessage(kind, body)
	} else if treat == scan {
		err = c.bindEnd()
	}
	f.next()
	c.injectPoison()
	return used, err
}

// forward puts control traffic and bytes whose beginning was decided upstream.
func (c *Conn) forward(p []byte) error { return c.ToServer.Append(c.ctrl, p) }

// clientHeader decides how the message that begins is taken in.
func (c *Conn) clientHeader() error {
	f := &c.client
	f.treat = hold
	limit := maxSmall
	switch f.kind {
	case 'Q', 'P':
		limit = c.set.MaxText + maxSmall
		if f.left > limit {
			return c.tooLarge(f.kind)
		}
	case 'F':
		limit = c.set.MaxText
		if f.left > limit {
			return c.tooLarge(f.kind)
		}
	case 'B':
		f.treat = scan
		c.bind = newBindScan()
		if c.skipping {
			f.treat = drop
		}
		return nil
	case 'd':
		f.treat = drop // PostgreSQL ignores COPY data outside a COPY
		if c.takesCopyData() && !c.copyRefused() {
			f.treat = pass
			return c.forward(f.header[:])
		}
		return nil
	case 'D', 'E', 'C', 'S', 'H', 'X', 'c', 'f':
	default:
		return broken("unexpected message type 0x%02X", f.kind)
	}
	if f.left > limit {
		return broken("message %q of %d bytes is too large", f.kind, f.left)
	}
	return nil
}

// takesCopyData reports whether COPY data of the client may go upstream: a COPY is
// taking it, or what may turn into one has been forwarded. Nothing decided as
// something else can then be reached by these bytes.
func (c *Conn) takesCopyData() bool {
	if c.copyIn && !c.copyEnded {
		return true
	}
	for i := c.owe.first; i < len(c.owe.items); i++ {
		a := c.owe.items[i]
		from := a.index
		if c.copyIn && i == c.owe.first {
			from++ // that one has all it will get
		}
		for j := from; j < len(a.stmts); j++ {
			if cp := a.stmts[j].Copy; cp != nil && !cp.Out {
				return true
			}
		}
	}
	return false
}

// tooLarge refuses a statement by its length alone and drops it as it comes.
func (c *Conn) tooLarge(kind byte) error {
	c.client.treat = drop
	if c.skipping {
		return nil
	}
	return c.refuse(kind, Render(&access.Denial{
		Code: access.CodeTooComplex,
		What: "tidewaiter: the statement's text is too long to be understood, so it was refused",
		Hint: "Send large values as parameters or by COPY.",
	}))
}

// clientMessage handles a message that was held back whole.
func (c *Conn) clientMessage(kind byte, body []byte) error {
	if c.skipping && kind != 'S' && kind != 'X' {
		return nil // as PostgreSQL does after an error, until Sync
	}
	r := wire.Reader{Rest: body}
	switch kind {
	case 'Q':
		return c.query(&r, body)
	case 'P':
		return c.parse(&r, body)
	case 'D':
		return c.describe(&r, body)
	case 'E':
		return c.execute(&r, body)
	case 'C':
		return c.closeName(&r, body)
	case 'F':
		return c.call(&r, body)
	case 'S':
		return c.sync(body)
	case 'H':
		return c.message('H', body)
	case 'c', 'f':
		return c.endCopy(kind, body)
	default: // 'X'
		c.closed = true
		return c.message('X', body)
	}
}

// message forwards a whole message as control traffic.
func (c *Conn) message(kind byte, body []byte) error {
	return c.forward(wire.Message(nil, kind, body))
}

func (c *Conn) query(r *wire.Reader, body []byte) error {
	text := r.String()
	if !r.Done() {
		return broken("invalid Query message")
	}
	return c.question(&Ask{Kind: AskQuery, Text: text, forward: wire.Message(nil, 'Q', body)})
}

func (c *Conn) parse(r *wire.Reader, body []byte) error {
	name, text := r.String(), r.String()
	if r.Bad {
		return broken("invalid Parse message")
	}
	if c.names.full() {
		return c.refuse('P', Render(&access.Denial{Code: access.CodeTooMany, What: "tidewaiter: too many prepared statements and cursors on this connection", Hint: "Close or DEALLOCATE some."}))
	}
	return c.question(&Ask{Kind: AskParse, Text: text, name: name, forward: wire.Message(nil, 'P', body)})
}

// question stops the client side until the driver has an answer.
func (c *Conn) question(a *Ask) error {
	a.Session = c.state(&a.used)
	a.Stale, a.Backslash = c.stale, c.names.backslash
	c.ask = a
	return nil
}

func (c *Conn) describe(r *wire.Reader, body []byte) error {
	target, name := r.Byte(), r.String()
	if !r.Done() || (target != 'S' && target != 'P') {
		return broken("invalid Describe message")
	}
	a := &answer{owed: owedDescribe}
	if target == 'S' {
		all := c.names.known(name)
		if len(all) == 0 {
			return c.refuse('D', noStatement(name))
		}
		a.stmts = merged(all)
	} else if a.portal = c.names.portal(name); a.portal != nil {
		a.stmts = a.portal.stmts
		c.expectDescription(a)
	}
	c.push(a)
	return c.message('D', body)
}

// expectDescription notes that the server will say what the columns of a's portal
// are.
func (c *Conn) expectDescription(a *answer) {
	p := a.portal
	p.describing++
	a.undo = func() { p.describing-- }
}

func (c *Conn) execute(r *wire.Reader, body []byte) error {
	name := r.String()
	r.Int32() // the row bound is the server's to keep
	if !r.Done() {
		return broken("invalid Execute message")
	}
	p := c.names.portal(name)
	if p == nil {
		return c.refuse('E', noPortal(name))
	}
	if p.exchange != nil { // goes on where it was suspended
		return c.forwardExecute(p, p.exchange, wire.Message(nil, 'E', body))
	}
	return c.question(&Ask{Kind: AskExecute, Text: p.text(), May: p.of, Parameters: p.params, Bound: p.bound, portal: p, forward: wire.Message(nil, 'E', body)})
}

func (c *Conn) closeName(r *wire.Reader, body []byte) error {
	target, name := r.Byte(), r.String()
	if !r.Done() || (target != 'S' && target != 'P') {
		return broken("invalid Close message")
	}
	a := &answer{owed: owedClose}
	if target == 'S' {
		a.undo, a.did = c.names.close(name)
	} else if p := c.names.portals[name]; p != nil {
		a.undo, a.did = c.names.closePortal(p)
	}
	c.push(a)
	return c.message('C', body)
}

func (c *Conn) call(r *wire.Reader, body []byte) error {
	oid := uint32(r.Int32())
	if r.Bad {
		return broken("invalid FunctionCall message")
	}
	return c.question(&Ask{Kind: AskCall, Function: oid, forward: wire.Message(nil, 'F', body)})
}

// sync ends a pipeline. While the server takes COPY data it ignores Sync; whether
// it still did when this one arrived shows only in its answers.
func (c *Conn) sync(body []byte) error {
	if c.copyIn && !c.copyEnded {
		c.owe.push(&answer{owed: owedSync, maybe: true})
		return c.message('S', body)
	}
	c.skipping, c.sinceSync, c.ran = false, false, false
	c.names.group++
	c.owe.push(&answer{owed: owedSync})
	return c.message('S', body)
}

func (c *Conn) endCopy(kind byte, body []byte) error {
	if !c.takesCopyData() || c.copyRefused() {
		return nil
	}
	if a := c.copyFor(); kind == 'c' && a.watch.data != nil {
		if c.foundInCopy(a, a.watch.data.End()); a.refusal != nil {
			return c.failCopy(a)
		}
	}
	if c.copyIn {
		c.copyEnded = true
	}
	c.owe.push(&answer{owed: owedCopyEnd})
	return c.message(kind, body)
}

// push adds what the server owes for an extended message.
func (c *Conn) push(a *answer) {
	c.sinceSync = true
	c.owe.push(a)
}

// bindPart takes the next bytes of a Bind message. Its beginning, up to the names,
// is kept back until it is known that the statement exists.
func (c *Conn) bindPart(p []byte) error {
	b := c.bind
	used, named := b.feed(p)
	if b.step == bindNames || named {
		if b.broken {
			return broken("invalid Bind message")
		}
		if !named {
			return nil
		}
		if c.skipping { // since its first bytes an error has come
			c.client.treat = drop
			return nil
		}
		if err := c.bindNamed(); err != nil || c.client.treat == drop {
			return err
		}
		if err := c.forward(append(c.client.header[:], b.names...)); err != nil {
			return err
		}
		p = p[used:]
		b.feed(p)
	}
	_, _ = b.digest.Write(p) // never fails, see maphash
	return c.forward(p)
}

// bindNamed decides, once the names are known, whether a Bind goes on.
func (c *Conn) bindNamed() error {
	_, statement := c.bind.target()
	if len(c.names.known(statement)) == 0 {
		c.client.treat = drop
		return c.refuse('B', noStatement(statement))
	}
	c.bind.written = parametersOf(c.names.known(statement))
	return nil
}

// noStatement is PostgreSQL's error for a statement that does not exist.
func noStatement(name string) *wire.Error {
	what := "prepared statement \"" + name + "\" does not exist"
	if name == "" {
		what = "unnamed prepared statement does not exist"
	}
	return &wire.Error{Severity: "ERROR", Code: "26000", Message: what}
}

// noPortal is PostgreSQL's error for a portal that does not exist.
func noPortal(name string) *wire.Error {
	return &wire.Error{Severity: "ERROR", Code: "34000", Message: "portal \"" + name + "\" does not exist"}
}
