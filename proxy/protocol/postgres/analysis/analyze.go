package analysis

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

func analyze(text string, st *State, cat *catalog.Snapshot, opt Options) (result *Result, err error) {
	defer func() {
		if recover() != nil { // a defect here must cost one statement, not every session of the process
			result, err = nil, &Refusal{
				Code: "XX000", Message: "tidewaiter: a defect in the analyzer kept this statement from being understood",
				Hint: "Please report the statement's shape; write it differently meanwhile.",
			}
		}
	}()
	if cat == nil {
		return nil, &Refusal{Code: "55000", Message: "tidewaiter: the database's catalog is not loaded", Hint: "Try again in a moment."}
	}
	if r := check(text, opt.Limits); r != nil {
		return nil, r
	}
	tree, err := parse(text, cat.Server)
	if err != nil {
		return nil, err
	}
	session := newSession(st)
	kept := keeper{text: text}
	trusted := trustedNames(opt.Trusted)
	result = &Result{Empty: len(tree.GetStmts()) == 0}
	for _, raw := range tree.GetStmts() {
		a := &analyzer{cat: cat, trusted: trusted, session: session, without: absentKeys(opt.Without)}
		stmt := a.analyze(raw.GetStmt())
		locate(stmt.Absent, text)
		stmt.Text = part(text, int(raw.GetStmtLocation()), int(raw.GetStmtLen()))
		kept.statement(a, raw)
		stmt.ask(raw.GetStmt())
		stmt.supply(raw.GetStmt())
		session.apply(stmt.Effects)
		result.Statements = append(result.Statements, *stmt)
	}
	result.Recorded = kept.recorded()
	return result, nil
}

// part cuts a statement out of its text. A length of 0 means up to the end.
func part(text string, start, length int) string {
	start = min(max(start, 0), len(text))
	end := len(text)
	if length > 0 {
		end = min(start+length, len(text))
	}
	return strings.TrimSpace(text[start:end])
}

// analyzer gathers the facts of one statement.
type analyzer struct {
	cat     *catalog.Snapshot
	trusted map[string]bool
	session *session
	without map[absentKey]bool // Options.Without
	out     *Statement

	features  map[string]access.Feature
	resources map[resourceKey]*access.Resource
	functions map[string]bool
	tags      []string // read into the output or written elsewhere
	compared  []string // tags of columns in predicates
	reads
	kinds map[string]bool
	inner []access.Statement
	own   int // where in inner the last data-modifying statement is

	// seen are the relation references that lineage resolved.
	seen map[*pg.RangeVar]bool
	// relationNames and withNames are the names of relations, with their aliases,
	// and of WITH queries, wherever in the statement.
	relationNames, withNames map[string]bool
	// utility: relations are opened when the statement runs, not when it is parsed.
	utility bool
	// found is what the statement's inventory holds.
	found *inventory
	// selects: the statement is a SELECT.
	selects bool
	// rowSetting is a set_config() whose name a WHERE fixes.
	rowSetting rowSetting
	// procedureCall: it is a CALL.
	procedureCall bool
	// opaque: something was met that the analyzer does not know.
	opaque bool
	// uncertain: lineage gave up, so everything may carry everything.
	uncertain bool
	// sleeps: the statement calls pg_sleep or its like.
	sleeps bool
	// settling counts the fixpoints that are being computed, whose rounds do not know
	// yet what both sides of a comparison carry.
	settling int
	// made is about how many rows the statement makes up, from nothing but constants.
	made work
	// subqueries and carried are the sub-selects and expressions that were looked at.
	subqueries map[place]rowset
	carried    map[place]flow
	// beside is what constants stand beside, for recordings; shared with statements inside of this one.
	beside *beside
	// passed counts what was looked through for constants, see assigner.
	passed int
	// steps bounds the work of one statement.
	steps int
	// body is the routine's body that the statement stands in; nil for a client's.
	body *body
	// calls are those of routines that are understood.
	calls   map[*pg.FuncCall]*calling
	library *library
	// unread are operators whose functions are not understood.
	unread map[string]bool
}

// maxSteps bounds how many expressions are visited for one statement, fixpoints
// included; above it everything is uncertain.
const maxSteps = 1_000_000

// begin prepares for a statement.
func (a *analyzer) begin() {
	if a.beside == nil {
		a.beside = &beside{}
	}
	a.out = &Statement{epoch: a.cat.Epoch}
	a.features = map[string]access.Feature{}
	a.resources = map[resourceKey]*access.Resource{}
	a.functions = map[string]bool{}
	a.kinds = map[string]bool{}
	a.seen = map[*pg.RangeVar]bool{}
	a.subqueries, a.carried = map[place]rowset{}, map[place]flow{}
	a.relationNames, a.withNames = map[string]bool{}, map[string]bool{}
}

