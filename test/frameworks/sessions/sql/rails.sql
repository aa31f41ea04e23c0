Active Record does not run here: this is what its PostgreSQL adapter sends at the start of a process, about a table, and for the usual
queries and callbacks, in its own shape.

-- step: SET client_min_messages
SET client_min_messages TO 'warning'
-- step: SET standard_conforming_strings
SET standard_conforming_strings = on
-- step: SET intervalstyle
SET intervalstyle = iso_8601
-- step: SET SESSION timezone
SET SESSION timezone TO 'UTC'
-- step: SHOW max_identifier_length
SHOW max_identifier_length
-- step: SHOW search_path
SHOW search_path
-- step: type map
SELECT t.oid, t.typname FROM pg_type as t WHERE t.typname IN ('int2', 'int4', 'int8', 'oid', 'float4', 'float8', 'numeric', 'bool', 'timestamp', 'timestamptz')
-- step: type map, the whole
SELECT t.oid, t.typname, t.typelem, t.typdelim, t.typinput, r.rngsubtype, t.typtype, t.typbasetype FROM pg_type as t LEFT JOIN pg_range as r ON oid = rngtypid WHERE t.typname IN ('int2', 'int4', 'int8', 'oid', 'float4', 'float8', 'text', 'varchar', 'char', 'name', 'bpchar', 'bool', 'bit', 'varbit', 'date', 'money', 'bytea', 'point', 'hstore', 'json', 'jsonb', 'cidr', 'inet', 'uuid', 'xml', 'tsvector', 'macaddr', 'citext', 'ltree', 'line', 'lseg', 'box', 'path', 'polygon', 'circle', 'numeric', 'interval', 'time', 'timestamp', 'timestamptz') OR t.typtype IN ('r', 'e', 'd') OR t.typinput::varchar = 'array_in' OR t.typelem != 0 ORDER BY t.oid
-- step: advisory lock of migrations
SELECT pg_try_advisory_lock(2047102910283)
-- step: data sources
SELECT c.relname FROM pg_class c LEFT JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY (current_schemas(false)) AND c.relkind IN ('r','v','m','p','f') ORDER BY 1
-- step: schema_migrations is there
SELECT c.relname FROM pg_class c LEFT JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY (current_schemas(false)) AND c.relname = 'schema_migrations' AND c.relkind IN ('r','p')
-- step: columns
SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid), a.attnotnull, a.atttypid, a.atttypmod, c.collname, col_description(a.attrelid, a.attnum) AS comment, attgenerated as attgenerated FROM pg_attribute a LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum LEFT JOIN pg_type t ON a.atttypid = t.oid LEFT JOIN pg_collation c ON a.attcollation = c.oid AND a.attcollation <> t.typcollation WHERE a.attrelid = '"customers"'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
-- step: primary keys
SELECT a.attname FROM (SELECT indrelid, indkey, generate_subscripts(indkey, 1) idx FROM pg_index WHERE indrelid = '"order_items"'::regclass AND indisprimary) i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[i.idx] ORDER BY i.idx
-- step: indexes
SELECT distinct i.relname, d.indisunique, d.indkey, pg_get_indexdef(d.indexrelid), pg_catalog.obj_description(i.oid, 'pg_class') AS comment, d.indisvalid FROM pg_class t INNER JOIN pg_index d ON t.oid = d.indrelid INNER JOIN pg_class i ON d.indexrelid = i.oid LEFT JOIN pg_namespace n ON n.oid = t.relnamespace WHERE i.relkind IN ('i', 'I') AND d.indisprimary = 'f' AND t.relname = 'customers' AND n.nspname = ANY (current_schemas(false)) ORDER BY i.relname
-- step: foreign keys
SELECT t2.oid::regclass::text AS to_table, a1.attname AS column, a2.attname AS primary_key, c.conname AS name, c.confupdtype AS on_update, c.confdeltype AS on_delete, c.convalidated AS valid, c.condeferrable AS deferrable, c.condeferred AS deferred FROM pg_constraint c JOIN pg_class t1 ON c.conrelid = t1.oid JOIN pg_class t2 ON c.confrelid = t2.oid JOIN pg_attribute a1 ON a1.attnum = c.conkey[1] AND a1.attrelid = t1.oid JOIN pg_attribute a2 ON a2.attnum = c.confkey[1] AND a2.attrelid = t2.oid JOIN pg_namespace t3 ON c.connamespace = t3.oid WHERE c.contype = 'f' AND t1.relname = 'orders' AND t3.nspname = ANY (current_schemas(false)) ORDER BY c.conname
-- step: check constraints
SELECT conname, pg_get_constraintdef(c.oid, true) AS constraintdef, c.convalidated AS valid FROM pg_constraint c JOIN pg_class t ON c.conrelid = t.oid JOIN pg_namespace n ON n.oid = c.connamespace WHERE c.contype = 'c' AND t.relname = 'products' AND n.nspname = ANY (current_schemas(false))
-- step: enum types
SELECT type.typname AS name, type.oid AS oid, n.nspname AS schema, string_agg(enum.enumlabel, ',' ORDER BY enum.enumsortorder) AS value FROM pg_enum AS enum JOIN pg_type AS type ON (type.oid = enum.enumtypid) JOIN pg_namespace n ON type.typnamespace = n.oid WHERE n.nspname = ANY (current_schemas(false)) GROUP BY type.oid, n.nspname, type.typname
-- step: extensions
SELECT pg_extension.extname, n.nspname AS schema FROM pg_extension JOIN pg_namespace n ON pg_extension.extnamespace = n.oid
-- step: table comment
SELECT pg_catalog.obj_description(c.oid, 'pg_class') FROM pg_catalog.pg_class c LEFT JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = 'customers' AND c.relkind IN ('r','p') AND n.nspname = ANY (current_schemas(false))
-- step: current database, schemas
SELECT current_database(), current_schema, ARRAY(SELECT nspname::text FROM pg_namespace WHERE nspname !~ '^pg_.*' AND nspname NOT IN ('information_schema') ORDER by nspname)
-- step: encoding and collation
SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database WHERE datname = current_database()
-- step: find
-- parameters: ["1", "1"]
SELECT "customers".* FROM "customers" WHERE "customers"."id" = $1 LIMIT $2
-- step: find_by a tagged column
-- parameters: ["user2@canary.example", "1"]
SELECT "customers".* FROM "customers" WHERE "customers"."email" = $1 LIMIT $2
-- step: where, order, limit, offset
-- parameters: ["t", "5", "2"]
SELECT "customers"."id", "customers"."email" FROM "customers" WHERE "customers"."active" = $1 ORDER BY "customers"."id" ASC LIMIT $2 OFFSET $3
-- step: includes
SELECT "orders".* FROM "orders" WHERE "orders"."customer_id" IN (1, 2, 3) ORDER BY "orders"."id"
-- step: eager_load
SELECT "customers"."id" AS t0_r0, "customers"."name" AS t0_r1, "customers"."email" AS t0_r2, "orders"."id" AS t1_r0, "orders"."note" AS t1_r1 FROM "customers" LEFT OUTER JOIN "orders" ON "orders"."customer_id" = "customers"."id" WHERE "customers"."id" IN (1, 2) ORDER BY "customers"."id" ASC, "orders"."id" ASC
-- step: joins, group, count
SELECT COUNT(*) AS "count_all", "orders"."state" AS "orders_state" FROM "orders" INNER JOIN "customers" ON "customers"."id" = "orders"."customer_id" GROUP BY "orders"."state" ORDER BY 2
-- step: exists?
-- parameters: ["user3@canary.example", "1"]
SELECT 1 AS one FROM "customers" WHERE "customers"."email" = $1 LIMIT $2
-- step: validates_uniqueness_of
-- parameters: ["user3@canary.example", "4", "1"]
SELECT 1 AS one FROM "customers" WHERE "customers"."email" = $1 AND "customers"."id" != $2 LIMIT $3
-- step: find_each
-- parameters: ["10", "10"]
SELECT "customers".* FROM "customers" WHERE "customers"."id" > $1 ORDER BY "customers"."id" ASC LIMIT $2
-- step: pluck
SELECT "customers"."email", "customers"."credit_limit" FROM "customers" ORDER BY "customers"."id" LIMIT 5
-- step: BEGIN
BEGIN
-- step: SAVEPOINT
SAVEPOINT active_record_1
-- step: create
-- parameters: ["Rails", "user70@canary.example", "900-45-6070"]
INSERT INTO "customers" ("name", "email", "ssn") VALUES ($1, $2, $3) RETURNING "name"
-- step: RELEASE
RELEASE SAVEPOINT active_record_1
-- step: update of what changed
-- parameters: ["Changed", "3"]
UPDATE "customers" SET "name" = $1 WHERE "customers"."id" = $2
-- step: lock!
-- parameters: ["1", "1"]
SELECT "customers".* FROM "customers" WHERE "customers"."id" = $1 LIMIT $2 FOR UPDATE
-- step: upsert_all
INSERT INTO "products" ("sku","title","price") VALUES ('R1', 'r', 1), ('R2', 'r', 2) ON CONFLICT ("sku") DO UPDATE SET title=excluded.title,price=excluded.price RETURNING "sku"
-- step: counter cache
-- parameters: ["4"]
UPDATE "products" SET "price" = COALESCE("price", 0) + 1 WHERE "products"."id" = $1
-- step: destroy
-- parameters: ["38"]
DELETE FROM "customers" WHERE "customers"."id" = $1
-- step: ROLLBACK
ROLLBACK
-- step: explain
EXPLAIN SELECT "products".* FROM "products" WHERE "products"."id" = 1
