package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// prepareFetch prepares a FETCH of a cursor that does not exist yet, and an EXECUTE of such a statement.
func prepareFetch(t *testing.T, conn *pgconn.PgConn) {
	t.Helper()
	for name, sql := range map[string]string{"early fetch": `fetch all in "later"`, "early execute": `execute "later"`} {
		if _, err := conn.Prepare(context.Background(), name, sql, nil); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func TestAFetchMayBePreparedBeforeItsCursorExists(t *testing.T) {
	p := start(t, config{tags: shopTags})
	conn, ctx := p.connect(t), context.Background()
	prepareFetch(t, conn)
	query(t, conn, `begin; declare "later" cursor for select id from customers order by id; prepare "later" as select total from orders where id = 7`)
	for name, want := range map[string]string{"early fetch": "1", "early execute": "7"} {
		res := conn.ExecPrepared(ctx, name, nil, nil, nil).Read()
		if res.Err != nil || len(res.Rows) == 0 || string(res.Rows[0][0]) != want {
			t.Errorf("%s: %q, %v", name, res.Rows, res.Err)
		}
	}
}

func TestWhatWasPreparedBeforeItsCursorExistsIsDecidedWhenItRuns(t *testing.T) {
	p := start(t, config{tags: shopTags})
	conn, ctx := p.connect(t), context.Background()
	prepareFetch(t, conn)
	for _, name := range []string{"early fetch", "early execute"} {
		if res := conn.ExecPrepared(ctx, name, nil, nil, nil).Read(); res.Err == nil {
			t.Errorf("%s ran before anything was known of it", name)
		}
	}
	query(t, conn, `prepare "later" as select ssn from customers; begin; declare "later" cursor for select ssn from customers`)
	for _, sql := range []string{`execute "early fetch"`, `execute "early execute"`} {
		rows, err := conn.Exec(ctx, sql).ReadAll()
		if err == nil {
			t.Errorf("%s went past what is known of its name: %v", sql, rows)
		} else if strings.Contains(err.Error(), "078-05") {
			t.Errorf("%s: %v", sql, err)
		}
		query(t, conn, "rollback; begin")
	}
}
