package postgres_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/record"
	"github.com/tidewaiter/tidewaiter/test/tap"
)

// vaultSQL holds a marker in every tagged value.
const vaultSQL = `
CREATE TABLE customers (id int PRIMARY KEY, name text, email text UNIQUE, ssn text CHECK (ssn <> 'nobody'), born date);
INSERT INTO customers SELECT i, 'Ada', 'zorkstored' || i || '@example.org', 'zorkstored-' || i, '1985-04-09' FROM generate_series(1, 20) i;
CREATE TABLE contacts (id int, address text);
INSERT INTO contacts VALUES (1, 'shown-address');
CREATE FUNCTION tell(v text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'got %', v; RAISE EXCEPTION 'no %', v; END $$;
CREATE VIEW people AS SELECT id, email AS mail FROM customers;`

var vaultTags = map[string]string{"public.customers.ssn": "pii/ssn", "public.customers.email": "pii/email", "public.customers.born": "pii/born"}

// canaryStatements put markers wherever a statement can hold a value that meets tagged columns, or is a secret. %d makes them
// different from each other, so that none comes from a cache.
var canaryStatements = []string{
	"INSERT INTO customers (id, name, email, ssn) VALUES (1%d, 'Eve', 'zorkwritten%d', 'zorkwritten')",
	"INSERT INTO customers VALUES (2%d, 'Eve', $q$zorkwritten$q$ || '%d', E'zork\\x77ritten', NULL) RETURNING ssn, email",
	"INSERT INTO customers (id, email) VALUES (3%d, 'zorkstored1@example.org')", // a unique violation tells the value
	"INSERT INTO customers (id, email) VALUES (1, 'zorkwritten%d') ON CONFLICT (id) DO UPDATE SET ssn = 'zorkwritten' || excluded.email",
	"UPDATE customers SET ssn = 'zorkwritten%d' WHERE email = 'zorkcompared@example.org'",
	"UPDATE customers SET ssn = 'nobody' WHERE email LIKE 'zorkstored%%' AND id = 1",
	"DELETE FROM customers WHERE ssn IN ('zorkcompared', 'zorkcompared%d')",
	"MERGE INTO customers c USING (VALUES ('zorkcompared%d')) v(e) ON c.email = v.e WHEN MATCHED THEN UPDATE SET ssn = 'zorkwritten'",
	"SELECT name FROM customers WHERE ssn = 'zorkcompared%d' -- zorkcompared\n /* zorkcompared */",
	"SELECT name FROM people WHERE mail ~ '^zorkcompared%d'",
	"SELECT name FROM customers WHERE ssn = \"zorkcompared%d\"",
	"SELECT name FROM customers WHERE email = zorkcompared@example.org",
	"SELECT count(*) FROM customers, contacts WHERE email = address AND address = 'zorkcompared%d'",
	"SELECT 'zorkcompared%d' || ssn, id FROM customers ORDER BY 1",
	"SELECT ssn::int, %d FROM customers",
	"SELECT id FROM customers WHERE born = 'zorkcompared%d'",
	"SELECT tell(ssn) FROM customers WHERE id = %d",
	"SELECT tell('zorkcompared%d')",
	"BEGIN; SELECT ssn FROM customers; SELECT id FROM customers WHERE born = 'zorkcompared%d'; ROLLBACK",
	"ROLLBACK",
	"PREPARE p%d AS SELECT id FROM customers WHERE ssn = 'zorkcompared' OR email = $1",
	"PREPARE q%d AS INSERT INTO customers (id, ssn) VALUES ($1, $2)",
	"BEGIN; DECLARE c%d CURSOR FOR SELECT * FROM customers WHERE email <> 'zorkcompared'; FETCH 3 FROM c%d; COMMIT",
	"DO $$ BEGIN PERFORM 'zorkcompared%d'; RAISE NOTICE 'zorkcompared'; UPDATE customers SET ssn = 'zorkwritten' WHERE id = 1; END $$",
	"DO $$ DECLARE s text; BEGIN SELECT ssn INTO s FROM customers LIMIT 1; RAISE EXCEPTION '%%', s; END $$",
	"EXPLAIN (ANALYZE) SELECT id FROM customers WHERE ssn = 'zorkcompared%d'",
	"COPY customers (id, email) TO STDOUT",
	"COPY (SELECT name, 'zorkcompared%d' FROM customers) TO STDOUT",
	"SELECT 'zorkcompared%d', id FROM customers WHERE ssn <> 'zorkcompared'",
	"COPY (SELECT email, ssn, 'zorkcompared%d' FROM customers) TO STDOUT WITH (FORMAT csv)",
	"SET app.token = 'zorksecret%d'",
	"SELECT set_config('app.token', 'zorksecret%d', false)",
	"SET LOCAL app.token TO 'zorksecret', 'zorksecret%d'",
	"CREATE ROLE zork_role_%d PASSWORD 'zorksecret'",
	"ALTER ROLE zork_role_%d PASSWORD 'zorksecret' VALID UNTIL 'zorksecret'",
	"ALTER ROLE zork_role_%d SET app.token = 'zorksecret'",
	"CREATE SERVER s%d FOREIGN DATA WRAPPER nothing OPTIONS (host 'zorksecret', password 'zorksecret')",
	"CREATE USER MAPPING FOR public SERVER s%d OPTIONS (user 'zorksecret', password 'zorksecret')",
	"CREATE SUBSCRIPTION s%d CONNECTION 'host=127.0.0.1 password=zorksecret' PUBLICATION p WITH (nothing = 1)",
	"SELECT * FROM dblink('host=127.0.0.1 password=zorksecret%d', 'SELECT 1') AS t(a int)",
	"NOTIFY zork, 'zorksecret%d'",
	"SELECT pg_notify('zork', 'zorksecret%d')",
	"CREATE FUNCTION zork%d() RETURNS text LANGUAGE sql AS 'SELECT ''zorkwritten'''",
	"ALTER TABLE customers ALTER ssn SET DEFAULT 'zorkwritten%d'",
	"ALTER TABLE customers ADD CHECK (ssn <> 'zorkwritten%d')",
	"CREATE INDEX ON customers (id) WHERE ssn = 'zorkwritten%d'",
	"COMMENT ON COLUMN customers.ssn IS 'zorkwritten%d'",
	"COPY customers FROM PROGRAM 'echo zorksecret%d'",
	"CALL zork('zorksecret%d')",
	// what nobody can parse
	"SELECT name FROM customers WHERE ssn = 'zorkcompared%d",
	"INSERT INTO customers VALUES (9, 'it's zorkwritten%d')",
	"SELEC 'zorkcompared%d' zorkcompared FROM customers",
	"SELECT $zork$zorkcompared%d",
	"SELECT 1 /* zorkcompared%d",
	"UPDATE customers SET ssn = 'zorkwritten%d') \\zorkwritten",
}

