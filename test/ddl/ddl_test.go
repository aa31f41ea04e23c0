package ddl_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// change is what the owner does, past the proxy.
type change struct {
	name, sql string
	// reads are what the client runs around it: their meaning changes.
	reads []string
}

const (
	derived = "SELECT id, upper(name) FROM customers ORDER BY 1"
	plain   = "SELECT name, ssn, notes FROM plain"
	shouted = "SELECT upper(ssn) || '!' FROM plain"
	star    = "SELECT * FROM plain"
	row     = "SELECT p::text, to_jsonb(p) FROM plain p"
	viewed  = "SELECT x, upper(x) FROM shown"
	viewed2 = "SELECT y, lower(y) FROM over"
	wrong   = "SELECT name::int FROM customers"
	wrong2  = "SELECT ssn::int FROM plain"
	counted = "SELECT max(ssn), string_agg(name, ',') FROM plain"
)

// changes are what is tried, each between any two messages.
var changes = []change{
	{"two columns swap their names", `BEGIN; ALTER TABLE app.customers RENAME name TO x; ALTER TABLE app.customers RENAME ssn TO name; ALTER TABLE app.customers RENAME x TO ssn; COMMIT`, []string{derived, "SELECT name FROM customers", wrong}},
	{"two tables swap their names", `BEGIN; ALTER TABLE app.customers RENAME TO x; ALTER TABLE app.plain RENAME TO customers; ALTER TABLE app.x RENAME TO plain; COMMIT`, []string{plain, shouted, wrong2, row, counted}},
	{"a table goes and another takes its name", `BEGIN; DROP TABLE app.plain CASCADE; CREATE TABLE app.plain AS TABLE app.customers; COMMIT`, []string{}},
	{"a column gets another type", `ALTER TABLE app.customers ALTER name TYPE app.short`, []string{derived}},
	{"a column is generated from a protected one", `ALTER TABLE app.customers ADD shadow text GENERATED ALWAYS AS (ssn) STORED`, []string{"SELECT * FROM customers", "SELECT c::text FROM customers c", "SELECT shadow FROM customers", "SELECT upper(shadow) FROM customers"}},
	{"a column goes", `ALTER TABLE app.customers DROP name`, []string{"SELECT * FROM customers", derived}},
	{"a column goes and the protected one takes its name", `BEGIN; ALTER TABLE app.customers DROP name; ALTER TABLE app.customers RENAME ssn TO name; COMMIT`, []string{derived, "SELECT name FROM customers"}},
	{"a view is replaced", `CREATE OR REPLACE VIEW app.shown AS SELECT id, ssn AS x FROM app.customers`, []string{viewed, viewed2}},
	{"a view is made anew", `BEGIN; DROP VIEW app.shown CASCADE; CREATE VIEW app.shown AS SELECT id, ssn AS x FROM app.customers; COMMIT`, []string{viewed}},
	{"a view appears", `CREATE VIEW app.fresh AS SELECT ssn AS x FROM app.customers`, []string{"SELECT x FROM fresh", "SELECT upper(x) FROM fresh"}},
	{"a materialized view is refreshed", `BEGIN; CREATE OR REPLACE VIEW app.shown AS SELECT id, ssn AS x FROM app.customers; REFRESH MATERIALIZED VIEW app.kept; COMMIT`, []string{"SELECT x FROM kept", "SELECT upper(x) FROM kept"}},
	{"a function is replaced", `CREATE OR REPLACE FUNCTION app.told(i int) RETURNS text LANGUAGE sql STABLE AS 'SELECT ssn FROM app.customers WHERE id = i'`, []string{"SELECT told(1)", "SELECT upper(told(1))"}},
	{"a table in an earlier schema", `CREATE TABLE early.plain AS TABLE app.customers`, []string{plain, shouted, row, wrong2}},
	{"an unprotected table before a protected one", `CREATE TABLE early.customers AS TABLE app.plain`, []string{"SELECT upper(ssn) FROM customers", "SELECT c::text FROM customers c", "SELECT ssn::int FROM customers"}},
	{"a view in an earlier schema", `CREATE VIEW early.plain AS SELECT id, ssn AS name, name AS ssn, notes FROM app.customers`, []string{plain, "SELECT upper(name) FROM plain"}},
	{"the path of the database", `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = late, app', current_database()); END $$; CREATE TABLE late.plain AS TABLE app.customers`, []string{plain, shouted}},
	{"a partition is attached", `ALTER TABLE app.parted ATTACH PARTITION app.part FOR VALUES IN (1)`, []string{"SELECT name, upper(name), ssn FROM parted", "SELECT upper(ssn) FROM parted"}},
	{"a table inherits", `ALTER TABLE app.heir INHERIT app.plain`, []string{plain, shouted}},
	{"a protected table inherits", `ALTER TABLE app.customers INHERIT app.plain`, []string{plain, shouted, row}},
	{"a rule makes a table a view", `BEGIN; CREATE VIEW app.turned AS SELECT id, name, ssn, notes FROM app.customers; DROP VIEW app.shown CASCADE; DROP TABLE app.plain; ALTER VIEW app.turned RENAME TO plain; COMMIT`, []string{plain, shouted, wrong2}},
	{"a table goes to another schema", `BEGIN; ALTER TABLE app.plain SET SCHEMA late; ALTER TABLE app.customers RENAME TO plain; COMMIT`, []string{plain, shouted}},
	{"a protected table goes to an earlier schema", `BEGIN; ALTER TABLE app.customers SET SCHEMA early; ALTER TABLE early.customers RENAME TO plain; COMMIT`, []string{plain, shouted, counted}},
	{"a domain gets a check", `BEGIN; ALTER DOMAIN app.short ADD CHECK (length(VALUE) < 90); ALTER TYPE app.pair ADD ATTRIBUTE c text; COMMIT`, []string{"SELECT ('a','b')::pair FROM plain", derived}},
}

