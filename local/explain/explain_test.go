package explain_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/api/manifest"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
	"github.com/tidewaiter/tidewaiter/local"
	"github.com/tidewaiter/tidewaiter/local/explain"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { postgrestest.Main(m) }

const shopSQL = `
CREATE TABLE customers (id int PRIMARY KEY, name text, email text, ssn text, born date);
INSERT INTO customers VALUES (1, 'Ada', 'ada@example.org', '078-05-1120', '1815-12-10');
CREATE VIEW contacts AS SELECT id, ssn AS tax, name FROM customers;
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, total numeric(10,2));
INSERT INTO orders VALUES (1, 1, 9.50);`

// options are the manifests of a database of the test's server.
func options(t *testing.T, database string) local.Options {
	t.Helper()
	server := postgrestest.Shared(t)
	set, err := manifest.Parse("shop.yaml", fmt.Appendf(nil, `
apiVersion: tidewaiter.dev/v1alpha1
kind: DataSource
metadata: {name: orders, namespace: data}
spec:
  protocol: postgres
  postgres: {host: %s, port: %d, database: %s, tls: {mode: disable}}
  credentials: {secretRef: {name: orders-db}}
  allowedNamespaces: {selector: {}}
  listen: {port: 5432}
  classifications:
  - {columns: ["public.customers.ssn"], tags: [pii/ssn]}
  - {columns: ["*.*.email"], tags: [pii/email]}
  - {columns: ["*.*.born"], tags: [pii/birthday]}
---
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessPolicy
metadata: {name: reporting, namespace: data}
spec:
  dataSources: [{name: orders}]
  subjects: [{namespaceSelector: {}}]
  rules:
  - {name: session, action: Allow, statements: [Session]}
  - name: read
    action: Allow
    statements: [Select, BulkSelect]
    tables: ["public.*"]
    limits: {rowsPerStatement: 1000, rowsPerHour: 50000, bytesPerHour: 100Mi, onExceed: RequireApproval}
  - {name: exports, action: RequireApproval, statements: [CopyOut]}
  masks:
  - {tags: ["pii/*"], strategy: Redact}
  - {tags: [pii/email], strategy: Partial, keepDomain: true}
  - {tags: [pii/birthday], strategy: DateTrunc, truncateTo: Year}
---
apiVersion: v1
kind: Secret
metadata: {name: orders-db, namespace: data}
stringData: {username: %s, password: %s}
`, server.Host, server.Port, database, server.Superuser, server.Password))
	if err != nil {
		t.Fatal(err)
	}
	return local.Options{Set: set, Subject: compile.Subject{Namespace: "shop", ServiceAccount: "agent"}, RecordDir: t.TempDir()}
}

