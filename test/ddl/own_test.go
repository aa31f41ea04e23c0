package ddl_test

import "testing"

// ownChanges are what a client may do in its own session, where policy lets it define things, to make its names mean others.
var ownChanges = []change{
	{"a temporary table before a protected one", `CREATE TEMPORARY TABLE customers AS SELECT 1 AS id, 'n' AS name, 's' AS ssn, 'o' AS notes`, []string{"SELECT upper(ssn) FROM customers", "SELECT ssn::int FROM customers", "SELECT c::text FROM customers c"}},
	{"another path", `SET search_path = late, app; `, []string{"SELECT upper(ssn) FROM customers", shouted}},
	{"a path without the schema", `SET search_path = late`, []string{"SELECT upper(ssn) FROM customers"}},
	{"a table in an earlier schema", `CREATE TABLE early.customers AS SELECT 1 AS id, 'n' AS name, 's' AS ssn, 'o' AS notes`, []string{"SELECT upper(ssn) FROM customers"}},
	{"a temporary view over a protected table", `CREATE TEMPORARY VIEW plain AS SELECT id, ssn AS name, ssn, notes FROM customers`, []string{"SELECT upper(name) FROM plain", "SELECT name FROM plain", row}},
	{"two columns swap their names", `ALTER TABLE app.customers RENAME name TO x; ALTER TABLE app.customers RENAME ssn TO name; ALTER TABLE app.customers RENAME x TO ssn`, []string{derived, "SELECT name FROM customers", wrong}},
	{"a view is replaced", `CREATE OR REPLACE VIEW app.shown AS SELECT id, ssn AS x FROM app.customers`, []string{viewed, viewed2}},
	{"everything is forgotten", `DISCARD ALL`, []string{"SELECT upper(ssn) FROM customers", derived}},
	{"two tables swap their names", `ALTER TABLE app.customers RENAME TO x; ALTER TABLE app.plain RENAME TO customers; ALTER TABLE app.x RENAME TO plain`, []string{plain, shouted, wrong2}},
}

func TestAClientsOwnDefinitionsLetNoValueOut(t *testing.T) {
	w := newWorld(t)
	for i, change := range ownChanges {
		t.Run(change.name, func(t *testing.T) {
			seen := tally{}
			for r, sql := range change.reads {
				for n, way := range talks(sql) {
					if testing.Short() && n%3 != i%3 {
						continue
					}
					for at := range way.steps {
						// Where the server is in the middle of a pipeline, a query of the client would end that.
						if at > 0 && way.steps[at-1].until != "Z" || !*all && (r != (n+i)%len(change.reads) || at != len(way.steps)/2) {
							continue
						}
						w.scene(t, seen, scene{label: change.name, sql: sql, way: way, at: at, change: func(c *client) error {
							return simple(change.sql).run(c, func() {})
						}})
					}
				}
			}
			t.Log(seen)
		})
	}
}
