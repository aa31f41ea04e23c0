package ddl_test

import (
	"context"
	"embed"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/test/conformance/localproxy"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

//go:embed testdata
var testdata embed.FS

// world is a server with a proxy in front of it, and the owner's own connection that goes past the proxy.
type world struct {
	server *postgrestest.Server
	proxy  *localproxy.Proxy
	owner  *pgconn.PgConn
	schema string
	name   string
}

// newWorld starts everything, with the schema in it.
func newWorld(t *testing.T) *world {
	t.Helper()
	server := postgrestest.Shared(t)
	schema, policy := text(t, "schema.sql"), text(t, "policy.yaml")
	w := &world{server: server, schema: schema, name: server.NewDatabase(t, schema)}
	if err := server.Exec(t.Context(), w.name, fmt.Sprintf("ALTER DATABASE %s SET search_path = early, app", w.name)); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.owner, err = pgconn.Connect(t.Context(), server.DSN(w.name)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.owner.Close(context.Background()) })
	w.does(t, "SET lock_timeout = '150ms'; SET search_path = pg_catalog")
	binary, err := localproxy.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const asWritten = "port: 5432, database: changing,"
	if !strings.Contains(policy, asWritten) {
		t.Fatalf("testdata/policy.yaml has no %q", asWritten)
	}
	policy = strings.Replace(policy, asWritten, fmt.Sprintf("port: %d, database: %s,", server.Port, w.name), 1)
	if w.proxy, err = localproxy.Start(t.Context(), binary, policy+"---\n"+localproxy.Secret("ddl-db", server, server.Superuser)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.proxy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func text(t *testing.T, name string) string {
	t.Helper()
	content, err := testdata.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// does runs SQL as the owner, past the proxy.
func (w *world) does(t *testing.T, sql string) {
	t.Helper()
	if err := w.tries(sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (w *world) tries(sql string) error {
	_, err := w.owner.Exec(context.Background(), sql).ReadAll()
	return err
}

// reset makes the schema as it was, and has the proxy see that.
func (w *world) reset(t *testing.T) {
	t.Helper()
	w.does(t, fmt.Sprintf("ALTER DATABASE %s SET search_path = early, app", w.name))
	w.does(t, "BEGIN; SET LOCAL client_min_messages = error;"+w.schema+"COMMIT")
	w.notice(t)
}

// afresh makes the schema as it was, and connects.
func (w *world) afresh(t *testing.T) *client {
	t.Helper()
	w.reset(t)
	c, err := dial(t.Context(), w.proxy)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// notice has the proxy load the catalog, as it does after DDL that goes through it.
func (w *world) notice(t *testing.T) {
	t.Helper()
	c, err := dial(t.Context(), w.proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for _, sql := range []string{"CREATE TEMPORARY TABLE noticed (i int)", "SELECT 1"} {
		if err := simple(sql).run(c, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.codes) > 0 {
		t.Fatalf("the proxy refuses a temporary table: %v", c.codes)
	}
}
