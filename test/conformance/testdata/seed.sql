-- A small database with one of everything that a dump or a description treats in a way of its own.
CREATE SCHEMA seed;
COMMENT ON SCHEMA seed IS 'one of everything';
CREATE EXTENSION hstore;
CREATE TYPE seed.mood AS ENUM ('sad', 'ok', 'it''s fine');
CREATE DOMAIN seed.percent AS numeric(5,2) DEFAULT 0 CHECK (VALUE BETWEEN 0 AND 100);
CREATE TYPE seed.pair AS (a int, b text COLLATE "C");
CREATE TYPE seed.span AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE SEQUENCE seed.counter INCREMENT 3 MINVALUE 5 CYCLE CACHE 2;
SELECT nextval('seed.counter'), nextval('seed.counter');

CREATE FUNCTION seed.add_one(i int, OUT j int) LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT i + 1 $$;
CREATE FUNCTION seed.touched() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN NEW.touched := 'yes $$ indeed'; RETURN NEW; END $body$;
CREATE PROCEDURE seed.nothing(INOUT x int DEFAULT 1) LANGUAGE plpgsql AS $$ BEGIN x := x; END $$;
CREATE AGGREGATE seed.total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE OPERATOR seed.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq, COMMUTATOR = OPERATOR(seed.===));
CREATE CAST (seed.pair AS text) WITH INOUT;
CREATE COLLATION seed.odd (LOCALE = 'C');
CREATE TEXT SEARCH CONFIGURATION seed.search (COPY = english);

CREATE TABLE seed.everything (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, flag boolean, small smallint, big bigint, real4 real, real8 double precision,
  money numeric(20,5), letters text COLLATE "C", chars char(7), varchars varchar(30) NOT NULL DEFAULT 'none', bytes bytea,
  day date, clock time, moment timestamptz, stamp timestamp(3), gap interval, plain json, binary_json jsonb, key uuid, address inet,
  net cidr, mac macaddr, place point, shape polygon, bits bit(5), morebits bit varying(9), feeling seed.mood, share seed.percent,
  both_parts seed.pair, numbers int[], words text[][], document xml, map hstore, vector tsvector, query tsquery, within int4range,
  many int8multirange, span seed.span, object oid, touched text, doubled bigint GENERATED ALWAYS AS (big * 2) STORED,
  CONSTRAINT positive CHECK (small > 0) NO INHERIT, UNIQUE NULLS NOT DISTINCT (small, big)
);
COMMENT ON COLUMN seed.everything.money IS 'a ''quoted'' comment
over two lines';
INSERT INTO seed.everything (flag, small, big, real4, real8, money, letters, chars, varchars, bytes, day, clock, moment, stamp, gap, plain,
  binary_json, key, address, net, mac, place, shape, bits, morebits, feeling, share, both_parts, numbers, words, document, map, vector, query,
  within, many, span, object)