func init() {
	// A rename of protected values into a copy makes them anybody's: what CREATE TABLE AS copies past the proxy the owner has to
	// classify. So copies hold the values that may be seen.
	for i := range changes {
		changes[i].sql = strings.ReplaceAll(changes[i].sql, "AS TABLE app.customers", "AS SELECT id, name, 'copied' AS ssn, notes FROM app.customers")
	}
}

// all asks for every statement, way and place of every change: a quarter of an hour. Otherwise each way is tried once per change,
// with a statement and at a place that change from one to the next.
var all = flag.Bool("all", false, "try every statement and place of every change, not a selection")

// TestNoChangeBetweenTwoMessagesLetsAValueOut is the table of all changes, statements, ways to run them, and places between their
// messages.
func TestNoChangeBetweenTwoMessagesLetsAValueOut(t *testing.T) {
	w := newWorld(t)
	total := tally{}
	for i, change := range changes {
		if testing.Short() && i%3 != 0 {
			continue
		}
		t.Run(change.name, func(t *testing.T) {
			seen := tally{}
			for r, sql := range change.reads {
				for n, way := range talks(sql) {
					for at := range way.steps {
						if *all || r == (n+i)%len(change.reads) && at == (n/2+i)%len(way.steps) {
							w.scene(t, seen, scene{label: change.name, sql: sql, way: way, at: at, change: func(*client) error { return w.tries(change.sql) }})
						}
					}
				}
			}
			t.Log(seen)
			total.add(seen)
		})
	}
	fmt.Fprintln(os.Stderr, "DDL between messages:", total)
	if total["answered noticed"] == 0 || total["refused during"]+total["answered during"] == 0 {
		t.Errorf("nothing was shown: %v", total)
	}
}

// tally counts what became of scenes.
type tally map[string]int

func (t tally) add(other tally) {
	for what, count := range other {
		t[what] += count
	}
}

func (t tally) String() string {
	var parts []string
	for what, count := range t {
		parts = append(parts, fmt.Sprintf("%s %d", what, count))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// scene is a change in the middle of a talk.
type scene struct {
	label, sql string
	way        talk
	at         int
	change     func(*client) error
}

// scene holds a talk once with the change in the middle, once more at once, and once when the proxy has seen the change.
func (w *world) scene(t *testing.T, seen tally, s scene) {
	t.Helper()
	c := w.afresh(t)
	defer c.close()
	blocked := false
	run := func(when string, at int) {
		c.codes, c.leaks, c.rows = nil, nil, 0
		if err := s.way.runWith(c, at, func() {
			if err := s.change(c); err != nil {
				blocked = true
				_ = w.tries("ROLLBACK")
			}
		}); err != nil {
			t.Fatalf("%s: %s, %s before step %d, %s: %v", s.label, s.sql, s.way.name, s.at, when, err)
		}
		if len(c.leaks) > 0 {
			t.Errorf("%s: %s, %s before step %d, %s: LEAK %.200q (errors %v)", s.label, s.sql, s.way.name, s.at, when, c.leaks[0].Around, c.codes)
		}
		seen[outcome(c, blocked)+" "+when]++
	}
	run("during", s.at)
	if s.way.prepares {
		s.way.steps = s.way.steps[1:]
	}
	run("after", -1)
	w.notice(t)
	run("noticed", -1)
}

// outcome says in a word what a client got.
func outcome(c *client, blocked bool) string {
	switch {
	case len(c.leaks) > 0:
		return "LEAK"
	case blocked: // by a lock of the client's transaction, so that nothing changed
		return "blocked"
	case strings.Contains(fmt.Sprint(c.codes), "tidewaiter"):
		return "refused"
	case len(c.codes) > 0:
		return "error"
	default:
		return "answered"
	}
}
