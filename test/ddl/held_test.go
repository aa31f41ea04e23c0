package ddl_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// TestWhatACursorHoldsLetsNoValueOut has cursors WITH HOLD keep what was read while definitions were others than before and after, so
// that what the server says of their columns is looked up in definitions that have nothing to do with the values.
func TestWhatACursorHoldsLetsNoValueOut(t *testing.T) {
	const declare = "DECLARE h CURSOR WITH HOLD FOR "
	fetch := query("FETCH ALL FROM h")
	portal := step{[]pgproto3.FrontendMessage{
		&pgproto3.Describe{ObjectType: 'P', Name: "h"}, &pgproto3.Execute{Portal: "h"}, &pgproto3.Sync{},
	}, "Z"}
	w := newWorld(t)
	for _, change := range []struct{ name, sql, there, back string }{
		{"a view is replaced", "SELECT x, upper(x) FROM shown", `CREATE OR REPLACE VIEW app.shown AS SELECT id, ssn AS x FROM app.customers`, `CREATE OR REPLACE VIEW app.shown AS SELECT id, name AS x FROM app.plain`},
		{"a view below is replaced", "SELECT y, upper(y) FROM over", `CREATE OR REPLACE VIEW app.shown AS SELECT id, ssn AS x FROM app.customers`, `CREATE OR REPLACE VIEW app.shown AS SELECT id, name AS x FROM app.plain`},
		{"a table has an heir", "SELECT ssn, upper(ssn) FROM plain", `ALTER TABLE app.heir INHERIT app.plain`, `ALTER TABLE app.heir NO INHERIT app.plain`},
	} {
		for _, noticed := range []struct {
			name       string
			there, now bool
		}{{"unnoticed", false, false}, {"noticed once it is over", false, true}, {"noticed", true, true}, {"noticed before", true, false}} {
			for _, way := range []struct {
				name string
				last step
			}{{"fetched", fetch}, {"executed", portal}} {
				for _, again := range []string{"", "declared again", "declared before"} {
					t.Run(change.name+", "+noticed.name+", "+way.name+" "+again, func(t *testing.T) {
						w.reset(t)
						c := newClient(t, w.proxy)
						does := func(s step) {
							t.Helper()
							if err := (talk{steps: []step{s}}).run(c, func() {}); err != nil {
								t.Fatal(err)
							}
						}
						does(query("SELECT 1"))
						if again == "declared before" {
							does(query(declare + change.sql))
							does(query("CLOSE h"))
						}
						w.does(t, change.there)
						if noticed.there {
							w.notice(t)
						}
						does(query(declare + change.sql))
						does(query("FETCH 0 FROM h"))
						does(query("SELECT id, name FROM customers LIMIT 1"))
						w.does(t, change.back)
						if noticed.now {
							w.notice(t)
						}
						does(query("SELECT 1"))
						if again == "declared again" {
							does(query(declare + change.sql))
						}
						c.rows, c.codes = 0, nil
						does(way.last)
						if len(c.leaks) > 0 {
							t.Errorf("LEAK %.200q (errors %v)", c.leaks[0].Around, c.codes)
						}
						if c.rows == 0 && len(c.codes) == 0 {
							t.Error("neither rows nor an error came")
						}
						t.Logf("%d rows, errors %v", c.rows, c.codes)
					})
				}
			}
		}
	}
}
