package catalog

// Every name is qualified and every operator that could be shadowed runs under
// an empty search_path (pg_catalog alone), so that nothing a client created can
// answer for the catalog.
const (
	querySettings = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL statement_timeout = '60s'; SET LOCAL lock_timeout = '10s'; RESET search_path`

	// Where the connection itself asked for a search_path, RESET goes back to that;
	// what a client's session begins with is the login role's, the database's or
	// the server's.
	queryDefaultPath = `SELECT pg_catalog.set_config('search_path', COALESCE(
  (SELECT pg_catalog.substr(c, 13) FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) c
   WHERE pg_catalog.starts_with(c, 'search_path=')
     AND s.setrole IN (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user))
     AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
   ORDER BY s.setrole = 0, s.setdatabase = 0 LIMIT 1), boot_val), true)
FROM pg_catalog.pg_settings WHERE name = 'search_path' AND source = 'client'`

	querySearchPath = `SELECT pg_catalog.unnest(pg_catalog.current_schemas(true))`

	queryIsolate = `SET search_path = ''; SET standard_conforming_strings = on`

	queryDatabase = `SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()`

	querySchemas = `SELECT nspname FROM pg_catalog.pg_namespace`

	// A relation that is renamed or moved has its row type renamed and moved with it. Its own row has a new version after a
	// TRUNCATE or GRANT as well, which change nothing of what is read here.
	queryRelations = `SELECT c.oid, n.nspname, c.relname, c.relkind, c.reltoastrelid,
  COALESCE(t.xmin::pg_catalog.text::pg_catalog.int8, 0), COALESCE(w.version, 0), COALESCE(i.version, 0)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_type t ON t.oid = c.reltype
LEFT JOIN (SELECT ev_class, max(xmin::pg_catalog.text::pg_catalog.int8) AS version FROM pg_catalog.pg_rewrite GROUP BY ev_class) w ON w.ev_class = c.oid
LEFT JOIN (SELECT inhparent, max(xmin::pg_catalog.text::pg_catalog.int8) + pg_catalog.count(*) AS version FROM pg_catalog.pg_inherits GROUP BY inhparent) i
  ON i.inhparent = c.oid
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S', 't', 'c') ORDER BY c.oid`

	queryColumns = `SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.attisdropped, a.attgenerated <> '', a.xmin
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
WHERE a.attnum > 0 AND c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S', 't', 'c') ORDER BY a.attrelid, a.attnum`

	// An array type is one that its element type names as such: name, point and
	// the like have an element type without being arrays.
	queryTypes = `SELECT t.oid, n.nspname, t.typname, t.typtype, COALESCE(e.oid, 0), t.typbasetype, t.typrelid,
COALESCE(r.rngsubtype, m.rngtypid, 0)
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_type e ON e.typarray = t.oid
LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
LEFT JOIN pg_catalog.pg_range m ON m.rngmultitypid = t.oid ORDER BY t.oid`

	queryLabels = `SELECT enumtypid, enumlabel FROM pg_catalog.pg_enum ORDER BY enumtypid, enumsortorder`

	// Object identifiers from 16384 on were not made by initdb, whatever schema
	// they are in. The fourth column: callable with one argument, and so also as
	// "(value).name".
	queryFunctions = `SELECT p.proname, n.nspname, COALESCE(e.extname, ''),
p.pronargs - p.pronargdefaults <= 1 AND p.pronargs >= 1, p.oid
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
  AND d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
WHERE p.oid >= 16384 OR n.nspname NOT IN ('pg_catalog', 'information_schema')`

	// The fifth column: an operator on a type of its own.
	queryOperators = `SELECT o.oprname, n.nspname, COALESCE(e.extname, ''), false, o.oprleft >= 16384 OR o.oprright >= 16384,
o.oprcode::pg_catalog.oid
FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND d.objid = o.oid
  AND d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
WHERE o.oid >= 16384 OR n.nspname NOT IN ('pg_catalog', 'information_schema')`

	queryInherits = `SELECT inhrelid, inhparent FROM pg_catalog.pg_inherits`

	// Which columns a generated column is computed from. Up to PostgreSQL 14 the
	// column itself depends on them, since then its pg_attrdef entry does.
	queryGenerated = `SELECT a.attrelid, a.attnum, d.refobjsubid
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = a.attrelid
  AND ((d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = f.oid)
    OR (d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = a.attrelid AND d.objsubid = a.attnum))
WHERE a.attgenerated <> '' AND d.refobjsubid <> a.attnum`

	// What a view is made of: relations with their columns, and user functions and
	// operators (the third column is -1 then and the fourth their name).
	queryViewUses = `SELECT r.ev_class, d.refobjid, d.refobjsubid, ''
FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_depend d ON d.objid = r.oid
WHERE r.ev_type = '1' AND r.is_instead AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
  AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> r.ev_class
UNION ALL
SELECT r.ev_class, d.refobjid, -1, n.nspname || '.' || p.proname
FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_depend d ON d.objid = r.oid
JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE r.ev_type = '1' AND r.is_instead AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
  AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid >= 16384
UNION ALL
SELECT r.ev_class, d.refobjid, -1, n.nspname || '.' || o.oprname
FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_depend d ON d.objid = r.oid
JOIN pg_catalog.pg_operator o ON o.oid = d.refobjid JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
WHERE r.ev_type = '1' AND r.is_instead AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
  AND d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND o.oid >= 16384`

	// Views that pg_depend alone cannot answer for: a whole row of a relation
	// leaves no trace there, and neither does a pinned relation (2619 is
	// pg_statistic, 3429 pg_statistic_ext_data).
	queryViewTrees = `SELECT ev_class, pg_catalog.strpos(ev_action::pg_catalog.text, ':varattno 0 ') > 0,
pg_catalog.strpos(ev_action::pg_catalog.text, ':relid 2619 ') > 0
  OR pg_catalog.strpos(ev_action::pg_catalog.text, ':relid 3429 ') > 0
FROM pg_catalog.pg_rewrite WHERE ev_type = '1' AND is_instead`

	queryViewText = `SELECT pg_catalog.pg_get_viewdef($1::pg_catalog.oid)`

	queryEnd = `COMMIT`
)
