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

// What a cursor WITH HOLD has read is known by a look when it was made: its values are masked as exactly as those of other cursors,
// also when the catalog has changed since.
func TestACursorWithHoldIsMaskedAsExactlyAsOthers(t *testing.T) {
	p := start(t, config{tags: shopTags})
	conn, ctx := p.connect(t), context.Background()
	for _, begun := range []string{"", "begin; "} {
		query(t, conn, begun+`declare h cursor with hold for select upper(name), ssn, count(*) over () from customers order by id`)
		if begun != "" {
			query(t, conn, "commit")
		}
		for i, between := range []string{"create temporary table made_between (i int)", "select 1"} {
			rows, err := conn.Exec(ctx, "fetch 1 from h").ReadAll()
			if err != nil || len(rows) != 1 || len(rows[0].Rows) != 1 {
				t.Fatalf("fetch %d: %v, %v", i, rows, err)
			}
			row := rows[0].Rows[0]
			if got := string(row[0]); got == "" || got != strings.ToUpper(got) || strings.Contains(got, "*") {
				t.Errorf("%sfetch %d: upper(name) is %q", begun, i, got)
			}
			if got := string(row[1]); strings.Contains(got, "078") {
				t.Errorf("%sfetch %d: ssn is %q", begun, i, got)
			}
			if got := string(row[2]); got == "" || strings.Contains(got, "*") {
				t.Errorf("%sfetch %d: the count is %q", begun, i, got)
			}
			query(t, conn, between)
		}
		query(t, conn, "close h; drop table if exists made_between")
	}
}
