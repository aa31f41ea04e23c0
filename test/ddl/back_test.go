package ddl_test

import (
	"fmt"
	"os"
	"testing"
)

// loops are changes that are taken back, so that values may be read under definitions that are neither those before nor those after.
var loops = []struct {
	name, there, back string
	reads             []string
}{
	{"a view", `CREATE OR REPLACE VIEW app.shown AS SELECT id, ssn AS x FROM app.customers`, `CREATE OR REPLACE VIEW app.shown AS SELECT id, name AS x FROM app.plain`, []string{viewed, viewed2}},
	{"columns swap", loop[0], loop[1], []string{derived, "SELECT name FROM customers", wrong}},
	{"tables swap", loop[4], loop[5], []string{plain, shouted, row}},
	{"an heir", `ALTER TABLE app.heir INHERIT app.plain`, `ALTER TABLE app.heir NO INHERIT app.plain`, []string{plain, shouted}},
	{"a partition", `ALTER TABLE app.parted ATTACH PARTITION app.part FOR VALUES IN (1)`, `ALTER TABLE app.parted DETACH PARTITION app.part`, []string{"SELECT name, upper(name) FROM parted", "SELECT upper(ssn) FROM parted"}},
	{"a function", `CREATE OR REPLACE FUNCTION app.told(i int) RETURNS text LANGUAGE sql STABLE AS 'SELECT ssn FROM app.customers WHERE id = i'`, `CREATE OR REPLACE FUNCTION app.told(i int) RETURNS text LANGUAGE sql STABLE AS 'SELECT name FROM app.plain WHERE id = i'`, []string{"SELECT told(1)", "SELECT upper(told(1))"}},
	{"an earlier schema", `CREATE VIEW early.plain AS SELECT id, ssn AS name, name AS ssn, notes FROM app.customers`, `DROP VIEW early.plain`, []string{plain, "SELECT upper(name) FROM plain"}},
}

// TestNoChangeThatIsTakenBackLetsAValueOut has the change before one message and takes it back before another, and has the proxy see
// the one, the other, both or neither.
func TestNoChangeThatIsTakenBackLetsAValueOut(t *testing.T) {
	w := newWorld(t)
	total := tally{}
	count := 0
	for _, l := range loops {
		t.Run(l.name, func(t *testing.T) {
			seen := tally{}
			for _, sql := range l.reads {
				for _, way := range talks(sql) {
					for at := range way.steps {
						for back := at; back < len(way.steps); back++ {
							for noticed := range 4 {
								if count++; *all || count%selected == 0 {
									w.thereAndBack(t, seen, scene{label: l.name, sql: sql, way: way, at: at}, l.there, l.back, back, noticed)
								}
							}
						}
					}
				}
			}
			t.Log(seen)
			total.add(seen)
		})
	}
	fmt.Fprintln(os.Stderr, "DDL there and back:", total)
	if total["answered"] == 0 || total["refused"] == 0 {
		t.Errorf("nothing was shown, or nothing refused: %v", total)
	}
}

// selected is how many scenes one stands for; it has no divisor in common with the numbers of ways, places and looks.
const selected = 29

func (w *world) thereAndBack(t *testing.T, seen tally, s scene, there, back string, at, noticed int) {
	t.Helper()
	c := w.afresh(t)
	defer c.close()
	blocked := false
	does := func(sql string, notices bool) {
		if err := w.tries(sql); err != nil {
			blocked = true
			_ = w.tries("ROLLBACK")
		}
		if notices {
			w.notice(t)
		}
	}
	changed, failed := false, false
	for i, step := range s.way.steps {
		if i == s.at {
			does(there, noticed&1 != 0)
			changed = !blocked
		}
		if i == at && changed {
			does(back, noticed&2 != 0)
		}
		if failed && step.until != "Z" {
			continue
		}
		before := len(c.codes)
		if err := (talk{steps: s.way.steps[i : i+1]}).run(c, func() {}); err != nil {
			t.Fatalf("%s: %s, %s: %v", s.label, s.sql, s.way.name, err)
		}
		failed = step.until != "Z" && len(c.codes) > before
	}
	if len(c.leaks) > 0 {
		t.Errorf("%s: %s, %s, there before step %d, back before %d, noticed %02b: LEAK %.200q (errors %v)", s.label, s.sql, s.way.name, s.at, at, noticed, c.leaks[0].Around, c.codes)
	}
	seen[outcome(c, blocked)]++
}
