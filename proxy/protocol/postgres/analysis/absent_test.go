package analysis_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// What the analyzer calls absent must not be there: the server, asked about the
// same statement, has to fail to find a name as well.
func TestNoStatementOfTheCorporaThatTheServerTakesNamesSomethingAbsent(t *testing.T) {
	schema, err := os.ReadFile(filepath.Join("testdata", "schema.sql"))
	if err != nil {
		t.Fatal(err)
	}
	server := postgrestest.Shared(t)
	conn, err := pgconn.Connect(context.Background(), server.DSN(server.NewDatabase(t, string(schema))))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	judged := 0
	for _, file := range []string{"exfil.tsv", "benign.tsv"} {
		for _, r := range rows(t, file) {
			result, err := analysis.Analyze(r.sql, nil, corpus(t), analysis.Options{})
			if err != nil || len(result.Statements) != 1 || len(result.Statements[0].Absent) == 0 {
				continue
			}
			first := result.Statements[0].Absent[0]
			_, err = conn.Prepare(context.Background(), "", r.sql, nil)
			var told *pgconn.PgError
			if errors.As(err, &told) && told.Code == "42P02" || first.Position == 0 {
				continue // found out only when it runs, or about something else
			}
			judged++
			if told == nil || !strings.HasPrefix(told.Code, "42") && told.Code != "3F000" {
				t.Errorf("%s: %s\nthe analyzer: %s\nthe server: %v", r.id, r.sql, first.Message, err)
			}
		}
	}
	t.Logf("%d statements judged", judged)
}
