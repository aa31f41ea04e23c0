package core

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

// A statement is judged by a catalog that may be some seconds old, and between
// that and its execution another session may give its names to other columns. So
// before the first row, piece of COPY data, error or notice of it leaves, the core
// stops and has the driver look whether the definitions are still those of that
// catalog. That is late enough: when a server begins to answer, it has long looked
// up and locked every relation that the statement names.

// Check is a question to the driver: are the definitions by which a statement was
// judged those by which the server runs it? The server side stands still until it
// is answered by Checked.
type Check struct {
	// Exact asks for how the definitions are now. Otherwise a moment ago is good
	// enough: every column that is shown is a plain column of a table, which keeps
	// its number whatever it is called.
	Exact bool
	// Catalog, Text and Session are what the statement was judged by; Statements
	// what was found. Text is empty where that followed from names of the session.
	Catalog    *catalog.Snapshot
	Text       string
	Session    analysis.State
	Statements []analysis.Statement
	sent       Digest
	made       bool // the statement has made a cursor WITH HOLD
	read       bool // such cursors have read everything
}

// Sent reports whether what went upstream is the text given; empty: the client's own.
func (c *Check) Sent(text string) bool { return c.sent == digest(text) }

// judged is by what a statement was judged.
type judged struct {
	text    string
	sent    Digest // of what went upstream in its place; zero: text itself
	session analysis.State
	catalog *catalog.Snapshot
}

// used are statements of the session's names that facts were made of.
type used struct{ prepared, cursors []*prepared }

// definitionsChanged is what a client is told in place of rows that were judged by
// definitions that are no more.
var definitionsChanged = &wire.Error{
	Severity: "ERROR", Code: "40001",
	Message: "tidewaiter: the result was dropped, because definitions of the database changed while the statement was decided",
	Hint:    "Try again.",
}

// judgedBy returns by what a question was judged; without the text where the facts
// are those of names.
func (c *Conn) judgedBy(a *Ask) judged {
	j := judged{session: a.Session, catalog: c.catalog, sent: a.sent}
	if len(a.May) == 1 {
		j.sent = a.May[0].sent
	}
	if len(a.used.prepared)+len(a.used.cursors) == 0 && len(a.May) < 2 {
		j.text = a.Text
	}
	return j
}

// Check returns what the server side waits for, or nil.
func (c *Conn) Check() *Check { return c.check }

// Checked is the driver's answer to Check: the statement means what it meant, and
// nothing at all has changed since. Others may mean something else where only the
// first is so.
func (c *Conn) Checked(same, nothing bool) error {
	a, check := c.owe.head(), c.check
	c.check = nil
	switch {
	case check.read:
		c.haveRead(check.Catalog, same)
	case check.made:
		c.madeHeld(a, same)
	case same:
		a.checked = true
		if a.portal != nil {
			a.portal.checked = true
		}
		if check.Exact && nothing {
			c.settle(a.judged.catalog)
		}
	default:
		a.changed, c.stale, c.touched = true, true, true
	}
	p := c.held
	c.held = nil
	return c.FromServer(p)
}

// mustCheck reports whether a message of this kind, which the server has begun to
// send, may only go on after a check, and asks for that.
func (c *Conn) mustCheck(kind byte) bool {
	if kind != 'D' && kind != 'd' && kind != 'E' && kind != 'N' && kind != 'C' || c.discarding || !guards(c.catalog) {
		return false
	}
	if kind == 'C' {
		return c.mustCheckHeld()
	}
	var a *answer
	switch kind {
	case 'D', 'd':
		a = c.skipMaybe()
	case 'E':
		c.passMarks()
		a = c.owe.head()
	default: // a notice says nothing of where the server is
		a = c.owe.head()
	}
	if a == nil || a.exchange == nil || a.poison != nil || a.checked || a.changed || a.owed != owedQuery && a.owed != owedExecute {
		return false
	}
	if (kind == 'E' || kind == 'N') && c.touched || !reads(a.statement()) {
		return false
	}
	exact := true
	if kind == 'D' {
		shown, steady := c.shows(a)
		if !shown {
			return false
		}
		exact = !steady
	}
	c.check = a.check(exact)
	return true
}

func (a *answer) check(exact bool) *Check {
	j := &a.judged
	return &Check{Exact: exact, Catalog: j.catalog, Text: j.text, Session: j.session, Statements: a.stmts, sent: j.sent}
}