VALUES
  (true, 1, 9223372036854775807 / 2, 1.5, 'NaN', 12345.67890, E'tab\there, newline\nthere, backslash \\ and \\.', 'abc', 'ünïcödé 漢字 🐘',
   '\x00ff5c27', '2024-02-29', '23:59:60', '2024-03-31 01:30:00+02', '1999-12-31 23:59:59.9995', '1 mon -3 days 04:05:06.7',
   '{"a": [1, 2, {"b": null}]}', '{"z": 1, "a": "\u00e9"}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '::1/64', '10.0.0.0/8',
   '08:00:2b:01:02:03', '(1.5,-2)', '((0,0),(1,1),(1,0))', B'10110', B'101', 'it''s fine', 99.99, ROW(1, 'a,"b"'), '{1,NULL,3}',
   '{{a,b},{"c d",NULL}}', '<a>b</a>', 'a=>1, "b c"=>NULL', 'fat:2A cat:3', 'fat & !rat', '[1,10)', '{[1,5),[7,9)}', '[0.5,2.5]', 42),
  (NULL, 2, 0, '-Infinity', 1e308, 'NaN', '', '', '', '', 'infinity', '00:00', '-infinity', '0044-03-15 12:00 BC', '-1 years', 'null', 'null',
   NULL, '192.168.0.1', '::/0', NULL, NULL, NULL, NULL, '', NULL, NULL, NULL, '{}', NULL, NULL, '', '', NULL, 'empty', '{}', 'empty', 0),
  (false, 3, -1, 0, -0.0, 0, repeat('long ', 2000), NULL, 'x', decode(repeat('00ff', 3000), 'hex'), NULL, NULL, NULL, NULL, NULL, NULL, NULL,
   NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE INDEX everything_expression ON seed.everything USING btree (lower(letters) DESC NULLS LAST, big) INCLUDE (small) WHERE flag;
CREATE INDEX everything_gin ON seed.everything USING gin (binary_json jsonb_path_ops);
CREATE STATISTICS seed.everything_stats (dependencies, mcv) ON small, big FROM seed.everything;
CREATE TRIGGER touching BEFORE UPDATE OF letters ON seed.everything FOR EACH ROW WHEN (OLD.id > 0) EXECUTE FUNCTION seed.touched();
ALTER TABLE seed.everything ALTER COLUMN letters SET STORAGE EXTERNAL, ALTER COLUMN small SET STATISTICS 500, SET (fillfactor = 70);

CREATE TABLE seed.child (
  id int PRIMARY KEY, parent bigint REFERENCES seed.everything (id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED, owner text,
  EXCLUDE USING gist (int4range(id, id + 1) WITH &&)
);
ALTER TABLE seed.child ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON seed.child FOR SELECT TO PUBLIC USING (owner = current_user);
CREATE TABLE seed.parted (id int, at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE seed.parted_1 PARTITION OF seed.parted FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE seed.parted_rest PARTITION OF seed.parted DEFAULT PARTITION BY HASH (id);
CREATE TABLE seed.parted_rest_0 PARTITION OF seed.parted_rest FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO seed.parted SELECT g, date '2023-12-01' + g * 30 FROM generate_series(1, 30) g;
CREATE TABLE seed.kin (extra text) INHERITS (seed.child);
CREATE UNLOGGED TABLE seed."Odd ""name""" ("Column with space" int, "select" text, dropped int);
ALTER TABLE seed."Odd ""name""" DROP COLUMN dropped;
CREATE VIEW seed.only_view WITH (security_barrier) AS SELECT id, letters AS text FROM seed.everything WHERE flag WITH LOCAL CHECK OPTION;
CREATE MATERIALIZED VIEW seed.only_matview AS SELECT small, count(*) FROM seed.everything GROUP BY 1 ORDER BY 1;
CREATE UNIQUE INDEX ON seed.only_matview (small);
CREATE RULE quiet AS ON DELETE TO seed.child WHERE OLD.id = 0 DO INSTEAD NOTHING;
GRANT SELECT (id, letters), UPDATE (letters) ON seed.everything TO PUBLIC;
GRANT USAGE ON SCHEMA seed TO scram_role WITH GRANT OPTION;
REVOKE EXECUTE ON FUNCTION seed.add_one FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA seed GRANT SELECT ON TABLES TO scram_role;
CREATE FOREIGN DATA WRAPPER nowhere OPTIONS (debug 'true');
CREATE SERVER faraway TYPE 'x' VERSION '1' FOREIGN DATA WRAPPER nowhere OPTIONS (host 'nowhere');
CREATE FOREIGN TABLE seed.foreign_table (a int OPTIONS (x 'y')) SERVER faraway;
CREATE PUBLICATION news FOR TABLE seed.child (id, parent) WHERE (id > 5);
SELECT lo_from_bytea(424242, decode(repeat('deadbeef', 2000), 'hex'));
COMMENT ON LARGE OBJECT 424242 IS 'large';
INSERT INTO seed.child SELECT g, 1 + g % 3, 'owner ' || g FROM generate_series(1, 500) g;
SET CONSTRAINTS ALL IMMEDIATE;
ANALYZE;
