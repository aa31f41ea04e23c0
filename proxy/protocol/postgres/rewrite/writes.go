package rewrite

import (
	"fmt"
	"slices"

	pg "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// A relation that is written to cannot be a sub-select, so what the statement reads
// of it is real. It may not read a masked column there: not in a condition, not for
// a new value, not in RETURNING.

// reads refuses statements that read masked columns of what they write to.
func (s *statement) reads(m protoreflect.Message) error {
	var err error
	every(m, func(n protoreflect.Message) bool {
		if err == nil {
			err = s.modification(n)
		}
		return err == nil
	})
	return err
}

// modification looks at one INSERT, UPDATE, DELETE or MERGE.
func (s *statement) modification(m protoreflect.Message) error {
	switch n := m.Interface().(type) {
	case *pg.InsertStmt:
		var updates []*pg.Node
		if c := n.GetOnConflictClause(); c != nil {
			updates = append(append(updates, c.GetTargetList()...), c.GetWhereClause())
			updates = append(updates, c.GetInfer().GetIndexElems()...)
			updates = append(updates, c.GetInfer().GetWhereClause())
		}
		return s.mentions("INSERT", n.GetRelation(), updates, n.GetReturningList())
	case *pg.UpdateStmt:
		return s.mentions("UPDATE", n.GetRelation(), append(slices.Clone(n.GetTargetList()), n.GetWhereClause()), n.GetReturningList())
	case *pg.DeleteStmt:
		return s.mentions("DELETE", n.GetRelation(), []*pg.Node{n.GetWhereClause()}, n.GetReturningList())
	case *pg.MergeStmt:
		return s.mentions("MERGE", n.GetRelation(), append(slices.Clone(n.GetMergeWhenClauses()), n.GetJoinCondition()), nil)
	}
	return nil
}

// mentions refuses a masked column of the target in expressions, and all of its
// columns at once, which "*" means in RETURNING.
func (s *statement) mentions(kind string, rv *pg.RangeVar, expressions, returning []*pg.Node) error {
	i := slices.IndexFunc(s.targets, func(w *written) bool { return w.node == rv })
	if i < 0 {
		return nil
	}
	name := rv.GetRelname()
	if rv.GetAlias() != nil {
		name = rv.GetAlias().GetAliasname()
	}
	w := &reader{statement: s, kind: kind, target: s.targets[i].relation, name: name, masked: s.plan.view(s.targets[i].relation).masked}
	for _, n := range expressions {
		if n != nil {
			w.look(n.ProtoReflect(), nil)
		}
	}
	w.returning = true
	for _, n := range returning {
		w.look(n.ProtoReflect(), nil)
		if parts := fields(n.GetResTarget().GetVal().GetColumnRef()); len(parts) == 1 && parts[0] == "*" {
			w.refused(n.GetResTarget().GetVal().GetColumnRef(), "all its columns")
		}
	}
	return w.err
}

// reader looks for columns of a target.
type reader struct {
	*statement
	kind   string
	target *catalog.Relation
	name   string // that its columns are qualified by
	masked map[string]bool
	// returning: what is looked at is in RETURNING, where old and new are the target
	// from PostgreSQL 18 on.
	returning bool
	err       error
}

// inner is what a sub-select's FROM brings into sight, in front of the target.
type inner struct {
	names, columns map[string]bool
	outer          *inner
}

func (w *reader) look(m protoreflect.Message, in *inner) {
	every(m, func(n protoreflect.Message) bool {
		switch v := n.Interface().(type) {
		case *pg.SelectStmt:
			w.query(v, in)
			return false
		case *pg.ColumnRef:
			w.column(v, in)
		}
		return w.err == nil && !w.mine(n)
	})
}

// query looks at a sub-select. What stands in its FROM and WITH does not see what
// they bring into sight; LATERAL does, and is taken not to.
func (w *reader) query(sel *pg.SelectStmt, in *inner) {
	within := w.sight(sel, in)
	sel.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Kind() != protoreflect.MessageKind {
			return true
		}
		scope := within
		if f.Name() == "from_clause" || f.Name() == "with_clause" {
			scope = in
		}
		if !f.IsList() {
			w.look(v.Message(), scope)
			return w.err == nil
		}
		for i := range v.List().Len() {
			w.look(v.List().Get(i).Message(), scope)
		}
		return w.err == nil
	})
}

// sight is what the masks in a FROM list hold; what else is there counts for nothing,
// so that a name may be taken for the target's rather than the other way round.
func (w *reader) sight(sel *pg.SelectStmt, outer *inner) *inner {
	in := &inner{names: map[string]bool{}, columns: map[string]bool{}, outer: outer}
	for _, n := range sel.GetFromClause() {
		w.joined(n, in)
	}
	return in
}

func (w *reader) joined(n *pg.Node, in *inner) {
	if j := n.GetJoinExpr(); j != nil && j.GetAlias() == nil {
		w.joined(j.GetLarg(), in)
		w.joined(j.GetRarg(), in)
		return
	}
	sub := n.GetRangeSubselect()
	r := w.ours[sub]
	if r == nil || len(sub.GetAlias().GetColnames()) > 0 {
		return
	}
	in.names[r.name] = true
	for _, c := range r.relation.Columns {
		in.columns[c.Name] = !c.Dropped
	}
}

func (w *reader) column(ref *pg.ColumnRef, in *inner) {
	parts := fields(ref)
	if len(parts) == 0 {
		return
	}
	last := parts[len(parts)-1]
	if len(parts) == 1 {
		for ; in != nil; in = in.outer {
			if in.columns[last] || in.names[last] {
				return
			}
		}
		switch {
		case w.masked[last]:
			w.refused(ref, "column "+last)
		case last == w.name, w.returning && (last == "old" || last == "new"):
			w.refused(ref, "the whole row")
		}
		return
	}
	qualifier := parts[len(parts)-2]
	for ; in != nil; in = in.outer {
		if in.names[qualifier] {
			return
		}
	}
	if qualifier != w.name && (!w.returning || qualifier != "old" && qualifier != "new") {
		return
	}
	switch {
	case last == "*":
		w.refused(ref, "all its columns")
	case w.masked[last]:
		w.refused(ref, "column "+last)
	case w.target.Column(last) == nil && !slices.Contains(systemColumns, last): // target.f is f(target)
		w.refused(ref, "the whole row")
	}
}

func (w *reader) refused(ref *pg.ColumnRef, what string) {
	if w.err == nil {
		w.err = w.refuse(int(ref.GetLocation()), fmt.Sprintf("%s of %s would read %s, which is masked", w.kind, title(w.target), what),
			"Find the rows by columns that are not masked, and list the others in RETURNING.")
	}
}
