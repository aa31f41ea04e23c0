package ddl_test

import (
	"fmt"
	"testing"
)

// copied are statements that write, where they are no more protected, values whose columns have got another meaning before.
var copied = []struct{ change, write string }{
	{changes[0].sql, `INSERT INTO plain SELECT 100 + id, 'x', 'y', upper(name) FROM customers`},
	{changes[0].sql, `UPDATE plain SET notes = c.name FROM customers c WHERE c.id = plain.id`},
	{changes[0].sql, `CREATE TABLE kept_for_later AS SELECT name FROM customers`},
	{changes[1].sql, `CREATE TABLE kept_for_later AS SELECT ssn FROM plain`},
	{changes[1].sql, `SELECT ssn || '' AS s INTO kept_for_later FROM plain`},
	{changes[7].sql, `INSERT INTO plain SELECT 100 + id, x, x, x FROM shown`},
	{changes[12].sql, `INSERT INTO parted SELECT 7, ssn, 'y' FROM plain`},
}

func TestNoValueIsWrittenWhereItIsNotProtected(t *testing.T) {
	w := newWorld(t)
	for _, c := range copied {
		w.reset(t)
		client := newClient(t, w.proxy)
		if err := simple("SELECT 1").run(client, nil); err != nil {
			t.Fatal(err)
		}
		w.does(t, c.change)
		before := w.secrets(t)
		if err := simple(c.write).run(client, nil); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %v", c.write, client.codes)
		if after := w.secrets(t); after != before {
			t.Errorf("%s: there were %d rows with protected values, and now there are %d", c.write, before, after)
		}
	}
}

// secrets counts the rows in which protected values are, over all tables.
func (w *world) secrets(t *testing.T) int {
	t.Helper()
	ask := func(sql string) [][][]byte {
		results, err := w.owner.Exec(t.Context(), sql).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return results[0].Rows
	}
	found := 0
	for _, table := range ask(`SELECT oid::regclass FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text IN ('early', 'app', 'late')`) {
		found += len(ask(fmt.Sprintf(`SELECT FROM ONLY %s t WHERE t::text ~* 'Zq7XkWv'`, table[0])))
	}
	return found
}
