-- What pgx's suite expects to find (its testsetup/postgresql_setup.sql), without the roles for other ways to log in.
CREATE EXTENSION hstore;
CREATE EXTENSION ltree;
CREATE DOMAIN uint64 AS numeric(20,0);
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $r$ tricky, ' } " \\ test user $r$) THEN
    CREATE ROLE " tricky, ' } "" \\ test user " SUPERUSER;
  END IF;
END $$;
