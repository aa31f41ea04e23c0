package ddl_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// loop is DDL that comes back to where it began.
var loop = []string{
	`BEGIN; ALTER TABLE app.customers RENAME name TO x; ALTER TABLE app.customers RENAME ssn TO name; ALTER TABLE app.customers RENAME x TO ssn; COMMIT`,
	`BEGIN; ALTER TABLE app.customers RENAME name TO x; ALTER TABLE app.customers RENAME ssn TO name; ALTER TABLE app.customers RENAME x TO ssn; COMMIT`,
	`CREATE OR REPLACE VIEW app.shown AS SELECT id, ssn AS x FROM app.customers`,
	`CREATE OR REPLACE VIEW app.shown AS SELECT id, name AS x FROM app.plain`,
	`BEGIN; ALTER TABLE app.customers RENAME TO x; ALTER TABLE app.plain RENAME TO customers; ALTER TABLE app.x RENAME TO plain; COMMIT`,
	`BEGIN; ALTER TABLE app.customers RENAME TO x; ALTER TABLE app.plain RENAME TO customers; ALTER TABLE app.x RENAME TO plain; COMMIT`,
	`CREATE TABLE early.plain AS SELECT 1 AS id, 'n' AS name, 's' AS ssn, 'o' AS notes`,
	`DROP TABLE early.plain`,
	`CREATE OR REPLACE FUNCTION app.told(i int) RETURNS text LANGUAGE sql STABLE AS 'SELECT max(name || ssn) FROM app.customers'`,
	`CREATE OR REPLACE FUNCTION app.told(i int) RETURNS text LANGUAGE sql STABLE AS 'SELECT ''nobody'''`,
}

// TestNothingLeaksInARace has the owner change definitions as fast as the server does it, while clients read.
func TestNothingLeaksInARace(t *testing.T) {
	w := newWorld(t)
	w.notice(t)
	duration := 10 * time.Second
	if testing.Short() {
		duration = 3 * time.Second
	}
	ctx, cancel := context.WithTimeout(t.Context(), duration)
	defer cancel()
	var all sync.WaitGroup
	changed := 0
	all.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if err := w.tries(loop[i%len(loop)]); err != nil {
				_ = w.tries("ROLLBACK")
				i-- // it waited for a lock too long, or the one before it did
			}
			changed++
			time.Sleep(time.Duration(i%7) * time.Millisecond)
		}
	})
	results := make([]tally, 4)
	for n := range results {
		results[n] = tally{}
		all.Go(func() { w.reads(ctx, t, n, results[n]) })
	}
	all.Wait()
	total := tally{}
	for _, result := range results {
		total.add(result)
	}
	fmt.Fprintf(os.Stderr, "race: %d changes; %v\n", changed, total)
	if total["answered"] == 0 || changed < 10 {
		t.Errorf("nothing was shown: %d changes, %v", changed, total)
	}
	w.worksAgain(t)
}

// reads runs statements in all ways, one after the other, until the time is over.
func (w *world) reads(ctx context.Context, t *testing.T, n int, seen tally) {
	statements := []string{derived, plain, shouted, viewed, viewed2, row, wrong, wrong2, "SELECT told(1)", counted, "SELECT id, name FROM customers"}
	for i := n; ctx.Err() == nil; i++ {
		c, err := dial(ctx, w.proxy)
		if err != nil {
			if ctx.Err() == nil {
				t.Error(err)
			}
			return
		}
		sql := statements[i%len(statements)]
		for _, way := range talks(sql) {
			if ctx.Err() != nil {
				break
			}
			c.codes, c.leaks = nil, nil
			way.steps = append([]step{query("DEALLOCATE ALL")}, way.steps...)
			if err := way.runWith(c, -1, nil); err != nil {
				t.Errorf("%s, %s: %v", sql, way.name, err)
				break
			}
			if len(c.leaks) > 0 {
				t.Errorf("%s, %s: LEAK %.200q (errors %v)", sql, way.name, c.leaks[0].Around, c.codes)
			}
			seen[outcome(c, false)]++
		}
		c.close()
	}
}

// worksAgain waits until the proxy has caught up by itself: what is not protected is shown then, what is protected masked.
func (w *world) worksAgain(t *testing.T) {
	t.Helper()
	if err := w.tries("ROLLBACK; DROP TABLE IF EXISTS early.plain; CREATE OR REPLACE VIEW app.shown AS SELECT 1 AS id, 'visible'::text AS x"); err != nil {
		t.Fatal(err)
	}
	config, err := pgconn.ParseConfig(fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", w.proxy.User, w.proxy.Address, w.proxy.Database))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgconn.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var last string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		results, err := conn.Exec(t.Context(), "SELECT upper(x) FROM shown").ReadAll()
		if last = fmt.Sprint(err); err == nil {
			if last = string(results[0].Rows[0][0]); last == "VISIBLE" {
				return
			}
		}
	}
	t.Errorf("after 30 s, an expression over what is not protected is still %q", last)
}
