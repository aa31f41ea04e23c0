package analysis

import (
	"cmp"
	"slices"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// How says in which way a value comes from a column.
type How uint8

// The ways, the most telling first. Where a value comes from a column in several,
// the most telling one counts.
const (
	// Direct: the value is, or may be, that of the column, unchanged.
	Direct How = iota
	// Derived: the value is computed from the column's.
	Derived
	// Implicit: a condition, a comparison, an order or the like on the column decides
	// what the value is.
	Implicit
	// Opaque: nobody knows; it may be everything of that relation or, where the
	// source names no relation, of the database.
	Opaque
)

// String returns the way in a word.
func (h How) String() string {
	switch h {
	case Direct:
		return "direct"
	case Derived:
		return "derived"
	case Implicit:
		return "implicit"
	}
	return "opaque"
}

// Source is a column that a value comes from, tagged or not.
type Source struct {
	// Relation is the OID of a table, view or the like, and Number that of the
	// column's attribute; number 0 stands for any of its columns. Both are 0 where
	// nothing is known of the origin.
	Relation uint32
	Number   int16
	// Schema, Table and Column are their names as the catalog has them.
	Schema, Table, Column string
	// Tags are the column's own, sorted; of an unknown origin all that the value may carry.
	Tags []string
	How  How
}

// Reads are the columns that a statement reads, by what it reads them for. A column
// can be in several of the lists.
type Reads struct {
	// Output are those that the result's values come from.
	Output []Source
	// Predicate are those that conditions, orders and groups look at.
	Predicate []Source
	// Write are those whose values are written elsewhere.
	Write []Source
}

// reads are Reads while they are gathered.
type reads struct{ shown, tested, written flow }

func (r *reads) add(o reads) {
	r.shown, r.tested, r.written = r.shown.and(o.shown), r.tested.and(o.tested), r.written.and(o.written)
}

// maxSources bounds how many sources of one value are told apart. Above it only the
// tags are kept, and the origin counts as unknown.
const maxSources = 256

// origin is a Source by its numbers alone.
type origin struct {
	relation uint32
	number   int16
	how      How
}

// compareOrigins orders by column, not by how.
func compareOrigins(x, y origin) int {
	return cmp.Or(cmp.Compare(x.relation, y.relation), cmp.Compare(x.number, y.number))
}

// flow is what a value carries. The zero flow is that of a constant. The slices
// are shared between flows and never changed.
type flow struct {
	// tags are those of every source, and those of what is opaque; sorted.
	tags []string
	// sources are ordered by column, each column once.
	sources []origin
	// opaque: there are sources that nobody knows.
	opaque bool
	// many: there are more sources than are told apart, so none is named.
	many bool
	// part: it is a part of a protected value, or computed from one, so that a test of
	// it can tell more than one of the value itself.
	part bool
	// mixed: it stands among values that the statement makes up, so that whatever
	// tells the two apart tells the value.
	mixed bool
}

// protected reports whether the value may tell of a tagged column.
func (f flow) protected() bool { return len(f.tags) > 0 }

// and is the union of two flows.
func (f flow) and(g flow) flow {
	f.tags = catalog.Union(f.tags, g.tags)
	f.opaque = f.opaque || g.opaque
	f.many, f.part, f.mixed = f.many || g.many, f.part || g.part, f.mixed || g.mixed
	if !f.many {
		f.sources = unionOrigins(f.sources, g.sources)
		f.many = len(f.sources) > maxSources
	}
	if f.many {
		f.sources = nil
	}
	return f
}

// unionOrigins merges two ordered lists. It returns one of them where that already
// is the answer.
func unionOrigins(x, y []origin) []origin {
	switch {
	case holds(x, y):
		return x
	case holds(y, x):
		return y
	}
	merged := make([]origin, 0, len(x)+len(y))
	for len(x) > 0 && len(y) > 0 {
		switch order := compareOrigins(x[0], y[0]); {
		case order < 0:
			merged, x = append(merged, x[0]), x[1:]
		case order > 0:
			merged, y = append(merged, y[0]), y[1:]
		default:
			both := x[0]
			both.how = min(both.how, y[0].how)
			merged, x, y = append(merged, both), x[1:], y[1:]
		}
	}
	return append(append(merged, x...), y...)
}

// holds reports whether the list x says at least what y does.
func holds(x, y []origin) bool {
	if len(y) > len(x) {
		return false
	}
	for _, o := range y {
		at, found := slices.BinarySearchFunc(x, o, compareOrigins)
		if !found || x[at].how > o.how {
			return false
		}
	}
	return true
}

// derived is the flow of what is computed from a value.
func (f flow) derived() flow { return f.atMost(Derived) }

// implicit is the flow of what is decided by a value.
func (f flow) implicit() flow { return f.atMost(Implicit) }

// atMost weakens every source that tells more than how.
func (f flow) atMost(how How) flow {
	if !slices.ContainsFunc(f.sources, func(o origin) bool { return o.how < how }) {
		return f
	}
	f.sources = slices.Clone(f.sources)
	for i := range f.sources {
		f.sources[i].how = max(f.sources[i].how, how)
	}
	return f
}

// same reports whether two flows say the same.
func (f flow) same(g flow) bool {
	return f.opaque == g.opaque && f.many == g.many && f.part == g.part && f.mixed == g.mixed && slices.Equal(f.tags, g.tags) && slices.Equal(f.sources, g.sources)
}

// everything is the flow of a value of which nothing is known.
func (a *analyzer) everything() flow { return flow{tags: a.cat.AllTags(), opaque: true} }

// anyOf is the flow of a value that may be any of a relation.
func anyOf(r *catalog.Relation) flow {
	return flow{tags: r.Tags, sources: []origin{{relation: r.OID, how: Opaque}}}
}

// sources gives the sources of a flow their names.
func (a *analyzer) sources(f flow) []Source {
	if len(f.sources) == 0 && !f.opaque && !f.many {
		return nil
	}
	list := make([]Source, 0, len(f.sources)+1)
	for _, o := range f.sources {
		s := Source{Relation: o.relation, Number: o.number, How: o.how}
		s.Tags, _ = a.cat.Origin(o.relation, o.number)
		if r := a.cat.Relation(o.relation); r != nil {
			s.Schema, s.Table = r.Schema, r.Name
			for i := range r.Columns {
				if r.Columns[i].Num == o.number && o.number > 0 {
					s.Column = r.Columns[i].Name
				}
			}
		}
		list = append(list, s)
	}
	if f.opaque || f.many {
		list = append(list, Source{How: Opaque, Tags: f.tags})
	}
	return list
}
