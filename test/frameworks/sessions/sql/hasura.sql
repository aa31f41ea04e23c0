Hasura does not run here: this is what it sends to a database of its data sources, in its own shape: the look into the catalog as one
JSON document, and GraphQL queries compiled to JSON, with LATERAL joins and whole rows.

-- step: version
SELECT current_setting('server_version_num')
-- step: metadata of tables
-- parameters: ["[{\"schema\": \"public\", \"name\": \"customers\"}, {\"schema\": \"public\", \"name\": \"orders\"}]"]
SELECT t.table_schema, t.table_name, jsonb_build_object('oid', t.oid::integer, 'columns', coalesce(columns.info, '[]'), 'primary_key', pk.info, 'foreign_keys', coalesce(fk.info, '[]'),
    'view_info', CASE WHEN t.relkind IN ('v', 'm') THEN jsonb_build_object('is_updatable', ((pg_catalog.pg_relation_is_updatable(t.oid, true) & 4) = 4)) END, 'description', d.description)::json AS info
FROM (SELECT x.name AS table_name, x.schema AS table_schema FROM jsonb_to_recordset($1::jsonb) AS x(schema text, name text)) tracked
LEFT JOIN (SELECT c.oid, c.relkind, c.relname AS table_name, n.nspname AS table_schema FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace) t ON t.table_name = tracked.table_name AND t.table_schema = tracked.table_schema
LEFT JOIN pg_catalog.pg_description d ON d.classoid = 'pg_catalog.pg_class'::regclass AND d.objoid = t.oid AND d.objsubid = 0
LEFT JOIN LATERAL (SELECT jsonb_agg(jsonb_build_object('name', a.attname, 'position', a.attnum, 'type', ty.typname, 'is_nullable', NOT a.attnotnull, 'description', pg_catalog.col_description(t.oid, a.attnum)) ORDER BY a.attnum) AS info FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_type ty ON ty.oid = a.atttypid WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped) columns ON true
LEFT JOIN LATERAL (SELECT jsonb_build_object('constraint', k.relname, 'columns', (SELECT jsonb_agg(a.attname) FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.oid AND a.attnum = ANY (i.indkey))) AS info FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class k ON k.oid = i.indexrelid WHERE i.indrelid = t.oid AND i.indisprimary) pk ON true
LEFT JOIN LATERAL (SELECT jsonb_agg(jsonb_build_object('name', r.conname, 'table', r.confrelid::regclass::text)) AS info FROM pg_catalog.pg_constraint r WHERE r.contype = 'f' AND r.conrelid = t.oid) fk ON true
WHERE t.relkind IN ('r', 't', 'v', 'm', 'f', 'p') ORDER BY 2
-- step: metadata of functions
SELECT p.proname, n.nspname, pg_catalog.pg_get_function_result(p.oid), coalesce((SELECT json_agg(ty.typname) FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) WITH ORDINALITY a(oid, n) JOIN pg_catalog.pg_type ty ON ty.oid = a.oid), '[]') FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'public' ORDER BY 1
-- step: scalar types
SELECT ty.oid, ty.typname, ty.typtype, ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e WHERE e.enumtypid = ty.oid ORDER BY e.enumsortorder) FROM pg_catalog.pg_type ty WHERE ty.typnamespace = 'public'::regnamespace ORDER BY 2
-- step: begin
BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY
-- step: a query of an untagged table
-- parameters: ["{\"x-hasura-role\": \"user\"}"]
SELECT coalesce(json_agg("root"), '[]') AS "root" FROM (SELECT row_to_json((SELECT "_e" FROM (SELECT "_root.base"."id" AS "id", "_root.base"."sku" AS "sku") AS "_e")) AS "root" FROM (SELECT * FROM "public"."products" WHERE ($1::json ->> 'x-hasura-role') IS NOT NULL ORDER BY "id" LIMIT 4) AS "_root.base") AS "_root"
-- step: a nested query of untagged tables
SELECT coalesce(json_agg("root" ORDER BY "root.pg.id"), '[]') AS "root" FROM (SELECT row_to_json((SELECT "_e" FROM (SELECT "_root.base"."id" AS "id", "_root.ar.items"."items" AS "items") AS "_e")) AS "root", "_root.base"."id" AS "root.pg.id" FROM (SELECT * FROM "public"."orders" WHERE "id" < 3) AS "_root.base" LEFT OUTER JOIN LATERAL (SELECT coalesce(json_agg("items" ORDER BY "line"), '[]') AS "items" FROM (SELECT "i"."line", row_to_json((SELECT "_e" FROM (SELECT "i"."line" AS "line", "i"."amount" AS "amount") AS "_e")) AS "items" FROM "public"."order_items" AS "i" WHERE "_root.base"."id" = "i"."order_id") AS "_x") AS "_root.ar.items" ON ('true')) AS "_root"
-- step: a query with tagged columns
SELECT coalesce(json_agg("root" ORDER BY "root.pg.id"), '[]') AS "root" FROM (SELECT row_to_json((SELECT "_e" FROM (SELECT "_root.base"."id" AS "id", "_root.base"."name" AS "name", "_root.base"."email" AS "email") AS "_e")) AS "root", "_root.base"."id" AS "root.pg.id" FROM (SELECT * FROM "public"."customers" WHERE "id" < 4) AS "_root.base") AS "_root"
-- step: untagged columns of a tagged table
SELECT coalesce(json_agg("root" ORDER BY "root.pg.id"), '[]') AS "root" FROM (SELECT row_to_json((SELECT "_e" FROM (SELECT "_root.base"."id" AS "id", "_root.base"."name" AS "name") AS "_e")) AS "root", "_root.base"."id" AS "root.pg.id" FROM (SELECT * FROM "public"."customers" WHERE "id" < 4) AS "_root.base") AS "_root"
-- step: an aggregate
SELECT json_build_object('aggregate', json_build_object('count', COUNT(*), 'max', json_build_object('placed_at', MAX("placed_at")))) AS "root" FROM (SELECT * FROM "public"."orders" WHERE "state" = 'paid') AS "_root.base"
-- step: a subscription's poll
-- parameters: ["{00000000-0000-0000-0000-000000000001}", "{\"{\\\"id\\\": 3}\"}"]
SELECT "_subs"."result_id"::text, "_fld_resp"."root" FROM unnest($1::uuid[], $2::json[]) AS "_subs" ("result_id", "result_vars") LEFT OUTER JOIN LATERAL (SELECT json_build_object('order', "o"."root") AS "root" FROM (SELECT row_to_json((SELECT "_e" FROM (SELECT "b"."id" AS "id", "b"."note" AS "note") AS "_e")) AS "root" FROM "public"."orders" AS "b" WHERE "b"."id" = ("_subs"."result_vars" ->> 'id')::bigint) AS "o") AS "_fld_resp" ON ('true')
-- step: commit
COMMIT
-- step: a mutation
WITH "inserted" AS (INSERT INTO "public"."products" ("sku", "title", "price") VALUES ('H1', 'h', 1) RETURNING *) SELECT json_build_object('affected_rows', (SELECT COUNT(*) FROM "inserted"), 'returning', (SELECT coalesce(json_agg(json_build_object('sku', "sku", 'price', "price")), '[]') FROM "inserted")) AS "root"
-- step: an update by key
WITH "changed" AS (UPDATE "public"."orders" AS "o" SET "note" = 'h' WHERE "o"."id" = 7 RETURNING *) SELECT (SELECT row_to_json((SELECT "_e" FROM (SELECT "changed"."id" AS "id", "changed"."note" AS "note") AS "_e")) FROM "changed") AS "root"
