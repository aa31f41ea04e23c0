package analysis

import (
	"slices"

	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// Reference says that a name in a text is a relation of the catalog. Names of WITH
// queries, aliases and names that the catalog does not know are none.
type Reference struct {
	// Location is where the name begins in the analyzed text, in bytes; 0 where
	// the parser does not say.
	Location int
	Relation *catalog.Relation
	// Certain: it is that relation and cannot be any other.
	Certain bool
	Access  access.Access
}

// Masked is a relation that a statement reads through a sub-select in its place.
type Masked struct {
	// Relation is its pg_class OID.
	Relation uint32
	// Text of the sub-select.
	Text string
	// Columns are the attribute numbers of what is masked in it.
	Columns []int16
}

// Same reports whether two relations are masked alike.
func (m Masked) Same(other Masked) bool { return m.Relation == other.Relation && m.Text == other.Text }

// Tree parses a text as Analyze does, behind the same guard and within the same
// limits, for whoever has to find a Reference's place in it. The error is a *Refusal.
func Tree(text string, server int, limits Limits) (*pg.ParseResult, error) {
	if r := check(text, limits); r != nil {
		return nil, r
	}
	return parse(text, server)
}

// sameMasks is what all of several statements read masked; none where they differ.
func sameMasks(statements []*Statement) []Masked {
	for _, s := range statements {
		if !slices.EqualFunc(s.Masked, statements[0].Masked, Masked.Same) {
			return nil
		}
	}
	if len(statements) == 0 {
		return nil
	}
	return slices.Clone(statements[0].Masked)
}

// refer notes what a relation's name in the statement stands for.
func (a *analyzer) refer(rv *pg.RangeVar, how access.Access, c candidates) {
	certain := len(c.relations) == 1 && !c.temp && !a.hidden(c)
	for _, r := range c.relations {
		a.out.References = append(a.out.References, Reference{int(rv.GetLocation()), r, certain, how})
	}
}
