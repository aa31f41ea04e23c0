-- The schema over which statements are made. Columns marked with a tag are filled from a salt of that tag, so that two databases
-- can differ in them alone; NULLs stand in the same rows everywhere.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN code AS text;
CREATE TYPE address AS (street text, zip text);
CREATE TABLE people (
	id int PRIMARY KEY, name text,
	secret text,  -- t/text
	pay int,      -- t/number
	rate numeric, -- t/number
	born date,    -- t/date
	doc jsonb,    -- t/json
	labels text[], -- t/text
	tags text[], home address, feels mood, note text
);
CREATE TABLE orders (id int PRIMARY KEY, person_id int, total numeric, qty int, item text, placed date, meta jsonb);
CREATE TABLE keys (id int PRIMARY KEY, owner text, token code /* t/text */, score int);
CREATE TABLE events (id int, day date, who text /* t/text */, kind text, n int) PARTITION BY RANGE (day);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
CREATE TABLE assets (id int, label text, serial text /* t/text */);
CREATE TABLE cars (wheels int) INHERITS (assets);
CREATE TABLE plans (id int PRIMARY KEY, raw text /* t/text */, shown text GENERATED ALWAYS AS (upper(raw)) STORED, size int);
CREATE VIEW v_people AS SELECT id, name, secret AS s, pay + 1 AS p1, note FROM people;
CREATE VIEW v_top AS SELECT v.id, v.s AS t, o.total, o.item FROM v_people v JOIN orders o ON o.person_id = v.id;
