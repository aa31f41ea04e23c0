package mutate

import "strings"

// wrapping puts a statement, for which %s stands, into another. Where before and after are given they are statements of their own.
type wrapping struct {
	name        string
	before      string
	sql         string
	after       []string
	mayBeDenied bool // a way out by itself, whatever it holds
	unstable    bool // answers with times
}

// wrappings are for statements that answer with rows; for others PostgreSQL refuses most of them. s_ is a whole row.
var wrappings = []wrapping{
	{name: "CTE", sql: `WITH w_ AS (%s) SELECT * FROM w_`},
	{name: "materialized CTE", sql: `WITH w_ AS MATERIALIZED (%s), x_ AS (TABLE w_) SELECT x_.* FROM x_`},
	{name: "recursive CTE", sql: `WITH RECURSIVE w_ AS (%s) SELECT * FROM w_`},
	{name: "CTE that shadows a table", sql: `WITH orders AS (%s) SELECT orders.* FROM orders`},
	{name: "sub-select", sql: `SELECT * FROM (%s) AS s_`},
	{name: "nested sub-selects", sql: `SELECT t_.* FROM (SELECT * FROM (SELECT s_.* FROM (%s) AS s_) AS id) AS t_`},
	{name: "renamed columns", sql: `SELECT * FROM (%s) AS ssn(id)`},
	{name: "LATERAL", sql: `SELECT l_.* FROM (VALUES (1)) AS v_(n) CROSS JOIN LATERAL (%s) AS l_`},
	{name: "LEFT JOIN LATERAL", sql: `SELECT l_ FROM (SELECT 1) AS v_(n) LEFT JOIN LATERAL (%s) AS l_ ON true`},
	{name: "join alias", sql: `SELECT j_.* FROM ((%s) AS s_ CROSS JOIN (SELECT 1 AS n_) AS u_) AS j_`},
	{name: "cursor", before: "BEGIN", sql: `DECLARE c_ CURSOR FOR %s`, after: []string{"FETCH ALL FROM c_"}},
	{name: "binary scrolled cursor", before: "BEGIN", sql: `DECLARE c_ BINARY SCROLL CURSOR FOR %s`, after: []string{"FETCH 3 FROM c_", "FETCH ABSOLUTE 1 FROM c_", "FETCH LAST FROM c_"}},
	{name: "cursor with hold", sql: `DECLARE c_ CURSOR WITH HOLD FOR %s`, after: []string{"FETCH FORWARD ALL FROM c_"}},
	{name: "PREPARE", sql: `PREPARE p_ AS %s`, after: []string{"EXECUTE p_"}},
	{name: "EXPLAIN ANALYZE EXECUTE", before: "", sql: `PREPARE p_ AS %s`, after: []string{"EXPLAIN (ANALYZE, VERBOSE) EXECUTE p_"}, unstable: true},
	{name: "COPY", sql: `COPY (%s) TO STDOUT`},
	{name: "COPY as CSV", sql: `COPY (%s) TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE *)`},
	{name: "binary COPY", sql: `COPY (%s) TO STDOUT WITH (FORMAT binary)`},
	{name: "EXPLAIN ANALYZE", sql: `EXPLAIN ANALYZE %s`, unstable: true},
	{name: "EXPLAIN as JSON", sql: `EXPLAIN (ANALYZE, VERBOSE, BUFFERS, FORMAT json) %s`, unstable: true},
	{name: "UNION ALL", sql: `(%s) UNION ALL (%s)`},
	{name: "UNION", sql: `SELECT * FROM ((%s) UNION (%s)) AS s_`},
	{name: "EXCEPT", sql: `(%s) EXCEPT (SELECT * FROM (%s) AS s_ WHERE false)`},
	{name: "to_jsonb", sql: `SELECT to_jsonb(s_) FROM (%s) AS s_`},
	{name: "row_to_json", sql: `SELECT row_to_json(s_, true)::text FROM (%s) AS s_`},
	{name: "json_agg", sql: `SELECT json_agg(s_) FROM (%s) AS s_`},
	{name: "jsonb_each", sql: `SELECT e_.value FROM (%s) AS s_, jsonb_each_text(to_jsonb(s_)) AS e_`},
	{name: "json_build_object", sql: `SELECT json_build_object('row', s_.*) FROM (%s) AS s_`},
	{name: "whole row as text", sql: `SELECT s_::text FROM (%s) AS s_`},
	{name: "whole row", sql: `SELECT s_ FROM (%s) AS s_`},
	{name: "ROW", sql: `SELECT ROW(s_.*, s_) FROM (%s) AS s_`},
	{name: "string_agg", sql: `SELECT string_agg(s_::text, ',') FROM (%s) AS s_`},
	{name: "array_agg", sql: `SELECT array_agg(s_::text), (array_agg(s_))[1] FROM (%s) AS s_`},
	{name: "ARRAY", sql: `SELECT ARRAY(SELECT s_::text FROM (%s) AS s_)`},
	{name: "scalar sub-select", sql: `SELECT (SELECT s_ FROM (%s) AS s_ LIMIT 1)`},
	{name: "VALUES", sql: `VALUES ((SELECT max(s_::text) FROM (%s) AS s_))`},
	{name: "window", sql: `SELECT first_value(s_::text) OVER (), lag(s_::text) OVER () FROM (%s) AS s_`},
	{name: "CASE", sql: `SELECT CASE WHEN true THEN coalesce(s_::text, '') ELSE '' END FROM (%s) AS s_`},
	{name: "encoded", sql: `SELECT encode(convert_to(s_::text, 'UTF8'), 'base64'), md5(s_::text), reverse(s_::text) FROM (%s) AS s_`},
	{name: "characters", sql: `SELECT ascii(substr(t_, g_, 1)) FROM (SELECT string_agg(s_::text, '') FROM (%s) AS s_) AS x_(t_), generate_series(1, 60) AS g_`},
	{name: "unnest", sql: `SELECT unnest(string_to_array(s_::text, NULL)) FROM (%s) AS s_ LIMIT 100`},
	{name: "error of a cast", sql: `SELECT s_::text::int FROM (%s) AS s_`},
	{name: "error of a date", sql: `SELECT s_::text::date FROM (%s) AS s_`},
	{name: "temporary table", sql: `CREATE TEMP TABLE t_ AS %s`, after: []string{"SELECT * FROM t_"}, mayBeDenied: true},
	{name: "table of the same name", sql: `CREATE TEMP TABLE orders AS %s`, after: []string{"SELECT * FROM orders"}, mayBeDenied: true},
	{name: "SELECT INTO", sql: `SELECT * INTO TEMP t_ FROM (%s) AS s_`, after: []string{"TABLE t_"}, mayBeDenied: true},
	{name: "temporary view", sql: `CREATE TEMP VIEW v_ AS %s`, after: []string{"SELECT * FROM v_"}, mayBeDenied: true},
	{name: "INSERT from it", sql: `INSERT INTO schema_migrations SELECT s_::text FROM (%s) AS s_ RETURNING version`, mayBeDenied: true},
	{name: "DO", sql: `DO $rt$ DECLARE r_ record; BEGIN FOR r_ IN %s LOOP RAISE INFO '%%', r_; END LOOP; END $rt$`, mayBeDenied: true},
	{name: "function", sql: `CREATE FUNCTION pg_temp.f_() RETURNS SETOF text LANGUAGE sql AS $rt$ SELECT s_::text FROM (%s) AS s_ $rt$`, after: []string{"SELECT * FROM pg_temp.f_()"}, mayBeDenied: true},
	{name: "set_config", sql: `SELECT set_config('rt.x', string_agg(s_::text, ','), false) FROM (%s) AS s_`, after: []string{"SHOW rt.x"}, mayBeDenied: true},
	{name: "pg_notify", sql: `SELECT pg_notify('rt', left(string_agg(s_::text, ','), 1000)) FROM (%s) AS s_`, mayBeDenied: true},
	{name: "query_to_xml", sql: `SELECT query_to_xml($rt$%s$rt$, true, true, '')`, mayBeDenied: true},
	{name: "LIMIT", sql: `SELECT generate_series(1, 200) LIMIT (SELECT ascii(right(max(s_::text), 3)) FROM (%s) AS s_)`, mayBeDenied: true},
	{name: "predicate", sql: `SELECT g_ FROM generate_series(32, 126) AS g_ WHERE g_ IN (SELECT ascii(left(right(s_::text, 3), 1)) FROM (%s) AS s_)`, mayBeDenied: true},
}

// put is the wrapping around a statement.
func (w wrapping) put(statement string) string {
	statement = strings.TrimRight(statement, "; \n\t")
	return strings.ReplaceAll(strings.ReplaceAll(w.sql, "%s", statement), "%%", "%")
}
