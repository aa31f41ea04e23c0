package analysis

import (
	"slices"

	pg "github.com/pganalyze/pg_query_go/v5"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// connectionString is the one secret column of pg_subscription. pg_dump counts that relation's rows in every dump, and psql's \dRs
// lists names and owners: neither needs to read a password.
const connectionString = "subconninfo"

// columnNames is what the inventory saw of the ways to name a column.
type columnNames struct {
	columns []*pg.ColumnRef
	// byName: the connection string's name stands somewhere, as a column, a function, a field or in USING.
	byName bool
	// indirectly: a join that compares or renames columns without naming them.
	indirectly bool
}

// visit notes a node that may name a column.
func (m *columnNames) visit(node any) {
	switch n := node.(type) {
	case *pg.ColumnRef:
		m.columns = append(m.columns, n)
	case *pg.String:
		m.byName = m.byName || n.GetSval() == connectionString
	case *pg.JoinExpr:
		m.indirectly = m.indirectly || n.GetIsNatural() || n.GetAlias() != nil
	}
}

// withoutConnectionString reports whether a statement reads pg_subscription without its connection strings. It gives up on everything that
// could name a column by other means: stars, whole rows, renamed columns, fields that are calls of a function with the row, and statements
// that are no SELECT, since COPY names no column at all.
func (a *analyzer) withoutConnectionString(r *catalog.Relation, how access.Access) bool {
	if r.Schema != "pg_catalog" || r.Name != "pg_subscription" || how != access.AccessRead || !a.selects {
		return false
	}
	if a.found.byName || a.found.indirectly || a.opaque {
		return false
	}
	names := map[string]bool{}
	for _, rv := range a.found.relations {
		if rv.GetRelname() != r.Name {
			continue
		}
		if len(rv.GetAlias().GetColnames()) > 0 {
			return false
		}
		names[rv.GetRelname()] = true
		names[rv.GetAlias().GetAliasname()] = true
	}
	return !slices.ContainsFunc(a.found.columns, func(ref *pg.ColumnRef) bool {
		fields := ref.GetFields()
		last := fields[len(fields)-1].GetString_().GetSval()
		if last == "" { // a star
			return true
		}
		if len(fields) == 1 {
			return names[last]
		}
		return names[fields[len(fields)-2].GetString_().GetSval()] && r.Column(last) == nil
	})
}
