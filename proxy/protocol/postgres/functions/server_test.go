package functions

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// served is what a server says of all functions of one name in one module.
type served struct {
	module, name string
	volatility   string // the weakest of any overload
	callable     bool   // some overload can be called by SQL
	rows         bool   // some overload returns a set
	withheld     bool   // some overload is not for PUBLIC
}

// queryServed lists the functions of a database by module. A type of the list
// cannot be had by SQL, so that a function that takes or returns one cannot be
// called.
const queryServed = `SELECT CASE WHEN e.extname IS NULL OR e.extname = 'plpgsql' THEN
	CASE n.nspname WHEN 'pg_catalog' THEN 'core' ELSE n.nspname END ELSE e.extname END, p.proname,
  max(CASE p.provolatile WHEN 'i' THEN 1 WHEN 's' THEN 2 ELSE 3 END),
  bool_or(NOT ARRAY[p.prorettype] || p.proargtypes::oid[] && (SELECT array_agg(oid) FROM pg_type WHERE typname IN
    ('internal', 'trigger', 'event_trigger', 'language_handler', 'fdw_handler', 'index_am_handler', 'table_am_handler',
     'tsm_handler'))),
  bool_or(p.proretset),
  bool_or(p.proacl IS NOT NULL AND NOT EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0))
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
  AND d.refclassid = 'pg_extension'::regclass
LEFT JOIN pg_extension e ON e.oid = d.refobjid
GROUP BY 1, 2 ORDER BY 1, 2`

// askServer returns the functions of a server that has every module installed
// that it can have, and its major version. FUNCTIONS_TEST_DSN names a server of
// another version; all its modules are created in that database.
func askServer(t *testing.T) (list []served, major int) {
	t.Helper()
	dsn := os.Getenv("FUNCTIONS_TEST_DSN")
	if dsn == "" {
		server := postgrestest.Shared(t)
		dsn = server.DSN(server.NewDatabase(t, ""))
	}
	conn, err := pgconn.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, row := range rows(t, conn, "SELECT name FROM pg_available_extensions ORDER BY 1") {
		create := `CREATE EXTENSION IF NOT EXISTS "` + row[0] + `" CASCADE`
		if _, err := conn.Exec(t.Context(), create).ReadAll(); err != nil {
			t.Logf("not looked at: %v", err)
		}
	}
	volatilities := []string{"", "immutable", "stable", "volatile"}
	for _, row := range rows(t, conn, queryServed) {
		weakest, err := strconv.Atoi(row[2])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, served{row[0], row[1], volatilities[weakest], row[3] == "t", row[4] == "t", row[5] == "t"})
	}
	version, _, _ := strings.Cut(conn.ParameterStatus("server_version"), ".")
	if major, err = strconv.Atoi(version); err != nil || len(list) < 3000 {
		t.Fatalf("%v, %d functions", err, len(list))
	}
	return list, major
}

func rows(t *testing.T, conn *pgconn.PgConn, query string) (out [][]string) {
	t.Helper()
	result := conn.ExecParams(t.Context(), query, nil, nil, nil, nil).Read()
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	for _, row := range result.Rows {
		var fields []string
		for _, value := range row {
			fields = append(fields, string(value))
		}
		out = append(out, fields)
	}
	return out
}

func TestEveryFunctionOfTheServerAndItsModulesIsListed(t *testing.T) {
	list, major := askServer(t)
	if major < 14 || major > 18 {
		t.Fatalf("the list is for PostgreSQL 14 to 18, not %d: look at what is new", major)
	}
	onServer, modules := map[string]bool{}, map[string]bool{}
	for _, f := range list {
		onServer[f.module+"."+f.name], modules[f.module] = true, true
		l, listed := entryOf(f.module, f.name)
		if !listed {
			t.Errorf("%s.%s is not listed", f.module, f.name)
		} else if first, last := l.versions(t); major < first || last < major {
			t.Errorf("%s.%s is listed for %d to %d, but PostgreSQL %d has it", f.module, f.name, first, last, major)
		}
	}
	for _, l := range entries(t) {
		if l[columnVersions] == "any" || !modules[l[columnModule]] {
			continue
		}
		first, last := l.versions(t)
		if name := l[columnModule] + "." + l[columnName]; first <= major && major <= last && !onServer[name] {
			t.Errorf("%s is listed for %d to %d, but PostgreSQL %d has no such function", name, first, last, major)
		}
	}
}

func TestTheListAgreesWithTheServerOnWhatItsFunctionsPromise(t *testing.T) {
	list, _ := askServer(t)
	promise := []string{"immutable", "stable", "volatile"}
	computing := []Class{Pure, Declassify, Rows}
	for _, f := range list {
		l, listed := entryOf(f.module, f.name)
		if !listed {
			continue // the other test says so
		}
		name, class, reason := f.module+"."+f.name, Class(l[columnClass]), l.reason()
		if slices.Index(promise, l[columnVolatility]) < slices.Index(promise, f.volatility) {
			t.Errorf("%s is listed as %s; the server promises less, %s", name, l[columnVolatility], f.volatility)
		}
		if class.Harmless() && f.volatility == "volatile" && class != Internal && reason == "" {
			t.Errorf("%s is %s but volatile, and no reason is given", name, class)
		}
		if class.Harmless() && class != Internal && !f.callable && reason == "" {
			t.Errorf("%s is %s, but takes or returns what SQL cannot have: it is %s", name, class, Internal)
		}
		if class == Internal && f.callable {
			t.Errorf("%s is %s, but can be called", name, class)
		}
		if f.rows && (class == Pure || class == Declassify) {
			t.Errorf("%s is %s, but returns rows", name, class)
		}
		if f.withheld && class.Harmless() && reason == "" {
			t.Errorf("%s is %s, but the server lets not everyone call it, and no reason is given", name, class)
		}
		if f.withheld && slices.Contains(computing, class) {
			t.Errorf("%s is %s, but the server lets not everyone call it", name, class)
		}
	}
}