// mustCheckHeld is mustCheck for the end of a statement. Where that has made a cursor
// WITH HOLD, nothing that its rows were read from need be locked any longer, so that a
// look at the first row that is fetched says nothing of what they were.
func (c *Conn) mustCheckHeld() bool {
	a := c.skipMaybe()
	if a == nil || a.exchange == nil || a.poison != nil || a.owed != owedQuery && a.owed != owedExecute || a.made > a.index || !Holds(a.statement()) {
		return false
	}
	c.check = a.check(true)
	c.check.made = true
	return true
}

// Holds reports whether a statement makes a cursor WITH HOLD.
func Holds(st *analysis.Statement) bool {
	return st != nil && slices.ContainsFunc(st.Effects, func(e analysis.Effect) bool { return e.Hold })
}

// madeHeld notes whether the cursor that a statement has made has read what was
// decided on.
func (c *Conn) madeHeld(a *answer, same bool) {
	a.made = a.index + 1
	if !same || c.changed { // what the session itself has defined, and not committed, nobody else sees
		c.stale = true
		return
	}
	for _, named := range c.names.cursors {
		for _, p := range named {
			if p.holds && a.index < len(a.times) && p.born == a.times[a.index] {
				p.settled, p.reading = true, true
				c.reading = append(c.reading, p)
			}
		}
	}
}

// mustCheckRead reports whether ReadyForQuery, which the server has begun to send, may
// only go on after a check, and asks for that: a cursor WITH HOLD reads all its rows
// when its transaction commits, by functions that nobody locks.
func (c *Conn) mustCheckRead(p []byte) bool {
	const status = wire.HeaderSize
	switch {
	case p[0] != 'Z' || len(c.reading) == 0:
		return false
	case len(p) <= status: // in pieces, as hardly ever: nothing is believed rather
		c.haveRead(nil, false)
		return false
	case p[status] != 'I':
		return false
	}
	c.check = &Check{Exact: true, Catalog: c.reading[0].catalog, read: true}
	for _, p := range c.reading {
		c.check.Statements = append(c.check.Statements, p.stmts...)
	}
	return true
}

// haveRead notes whether cursors have read what was decided on.
func (c *Conn) haveRead(cat *catalog.Snapshot, same bool) {
	for _, p := range c.reading {
		p.reading, p.settled = false, same && p.catalog == cat
	}
	c.reading, c.stale = nil, c.stale || !same
}

// guards reports whether there is anything to protect: a column with a tag, or the
// owner's word that there may be one some day.
func guards(cat *catalog.Snapshot) bool {
	return cat.AnyTagged() || cat != nil && len(cat.Unmatched) > 0
}

// reads reports whether anything of a database can be in what a statement returns.
func reads(st *analysis.Statement) bool {
	return st == nil || st.Kind != analysis.KindSelect || st.Touches || len(st.Inner)+len(st.Resources)+len(st.Functions)+len(st.Features) > 0
}

// shows reports whether a result has a column that is not masked, and whether all
// of these are plain columns of tables, which no DDL gives another meaning.
func (c *Conn) shows(a *answer) (shown, steady bool) {
	var fields []wire.Field
	switch {
	case a.plan != nil:
		fields = a.plan.fields
	case a.portal != nil && a.portal.described:
		fields = a.portal.fields
	default:
		return true, false
	}
	steady = true
	for i, f := range fields {
		if a.plan != nil && i < len(a.plan.masks) && a.plan.masks[i] != nil {
			continue
		}
		shown = true
		steady = steady && isSteady(c.catalog, f) && mentions(a.statement(), c.catalog.Relation(f.Relation))
	}
	return shown, steady
}

// isSteady reports whether what the server attests is a plain column of a table, and
// has been whatever the definitions were.
func isSteady(cat *catalog.Snapshot, f wire.Field) bool {
	relation := cat.Relation(f.Relation)
	_, known := cat.Origin(f.Relation, f.Attr)
	return known && f.Attr > 0 && relation != nil && relation.Kind == 'r' && !adopts(cat, relation)
}

// adopts reports whether a table could be given, or could have had, a child that has
// protected columns: there is one with all of its columns. Then rows of that would
// come out under the table's own column numbers.
func adopts(cat *catalog.Snapshot, parent *catalog.Relation) bool {
	fits := func(child *catalog.Relation) bool {
		for i := range parent.Columns {
			if column := &parent.Columns[i]; !column.Dropped && child.Column(column.Name) == nil {
				return false
			}
		}
		return true
	}
	adopts, _ := cat.Remember(fmt.Sprint("adopts ", parent.OID), func() any {
		return slices.ContainsFunc(cat.Tagged(), func(r *catalog.Relation) bool { return r.OID != parent.OID && r.Kind != 'v' && fits(r) })
	}).(bool)
	return adopts
}

