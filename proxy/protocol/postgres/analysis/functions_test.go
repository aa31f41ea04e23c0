package analysis

import (
	"context"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// TestEveryFunctionOfTheServerIsClassified fails on a function of pg_catalog that
// is in neither list. With -update it writes the rest into the list of known
// ones: look at the difference before committing it.
func TestEveryFunctionOfTheServerIsClassified(t *testing.T) {
	server := postgrestest.Shared(t)
	conn, err := pgconn.Connect(t.Context(), server.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	result := conn.ExecParams(t.Context(), `SELECT DISTINCT proname FROM pg_catalog.pg_proc
		WHERE pronamespace = 'pg_catalog'::regnamespace AND oid < 16384`, nil, nil, nil, nil).Read()
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	var known, missing []string
	for _, row := range result.Rows {
		name := string(row[0])
		if _, isDangerous := dangerOf(name); isDangerous || name == "set_config" {
			continue
		}
		known = append(known, name)
		if !knownFunctions()[name] {
			missing = append(missing, name)
		}
	}
	slices.Sort(known)
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile("functions_known.txt", []byte(strings.Join(known, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if len(missing) > 0 {
		t.Errorf("not classified: %v", missing)
	}
}

func TestNoDangerousFunctionIsInTheListOfKnownOnes(t *testing.T) {
	for name := range knownFunctions() {
		if d, isDangerous := dangerOf(name); isDangerous {
			t.Errorf("%s is %s", name, d.feature)
		}
	}
	for _, name := range []string{"set_config", "query_to_xml", "pg_read_file", "lo_get", "pg_sleep_with_anything"} {
		if knownFunctions()[name] {
			t.Errorf("%s must not be known as harmless", name)
		}
	}
}
