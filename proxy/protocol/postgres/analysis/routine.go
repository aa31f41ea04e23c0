package analysis

import (
	"cmp"
	"slices"

	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/functions"
)

// Routines of the database's users are read by their bodies. A call of one that is
// understood counts as what its body does: relations, functions and features become
// the statement's own, its writes become inner facts that policy decides on, and its
// result carries what the arguments and the body carry. One that is not understood
// stays an UnknownFunction.

// Bounds of reading bodies in one statement.
const (
	maxNesting      = 12  // calls inside of bodies inside of bodies
	maxBodies       = 500 // bodies, each for one way of being called
	maxRoundsOfBody = 40  // rounds until nothing more flows into the variables of a body
)

// routineFacts are what a call of a routine does, for arguments that carry certain
// tags. They are shared and must not be changed.
type routineFacts struct {
	// opaque: it is code that nobody can read; nothing else counts then.
	opaque     bool
	features   []access.Feature
	resources  []access.Resource
	functions  []string
	predicates []string
	inner      []access.Statement
	compared   []string
	tags       []string
	reads      reads
	touches    bool
	sleeps     bool
	// result is what the result carries; columns the same for each column of it,
	// nil where that is not known.
	result  flow
	columns []flow
	// used are the routines that were read.
	used []*catalog.Routine
}

// library is what the analyzers of one statement share while they read bodies.
type library struct {
	bodies int
	facts  map[string]*routineFacts
	open   []uint32 // routines that are being read, outermost first
	used   []*catalog.Routine
}

// shared returns the library, which the first analyzer of a statement makes.
func (a *analyzer) shared() *library {
	if a.library == nil {
		a.library = &library{facts: map[string]*routineFacts{}}
	}
	return a.library
}

// callee finds the routines that a call may run. None: it is no call of a user's
// routine, or one of which too little is known.
func (a *analyzer) callee(call *pg.FuncCall, schema, name string) []*catalog.Routine {
	if a.session.stale || a.session.unsettled || schema == "pg_catalog" || !a.cat.UserFunction(name) || call.GetAggStar() {
		return nil
	}
	if schema == "" && !a.builtinIsHarmless(name) {
		return nil
	}
	var found []*catalog.Routine
	for _, r := range a.cat.Routines(name) {
		if least, most := r.Inputs(); len(call.GetArgs()) < least || len(call.GetArgs()) > most {
			continue
		}
		if schema == r.Schema || schema == "" && a.inPath(r.Schema) {
			found = append(found, r)
		}
	}
	return found
}

// builtinIsHarmless reports whether a call that could also be one of a built-in
// function of the same name does nothing more than compute.
func (a *analyzer) builtinIsHarmless(name string) bool {
	_, isDangerous := functions.DangerOf(name)
	return !isDangerous && (functions.Builtin(name) == functions.Unlisted || known(name)) && name != "set_config" && !a.cat.Extended(name)
}

// inPath reports whether an unqualified name may be found in a schema.
func (a *analyzer) inPath(schema string) bool {
	if a.body != nil && a.body.path != nil {
		return slices.Contains(a.body.path, schema)
	}
	return a.session.pathChanged || slices.Contains(a.cat.SearchPath, schema)
}

// mayCall reports whether all that a call may run is understood. What it does is
// taken over when lineage comes to the call with its arguments.
func (a *analyzer) mayCall(call *pg.FuncCall, schema, name string) bool {
	found := a.callee(call, schema, name)
	if len(found) == 0 {
		return false
	}
	for _, r := range found {
		if a.routine(r, flow{}, false).opaque {
			return false
		}
	}
	if a.calls == nil {
		a.calls = map[*pg.FuncCall]*calling{}
	}
	a.calls[call] = &calling{routines: found}
	return true
}

// calling is a call of understood routines.
type calling struct {
	routines []*catalog.Routine
	// followed: lineage came to it.
	followed bool
	// columns of the result, where there is one routine and they are known.
	columns []flow
}

