package core

import (
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// maxNamesKept bounds the statements and portals of one connection that are
// tracked. A client that makes more is refused.
const maxNamesKept = 20_000

// prepared is what is known of a prepared statement. One name can stand for
// several where it is uncertain which of them the server has; what follows from
// any of them then counts.
type prepared struct {
	text   string // "" where only the facts are known, as of PREPARE and DECLARE
	madeBy string // that PREPARE or DECLARE, for people to read
	sent   Digest // of what went upstream in its place; zero: text itself
	stmts  []analysis.Statement
	born   int // when it was made, by names.clock

	catalog *catalog.Snapshot // by which the facts were found
	settled bool              // the definitions were still those when the server had made it
	holds   bool              // a cursor WITH HOLD: nothing that it has read from stays locked
	reading bool              // it reads on until its transaction ends

	group   int // the pipeline group of its Parse; 0 = none
	closing int // the pipeline group of a Close that the server has not answered; 0 = none
}

// portal is a bound statement. It lives until it is closed or its transaction
// ends.
type portal struct {
	name       string
	of         []*prepared          // what it may be a portal of: mostly one
	stmts      []analysis.Statement // the facts: one statement, none if it is empty
	params     []access.Value
	bound      uint64      // a digest of the parameters, whole
	written    *parameters // those that go into tagged columns
	formats    []int16     // result formats as the client asked for them
	fields     []wire.Field
	described  bool // the server has said what its columns are
	describing int  // Describe messages under way
	exchange   *session.Exchange
	born       int

	group int // the pipeline group of its Bind
	// under is what the name stood for before, as long as the server has not said
	// that this portal was made.
	under   *portal
	closing int // as of prepared

	catalog *catalog.Snapshot // when it was bound
	judged  judged            // at its first Execute
	checked bool              // its rows may leave: the facts are of what the server runs
}

// text returns the statement as its client wrote it, for the recording.
func (p *portal) text() string {
	for _, of := range p.of {
		if of.text != "" {
			return of.text
		}
		for i := range of.stmts {
			return of.stmts[i].Text
		}
	}
	return ""
}

// end closes the exchange of a portal that was left suspended.
func (p *portal) end() {
	if p.exchange != nil {
		_ = p.exchange.End(access.Ended{Outcome: access.OutcomeDone}) // a failing recorder refuses the next statement
		p.exchange = nil
	}
}

// names tracks statements, portals and cursors of a connection. The server keeps
// the statements of PREPARE and of Parse in one name space, and likewise cursors
// and portals; so does names.
type names struct {
	prepared map[string][]*prepared
	portals  map[string]*portal
	cursors  map[string][]*prepared // SQL cursors, until confirmed closed
	temp     map[string]bool        // relations that this session has made
	path     bool                   // search_path was changed
	// backslash: standard_conforming_strings was or may have been turned off, so a
	// backslash in a text is not read by the server as it is here.
	backslash bool
	clock     int // counts statements forwarded
	group     int // counts the pipeline groups that end with Sync, from 1
}

func newNames() names {
	return names{prepared: map[string][]*prepared{}, portals: map[string]*portal{}, cursors: map[string][]*prepared{}, temp: map[string]bool{}, group: 1}
}

func (n *names) full() bool {
	return len(n.prepared)+len(n.portals)+len(n.cursors)+len(n.temp) >= maxNamesKept
}

// parse adds p to what name may stand for, as Parse does. undo takes that back if
// the Parse has not happened; did says that it has, so that nothing older is left.
// Neither touches what was made of the name later: answers come when the client may
// be many statements ahead.
func (n *names) parse(name string, p *prepared) (undo, did func()) {
	p.group = n.group
	old := n.prepared[name]
	n.prepared[name] = append(old[:len(old):len(old)], p)
	undo = func() { n.keep(name, func(q *prepared) bool { return q != p }) }
	did = func() { n.keep(name, func(q *prepared) bool { return q.born >= p.born }) }
	return undo, did
}

func (n *names) keep(name string, which func(*prepared) bool) {
	var kept []*prepared
	for _, p := range n.prepared[name] {
		if which(p) {
			kept = append(kept, p)
		}
	}
	if kept == nil {
		delete(n.prepared, name)
		return
	}
	n.prepared[name] = kept
}

// restore puts back what name stood for before something that has not happened.
func (n *names) restore(name string, old []*prepared) {
	if all := append(old[:len(old):len(old)], n.prepared[name]...); len(all) > 0 {
		n.prepared[name] = all
	}
}

// close takes away what name stands for, as Close does, once the server has said
// that it did: see did and undo of parse.
func (n *names) close(name string) (undo, did func()) {
	gone, group := n.prepared[name], n.group
	for _, p := range gone {
		p.closing = group
	}
	undo = func() {
		for _, p := range gone {
			if p.closing == group {
				p.closing = 0
			}
		}
	}
	return undo, func() { n.keep(name, func(q *prepared) bool { return !slices.Contains(gone, q) }) }
}

// known returns what name may stand for. After a Close of the same group that is
// nothing: if the Close does not happen, what follows it is skipped too. In a later
// group, it may not have happened.
func (n *names) known(name string) []*prepared {
	all := n.prepared[name]
	if !slices.ContainsFunc(all, func(p *prepared) bool { return p.closing == n.group }) {
		return all
	}
	var open []*prepared
	for _, p := range all {
		if p.closing != n.group {
			open = append(open, p)
		}
	}
	return open
}

// statement returns what a Bind of that name may bind. After a Parse of the same
// group it is that one: if the Parse fails, the Bind is skipped with it.
func (n *names) statement(name string) []*prepared {
	all := n.known(name)
	if last := len(all) - 1; last >= 0 && all[last].group == n.group {
		return all[last:]
	}
	return all
}

// bind makes p a portal, as Bind does; undo and did are as those of parse.
func (n *names) bind(p *portal) (undo, did func()) {
	p.group, p.under = n.group, n.portals[p.name]
	n.portals[p.name] = p
	undo = func() {
		at := n.portals[p.name]
		if at == p {
			if n.portals[p.name] = p.under; p.under == nil {
				delete(n.portals, p.name)
			}
			return
		}
		for ; at != nil; at = at.under {
			if at.under == p {
				at.under = p.under
			}
		}
	}
	return undo, func() { p.under = nil }
}

// closePortal takes p away as Close does, once the server has said that it did. What
// was bound of the name later stays.
func (n *names) closePortal(p *portal) (undo, did func()) {
	group := n.group
	p.end()
	p.closing = group
	undo = func() {
		if p.closing == group {
			p.closing = 0
		}
	}
	did = func() {
		top := n.portals[p.name]
		if top == p {
			delete(n.portals, p.name)
		}
		for ; top != nil; top = top.under {
			if top.under == p {
				top.under = nil
			}
		}
	}
	return undo, did
}

// open returns the portal of Bind that is called name, unless it has been closed in
// this group.
func (n *names) open(name string) *portal {
	p := n.portals[name]
	if p != nil && p.closing == n.group {
		return nil
	}
	return p
}

// behind returns what the portal called name may be a portal of, whichever of its
// Binds has happened.
func (n *names) behind(name string) []*prepared {
	var all []*prepared
	for p := n.portals[name]; p != nil; p = p.under {
		all = append(all, p.of...)
	}
	return all
}

// portal returns the portal called name: one of Bind, or an SQL cursor seen as a
// portal. Where a Bind of an earlier group is still to be answered, it may be that
// one or what was there before.
func (n *names) portal(name string) *portal {
	if p := n.open(name); p != nil {
		if p.under == nil || p.group == n.group {
			return p
		}
		all := n.behind(name)
		return &portal{name: name, of: all, stmts: merged(all), params: p.params, formats: p.formats}
	}
	if all := n.cursors[name]; len(all) > 0 {
		return &portal{name: name, of: all, stmts: merged(all)}
	}
	return nil
}

// facts returns the facts of everything that a name may stand for.
func facts(all []*prepared) []*analysis.Statement {
	var out []*analysis.Statement
	for _, p := range all {
		for i := range p.stmts {
			out = append(out, &p.stmts[i])
		}
	}
	return out
}

// merged returns the facts of a statement that may be any of those in all.
func merged(all []*prepared) []analysis.Statement {
	var stmts []analysis.Statement
	for _, p := range all {
		stmts = append(stmts, p.stmts...)
	}
	return either(stmts)
}

// either returns the facts of a statement that may be any of stmts: what follows
// from one of them counts.
func either(stmts []analysis.Statement) []analysis.Statement {
	if len(stmts) < 2 {
		return stmts
	}
	out := stmts[0]
	out.Outputs = nil
	for i := range stmts[1:] {
		st := &stmts[1+i]
		out.Touches = out.Touches || st.Touches
		out.Derived = catalog.Union(out.Derived, st.Derived)
		out.Past = out.Past || st.Past
		out.Effects = append(out.Effects[:len(out.Effects):len(out.Effects)], st.Effects...)
		if st.Copy != nil {
			out.Copy = st.Copy
		}
	}
	if out.Copy != nil {
		cp := *out.Copy
		cp.Columns = nil
		out.Copy = &cp
	}
	return []analysis.Statement{out}
}

// begin applies what a statement adds to the session's state. It is applied when
// the statement is forwarded, and stays if the statement fails: what may be there
// counts as there. It returns the statement's time, for confirm.
func (n *names) begin(st *analysis.Statement, cat *catalog.Snapshot) int {
	n.clock++
	for _, e := range st.Effects {
		switch e.Kind {
		case analysis.SetPath:
			n.path = true
		case analysis.SetSetting:
			n.backslash = n.backslash || e.Name == "standard_conforming_strings"
		case analysis.PrepareName:
			add(n.prepared, e, st.Text, n.clock, cat)
		case analysis.DeclareCursor:
			add(n.cursors, e, st.Text, n.clock, cat)
		case analysis.CreateTemp:
			n.temp[e.Name] = true
		case analysis.DropName:
			delete(n.temp, e.Name) // an unknown relation of that name counts as tagged again
		}
	}
	return n.clock
}

// maxMadeBy is the length of a PREPARE or DECLARE, in bytes, up to which it is kept.
const maxMadeBy = 64 << 10

func add(to map[string][]*prepared, e analysis.Effect, madeBy string, born int, cat *catalog.Snapshot) {
	if e.Statement != nil {
		if len(madeBy) > maxMadeBy {
			madeBy = ""
		}
		madeBy = strings.Clone(madeBy) // not all of the message that it was a part of
		to[e.Name] = append(to[e.Name], &prepared{madeBy: madeBy, stmts: []analysis.Statement{*e.Statement}, born: born, catalog: cat, holds: e.Hold})
	}
}
