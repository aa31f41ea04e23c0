package postgres_test

import (
	"context"
	"testing"
)

// A client's own temporary tables, used in the same text, transaction and session, are what every report does: they are no change of
// definitions by others.
func TestAClientsOwnTablesAreUsedAtOnce(t *testing.T) {
	p := start(t, config{tags: shopTags})
	conn := p.connect(t)
	for _, sql := range []string{
		"create temp table k as select id from customers; select id from k",
		"begin; create temp table k2 as select id, name from customers; select name from k2; insert into k2 values (9, 'x'); select count(*) from k2; commit",
		"select name from k2",
		"create temp table k3 (a int) on commit drop",
		"begin; create temp table k4 (a int) on commit drop; insert into k4 values (1); select a from k4, customers; rollback",
	} {
		if _, err := conn.Exec(context.Background(), sql).ReadAll(); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
