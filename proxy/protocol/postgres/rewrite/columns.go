package rewrite

import (
	"fmt"
	"slices"

	pg "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// systemColumns are those that every table has and no sub-select.
var systemColumns = []string{"ctid", "tableoid", "xmin", "xmax", "cmin", "cmax"}

// fields are the parts of a column's name; "*" stands for all columns.
func fields(ref *pg.ColumnRef) []string {
	var parts []string
	for _, f := range ref.GetFields() {
		if f.GetAStar() != nil {
			parts = append(parts, "*")
			continue
		}
		parts = append(parts, f.GetString_().GetSval())
	}
	return parts
}

// columns looks at what the statement says of columns of relations that have become
// sub-selects: those have no system columns, and no schema to name them by.
func (s *statement) columns(m protoreflect.Message) error {
	var err error
	every(m, func(n protoreflect.Message) bool {
		if ref, ok := n.Interface().(*pg.ColumnRef); ok && err == nil {
			err = s.column(ref)
		}
		return err == nil && !s.mine(n)
	})
	return err
}

// mine reports whether a node is a sub-select that this rewrite has made.
func (s *statement) mine(m protoreflect.Message) bool {
	sub, ok := m.Interface().(*pg.RangeSubselect)
	return ok && s.ours[sub] != nil
}

func (s *statement) column(ref *pg.ColumnRef) error {
	parts := fields(ref)
	last := len(parts) - 1
	if last < 0 {
		return nil
	}
	if slices.Contains(systemColumns, parts[last]) && (last == 0 || s.byName(parts[last-1]) != nil) {
		return s.refuse(int(ref.GetLocation()), fmt.Sprintf("the system column %s cannot be read here", parts[last]), "Use a key of the table.")
	}
	if last < 2 || !s.unaliased(parts[last-2], parts[last-1]) {
		return nil
	}
	for _, w := range s.targets {
		if w.node.GetAlias() == nil && w.relation.Name == parts[last-1] && w.relation.Schema == parts[last-2] {
			return s.refuse(int(ref.GetLocation()), "it is not certain which "+title(w.relation)+" this is", "Give each an alias.")
		}
	}
	first := s.tokens.at(int(ref.GetLocation()))
	behind, ok := s.tokens.name(first, last-1) // what stands before the table's name
	if !ok || s.tokens.word(behind) != "." || behind+1 >= len(s.tokens.list) {
		return s.inexact("the name of a column is not where it should be")
	}
	s.put(edit{s.tokens.start(first), s.tokens.start(behind + 1), ""})
	ref.Fields = ref.GetFields()[last-1:]
	return nil
}

// byName returns the replaced relation that columns are qualified by that name of.
func (s *statement) byName(name string) *replacement {
	for _, r := range s.replaced {
		if r.name == name {
			return r
		}
	}
	return nil
}

// unaliased reports whether a relation of that schema and name has become a
// sub-select that still goes by its own name.
func (s *statement) unaliased(schema, name string) bool {
	return slices.ContainsFunc(s.replaced, func(r *replacement) bool {
		return !r.aliased && r.relation.Schema == schema && r.relation.Name == name
	})
}
