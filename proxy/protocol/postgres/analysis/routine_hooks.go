package analysis

import (
	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// What runs besides a statement: triggers, functions of defaults, constraints,
// indexes and row security, rules, operators, casts and the checks of domains.
//
// Triggers and the functions of a relation's own definition are its owner's design
// and run as they always do: what they write and where is not held against the
// statement, which could not do without them. But they can fail with whatever they
// read in the error, so the statement touches what they touch. A value that a
// trigger stores in a column is the column's from then on, and RETURNING shows no
// more than a SELECT afterwards would; only of a view with an INSTEAD OF trigger
// RETURNING shows what the trigger made up, so that carries what it read. A rule
// makes another statement of a statement: its actions are inner facts that policy
// decides on.

// fire takes over what runs where a relation is used.
func (a *analyzer) fire(r *catalog.Relation, how access.Access) {
	if !a.cat.AnyTagged() || a.out.Touches {
		return
	}
	if how == access.AccessWrite {
		for _, t := range a.cat.Triggers(r.OID) {
			a.besides(a.trigger(t, r))
		}
	}
	a.runs(a.cat.Runs(r.OID))
}

// runs takes over what routines do whose arguments nobody follows.
func (a *analyzer) runs(routines []uint32) {
	for _, oid := range routines {
		if r := a.cat.Routine(oid); r != nil && !a.vouchedRoutine(r) {
			a.besides(a.routine(r, flow{}, false))
		}
	}
}

// vouchedRoutine reports whether the owner vouches for a routine.
func (a *analyzer) vouchedRoutine(r *catalog.Routine) bool { return a.trusted[r.Schema+"."+r.Name] }

// besides takes over what something that runs besides can tell in an error.
func (a *analyzer) besides(f *routineFacts) {
	a.out.Touches = a.out.Touches || f.touches || f.opaque && a.cat.AnyTagged()
}

// trigger returns what a trigger of a relation, or of one that inherits from it,
// does. Its result is what it makes of the row.
func (a *analyzer) trigger(t catalog.Trigger, r *catalog.Relation) *routineFacts {
	routine, of := a.cat.Routine(t.Routine), a.cat.Relation(t.Relation)
	switch {
	case routine == nil: // built in, or of a well-known extension
		return &routineFacts{}
	case of == nil || a.session.stale || a.session.unsettled:
		return &routineFacts{opaque: true}
	}
	return a.bodyFacts(routine, flow{}, false, of)
}

// rowScope are NEW and OLD, as rows of a relation.
func rowScope(r *catalog.Relation) *scope {
	return &scope{sources: []*source{
		{alias: "new", rowset: rowset{columns: visible(r)}}, {alias: "old", rowset: rowset{columns: visible(r)}},
	}}
}

// rowOf gives a body NEW and OLD.
func (b *body) rowOf(r *catalog.Relation) {
	b.row = rowScope(r)
	for _, name := range []string{"new", "old"} {
		b.variables[name] = true
		b.vars[name] = flow{}
	}
}

// madeInstead is what triggers instead of a write make of the row.
func (a *analyzer) madeInstead(r *catalog.Relation) flow {
	var all flow
	for _, t := range a.cat.Triggers(r.OID) {
		const insteadOf = 64
		if t.Type&insteadOf == 0 {
			continue
		}
		f := a.trigger(t, r)
		if f.opaque {
			return a.everything()
		}
		all = all.and(f.result)
	}
	return all
}

// events are what rules say of the kinds of statements.
var events = map[string]byte{KindUpdate: 2, KindInsert: 3, KindDelete: 4}

// rewritten takes over what rules and INSTEAD OF triggers make of a write.
func (a *analyzer) rewritten(kind string, rv *pg.RangeVar, target *source) {
	if a.leftOut(rv) {
		return
	}
	for _, r := range a.resolve(rv.GetSchemaname(), rv.GetRelname()).relations {
		for _, rule := range a.cat.Rules(r.OID) {
			if rule.Event == events[kind] && r.Schema != "pg_catalog" {
				a.rule(r, rule)
			}
		}
		if r.Kind != 'v' {
			continue
		}
		extra := a.madeInstead(r)
		target.rest = target.rest.and(extra)
		for i := range target.columns {
			c := &target.columns[i]
			if extra.protected() && !catalog.Contains(c.tags, extra.tags) {
				c.flow, c.plain = c.and(extra), false
			}
		}
	}
}

// rule takes over the actions of a rule. A rule that returns rows, or that cannot
// be read, is code that nobody can read.
func (a *analyzer) rule(r *catalog.Relation, rule catalog.Rule) {
	f, ok := a.ruleFacts(r, rule)
	if !ok || a.session.stale || a.session.unsettled {
		a.feature(UnknownFunction, "a rule of "+r.Schema+"."+r.Name)
		return
	}
	var kept []access.Feature
	for _, x := range f.features {
		if x.Name != Laundering && x.Name != Inference { // the owner's design, as with triggers
			kept = append(kept, x)
		}
	}
	f.features = kept
	a.absorb(f)
}

func (a *analyzer) ruleFacts(r *catalog.Relation, rule catalog.Rule) (*routineFacts, bool) {
	lib := a.shared()
	if len(lib.open) >= maxNesting {
		return nil, false
	}
	lib.open = append(lib.open, r.OID)
	defer func() { lib.open = lib.open[:len(lib.open)-1] }()
	statements, ok := a.parseBody(rule.Text)
	if !ok || len(statements) != 1 || statements[0].GetRuleStmt() == nil {
		return nil, false
	}
	b := besides(&catalog.Routine{Schema: r.Schema, Name: r.Name}, a.under())
	b.rowOf(r)
	parsed, f := statements[0].GetRuleStmt(), &routineFacts{}
	actions := parsed.GetActions()
	if parsed.GetWhereClause() != nil {
		actions = append(actions, &pg.Node{Node: &pg.Node_SelectStmt{SelectStmt: &pg.SelectStmt{
			WhereClause: parsed.GetWhereClause(), LimitOption: pg.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg.SetOperation_SETOP_NONE,
		}}})
	}
	for i, n := range actions {
		s, ok := a.runIn(b, n, f)
		if !ok || s.ReturnsRows && i < len(parsed.GetActions()) {
			return nil, false
		}
	}
	return f, true
}

// stands reports whether everything that an operator or a cast may run is
// understood and returns no more than it is given, and takes over what it does.
func (a *analyzer) stands(routines []uint32) bool {
	if len(routines) == 0 || a.session.stale || a.session.unsettled {
		return false
	}
	for _, oid := range routines {
		r := a.cat.Routine(oid)
		if r == nil {
			return false
		}
		if a.vouchedRoutine(r) {
			continue
		}
		empty, full := a.routine(r, flow{}, false), a.routine(r, a.everything(), true)
		if empty.opaque || full.opaque || empty.result.protected() {
			return false
		}
		a.absorb(empty)
		for _, x := range full.features {
			a.feature(x.Name, x.Construct) // what it would do with a protected value
		}
	}
	return true
}

// cast takes over what an explicit cast runs: the function of a user's cast, and
// the checks of a domain. A string constant is read by the type itself. (Casts that
// the server adds by itself leave no trace in a statement.)
func (a *analyzer) cast(n *pg.TypeCast) {
	parts := stringList(n.GetTypeName().GetNames())
	if len(parts) == 0 {
		return
	}
	schema, name := "", parts[len(parts)-1]
	if len(parts) > 1 {
		schema = parts[len(parts)-2]
	}
	routines, types := a.cat.CastRoutines(schema, name)
	for _, oid := range types {
		a.runs(a.cat.TypeRuns(oid))
	}
	if len(routines) > 0 && n.GetArg().GetAConst().GetSval() == nil && !a.stands(routines) {
		a.feature(UnknownFunction, "the cast to "+name)
	}
}