func (a *analyzer) analyze(node *pg.Node) *Statement {
	a.begin()
	a.procedureCall = node.GetCallStmt() != nil
	a.selects = node.GetSelectStmt() != nil
	a.rowSetting = a.settingOfRow(node)
	found := a.takeInventory(node)
	a.statement(node)
	a.settle(found)
	return a.out
}

// nested analyzes a statement inside this one, in the same state.
func (a *analyzer) nested(node *pg.Node) *Statement {
	inner := &analyzer{cat: a.cat, trusted: a.trusted, session: a.session, without: a.without, body: a.body, library: a.shared(), beside: a.beside}
	return inner.analyze(node)
}

// settle turns what was gathered into the facts.
func (a *analyzer) settle(found *inventory) {
	for _, rv := range found.relations {
		if !a.seen[rv] && !a.leftOut(rv) {
			a.use(rv, access.AccessRead) // a reference in a place that lineage does not follow
			a.uncertain = a.uncertain || a.out.Touches
		}
	}
	a.unfollowed()
	out := a.out
	out.Touches = out.Touches || a.cat.AnyTagged() && (len(out.Derived) > 0 || a.runsUnknownCode())
	if a.uncertain && out.Touches {
		out.Derived, out.Outputs = a.cat.AllTags(), nil
		a.tags = a.cat.AllTags()
		if a.sinks() {
			a.launder("a write whose values cannot be followed")
			a.taintAll()
		}
	}
	if a.made.heavy() && out.Touches && len(a.compared) > 0 {
		a.feature(Inference, "work of the statement's own making beside a comparison with a protected column")
	}
	if a.sleeps && out.Touches && (len(a.compared) > 0 || len(a.tags) > 0) {
		a.feature(Inference, "pg_sleep() beside a protected column")
	}
	out.Tags = catalog.Union(out.Tags, a.tags)
	out.PredicateTags = catalog.Union(out.PredicateTags, a.compared)
	for kind := range a.kinds {
		out.Predicates = append(out.Predicates, kind)
	}
	for name := range a.functions {
		out.Functions = append(out.Functions, name)
	}
	for _, f := range a.features {
		out.Features = append(out.Features, f)
	}
	for _, r := range a.resources {
		out.Resources = append(out.Resources, *r)
	}
	a.shown.opaque = a.shown.opaque || a.uncertain || a.opaque
	out.reads = a.reads
	out.Reads = Reads{Output: a.sources(a.shown), Predicate: a.sources(a.tested), Write: a.sources(a.written)}
	out.Written = a.sources(a.into)
	out.Inner = distinct(append(out.Inner, a.inner...))
	sortFacts(&out.Statement)
	if a.opaque {
		out.Kind, out.Touches, out.Derived, out.Outputs = "", a.cat.AnyTagged(), a.cat.AllTags(), nil
	}
}

// runsUnknownCode reports whether something runs that may raise an error with
// anything in it.
func (a *analyzer) runsUnknownCode() bool {
	for _, name := range []string{UnknownFunction, DynamicSQL, Procedural, ForeignData, Extension} {
		if _, has := a.features[name]; has {
			return true
		}
	}
	return false
}

// distinct drops facts that repeat: a fixpoint visits a statement more than once.
func distinct(inner []access.Statement) []access.Statement {
	var kept []access.Statement
	for i := range inner {
		sortFacts(&inner[i])
		if !slices.ContainsFunc(kept, func(s access.Statement) bool { return reflect.DeepEqual(s, inner[i]) }) {
			kept = append(kept, inner[i])
		}
	}
	return kept
}

// rank puts features that only say where values could go behind those that say what
// the statement is: a refusal speaks of the first.
var rank = map[string]int{Laundering: 1, Inference: 1}

// sortFacts puts the facts in an order that does not depend on chance, without
// duplicates.
func sortFacts(s *access.Statement) {
	slices.SortFunc(s.Features, func(x, y access.Feature) int {
		return cmp.Or(cmp.Compare(rank[x.Name], rank[y.Name]), strings.Compare(x.Name, y.Name))
	})
	s.Features = slices.CompactFunc(s.Features, func(x, y access.Feature) bool { return x.Name == y.Name })
	slices.SortFunc(s.Resources, func(x, y access.Resource) int {
		return strings.Compare(x.Schema+"."+x.Name+" "+string(x.Access), y.Schema+"."+y.Name+" "+string(y.Access))
	})
	slices.Sort(s.Functions)
	s.Functions = slices.Compact(s.Functions)
	slices.Sort(s.Predicates)
	s.Predicates = slices.Compact(s.Predicates)
}
