package catalog

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// probeQuery sums up the row versions of everything that Load reads outside the
// system schemas, and of the settings that a session begins with. Any DDL makes new
// row versions; VACUUM and ANALYZE do not, since they update in place.
const probeQuery = `
SELECT pg_catalog.concat_ws(',',
  (SELECT pg_catalog.sum(pg_catalog.hashint8extended(c.oid::int8 << 32 | c.xmin::pg_catalog.text::int8, 1)) FROM pg_catalog.pg_class c WHERE c.oid >= 16384),
  (SELECT pg_catalog.sum(pg_catalog.hashint8extended(a.attrelid::int8 << 32 | a.xmin::pg_catalog.text::int8, a.attnum)) FROM pg_catalog.pg_attribute a WHERE a.attrelid >= 16384),
  (SELECT pg_catalog.sum(pg_catalog.hashint8extended(w.oid::int8 << 32 | w.xmin::pg_catalog.text::int8, 1)) FROM pg_catalog.pg_rewrite w WHERE w.oid >= 16384),
  (SELECT pg_catalog.sum(pg_catalog.hashint8extended(i.inhrelid::int8 << 32 | i.xmin::pg_catalog.text::int8, 1)) FROM pg_catalog.pg_inherits i),
  (SELECT pg_catalog.sum(pg_catalog.hashint8extended(t.oid::int8 << 32 | t.xmin::pg_catalog.text::int8, 1)) FROM pg_catalog.pg_type t WHERE t.oid >= 16384),
  (SELECT pg_catalog.sum(pg_catalog.hashint8extended(p.oid::int8 << 32 | p.xmin::pg_catalog.text::int8, 1)) FROM pg_catalog.pg_proc p WHERE p.oid >= 16384),
  (SELECT pg_catalog.sum(pg_catalog.hashint8extended(g.oid::int8 << 32 | g.xmin::pg_catalog.text::int8, 1)) FROM pg_catalog.pg_trigger g WHERE NOT g.tgisinternal),
  (SELECT pg_catalog.sum(pg_catalog.hashint8extended(e.oid::int8 << 32 | e.xmin::pg_catalog.text::int8, 1)) FROM pg_catalog.pg_enum e),
  (SELECT pg_catalog.sum(pg_catalog.hashint8extended(o.oid::int8 << 32 | o.xmin::pg_catalog.text::int8, 1)) FROM pg_catalog.pg_operator o WHERE o.oid >= 16384),
  (SELECT pg_catalog.sum(pg_catalog.hashint8extended(k.oid::int8 << 32 | k.xmin::pg_catalog.text::int8, 1)) FROM pg_catalog.pg_cast k WHERE k.oid >= 16384),
  (SELECT pg_catalog.sum(pg_catalog.hashint8extended(f.oid::int8 << 32 | f.xmin::pg_catalog.text::int8, 1)) FROM pg_catalog.pg_attrdef f),
  (SELECT pg_catalog.sum(pg_catalog.hashint8extended(q.oid::int8 << 32 | q.xmin::pg_catalog.text::int8, 1)) FROM pg_catalog.pg_constraint q WHERE q.contypid <> 0),
  (SELECT pg_catalog.sum(pg_catalog.hashint8extended(s.setdatabase::int8 << 32 | s.xmin::pg_catalog.text::int8, 1)) FROM pg_catalog.pg_db_role_setting s),
  (SELECT pg_catalog.sum(pg_catalog.hashint8extended(n.oid::int8 << 32 | n.xmin::pg_catalog.text::int8, 1)) FROM pg_catalog.pg_namespace n))`

var errNoProbe = errors.New("catalog: the probe returned no row")

// Probe returns a short mark of the database's definitions: as long as it stays
// the same, a Snapshot does too. It is far cheaper than Load.
func Probe(ctx context.Context, conn *pgconn.PgConn) (string, error) {
	result := conn.ExecParams(ctx, probeQuery, nil, nil, nil, nil).Read()
	if result.Err != nil {
		return "", result.Err
	}
	if len(result.Rows) != 1 {
		return "", errNoProbe
	}
	return string(result.Rows[0][0]), nil
}
