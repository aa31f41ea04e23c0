Metabase does not run here: this is what it sends to synchronize, fingerprint and scan a database and for its questions, in its own shape.

-- step: health check
SELECT 1
-- step: time zone
SELECT current_setting('TIMEZONE')
-- step: schemas
SELECT nspname AS "TABLE_SCHEM", NULL AS "TABLE_CATALOG" FROM pg_catalog.pg_namespace WHERE nspname <> 'pg_toast' AND (nspname !~ '^pg_temp_' OR nspname = (pg_catalog.current_schemas(true))[1]) AND (nspname !~ '^pg_toast_temp_' OR nspname = replace((pg_catalog.current_schemas(true))[1], 'pg_temp_', 'pg_toast_temp_')) ORDER BY "TABLE_SCHEM"
-- step: tables
SELECT n.nspname AS schema, c.relname AS name, CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'PARTITIONED TABLE' WHEN 'v' THEN 'VIEW' WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE NULL END AS type, d.description AS description, NULLIF(stat.n_live_tup, 0) AS estimated_row_count FROM pg_catalog.pg_class AS c INNER JOIN pg_catalog.pg_namespace AS n ON c.relnamespace = n.oid LEFT JOIN pg_catalog.pg_description AS d ON c.oid = d.objoid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass LEFT JOIN pg_stat_user_tables AS stat ON n.nspname = stat.schemaname AND c.relname = stat.relname WHERE c.relnamespace = n.oid AND n.nspname !~ 'information_schema|catalog|pg_toast' AND c.relkind IN ('r', 'p', 'v', 'f', 'm') AND n.nspname IN ('public') ORDER BY type, schema, name
-- step: privileges of tables
with table_privileges as (select NULL as role, t.schemaname as schema, t.objectname as table, pg_catalog.has_any_column_privilege(current_user, '"' || replace(t.schemaname, '"', '""') || '"' || '.' || '"' || replace(t.objectname, '"', '""') || '"', 'update') as update, pg_catalog.has_any_column_privilege(current_user, '"' || replace(t.schemaname, '"', '""') || '"' || '.' || '"' || replace(t.objectname, '"', '""') || '"', 'select') as select, pg_catalog.has_table_privilege(current_user, '"' || replace(t.schemaname, '"', '""') || '"' || '.' || '"' || replace(t.objectname, '"', '""') || '"', 'delete') as delete from (select schemaname, tablename as objectname from pg_catalog.pg_tables union select schemaname, viewname as objectname from pg_catalog.pg_views union select schemaname, matviewname as objectname from pg_catalog.pg_matviews) t where t.schemaname !~ '^pg_' and t.schemaname <> 'information_schema' and pg_catalog.has_schema_privilege(current_user, t.schemaname, 'usage')) select t.* from table_privileges t where t.select or t.update or t.delete order by 2, 3
-- step: fields
SELECT c.column_name AS name, c.udt_name AS database_type, c.ordinal_position - 1 AS database_position, c.table_schema, c.table_name, pk.column_name IS NOT NULL AS pk, col_description(CAST(CAST(format('%I.%I', CAST(c.table_schema AS TEXT), CAST(c.table_name AS TEXT)) AS REGCLASS) AS OID), c.ordinal_position) AS field_comment, (c.column_default IS NULL OR LOWER(c.column_default) = 'null') AND c.is_nullable = 'NO' AS required FROM information_schema.columns AS c LEFT JOIN (SELECT tc.table_schema, tc.table_name, kc.column_name FROM information_schema.table_constraints AS tc INNER JOIN information_schema.key_column_usage AS kc ON tc.constraint_name = kc.constraint_name AND tc.table_schema = kc.table_schema AND tc.table_name = kc.table_name WHERE tc.constraint_type = 'PRIMARY KEY') AS pk ON c.table_schema = pk.table_schema AND c.table_name = pk.table_name AND c.column_name = pk.column_name WHERE c.table_schema !~ '^information_schema|catalog|pg_' AND c.table_schema IN ('public') ORDER BY c.table_schema, c.table_name, c.ordinal_position
-- step: foreign keys
SELECT fk_ns.nspname AS fk_schema, fk_table.relname AS fk_table, fk_column.attname AS fk_column, pk_ns.nspname AS pk_schema, pk_table.relname AS pk_table, pk_column.attname AS pk_column FROM pg_constraint AS c INNER JOIN pg_class AS fk_table ON c.conrelid = fk_table.oid INNER JOIN pg_namespace AS fk_ns ON c.connamespace = fk_ns.oid INNER JOIN pg_attribute AS fk_column ON c.conrelid = fk_column.attrelid INNER JOIN pg_class AS pk_table ON c.confrelid = pk_table.oid INNER JOIN pg_namespace AS pk_ns ON pk_table.relnamespace = pk_ns.oid INNER JOIN pg_attribute AS pk_column ON c.confrelid = pk_column.attrelid WHERE fk_ns.nspname !~ '^information_schema|catalog|pg_' AND c.contype = 'f' AND fk_column.attnum = ANY (c.conkey) AND pk_column.attnum = ANY (c.confkey) ORDER BY fk_schema, fk_table, fk_column
-- step: indexes
SELECT tmp.table_schema, tmp.table_name, tmp.field_name FROM (SELECT n.nspname AS table_schema, c.relname AS table_name, pg_catalog.pg_get_indexdef(i.indexrelid, 1, false) AS field_name, i.indkey[0] AS k FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE i.indisvalid AND n.nspname = 'public') tmp WHERE tmp.k > 0 ORDER BY 1, 2, 3
-- step: enums
SELECT nspname, typname, array_agg(enumlabel ORDER BY enumsortorder)::text FROM pg_type t JOIN pg_enum e ON t.oid = e.enumtypid JOIN pg_namespace n ON n.oid = t.typnamespace GROUP BY 1, 2
-- step: fingerprint of an untagged table
SELECT "source"."substring1" AS "title", "source"."price" AS "price" FROM (SELECT substring("public"."products"."title", 1, 1234) AS "substring1", "public"."products"."price" AS "price" FROM "public"."products") AS "source" LIMIT 10000
-- step: fingerprint of a tagged table
-- masked: [["email","ssn","name"],[["*****","*****","Customer 1"],["*****","*****","Customer 2"]],"SELECT 2"]
SELECT "source"."s1" AS "email", "source"."s2" AS "ssn", "source"."s3" AS "name" FROM (SELECT substring("public"."customers"."email", 1, 1234) AS "s1", substring("public"."customers"."ssn", 1, 1234) AS "s2", substring("public"."customers"."name", 1, 1234) AS "s3" FROM "public"."customers" ORDER BY "id") AS "source" LIMIT 2
-- step: scan of field values
SELECT "public"."customers"."country" AS "country" FROM "public"."customers" GROUP BY "public"."customers"."country" ORDER BY "public"."customers"."country" ASC LIMIT 1001
-- step: distinct values
SELECT count(distinct "public"."orders"."state") AS "count" FROM "public"."orders"
-- step: JSON unfolding
SELECT "profile" AS "profile" FROM "public"."customers" ORDER BY "id" LIMIT 10
-- step: a question
SELECT "public"."customers"."id" AS "id", "public"."customers"."name" AS "name", "public"."customers"."email" AS "email", "public"."customers"."card_number" AS "card_number", "public"."customers"."created_at" AS "created_at" FROM "public"."customers" ORDER BY "id" LIMIT 20
-- step: a summary by month
SELECT CAST(date_trunc('month', "public"."orders"."placed_at") AS date) AS "placed_at", COUNT(*) AS "count" FROM "public"."orders" GROUP BY CAST(date_trunc('month', "public"."orders"."placed_at") AS date) ORDER BY CAST(date_trunc('month', "public"."orders"."placed_at") AS date) ASC
-- step: a joined question
SELECT "Customers"."country" AS "Customers__country", SUM("public"."order_items"."amount") AS "sum" FROM "public"."order_items" LEFT JOIN "public"."orders" AS "Orders" ON "public"."order_items"."order_id" = "Orders"."id" LEFT JOIN "public"."customers" AS "Customers" ON "Orders"."customer_id" = "Customers"."id" GROUP BY "Customers"."country" ORDER BY "Customers"."country" ASC
-- step: bins
SELECT FLOOR(("public"."products"."price" / 2.5)) * 2.5 AS "price", COUNT(*) AS "count" FROM "public"."products" GROUP BY FLOOR(("public"."products"."price" / 2.5)) * 2.5 ORDER BY 1
-- step: a custom column
SELECT "source"."id", CASE WHEN "source"."active" = TRUE THEN 'yes' ELSE 'no' END AS "State", CONCAT("source"."name", ' (', "source"."country", ')') AS "Label" FROM (SELECT * FROM "public"."customers") AS "source" ORDER BY 1 LIMIT 5
-- step: a filter on a tagged column
SELECT "public"."customers"."id" AS "id", "public"."customers"."email" AS "email" FROM "public"."customers" WHERE "public"."customers"."email" = 'user5@canary.example' LIMIT 2000
-- step: dates
SELECT COUNT(*) FROM "public"."orders" WHERE "public"."orders"."placed_at" >= date_trunc('month', (NOW() + INTERVAL '-36 month')) AND "public"."orders"."placed_at" < date_trunc('month', NOW())
