package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

const routineSQL = shopSQL + `
CREATE FUNCTION greet(a int) RETURNS text LANGUAGE sql AS $$ SELECT 'Hello ' || name FROM customers WHERE id = a $$;
CREATE FUNCTION email_of(a int) RETURNS text LANGUAGE plpgsql AS $$ DECLARE v text; BEGIN SELECT email INTO v FROM customers WHERE id = a; RETURN lower(v); END $$;
CREATE FUNCTION people() RETURNS TABLE (who text, tax text) LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY SELECT name, ssn FROM customers ORDER BY id; END $$;
CREATE FUNCTION fails(a int) RETURNS text LANGUAGE plpgsql AS $$ DECLARE v text; BEGIN SELECT ssn INTO v FROM customers WHERE id = a; RAISE EXCEPTION 'no %', v; END $$;
CREATE FUNCTION dynamic() RETURNS text LANGUAGE plpgsql AS $$ DECLARE v text; BEGIN EXECUTE 'SELECT ssn FROM customers' INTO v; RETURN v; END $$;
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not %', (SELECT ssn FROM customers WHERE id = 1); END $$;
CREATE TRIGGER watch BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION watch();
`

// nothingUnread allows what has no feature that says what cannot be read.
func nothingUnread(op *access.Operation) (access.Decision, error) {
	for i := range op.Statements {
		for _, f := range op.Statements[i].Features {
			if f.Name == "UnknownFunction" {
				return access.Decision{Policy: "data/test", Rule: "guard UnknownFunction"}, nil
			}
		}
	}
	return allowUnderstood(op)
}

func TestAFunctionShowsNoMoreThanItsBodyWould(t *testing.T) {
	p := start(t, config{tags: shopTags, sql: routineSQL, decider: decide(nothingUnread)})
	for _, c := range []struct{ sql, want string }{
		{"select greet(1)", "Hello Ada"},
		{"select email_of(1)", "*****"},
		{"select * from people()", "Ada|*****\nGrace|*****"},
		{"select tax, who from people() where who = 'Ada'", "*****|Ada"},
		{"select greet(id), email_of(id) from customers where id = 2", "Hello Grace|*****"},
		{"copy (select * from people()) to stdout", "Ada\t*****\nGrace\t*****"},
	} {
		if got := p.psql(t, c.sql); got != c.want {
			t.Errorf("%s\n got: %s\nwant: %s", c.sql, got, c.want)
		}
	}
	for _, sql := range []string{"select fails(1)", "delete from orders where id = 1", "select dynamic()"} {
		if got := p.psql(t, sql); strings.Contains(got, "078") || !strings.Contains(got, "ERROR") {
			t.Errorf("%s: %s", sql, got)
		}
	}
}

func TestATableRenamedPastTheProxyStaysMasked(t *testing.T) {
	p := start(t, config{tags: shopTags})
	if got := p.psql(t, "select name, ssn from customers where id = 1"); got != "Ada|*****" {
		t.Fatalf("before: %s", got)
	}
	direct, err := pgconn.Connect(context.Background(), p.server.DSN(p.db))
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close(context.Background())
	if _, err := direct.Exec(context.Background(), "ALTER TABLE customers RENAME ssn TO taxno; ALTER TABLE customers RENAME TO clients").ReadAll(); err != nil {
		t.Fatal(err)
	}
	if got := p.psql(t, "select name, taxno, upper(taxno) from clients where id = 1"); got != "Ada|*****|*****" {
		t.Errorf("the renamed table: %s", got)
	}
}
