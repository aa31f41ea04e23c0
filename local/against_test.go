package local_test

import (
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/local"
	"github.com/tidewaiter/tidewaiter/recording/against"
	"github.com/tidewaiter/tidewaiter/recording/stream"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// TestASessionIsRunAgainOnACopyAndDifferencesShow records a session through a real proxy, and runs it on the same data, and on changed data.
func TestASessionIsRunAgainOnACopyAndDifferencesShow(t *testing.T) {
	server := postgrestest.Shared(t)
	const tables = shopSQL + "CREATE TABLE orders AS SELECT g AS id, g * 10 AS total FROM generate_series(1, 20) g;"
	database := server.NewDatabase(t, tables)
	p := start(t, local.Options{Set: shop(t, database, "statements: [Select, BulkSelect, Session]", `statements: ["*", BulkSelect]`)})
	conn := connect(t, p.Endpoints()[0].ConnectionString())
	for _, sql := range []string{
		"SELECT id, total FROM orders ORDER BY id",                      // 1
		"SELECT name, ssn FROM customers",                               // 2
		"SELECT name FROM customers WHERE ssn = '078-05-1120'",          // 3
		"SELECT 1 / (id - id) FROM orders",                              // 4
		"UPDATE orders SET total = 0 WHERE id = 20",                     // 5
		"SELECT sum(total) FROM pg_catalog.pg_class, orders LIMIT 0",    // 6: whatever it is, it is the same
		"SELECT id FROM orders WHERE id IN (5, 3) ORDER BY random(), 1", // 7
	} {
		_, _ = conn.Exec(t.Context(), sql).ReadAll() // errors are recorded as well
	}
	if r := conn.ExecParams(t.Context(), "SELECT total FROM orders WHERE id = $1", [][]byte{[]byte("7")}, nil, nil, []int16{1}).Read(); r.Err != nil { // 8
		t.Fatal(r.Err)
	}
	_ = conn.Close(t.Context())
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	again := func(database string, o against.Options) map[string]against.Result {
		t.Helper()
		copied, err := against.Open(t.Context(), server.DSN(database))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = copied.Close(t.Context()) }()
		r, err := stream.Open(t.Context(), p.Summary().Recordings[0], stream.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		out := map[string]against.Result{}
		for result, err := range copied.Run(t.Context(), r.Events(), o) {
			if err != nil {
				t.Fatal(err)
			}
			out[result.Text] = result
		}
		return out
	}
	verdict := func(results map[string]against.Result, prefix string, want against.Verdict, what string) {
		t.Helper()
		for text, r := range results {
			if strings.HasPrefix(text, prefix) {
				if r.Verdict != want || !strings.Contains(r.What, what) {
					t.Errorf("%s: %s (%s), want %s (%s)", text, r.Verdict, r.What, want, what)
				}
				return
			}
		}
		t.Errorf("no statement %s in %v", prefix, results)
	}
	fresh := server.NewDatabase(t, tables)
	results := again(fresh, against.Options{})
	for text, r := range results {
		if r.Verdict == against.Differs {
			t.Errorf("%s: %s", text, r.What)
		}
	}
	verdict(results, "SELECT id, total", against.Same, "")
	verdict(results, "SELECT name, ssn", against.Same, "masked")
	verdict(results, "SELECT name FROM", against.Skipped, "masked")
	verdict(results, "SELECT 1 /", against.Same, "")
	verdict(results, "UPDATE", against.Skipped, "--writes")
	verdict(results, "SELECT total FROM orders WHERE", against.Same, "")

	changed := server.NewDatabase(t, tables+"UPDATE orders SET total = 1 WHERE id = 7; DELETE FROM customers WHERE id = 2; UPDATE orders SET id = 99 WHERE id = 19;")
	results = again(changed, against.Options{Writes: true})
	verdict(results, "SELECT id, total", against.Differs, "2 of 20 rows")
	verdict(results, "SELECT name, ssn", against.Differs, "SELECT 2")
	verdict(results, "UPDATE", against.Same, "")
	verdict(results, "SELECT total FROM orders WHERE", against.Differs, "1 of 1 rows")
}