func open(t *testing.T, o local.Options) *local.Source {
	t.Helper()
	source, err := local.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func TestAnExplanationReadsAsToldInItsGoldenFile(t *testing.T) {
	source := open(t, options(t, postgrestest.Shared(t).NewDatabase(t, shopSQL)))
	for name, sql := range map[string]string{
		"derived":        "select name, upper(ssn), count(email) from customers group by 1, 2",
		"structured":     "select row_to_json(c), json_build_object('n', c.name, 'bought', (select json_agg(json_build_object('total', total, 'for', c.email, 'up', upper(c.ssn))) from orders where customer_id = c.id)), case when born > '1900-01-01' then name end, count(*) over () from customers c where email = 'ada@example.org'",
		"whole-row":      "select to_jsonb(c) - 'ssn' as j, array_agg(born) as days, c from customers c where id = 1 group by c, j",
		"documented":     documented,
		"written":        "update customers set name = upper(ssn), email = 'x' where id = 1 returning row_to_json(customers)",
		"every-column":   "select * from customers where id = 1",
		"held":           "copy customers to stdout",
		"denied":         "delete from orders",
		"two-statements": "select id from orders where id = 1; select ssn from customers where id = 1",
		"not-understood": "selec 1",
		"no-such-table":  "select * from nowhere where id = 1",
		"escapes":        "select name as \"\x1b[31mred\x07\" from customers where id = 1",
	} {
		t.Run(name, func(t *testing.T) {
			report, err := explain.Run(t.Context(), source, sql)
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			if err := report.Write(&text, false); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", "-- "+strings.ReplaceAll(sql, "\x1b", "<ESC>")+"\n"+text.String())
		})
	}
}

// documented is the statement that the page on policies shows.
const documented = "select json_build_object('who', name, 'mail', email, 'area', left(ssn, 3)) as person, length(ssn) from customers limit 10"

func TestThePageOnPoliciesShowsWhatIsPrinted(t *testing.T) {
	page, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	printed, err := os.ReadFile(filepath.Join("testdata", "documented.txt"))
	if err != nil {
		t.Fatal(err)
	}
	_, output, _ := strings.Cut(string(printed), "\n")
	if !strings.Contains(string(page), documented) || !strings.Contains(string(page), output) {
		t.Errorf("docs/policy.md does not have the statement, or not this output of it:\n%s", output)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// An explanation that said "shown" of what a proxy masks, or the other way round, would be worse than none.
func TestAnExplanationSaysOfEveryColumnWhatTheProxyDoes(t *testing.T) {
	server := postgrestest.Shared(t)
	database := server.NewDatabase(t, shopSQL)
	o := options(t, database)
	source := open(t, o)
	proxy, err := local.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	through, direct := connect(t, proxy.Endpoints()[0].ConnectionString()), connect(t, server.DSN(database))
	for _, sql := range []string{
		"select * from customers",
		"select name, email, ssn, born from customers",
		"select ssn as name, name as ssn from customers",
		"select upper(ssn), lower(email), born + 1, extract(year from born) from customers",
		"select c from customers c",
		"select row_to_json(c) from customers c",
		"select to_jsonb(c) - 'ssn' - 'email' - 'born' from customers c",
		"select to_jsonb(c)->>'name', to_jsonb(c)->'ssn', (c).email from customers c",
		"select json_build_object('id', id), jsonb_build_object('n', name, 'e', email), array[ssn] from customers",
		"select name from customers union all select name from customers",
		"select tax, name from contacts",
		"select x from (select email x from customers) s",
		"select count(*), 17, 'text' from customers",
		"select count(email), max(ssn) from customers",
		"select (select ssn from customers), id from orders",
		"with w as (select * from customers) select w.ssn || w.name, w.name from w",
		"select coalesce(o.total, 0), c.email from orders o join customers c on c.id = o.customer_id",
		"select name from customers union all select ssn from customers order by 1 limit 1",
		"show server_version",
		"delete from orders",
		"select pg_read_file('/etc/passwd')",
	} {
		report, err := explain.Run(t.Context(), source, sql)
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			continue
		}
		got := through.ExecParams(t.Context(), sql, nil, nil, nil, nil).Read()
		var pg *pgconn.PgError
		if errors.As(got.Err, &pg) {
			if report.Effect == "Allow" || pg.Message != report.What {
				t.Errorf("%s: explained as %s (%s), but the proxy says: %s", sql, report.Effect, report.What, pg.Message)
			}
			continue
		}
		if report.Effect != "Allow" {
			t.Errorf("%s: explained as %s (%s), but the proxy lets it through", sql, report.Effect, report.What)
			continue
		}
		compare(t, sql, report.Statements[0].Columns, got, direct.ExecParams(t.Context(), sql, nil, nil, nil, nil).Read())
	}
}

// compare looks at the first row: a column is masked if its value is another one than the server's.
func compare(t *testing.T, sql string, columns []explain.Column, got, plain *pgconn.Result) {
	t.Helper()
	if len(columns) != len(got.FieldDescriptions) || len(got.Rows) == 0 || len(plain.Rows) == 0 {
		t.Errorf("%s: %d columns explained, %d arrived in %d rows", sql, len(columns), len(got.FieldDescriptions), len(got.Rows))
		return
	}
	for i, c := range columns {
		masked := !bytes.Equal(got.Rows[0][i], plain.Rows[0][i])
		if masked != (c.Mask != "") || c.Name != got.FieldDescriptions[i].Name {
			t.Errorf("%s: column %d is explained as %s, %s; the proxy shows %q", sql, i+1, c.Name, c.Why, got.Rows[0][i])
		}
	}
}

func connect(t *testing.T, target string) *pgconn.PgConn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := pgconn.Connect(ctx, target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func TestNothingIsExecuted(t *testing.T) {
	server := postgrestest.Shared(t)
	database := server.NewDatabase(t, shopSQL+"CREATE SEQUENCE counter;")
	source := open(t, options(t, database))
	if _, err := explain.Run(t.Context(), source, "select nextval('counter'), ssn from customers"); err != nil {
		t.Fatal(err)
	}
	result := connect(t, server.DSN(database)).ExecParams(t.Context(), "select is_called from counter", nil, nil, nil, nil).Read()
	if result.Err != nil || string(result.Rows[0][0]) != "f" {
		t.Errorf("the sequence has moved: %v", result.Err)
	}
}

func TestTheReportIsJSONForPrograms(t *testing.T) {
	source := open(t, options(t, postgrestest.Shared(t).NewDatabase(t, shopSQL)))
	report, err := explain.Run(t.Context(), source, "select email from customers where id = 1")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "report.json", string(raw)+"\n")
}

func TestADatabaseThatCannotBeAskedIsAnErrorWithACureAndWithoutTheCredential(t *testing.T) {
	server := postgrestest.Shared(t)
	for _, c := range []struct {
		what   string
		change func(*local.Options)
		want   string
	}{
		{"nobody listens", func(o *local.Options) { o.Set.DataSources[0].Spec.Postgres.Port = 1 }, "DataSource data/orders: the database cannot be reached"},
		{"the password is wrong", func(o *local.Options) { o.Set.Secrets[0].Data["password"] = []byte("another-secret") }, "the database refuses the credential (SQLSTATE 28P01)"},
		{"there is no such database", func(o *local.Options) { o.Set.DataSources[0].Spec.Postgres.Database = "none" }, `database "none" does not exist`},
	} {
		t.Run(c.what, func(t *testing.T) {
			o := options(t, "postgres")
			c.change(&o)
			_, err := explain.Run(t.Context(), open(t, o), "select 1")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			for _, secret := range []string{server.Password, "another-secret"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error holds a password: %v", err)
				}
			}
		})
	}
}
