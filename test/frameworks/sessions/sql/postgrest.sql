PostgREST does not run here: this is what it sends for its schema cache and its requests, in its own shape. It sets the role of each
request's user, which a proxy that logs in as one role must refuse: the requests here are those of its own role.

-- step: server version
SELECT current_setting('server_version_num')::integer, current_setting('server_version'), version() IS NOT NULL
-- step: settings of the role
WITH kv AS (SELECT substr(setting, 1, strpos(setting, '=') - 1) AS k, substr(setting, strpos(setting, '=') + 1) AS v FROM pg_db_role_setting s, unnest(s.setconfig) setting WHERE s.setrole = CURRENT_USER::regrole::oid AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = CURRENT_CATALOG))) SELECT DISTINCT ON (k) k, v FROM kv WHERE k LIKE 'pgrst.%' ORDER BY k
-- step: begin
BEGIN ISOLATION LEVEL READ COMMITTED
-- step: search_path for the cache
SELECT set_config('search_path', '', true)
-- step: tables
WITH columns AS (SELECT nc.nspname::name AS table_schema, c.relname::name AS table_name, a.attname::name AS column_name, d.description, pg_get_expr(ad.adbin, ad.adrelid) AS column_default, not (a.attnotnull OR t.typtype = 'd' AND t.typnotnull) AS is_nullable, CASE WHEN t.typtype = 'd' THEN CASE WHEN bt.typelem <> 0 AND bt.typlen = -1 THEN 'ARRAY' ELSE format_type(t.typbasetype, NULL) END ELSE format_type(a.atttypid, NULL) END AS data_type, information_schema._pg_char_max_length(information_schema._pg_truetypid(a.*, t.*), information_schema._pg_truetypmod(a.*, t.*)) AS max, a.attnum FROM pg_attribute a LEFT JOIN pg_description d ON d.objoid = a.attrelid AND d.objsubid = a.attnum LEFT JOIN pg_attrdef ad ON a.attrelid = ad.adrelid AND a.attnum = ad.adnum JOIN pg_class c ON a.attrelid = c.oid JOIN pg_namespace nc ON c.relnamespace = nc.oid JOIN pg_type t ON a.atttypid = t.oid LEFT JOIN pg_type bt ON t.typtype = 'd' AND t.typbasetype = bt.oid WHERE NOT pg_is_other_temp_schema(nc.oid) AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'v', 'f', 'm', 'p') AND nc.nspname = ANY ('{public}'))
SELECT table_schema, table_name, array_agg(row(column_name, is_nullable, data_type, max, column_default)::text ORDER BY attnum) FROM columns GROUP BY 1, 2 ORDER BY 1, 2
-- step: relationships
WITH pks AS (SELECT conname, conrelid, array_agg(a.attname ORDER BY a.attnum) AS cols FROM pg_constraint JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = ANY (conkey) WHERE contype IN ('p', 'u') GROUP BY 1, 2) SELECT ns1.nspname, tab.relname, ns2.nspname, other.relname, (tab.oid = other.oid) AS is_self, traint.conname, column_info.cols::text, traint.conkey IN (SELECT conkey FROM pg_constraint x WHERE x.conrelid = traint.conrelid AND contype IN ('p', 'u')) AS one_to_one FROM pg_constraint traint JOIN LATERAL (SELECT array_agg(row(cols.attname, refs.attname)::text ORDER BY ord) AS cols FROM unnest(traint.conkey, traint.confkey) WITH ORDINALITY AS _(col, ref, ord) JOIN pg_attribute cols ON cols.attrelid = traint.conrelid AND cols.attnum = col JOIN pg_attribute refs ON refs.attrelid = traint.confrelid AND refs.attnum = ref) AS column_info ON true JOIN pg_namespace ns1 ON ns1.oid = traint.connamespace JOIN pg_class tab ON tab.oid = traint.conrelid JOIN pg_class other ON other.oid = traint.confrelid JOIN pg_namespace ns2 ON ns2.oid = other.relnamespace WHERE traint.contype = 'f' AND traint.conparentid = 0 ORDER BY traint.conrelid, traint.conname
-- step: dependencies of views
WITH recursive views AS (SELECT c.oid AS view_id, n.nspname AS view_schema, c.relname AS view_name, r.ev_action AS definition FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_rewrite r ON r.ev_class = c.oid WHERE c.relkind IN ('v', 'm') AND n.nspname = ANY ('{public}')) SELECT view_schema, view_name, length(regexp_replace(definition::text, ':resorigtbl', 'x', 'g')) > 0 FROM views ORDER BY 1, 2
-- step: functions
SELECT pn.nspname, p.proname, d.description, coalesce((SELECT array_agg(t.oid::regtype::text) FROM unnest(p.proargtypes) x JOIN pg_type t ON t.oid = x), '{}')::text, p.proretset, p.provolatile, p.provariadic <> 0 FROM pg_proc p JOIN pg_namespace pn ON pn.oid = p.pronamespace LEFT JOIN pg_description d ON d.objoid = p.oid AND d.classoid = 'pg_proc'::regclass WHERE p.prokind = 'f' AND pn.nspname = ANY ('{public}') ORDER BY 1, 2
-- step: representations
SELECT c.castsource::regtype::text, c.casttarget::regtype::text, c.castfunc::regproc::text FROM pg_catalog.pg_cast c JOIN pg_catalog.pg_type src ON c.castsource = src.oid JOIN pg_catalog.pg_type dst ON c.casttarget = dst.oid WHERE c.castcontext = 'i' AND c.castmethod = 'f' AND has_function_privilege(c.castfunc, 'execute') AND ((src.typtype = 'd' AND c.casttarget IN ('json'::regtype::oid, 'text'::regtype::oid)) OR (dst.typtype = 'd' AND c.castsource IN ('json'::regtype::oid, 'text'::regtype::oid)))
-- step: time zones
SELECT name FROM pg_timezone_names WHERE name = 'UTC'
-- step: commit
COMMIT
-- step: begin a request
BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY
-- step: settings of the request
SELECT set_config('search_path', '"public"', true)
-- step: GET /products
WITH pgrst_source AS (SELECT "public"."products"."id", "public"."products"."sku" FROM "public"."products" WHERE "public"."products"."price" > '3' ORDER BY "public"."products"."id" LIMIT 4 OFFSET 0) SELECT null::bigint AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total, coalesce(json_agg(_postgrest_t), '[]') AS body, nullif(current_setting('response.headers', true), '') AS response_headers FROM (SELECT * FROM pgrst_source) _postgrest_t
-- step: GET /orders with items
WITH pgrst_source AS (SELECT "public"."orders"."id", COALESCE("orders_items_1"."orders_items_1", '[]') AS "order_items" FROM "public"."orders" LEFT JOIN LATERAL (SELECT json_agg("orders_items_1")::jsonb AS "orders_items_1" FROM (SELECT "order_items_1"."line", "order_items_1"."amount" FROM "public"."order_items" AS "order_items_1" WHERE "order_items_1"."order_id" = "public"."orders"."id" ORDER BY "order_items_1"."line") AS "orders_items_1") AS "orders_items_1" ON TRUE ORDER BY "public"."orders"."id" LIMIT 3) SELECT pg_catalog.count(_postgrest_t) AS page_total, coalesce(json_agg(_postgrest_t), '[]') AS body FROM (SELECT * FROM pgrst_source) _postgrest_t
-- step: GET /customers with tagged columns
-- masked: [["page_total","body"],[["3","\"*****\""]],"SELECT 1"]
WITH pgrst_source AS (SELECT "public"."customers"."id", "public"."customers"."name", "public"."customers"."email" FROM "public"."customers" ORDER BY "public"."customers"."id" LIMIT 3) SELECT pg_catalog.count(_postgrest_t) AS page_total, coalesce(json_agg(_postgrest_t), '[]') AS body FROM (SELECT * FROM pgrst_source) _postgrest_t
-- step: GET /customers, untagged columns
WITH pgrst_source AS (SELECT "public"."customers"."id", "public"."customers"."name" FROM "public"."customers" ORDER BY "public"."customers"."id" LIMIT 3) SELECT pg_catalog.count(_postgrest_t) AS page_total, coalesce(json_agg(_postgrest_t), '[]') AS body FROM (SELECT * FROM pgrst_source) _postgrest_t
-- step: end of the request
COMMIT
-- step: POST /products
-- parameters: ["[{\"sku\": \"PG1\", \"title\": \"p\", \"price\": 1}]"]
WITH pgrst_source AS (INSERT INTO "public"."products" ("price", "sku", "title") SELECT "pgrst_body"."price", "pgrst_body"."sku", "pgrst_body"."title" FROM (SELECT $1::json AS json_data) pgrst_payload, LATERAL (SELECT "price", "sku", "title" FROM json_to_recordset(pgrst_payload.json_data) AS _("price" numeric, "sku" text, "title" text)) pgrst_body RETURNING "public"."products"."sku", "public"."products"."title") SELECT '' AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total, coalesce(json_agg(_postgrest_t), '[]') AS body FROM (SELECT * FROM pgrst_source) _postgrest_t
-- step: the role of a request
-- refused: a proxy's session is one role's
SELECT set_config('role', 'shop_owner', true)
