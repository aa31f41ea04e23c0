-- What sqlsmith may make statements of: the corpora's tables, and a column of nearly every type. The role agent is what proxy and
-- comparison log in as. Every protected text holds the marker Zq7XkWv, every protected number the digits 736451902; nothing else does.
CREATE TABLE customers (id int PRIMARY KEY, name text, email text, ssn text, card_number text, balance numeric, notes text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers (id), total numeric, created_at timestamptz DEFAULT now());
CREATE TABLE api_keys (id int PRIMARY KEY, owner text, secret text);
CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
INSERT INTO customers
  SELECT i, 'Name ' || (i % 7), 'u' || i || '@Zq7XkWv.example', 'Zq7XkWv-' || i, '736451902' || lpad(i::text, 7, '0'), i * 1.5, 'note ' || i
  FROM generate_series(1, 20) i;
INSERT INTO orders SELECT i, 1 + i % 20, i * 2.5 FROM generate_series(1, 30) i;
INSERT INTO api_keys SELECT i, 'Name ' || (i % 7), 'sk_Zq7XkWv_' || md5(i::text) FROM generate_series(1, 10) i;
INSERT INTO pgbench_accounts SELECT i, 1, 0, '' FROM generate_series(1, 10) i;
CREATE VIEW v_contacts AS SELECT id, name, ssn AS tax FROM customers;
CREATE VIEW v_derived AS SELECT id, upper(ssn) || '!' AS loud, length(name) AS long FROM customers;
CREATE VIEW v_spent AS SELECT c.name, sum(o.total) AS spent FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY 1;
CREATE MATERIALIZED VIEW m_contacts AS SELECT id, email AS contact, name FROM customers;

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN short_text AS text CHECK (length(VALUE) < 80);
CREATE TYPE place AS (street text, number int);
CREATE TABLE plain (
  a_bool bool, a_int2 int2, a_int4 int4, a_int8 int8, a_float4 float4, a_float8 float8, a_numeric numeric, a_text text,
  a_varchar varchar(40), a_char char(10), a_name name, a_bytea bytea, a_date date, a_time time, a_timetz timetz,
  a_timestamp timestamp, a_timestamptz timestamptz, an_interval interval, a_uuid uuid, an_inet inet, a_cidr cidr, a_macaddr macaddr,
  a_json json, a_jsonb jsonb, an_xml xml, a_point point, a_box box, a_circle circle, a_path path, a_polygon polygon, a_line line,
  an_lseg lseg, a_tsvector tsvector, a_tsquery tsquery, a_bit bit(4), a_varbit varbit, a_money money, an_oid oid, a_range int4range,
  a_texts text[], some_ints int[], a_mood mood, a_short short_text, a_place place, a_multirange int4multirange, a_jsonpath jsonpath,
  a_lsn pg_lsn);
INSERT INTO plain SELECT
  i % 2 = 0, i, i, i, i, i, i, 't' || i, 'v' || i, 'c' || i, 'n' || i, decode(lpad(i::text, 4, '0'), 'hex'), date '2020-01-01' + i, time '10:00', timetz '10:00+01',
  '2020-01-01', '2020-01-01', '1 day', gen_random_uuid(), '10.0.0.1', '10.0.0.0/8', '08:00:2b:01:02:03',
  '{"a": 1}', '{"b": [1, 2]}', '<a>1</a>', '(1,2)', '((0,0),(1,1))', '<(0,0),1>', '((0,0),(1,1))', '((0,0),(1,1),(1,0))', '{1,2,3}',
  '[(0,0),(1,1)]', 'fat cat', 'fat & rat', '1010', '101', '1.50', 16384, '[1,10)',
  ARRAY['x', 'y'], ARRAY[1, 2], 'ok', 'short', ROW('Main'::text, 1)::place, '{[1,3),[5,9)}', '$.a', '0/1'
  FROM generate_series(1, 5) i;
-- The same with a secret in each column that can hold one.
CREATE TABLE secrets (
  id int, s_int8 int8, s_float8 float8, s_numeric numeric, s_text text, s_varchar varchar(40), s_char char(20), s_name name, s_bytea bytea, s_money money,
  s_json json, s_jsonb jsonb, s_xml xml, s_point point, s_tsvector tsvector, s_range int8range, s_texts text[], s_ints int8[], s_short short_text,
  s_place place, s_oid oid, s_date date, s_uuid uuid, s_copy text GENERATED ALWAYS AS ('copy ' || s_text) STORED);
INSERT INTO secrets SELECT
  i, 736451902000 + i, 736451902.25, 736451902.5, 'Zq7XkWv ' || i, 'Zq7XkWv v', 'Zq7XkWv c', 'Zq7XkWv', 'x Zq7XkWv', '736451902.10',
  '{"a": "Zq7XkWv"}', '{"b": ["Zq7XkWv", 736451902]}', '<a>Zq7XkWv</a>', '(736451902,2)', 'fat Zq7XkWv', '[736451902,736451903)', ARRAY['x', 'Zq7XkWv'], ARRAY[736451902], 'Zq7XkWv',
  ROW('Zq7XkWv street'::text, 736451902)::place, 736451902, '5717-03-05', '73645190-2736-4519-8273-645190273645'
  FROM generate_series(1, 5) i;
CREATE TABLE parted (id int, region text, phone text) PARTITION BY LIST (region);
CREATE TABLE parted_north PARTITION OF parted FOR VALUES IN ('north');
CREATE TABLE parted_rest PARTITION OF parted DEFAULT;
INSERT INTO parted SELECT i, CASE i % 2 WHEN 0 THEN 'north' ELSE 'south' END, 'Zq7XkWv-' || i FROM generate_series(1, 6) i;
CREATE TABLE people (id int, label text, passport text);
CREATE TABLE staff (salary int) INHERITS (people);
INSERT INTO people SELECT i, 'p' || i, 'Zq7XkWv' || i FROM generate_series(1, 4) i;
INSERT INTO staff SELECT i, 's' || i, 'Zq7XkWv' || i, 10 FROM generate_series(1, 4) i;
CREATE SCHEMA "Mixed Case";
CREATE TABLE "Mixed Case"."Odd ""Table" ("Order" int, "select" text, "Zuname" text);
INSERT INTO "Mixed Case"."Odd ""Table" VALUES (1, 'shown', 'Zq7XkWv');
CREATE FUNCTION doubled(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * i';
CREATE FUNCTION greeted(name text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'hello ' || name; END $$;
CREATE INDEX ON customers (ssn);
CREATE ROLE agent LOGIN;
GRANT USAGE ON SCHEMA "Mixed Case" TO agent;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, "Mixed Case" TO agent;
ANALYZE;
