-- %[1]s to %[4]s are the salts of t/text, t/number, t/date and t/json.
CREATE FUNCTION pg_temp.h(salt text, i int) RETURNS int LANGUAGE sql AS $$ SELECT ('x' || left(md5(salt || '/' || i), 7))::bit(28)::int $$;
CREATE FUNCTION pg_temp.t(salt text, i int) RETURNS text LANGUAGE sql AS
	$$ SELECT chr(97 + pg_temp.h(salt, i) %% 26) || left(md5(salt || i), 3 + pg_temp.h(salt, i + 1000) %% 7) $$;
INSERT INTO people SELECT i, 'name' || i %% 4, CASE WHEN i %% 6 <> 5 THEN pg_temp.t('%[1]s', i) END,
	CASE WHEN i %% 6 <> 4 THEN pg_temp.h('%[2]s', i) %% 1000 END, pg_temp.h('%[2]s', i + 100) %% 10000 / 7.0,
	date '1950-01-01' + pg_temp.h('%[3]s', i) %% 20000,
	jsonb_build_object('k', md5('%[4]s' || i), 'n', pg_temp.h('%[4]s', i) %% 100, 'a', jsonb_build_array(pg_temp.h('%[4]s', i), 1)),
	ARRAY[pg_temp.t('%[1]s', i + 50), pg_temp.t('%[1]s', i + 60)], ARRAY['x' || i, 'y'], ROW('street' || i, 'zip' || i)::address,
	(ARRAY['sad', 'ok', 'happy'])[1 + i %% 3]::mood, CASE WHEN i <> 3 THEN 'note' || i END
	FROM generate_series(1, 7) i;
INSERT INTO orders SELECT i, 1 + i %% 7, i * 2.5, i %% 4, 'item' || i %% 3, date '2020-06-01' + i, jsonb_build_object('c', i, 'd', 'e' || i)
	FROM generate_series(1, 9) i;
INSERT INTO keys SELECT i, 'name' || i %% 4, pg_temp.t('%[1]s', i + 200), i * 3 FROM generate_series(1, 5) i;
INSERT INTO events SELECT i, date '2020-11-01' + i * 20, pg_temp.t('%[1]s', i + 300), 'kind' || i %% 2, i FROM generate_series(1, 6) i;
INSERT INTO assets SELECT i, 'label' || i, pg_temp.t('%[1]s', i + 400) FROM generate_series(1, 3) i;
INSERT INTO cars SELECT i, 'car' || i, pg_temp.t('%[1]s', i + 500), 4 FROM generate_series(4, 6) i;
INSERT INTO plans (id, raw, size) SELECT i, pg_temp.t('%[1]s', i + 600), i FROM generate_series(1, 4) i;
