package catalog

import (
	"context"

	"github.com/jackc/pgx/v5/pgconn"
)

// Name is a name to look for: of anything in pg_class, indexes included, or of a
// function or type.
type Name struct {
	Function bool
	Name     string
}

const (
	queryRelationHomes = `SELECT DISTINCT n.nspname FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = $1`

	// A call of one argument can be a cast to the type of that name.
	queryFunctionHomes = `SELECT n.nspname FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE p.proname = $1
UNION SELECT n.nspname FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.typname = $1`
)

// Homes returns the schemas in which something of each name is at this moment.
// conn is as Load leaves it.
func Homes(ctx context.Context, conn *pgconn.PgConn, names []Name) (map[Name][]string, error) {
	homes := make(map[Name][]string, len(names))
	for _, name := range names {
		query := queryRelationHomes
		if name.Function {
			query = queryFunctionHomes
		}
		result := conn.ExecParams(ctx, query, [][]byte{[]byte(name.Name)}, nil, nil, nil).Read()
		if result.Err != nil {
			return nil, result.Err
		}
		for _, row := range result.Rows {
			homes[name] = append(homes[name], string(row[0]))
		}
	}
	return homes, nil
}
