package analysis

import (
	"slices"

	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// statement finds the kind of a statement and follows what it does. A statement
// that no case knows keeps the empty kind: it is not understood.
func (a *analyzer) statement(n *pg.Node) {
	switch v := n.GetNode().(type) {
	case *pg.Node_SelectStmt:
		a.topSelect(n, v.SelectStmt)
	case *pg.Node_InsertStmt:
		a.topModify(KindInsert, n)
	case *pg.Node_UpdateStmt:
		a.topModify(KindUpdate, n)
	case *pg.Node_DeleteStmt:
		a.topModify(KindDelete, n)
	case *pg.Node_MergeStmt:
		a.topModify(KindMerge, n)
	case *pg.Node_CopyStmt:
		a.copyStmt(v.CopyStmt)
	case *pg.Node_ExplainStmt:
		a.explain(v.ExplainStmt)
	case *pg.Node_PrepareStmt:
		a.prepare(v.PrepareStmt)
	case *pg.Node_ExecuteStmt:
		given := a.flowOfAll(v.ExecuteStmt.GetParams(), env{})
		a.standFor(a.session.preparedAs(v.ExecuteStmt.GetName()), AbsentPrepared, "26000", v.ExecuteStmt.GetName())
		a.givenTo(given)
	case *pg.Node_DeclareCursorStmt:
		a.declare(v.DeclareCursorStmt)
	case *pg.Node_FetchStmt:
		a.standFor(a.session.cursorAs(v.FetchStmt.GetPortalname()), AbsentCursor, "34000", v.FetchStmt.GetPortalname())
		a.out.Effects = nil
		if v.FetchStmt.GetIsmove() {
			a.out.ReturnsRows, a.out.Outputs = false, nil
		}
	default:
		if !a.sessionStatement(n) && !a.maintenance(n) && !a.privileges(n) && !a.code(n) && !a.outside(n) {
			a.definition(n)
		}
	}
}

// output takes the columns of the statement's result over.
func (a *analyzer) output(row rowset) {
	all := row.all()
	a.beside.shows(row)
	a.out.Derived = catalog.Union(a.out.Derived, all.tags)
	a.tags = catalog.Union(a.tags, all.tags)
	a.shown = a.shown.and(all)
	if row.open {
		return
	}
	a.out.origins = row.columns
	a.out.Outputs = make([]Output, 0, len(row.columns))
	for _, c := range row.columns {
		a.out.Outputs = append(a.out.Outputs, Output{Name: c.name, Tags: c.tags, Derived: !c.plain, Sources: a.sources(c.flow)})
	}
	a.shapes(row)
}

func (a *analyzer) topSelect(n *pg.Node, s *pg.SelectStmt) {
	row := a.query(n, a.outermost())
	if into := intoClause(s); into != nil {
		a.out.Kind = KindDDL
		a.inner = append(a.inner, a.readFacts())
		a.written = a.written.and(row.all())
		a.beside.shows(row)
		a.created(into.GetRel(), row.all().tags, "SELECT INTO")
		return
	}
	a.out.Kind = KindSelect
	a.out.ReturnsRows = true
	a.output(row)
	if a.bulk(s, nil) {
		a.feature(BulkSelect, "SELECT without WHERE and LIMIT")
	}
}

// readFacts are the facts of the reading half of a statement that also makes
// something.
func (a *analyzer) readFacts() access.Statement {
	fact := access.Statement{Kind: KindSelect, Tags: a.tags}
	for _, r := range a.resources {
		fact.Resources = append(fact.Resources, *r)
	}
	sortFacts(&fact)
	return fact
}

// intoClause finds INTO, which stands on the first arm of a set operation.
func intoClause(s *pg.SelectStmt) *pg.IntoClause {
	for s.GetLarg() != nil && s.GetIntoClause() == nil {
		s = s.GetLarg()
	}
	return s.GetIntoClause()
}

func (a *analyzer) topModify(kind string, n *pg.Node) {
	row := a.query(n, a.outermost())
	a.out.Kind = kind
	if a.own < len(a.inner) {
		a.inner = slices.Delete(a.inner, a.own, a.own+1) // the statement's own
	}
	a.out.ReturnsRows = len(row.columns) > 0 || row.open
	if a.out.ReturnsRows {
		a.output(row)
	}
}

// created records a new relation filled with values of these tags. Only one that
// is certainly free of protected values, and cannot fail with one, becomes a known
// name.
func (a *analyzer) created(rv *pg.RangeVar, tags []string, construct string) {
	if a.define(rv, tags, construct) {
		a.effect(CreateTemp, rv.GetRelname())
	}
}

// define records a new relation and reports whether it is free of protected
// values.
func (a *analyzer) define(rv *pg.RangeVar, tags []string, construct string) bool {
	a.seen[rv] = true
	name := rv.GetRelname()
	a.resource(a.newSchema(rv), name, access.AccessDefine, nil)
	a.tags = catalog.Union(a.tags, tags)
	if len(tags) > 0 {
		a.taintNew(a.newSchema(rv), name, tags)
		a.launder(construct + " of protected values")
	}
	if a.shadows(name) {
		a.launder(construct + " under the name of a protected relation")
	}
	a.out.Effects = append(a.out.Effects, Effect{Kind: DDL}, Effect{Kind: DropName, Name: name})
	_, laundered := a.features[Laundering]
	return !laundered
}

// newSchema is where a new relation goes; empty where that is not certain.
func (a *analyzer) newSchema(rv *pg.RangeVar) string {
	switch {
	case rv.GetSchemaname() != "":
		return rv.GetSchemaname()
	case rv.GetRelpersistence() == "t":
		return "pg_temp"
	case a.session.pathChanged:
		return ""
	}
	for _, schema := range a.cat.SearchPath {
		if schema != "pg_catalog" {
			return schema
		}
	}
	return ""
}

// shadows reports whether a relation with tags has that name, so that a second
// one could be taken for it, by server or proxy.
func (a *analyzer) shadows(name string) bool {
	for _, r := range a.cat.Named(name) {
		if len(r.Tags) > 0 && r.Schema != "pg_catalog" {
			return true
		}
	}
	return false
}

// adopt takes the facts of an inner statement over as the statement's own.
func (a *analyzer) adopt(inner *Statement) {
	for _, f := range inner.Features {
		if _, known := a.features[f.Name]; !known {
			a.features[f.Name] = f
		}
	}
	for _, r := range inner.Resources {
		a.resource(r.Schema, r.Name, r.Access, r.Tags)
	}
	for _, f := range inner.Functions {
		a.functions[f] = true
	}
	for _, p := range inner.Predicates {
		a.kinds[p] = true
	}
	a.tags = catalog.Union(a.tags, inner.Tags)
	a.compared = catalog.Union(a.compared, inner.PredicateTags)
	a.add(inner.reads)
	a.inner = append(a.inner, inner.Inner...)
	a.out.Touches = a.out.Touches || inner.Touches
	a.opaque = a.opaque || inner.Kind == ""
	a.out.indirect = a.out.indirect || inner.indirect
	a.out.used = append(a.out.used, inner.used...)
	a.out.Absent = append(a.out.Absent, inner.Absent...)
	a.out.Questions = append(a.out.Questions, inner.Questions...)
	a.out.Assigned = append(a.out.Assigned, inner.Assigned...)
	a.out.Writes = append(a.out.Writes, inner.Writes...)
}

// nest analyzes a statement inside this one and adopts its facts. Its relations and
// calls count as followed.
func (a *analyzer) nest(n *pg.Node) *Statement {
	inner := a.nested(n)
	a.adopt(inner)
	a.out.References = append(a.out.References, inner.References...)
	a.out.Masked = append(a.out.Masked, inner.Masked...) // of an EXECUTE
	eachRelation(n, func(rv *pg.RangeVar) { a.seen[rv] = true })
	a.leave(n)
	return inner
}

// standFor makes the statement one of several that a name may stand for; a name
// of nothing known is not understood.
func (a *analyzer) standFor(statements []*Statement, kind AbsentKind, code, name string) {
	if len(statements) == 0 {
		a.absentName(kind, code, name)
	}
	a.out.indirect = true
	a.out.Masked = sameMasks(statements)
	absent := len(a.out.Absent)
	for i, s := range statements {
		s = s.Under(a.cat)
		a.adopt(s)
		a.out.Absent = a.out.Absent[:absent] // places in another text
		if a.outdated(s) || len(s.used) > 0 && (a.session.stale || a.session.unsettled) {
			a.feature(UnknownFunction, "a function that was changed since")
		}
		a.opaque = a.opaque || s.indirect // what that name stands for may have changed since
		if i == 0 {
			a.out.Kind = s.Kind
			a.out.Outputs = s.Outputs
		} else {
			a.out.Outputs = nil
			a.inner = append(a.inner, s.Statement)
		}
		a.out.Derived = catalog.Union(a.out.Derived, s.Derived)
		a.out.ReturnsRows = a.out.ReturnsRows || s.ReturnsRows
		a.out.Effects = append(a.out.Effects, s.Effects...)
		if len(statements) == 1 {
			a.out.Copy = s.Copy
		}
	}
}

// givenTo notes what the arguments of an EXECUTE carry: a function's result, as
// there can be no query in them. Where the statement puts them nobody follows.
func (a *analyzer) givenTo(args flow) {
	if !args.protected() {
		return
	}
	a.launder("EXECUTE with a protected value")
	a.out.Touches = true
	a.out.Derived = catalog.Union(a.out.Derived, args.tags)
	a.out.Outputs = nil
	a.tags = catalog.Union(a.tags, args.tags)
}

func (a *analyzer) prepare(s *pg.PrepareStmt) {
	inner := a.nest(s.GetQuery())
	a.out.Kind = inner.Kind
	a.out.Effects = append(a.out.Effects, Effect{Kind: PrepareName, Name: s.GetName(), Statement: inner})
}

func (a *analyzer) declare(s *pg.DeclareCursorStmt) {
	inner := a.nest(s.GetQuery())
	a.out.Kind = inner.Kind
	a.out.Effects = append(a.out.Effects, Effect{Kind: DeclareCursor, Name: s.GetPortalname(), Statement: inner, Hold: s.GetOptions()&cursorHold != 0})
}

// cursorHold is CURSOR_OPT_HOLD of PostgreSQL's parsenodes.h, since version 14.
const cursorHold = 0x20

// explain shows a plan: constants and estimates, no values. With ANALYZE the
// statement runs, so it counts as itself.
func (a *analyzer) explain(s *pg.ExplainStmt) {
	inner := a.nest(s.GetQuery())
	a.out.Kind = KindExplain
	a.out.ReturnsRows = true
	if inner.Kind == "" {
		return
	}
	for _, o := range s.GetOptions() {
		if o.GetDefElem().GetDefname() == "analyze" && !isFalse(o.GetDefElem().GetArg()) {
			a.inner = append(a.inner, inner.Statement)
			a.out.Effects = inner.Effects
			return
		}
	}
	for _, f := range []string{BulkSelect, UnboundedUpdate, UnboundedDelete} {
		delete(a.features, f) // nothing is read or changed
	}
	if len(inner.used) > 0 { // the planner runs functions that call themselves immutable, and shows what they return
		if inner.Touches {
			a.out.Derived = a.cat.AllTags()
		}
		return
	}
	a.inner = nil
}

// isFalse reports whether an option is switched off.
func isFalse(n *pg.Node) bool {
	word := n.GetString_().GetSval()
	return word == "false" || word == "off" || n.GetBoolean() != nil && !n.GetBoolean().GetBoolval() ||
		n.GetInteger() != nil && n.GetInteger().GetIval() == 0
}
