package against_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/against"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// TestAForgedRecordingChangesNothingOnTheCopy: whoever forges a recording writes kinds and features as well, and the auditor may be a
// superuser of the copy.
func TestAForgedRecordingChangesNothingOnTheCopy(t *testing.T) {
	server := postgrestest.Shared(t)
	database := server.NewDatabase(t, `
		CREATE TABLE kept (id int); INSERT INTO kept VALUES (1);
		CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS 'INSERT INTO kept VALUES (2); SELECT 1';`)
	file := filepath.Join(t.TempDir(), "written")
	texts := []string{
		"COPY (SELECT 1) TO PROGRAM 'touch " + file + "'", " ( COPY kept TO '" + file + "'", ";COPY kept TO '" + file + "'",
		"RESET ALL", "DISCARD ALL", "SET default_transaction_read_only = off", "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "COMMIT",
		"SELECT set_config('default_transaction_read_only', 'off', false)", "SELECT set_config('transaction_read_only', 'off', false)",
		"BEGIN READ WRITE", "SET TRANSACTION READ WRITE", "ROLLBACK",
		"SELECT writes()", "SELECT 1; INSERT INTO kept VALUES (3)", "SELECT 1; COMMIT; INSERT INTO kept VALUES (4)",
		"WITH w AS (INSERT INTO kept VALUES (5) RETURNING 1) SELECT * FROM w", "EXPLAIN ANALYZE INSERT INTO kept VALUES (6)",
		"SELECT * INTO made FROM kept", "TABLE kept", "INSERT INTO kept VALUES (7)", "DELETE FROM kept",
	}
	events := func(yield func(recording.Record, error) bool) {
		for i, text := range texts {
			n := int64(i + 1)
			for _, e := range []access.Event{
				{Kind: access.EventDecided, Statement: n, Decided: &access.Decided{Phase: access.PhaseRun, Text: text, Kinds: []string{"Select"}, Effect: "Allow"}},
				{Kind: access.EventEnded, Statement: n, Ended: &access.Ended{Outcome: access.OutcomeDone}},
			} {
				if !yield(recording.Record{Event: e}, nil) {
					return
				}
			}
		}
		yield(recording.Record{Event: access.Event{Kind: access.EventDecided, Statement: 99, Decided: &access.Decided{Phase: access.PhaseRun, Text: "SELECT 1", Kinds: []string{"Select"}}}}, nil)
	}
	c, err := against.Open(t.Context(), server.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(t.Context()) }()
	seen := 0
	for r, err := range c.Run(t.Context(), events, against.Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		seen++
		if r.Statement == 99 && r.Verdict != against.Skipped {
			t.Errorf("a statement without its end is %s", r.Verdict)
		}
		if r.Text == "TABLE kept" && r.Verdict != against.Same {
			t.Errorf("what only reads does not run: %+v", r)
		}
	}
	if seen != len(texts)+1 {
		t.Errorf("%d of %d statements are told of", seen, len(texts)+1)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a file was written")
	}
	if err := server.Exec(t.Context(), database, `DO $$ BEGIN
		IF (SELECT array_agg(id) FROM kept) <> '{1}' OR to_regclass('made') IS NOT NULL THEN RAISE 'the copy was changed'; END IF; END $$`); err != nil {
		t.Error(err)
	}
}

func TestWhatActsOutsideOfATransactionIsNotRunEvenWithWrites(t *testing.T) {
	server := postgrestest.Shared(t)
	c, err := against.Open(t.Context(), server.DSN(server.NewDatabase(t, "CREATE TABLE kept (id int)")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(t.Context()) }()
	for feature, want := range map[string]against.Verdict{"": against.Same, "UnboundedDelete": against.Same, "SideEffect": against.Skipped, "Program": against.Skipped, "NotYetKnown": against.Skipped} {
		d := &access.Decided{Phase: access.PhaseRun, Text: "DELETE FROM kept", Kinds: []string{"Delete"}, Effect: "Allow"}
		if feature != "" {
			d.Features = []string{feature}
		}
		events := func(yield func(recording.Record, error) bool) {
			_ = yield(recording.Record{Event: access.Event{Kind: access.EventDecided, Statement: 1, Decided: d}}, nil) &&
				yield(recording.Record{Event: access.Event{Kind: access.EventEnded, Statement: 1, Ended: &access.Ended{Outcome: access.OutcomeDone, Tag: "DELETE 0"}}}, nil)
		}
		for r, err := range c.Run(t.Context(), events, against.Options{Writes: true}) {
			if err != nil || r.Verdict != want {
				t.Errorf("%q: %+v, %v, want %s", feature, r, err, want)
			}
		}
	}
}
