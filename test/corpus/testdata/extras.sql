-- What the rows mention beside schema.sql: extensions, functions and objects of an attacker. They are here so that a way out which
-- is let through really lets something out, instead of failing because its function does not exist.
CREATE EXTENSION IF NOT EXISTS hstore;
CREATE EXTENSION IF NOT EXISTS dblink;
CREATE EXTENSION IF NOT EXISTS tablefunc;
CREATE EXTENSION IF NOT EXISTS pageinspect;
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
CREATE FUNCTION leakfn(text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', $1; RETURN 1; END $$;
CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', $1; RETURN $1; END $$;
CREATE FUNCTION leakop(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$;
CREATE OPERATOR public.@@@ (LEFTARG = text, RIGHTARG = text, FUNCTION = leakop);
SELECT lo_from_bytea(16444, convert_to(string_agg(ssn, ','), 'UTF8')) FROM customers;
-- A utility statement keeps its literals in pg_stat_statements. The value is the first row's of api_keys.
SET corpus.last_secret = 'sk_canary_c4ca4238a0b923820dcc509a6f75849b';
CREATE STATISTICS customers_stats (mcv) ON ssn, email FROM customers;
ANALYZE;