// recordingOf runs the statements and returns everything that stands in the folder of recordings.
func recordingOf(t *testing.T, tags map[string]string, core func(*postgresOptions)) []byte {
	t.Helper()
	dir := t.TempDir()
	recorder, err := record.New(record.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	all := decide(func(op *access.Operation) (access.Decision, error) { // even what is not understood runs
		return access.Decision{Effect: access.Allow, Policy: "data/test", Rule: "all"}, nil
	})
	p := start(t, config{sql: vaultSQL, tags: tags, decider: all, recorder: recorder, engine: core})
	config, err := pgconn.ParseConfig(p.dsn())
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["app.token"] = "zorksecret"
	config.RuntimeParams["options"] = "-c app.other=zorksecret"
	ctx := context.Background()
	dial := func() *pgconn.PgConn {
		conn, err := pgconn.ConnectConfig(ctx, config)
		if err != nil {
			delete(config.RuntimeParams, "options") // if it is refused, that is recorded, too
			if conn, err = pgconn.ConnectConfig(ctx, config); err != nil {
				t.Fatal(err)
			}
		}
		return conn
	}
	conn, n := dial(), 0
	run := func(do func(*pgconn.PgConn)) {
		if conn.IsClosed() {
			conn = dial()
		}
		do(conn)
	}
	runKept(ctx, conn)
	do := func(statement string) {
		for _, extended := range []bool{false, true} {
			n++
			sql := strings.ReplaceAll(strings.ReplaceAll(statement, "%d", fmt.Sprint(n)), "%%", "%")
			run(func(c *pgconn.PgConn) {
				if extended {
					c.ExecParams(ctx, sql, nil, nil, nil, nil).Read()
				} else {
					_, _ = c.Exec(ctx, sql).ReadAll()
				}
			})
		}
	}
	for _, statement := range canaryStatements { // before others make everything tagged
		switch word, _, _ := strings.Cut(statement, " "); word {
		case "SELECT", "COPY", "EXPLAIN", "BEGIN;", "ROLLBACK":
			do(statement)
		}
	}
	for _, statement := range canaryStatements {
		do(statement)
	}
	run(func(c *pgconn.PgConn) { runParameters(ctx, c) })
	if err := conn.Close(ctx); err != nil {
		t.Log(err)
	}
	return everything(t, dir)
}

// runParameters runs what has its values beside the text.
func runParameters(ctx context.Context, c *pgconn.PgConn) {
	value := func(s string) [][]byte { return [][]byte{[]byte(s)} }
	for _, format := range [][]int16{nil, {1}} {
		c.ExecParams(ctx, "SELECT id FROM customers WHERE ssn = $1", value("zorkcompared"), nil, format, format).Read()
		c.ExecParams(ctx, "SELECT id FROM customers WHERE name = $1 OR email = $1", value("zorkcompared"), nil, format, format).Read()
		c.ExecParams(ctx, "UPDATE customers SET ssn = $1 WHERE id = 1 RETURNING ssn", value("zorkwritten"), nil, format, format).Read()
		c.ExecParams(ctx, "SELECT id FROM customers WHERE born = $1", value("zorkcompared"), nil, nil, nil).Read()
		c.ExecParams(ctx, "SELECT ssn, email FROM customers WHERE name = $1 LIMIT 3", value("Ada"), nil, format, format).Read()
		c.ExecParams(ctx, "EXECUTE p41('zorkcompared')", nil, nil, nil, nil).Read()
	}
	_, _ = c.Exec(ctx, "PREPARE w AS INSERT INTO customers (id, ssn) VALUES ($1, $2)").ReadAll()
	_, _ = c.Exec(ctx, "EXECUTE w(99, 'zorkwritten')").ReadAll()
	_, _ = c.Exec(ctx, "EXECUTE nobody('zorkwritten')").ReadAll()
	if sd, err := c.Prepare(ctx, "named", "SELECT id FROM customers WHERE email = $1 AND id > 0", nil); err == nil {
		c.ExecPrepared(ctx, sd.Name, value("zorkcompared"), nil, nil).Read()
	}
	_, _ = c.CopyFrom(ctx, strings.NewReader("77\tEve\tzorkwritten\tzorkwritten\t2000-01-01\n"), "COPY customers FROM STDIN")
	_, _ = c.CopyFrom(ctx, strings.NewReader("78\tEve\tzorkwritten\tzorkwritten\tzorkwritten\n"), "COPY customers FROM STDIN") // fails and tells the line
}

// runKept runs what is kept; before anything puts tags on more columns.
func runKept(ctx context.Context, c *pgconn.PgConn) {
	_, _ = c.Exec(ctx, "SELECT address FROM contacts WHERE address = 'shown-address'").ReadAll()
	_, _ = c.Exec(ctx, "SELECT name FROM customers WHERE name = 'shown-name' AND ssn = 'zorkcompared'").ReadAll()
	c.ExecParams(ctx, "SELECT name FROM customers WHERE name = $1", [][]byte{[]byte("shown-parameter")}, nil, nil, nil).Read()
	// the client is told its own guess, and the recording is not
	_, _ = c.Exec(ctx, "SELECT v.e, id FROM (VALUES ('zorkstored1@example.org')) v(e) JOIN customers c ON c.email = v.e").ReadAll()
	_, _ = c.Exec(ctx, "SHOW app.token").ReadAll()
	_, _ = c.Exec(ctx, "SELECT current_setting('app.token')").ReadAll()
}

// everything is what stands in all files of a folder.
func everything(t *testing.T, dir string) []byte {
	t.Helper()
	var all []byte
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all = append(append(all, path...), b...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestNoProtectedValueAndNoSecretIsInARecording(t *testing.T) {
	needles := tap.NewNeedles("zorkstored", "zorkwritten", "zorkcompared", "zorksecret")
	for name, core := range map[string]func(*postgresOptions){
		"rows":    func(o *postgresOptions) { o.Core.RecordRows = true },
		"digests": func(o *postgresOptions) { o.Core.DigestRows = true },
	} {
		t.Run(name, func(t *testing.T) {
			all := recordingOf(t, vaultTags, core)
			for _, hit := range needles.Scanner().Scan(all) {
				t.Errorf("%s as %q:\n%q", hit.Marker, hit.Form, hit.Around)
			}
			for _, kept := range []string{"shown-address", "shown-name", "shown-parameter", "UPDATE customers SET ssn = '‹masked›'"} {
				if !bytes.Contains(all, []byte(kept)) {
					t.Errorf("the recording should have kept %s", kept)
				}
			}
		})
	}
}

// Without it, the test above could pass because nothing is recorded at all.
func TestValuesThatNothingProtectsAreInARecording(t *testing.T) {
	all := recordingOf(t, nil, func(o *postgresOptions) { o.Core.RecordRows = true })
	for _, marker := range []string{"zorkstored", "zorkwritten", "zorkcompared"} {
		if len(tap.NewNeedles(marker).Scanner().Scan(all)) == 0 {
			t.Errorf("%s is not found", marker)
		}
	}
	if hits := tap.NewNeedles("zorksecret").Scanner().Scan(all); len(hits) > 0 {
		t.Errorf("a secret is none because of tags: %q", hits[0].Around)
	}
}

func TestADigestIsOfWhatTheClientReceived(t *testing.T) {
	p := start(t, config{sql: vaultSQL, tags: vaultTags, engine: func(o *postgresOptions) { o.Core.DigestRows = true }})
	conn := p.connect(t)
	for _, sql := range []string{
		"SELECT id, ssn, NULL, name FROM customers ORDER BY id",
		"SELECT i, repeat('x', 1000) FROM generate_series(1, 9000) i", // several batches
		"SELECT repeat('y', 3000000)",                                 // a row too large to be held
		"SELECT repeat('z', 3000000), ssn FROM customers WHERE id < 3",
	} {
		p.record.set(nil)
		at := len(p.record.events)
		res, err := conn.Exec(context.Background(), sql).ReadAll()
		if err != nil || len(res) != 1 {
			t.Fatalf("%s: %v", sql, err)
		}
		sum, bodies := sha256.New(), int64(0)
		for _, row := range res[0].Rows {
			body := binary.BigEndian.AppendUint16(nil, uint16(len(row)))
			for _, v := range row {
				if v == nil {
					body = append(body, 0xff, 0xff, 0xff, 0xff)
				} else {
					body = append(binary.BigEndian.AppendUint32(body, uint32(len(v))), v...)
				}
			}
			_, _ = sum.Write(body)
			bodies += int64(len(body))
		}
		var got access.RowsDigest
		var ended int64
		for _, e := range p.record.events[at:] {
			if e.Rows != nil {
				got.Count, got.Bytes, got.SHA256 = got.Count+e.Rows.Digest.Count, got.Bytes+e.Rows.Digest.Bytes, e.Rows.Digest.SHA256
			}
			if e.Ended != nil {
				ended = e.Ended.Rows
			}
		}
		want := access.RowsDigest{Count: int64(len(res[0].Rows)), Bytes: bodies, SHA256: hex.EncodeToString(sum.Sum(nil))}
		if got != want || ended != want.Count {
			t.Errorf("%s\n got %+v, %d rows\nwant %+v", sql, got, ended, want)
		}
	}
	var out bytes.Buffer
	at := len(p.record.events)
	if _, err := conn.CopyTo(context.Background(), &out, "COPY customers TO STDOUT"); err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256(out.Bytes())
	for _, e := range p.record.events[at:] {
		if e.Rows != nil && e.Rows.Digest.SHA256 != hex.EncodeToString(want[:]) {
			t.Errorf("COPY: %+v, want %x", e.Rows.Digest, want)
		}
	}
}

func TestTheRowsOfACopyAreCounted(t *testing.T) {
	for _, tags := range []map[string]string{nil, vaultTags} {
		p := start(t, config{sql: vaultSQL, tags: tags})
		conn := p.connect(t)
		for _, sql := range []string{
			"COPY customers TO STDOUT", "COPY customers TO STDOUT (FORMAT csv, HEADER)", "COPY customers TO STDOUT (HEADER)", "COPY customers TO STDOUT (FORMAT binary)",
			"COPY (SELECT id FROM customers) TO STDOUT (FORMAT binary)",
		} {
			var out bytes.Buffer
			if _, err := conn.CopyTo(context.Background(), &out, sql); err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
			p.record.mu.Lock()
			last := p.record.events[len(p.record.events)-1]
			p.record.mu.Unlock()
			if last.Ended == nil || last.Ended.Rows != 20 {
				t.Errorf("%s, tags %v: %+v", sql, tags != nil, last.Ended)
			}
		}
	}
}
