package datasource

import (
	"context"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// countSQL counts the columns that at least one pattern names, in the database and in one row, however many columns there
// are. As in the sidecar, a schema written with a wildcard means the owner's schemas and not the system's.
const countSQL = `
SELECT pg_catalog.count(*)
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
  AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f}'::pg_catalog."char"[])
  AND EXISTS (
    SELECT FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[]), pg_catalog.unnest($3::pg_catalog.text[])) AS p(s, t, k)
    WHERE n.nspname::pg_catalog.text OPERATOR(pg_catalog.~~) p.s
      AND c.relname::pg_catalog.text OPERATOR(pg_catalog.~~) p.t
      AND a.attname::pg_catalog.text OPERATOR(pg_catalog.~~) p.k
      AND NOT (pg_catalog.strpos(p.s, '%') OPERATOR(pg_catalog.>) 0
               AND (n.nspname::pg_catalog.text OPERATOR(pg_catalog.=) 'information_schema' OR pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_'))))`

// count returns how many columns are classified, or nil if the database does not say: the count is for people, and not
// to have it is no reason to call the data source unreachable.
func count(ctx context.Context, conn *pgconn.PgConn, classifications []v1alpha1.Classification) *int32 {
	var parts [3][]string
	for _, c := range classifications {
		for _, column := range c.Columns {
			names := strings.Split(string(column), ".")
			if len(names) != len(parts) {
				continue // the schema does not let it through
			}
			for i, name := range names {
				parts[i] = append(parts[i], like(name))
			}
		}
	}
	result := conn.ExecParams(ctx, countSQL, [][]byte{array(parts[0]), array(parts[1]), array(parts[2])}, nil, nil, nil).Read()
	if result.Err != nil || len(result.Rows) != 1 || len(result.Rows[0]) != 1 {
		return nil
	}
	n, err := strconv.ParseInt(string(result.Rows[0][0]), 10, 32)
	if err != nil {
		return nil
	}
	columns := int32(n)
	return &columns
}

// like writes a part of a column pattern as LIKE does.
var like = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `*`, `%`).Replace

// array writes an array literal; every element is quoted.
func array(items []string) []byte {
	out := []byte{'{'}
	for i, item := range items {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, '"')
		out = append(out, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(item)...)
		out = append(out, '"')
	}
	return append(out, '}')
}