// callRoutines takes over what the routines of a call do with arguments that carry
// these tags, and returns what the result carries.
func (a *analyzer) callRoutines(call *pg.FuncCall, c *calling, args flow) flow {
	c.followed = true
	perRow := slices.ContainsFunc(call.GetArgs(), func(n *pg.Node) bool { return !constantExpression(n) })
	result := args
	for _, r := range c.routines {
		facts := a.routine(r, args, perRow)
		a.absorb(facts)
		result = result.and(facts.result)
		if len(facts.inner) > 0 {
			a.written = a.written.and(args)
		}
		c.columns = facts.columns
		if r.Set {
			a.compare(PredicateOther, args) // told by the number of rows
		}
	}
	if len(c.routines) > 1 {
		c.columns = nil
	}
	result.part = result.part || args.protected()
	return result
}

// unfollowed makes calls that lineage did not come to calls of unknown code: nobody
// knows what they are given.
func (a *analyzer) unfollowed() {
	for _, c := range a.calls {
		if !c.followed {
			a.feature(UnknownFunction, "the function "+c.routines[0].Schema+"."+c.routines[0].Name+"()")
		}
	}
}

// absorb makes what a routine does the statement's own.
func (a *analyzer) absorb(f *routineFacts) {
	if f.opaque {
		a.feature(UnknownFunction, "a function")
		return
	}
	for _, x := range f.features {
		if _, has := a.features[x.Name]; !has {
			a.features[x.Name] = x
		}
	}
	for _, r := range f.resources {
		a.resource(r.Schema, r.Name, r.Access, r.Tags)
	}
	for _, name := range f.functions {
		a.functions[name] = true
	}
	for _, kind := range f.predicates {
		a.kinds[kind] = true
	}
	a.inner = append(a.inner, f.inner...)
	a.compared = catalog.Union(a.compared, f.compared)
	a.tags = catalog.Union(a.tags, f.tags)
	a.add(reads{tested: f.reads.tested, written: f.reads.written})
	a.out.Touches = a.out.Touches || f.touches
	a.sleeps = a.sleeps || f.sleeps
}

// sortedNames are the names of a set, in order.
func sortedNames(set map[string]bool) []string {
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	slices.SortFunc(names, cmp.Compare[string])
	return names
}

// resultColumns are the columns of a routine's result where it stands in FROM, with
// names; nil where they are not known.
func (a *analyzer) resultColumns(r *catalog.Routine, alias string) []column {
	var columns []column
	for _, arg := range r.Arguments {
		if arg.Mode == 'o' || arg.Mode == 'b' || arg.Mode == 't' {
			name := arg.Name
			if name == "" {
				name = valuesName(len(columns))
			}
			columns = append(columns, column{name: name})
		}
	}
	if len(columns) > 1 {
		return columns
	}
	t, known := a.cat.Type(r.Result)
	switch {
	case len(columns) == 1:
		return columns
	case !known || t.Kind == 'p' || t.Kind == 'd' || a.session.stale:
		return nil
	case t.Relation == 0:
		return []column{{name: alias}}
	}
	of := a.cat.Relation(t.Relation)
	if of == nil {
		return nil
	}
	for _, c := range visible(of) {
		columns = append(columns, column{name: c.name})
	}
	return columns
}

// routineRow is what a call of understood routines in FROM brings into sight.
func (a *analyzer) routineRow(call *pg.FuncCall, alias string, whole flow) rowset {
	c := a.calls[call]
	columns := a.resultColumns(c.routines[0], alias)
	if len(c.routines) != 1 || len(columns) == 0 {
		return rowset{open: true, rest: whole}
	}
	for i := range columns {
		columns[i].flow = whole
		if len(c.columns) == len(columns) {
			columns[i].flow = c.columns[i].derived()
		}
	}
	return rowset{columns: columns}
}

// understoodProcedure handles CALL of a procedure that is understood: it does what
// its body does, and gives back its outputs.
func (a *analyzer) understoodProcedure(call *pg.FuncCall) bool {
	if a.calls[call] == nil {
		return false
	}
	result := a.funcCall(call, env{})
	a.out.Kind = KindSelect
	a.output(rowset{open: true, rest: result})
	return true
}

// ownPath is the search path of the body that a statement stands in; nil = the
// session's.
func (a *analyzer) ownPath() []string {
	if a.body == nil {
		return nil
	}
	return a.body.path
}

// path is where unqualified names are looked up, unless the session changed it.
func (a *analyzer) path() []string {
	if own := a.ownPath(); own != nil {
		return own
	}
	return a.cat.SearchPath
}