// mentions reports whether a relation is one that the statement was decided for.
func mentions(st *analysis.Statement, relation *catalog.Relation) bool {
	if st == nil {
		return false
	}
	for _, fact := range st.Facts() {
		for _, r := range fact.Resources {
			if r.Schema == relation.Schema && r.Name == relation.Name {
				return true
			}
		}
	}
	return false
}

// doubt notes a statement that the server has made by now, of whose meaning it is
// not yet known whether it is that of the catalog.
func (c *Conn) doubt(p *prepared) {
	const most = 1_000 // above it, the oldest stay in doubt for good
	if len(c.unsure) < most {
		c.unsure = append(c.unsure, p)
	}
}

// doubtMade does so with what PREPARE and DECLARE made at that time.
func (c *Conn) doubtMade(when int) {
	for _, all := range []map[string][]*prepared{c.names.prepared, c.names.cursors} {
		for _, named := range all {
			for _, p := range named {
				if p.born == when && p.text == "" && !p.holds {
					c.doubt(p)
				}
			}
		}
	}
}

// settle notes that the definitions are still those of a catalog: what was made
// under it means what its facts say.
func (c *Conn) settle(cat *catalog.Snapshot) {
	for _, p := range c.unsure {
		p.settled = p.settled || p.catalog == cat
	}
	c.unsure = c.unsure[:0]
}

// aged adds, to facts of a statement that the server may have planned under an
// older catalog, what they were then: it plans anew only if something happens to
// the relations that it had found, so that a table which now comes first in the
// path is not seen. Where the facts of then are not certain, or are not all that
// may hold, every output of unknown origin may be tagged.
func (c *Conn) aged(a *Ask, stmts []analysis.Statement) []analysis.Statement {
	if !c.catalog.AnyTagged() {
		return stmts
	}
	doubtful := a.portal != nil && a.portal.catalog != nil && !Unmoved(stmts, a.portal.catalog, c.catalog)
	for _, p := range a.used.prepared {
		doubtful = doubtful || !Unmoved(p.stmts, p.catalog, c.catalog)
	}
	past := false
	for _, p := range a.used.cursors { // these are never planned anew
		past = past || p.catalog != c.catalog
		doubtful = doubtful || c.doubts(p)
	}
	for _, p := range a.May {
		past = past || p.text == "" && p.catalog != c.catalog // a cursor
		switch {
		case p.text != "" && Unmoved(p.stmts, p.catalog, c.catalog):
		case p.settled && p.text != "":
			stmts = append(stmts[:len(stmts):len(stmts)], p.stmts...)
		case c.doubts(p):
			doubtful = true
		}
	}
	if doubtful {
		return c.suspect(stmts)
	}
	if past {
		stmts = slices.Clone(stmts)
		for i := range stmts {
			stmts[i].Past = true
		}
	}
	return stmts
}

// doubts reports whether the facts of something that is made already may be other ones.
func (c *Conn) doubts(p *prepared) bool {
	if p.holds && !p.settled {
		return true
	}
	return p.catalog != c.catalog && (p.reading || !p.settled)
}

// Unmoved reports whether the names of statements stand for the same in both
// catalogs: each relation that has one of them, in whatever schema, is the same one
// with the same columns, and was never another in between. Temporary ones are left
// out: nobody but their own session sees them, and what a client makes of its own
// the core knows by itself. What a user's function does is not known well enough.
func Unmoved(stmts []analysis.Statement, old, now *catalog.Snapshot) bool {
	if old == now {
		return true
	}
	same := func(a, b *catalog.Relation) bool { return reflect.DeepEqual(a, b) }
	for i := range stmts {
		for _, fact := range stmts[i].Facts() {
			for _, r := range fact.Resources {
				if !slices.EqualFunc(permanent(old.Named(r.Name)), permanent(now.Named(r.Name)), same) {
					return false
				}
			}
			for _, function := range fact.Functions {
				if !strings.HasPrefix(function, "pg_catalog.") {
					return false
				}
			}
		}
	}
	return true
}

// permanent leaves temporary relations out.
func permanent(relations []*catalog.Relation) []*catalog.Relation {
	temporary := func(r *catalog.Relation) bool { return strings.HasPrefix(r.Schema, "pg_temp_") }
	if !slices.ContainsFunc(relations, temporary) {
		return relations
	}
	return slices.DeleteFunc(slices.Clone(relations), temporary)
}
