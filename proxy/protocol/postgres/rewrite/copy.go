package rewrite

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// copied turns COPY table (columns) TO into COPY (SELECT columns FROM masks) TO.
// COPY reads the table alone, without what inherits from it, and leaves generated
// columns out unless they are listed. done: there is nothing more to
// change in it.
func (s *statement) copied(n *pg.CopyStmt) (done bool, err error) {
	rv := n.GetRelation()
	r := s.named[int(rv.GetLocation())]
	if rv == nil || r == nil || n.GetIsFrom() {
		return false, nil
	}
	if r.Relation.Kind != 'r' {
		return true, s.refuse(r.Location, "COPY can read tables only, and "+title(r.Relation)+" is none", "COPY (SELECT …) TO STDOUT can read it.")
	}
	inner, err := s.see(r, true)
	if err != nil {
		return true, err
	}
	from, to, err := s.extent(rv)
	if err != nil {
		return true, err
	}
	if len(n.GetAttlist()) > 0 {
		if to = s.closing(to); to < 0 {
			return true, s.inexact("the name of a column is not where it should be")
		}
	}
	text := "SELECT " + strings.Join(copiedColumns(r.Relation, n.GetAttlist()), ", ") + " FROM (" + inner + ") AS " + quote(r.Relation.Name)
	query, err := parsed(text)
	if err != nil {
		return true, s.inexact("the name of a column is not where it should be")
	}
	s.put(edit{s.tokens.start(from), s.tokens.end(to - 1), " (" + text + ")"})
	n.Relation, n.Attlist, n.Query = nil, nil, query
	return true, nil
}

// closing returns the index behind the parenthesis that closes the one at i.
func (s *statement) closing(i int) int {
	if s.tokens.word(i) != "(" {
		return -1
	}
	for ; i < len(s.tokens.list); i++ {
		if s.tokens.word(i) == ")" {
			return i + 1
		}
	}
	return -1
}

func copiedColumns(r *catalog.Relation, listed []*pg.Node) []string {
	var names []string
	for _, n := range listed {
		names = append(names, quote(n.GetString_().GetSval()))
	}
	if len(listed) > 0 {
		return names
	}
	for _, c := range r.Columns {
		if !c.Dropped && !c.Generated {
			names = append(names, quote(c.Name))
		}
	}
	return slices.Clip(names)
}
