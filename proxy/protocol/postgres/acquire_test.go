package postgres_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

const notesSQL = shopSQL + `
CREATE TABLE notes (id int, note text, other text);
CREATE TABLE kept (note text) ;
CREATE VIEW read_notes AS SELECT id, note FROM notes;
INSERT INTO notes VALUES (1, 'fine', 'fine');`

// shown is everything that a text returns.
func shown(t *testing.T, conn *pgconn.PgConn, sql string, params ...string) string {
	t.Helper()
	var out strings.Builder
	if params != nil {
		res := conn.ExecParams(context.Background(), sql, nil, nil, nil, nil).Read()
		if res.Err != nil {
			t.Fatalf("%s: %v", sql, res.Err)
		}
		for _, row := range res.Rows {
			for _, v := range row {
				out.Write(append(v, ' '))
			}
		}
		return out.String()
	}
	results, err := conn.Exec(context.Background(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	for _, r := range results {
		for _, row := range r.Rows {
			for _, v := range row {
				out.Write(append(v, ' '))
			}
		}
	}
	return out.String()
}

func TestTagsFollowAValueThatPolicyLetsIntoAnotherColumn(t *testing.T) {
	for name, c := range map[string]struct {
		write string
		reads []string
		clear []string // what still shows "fine"
	}{
		"insert select": {
			"insert into notes select id, ssn, 'fine' from customers",
			[]string{"select note from notes", "select upper(note) from notes", "select note from read_notes", "select n from notes n", "table kept; select * from notes"},
			[]string{"select other from notes"},
		},
		"update": {
			"update notes set note = (select ssn from customers where id = 1)",
			[]string{"select * from notes", "insert into kept select note from notes returning note", "select note from kept"},
			[]string{"select other from notes"},
		},
		"update from": {
			"update notes n set (note, other) = (c.ssn, 'fine') from customers c where c.id = n.id",
			[]string{"select * from notes"},
			[]string{"select other from notes"},
		},
		"merge": {
			"merge into notes n using customers c on c.id = n.id when matched then update set note = c.ssn when not matched then insert values (c.id, c.ssn, 'fine')",
			[]string{"select * from notes"},
			[]string{"select other from notes where id = 2"},
		},
		"with": {
			"with w as (insert into notes select id, ssn, 'fine' from customers returning note) select count(*) from w",
			[]string{"select note from notes"},
			[]string{"select other from notes"},
		},
		"create table as":          {"create table taken as select id, ssn as x from customers", []string{"select * from taken", "select x from public.taken"}, nil},
		"select into":              {"select ssn as x into taken from customers", []string{"select * from taken"}, nil},
		"materialized view":        {"create materialized view taken as select ssn as x from customers", []string{"select * from taken"}, nil},
		"a table of the same text": {"create table taken (x text); insert into taken select ssn from customers", []string{"select x from taken", "insert into kept select x from taken returning note"}, nil},
		"and renamed":              {"insert into notes select id, ssn, 'fine' from customers; alter table notes rename note to memo; alter table notes rename to memos", []string{"select memo from memos", "select note from read_notes"}, []string{"select other from memos"}},
		"prepared":                 {"prepare p as insert into notes select id, ssn, 'fine' from customers; execute p", []string{"select note from notes"}, []string{"select other from notes"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, config{tags: shopTags, sql: notesSQL})
			writer, reader := p.connect(t), p.connect(t)
			if got := shown(t, reader, "select note from notes"); !strings.Contains(got, "fine") {
				t.Fatalf("before: %q", got)
			}
			got := shown(t, writer, c.write)
			for _, sql := range c.reads {
				got += shown(t, reader, sql) + shown(t, writer, sql)
				if !strings.Contains(sql, ";") {
					got += shown(t, reader, sql, "")
				}
			}
			if strings.Contains(got, "078-05") || strings.Contains(got, "219-09") || !strings.Contains(got, "*****") {
				t.Errorf("read back: %q", got)
			}
			for _, sql := range c.clear {
				if got := shown(t, reader, sql); !strings.Contains(got, "fine") {
					t.Errorf("%s: %q, which carries nothing", sql, got)
				}
			}
		})
	}
}

func TestTagsFollowInTheSessionsOwnTables(t *testing.T) {
	p := start(t, config{tags: shopTags, sql: notesSQL})
	conn := p.connect(t)
	query(t, conn, "create temp table mine (a text)")
	if got := shown(t, conn, "insert into mine values ('fine') returning a"); !strings.Contains(got, "fine") {
		t.Fatalf("before: %q", got)
	}
	for _, sql := range []string{
		"insert into mine select ssn from customers returning a", "select a from mine", "begin; create table later (b text)",
		"insert into later select a from mine", "select b from later", "commit", "select b from later",
	} {
		if got := shown(t, conn, sql); strings.Contains(got, "078-05") {
			t.Errorf("%s: %q", sql, got)
		}
	}
	if got := shown(t, p.connect(t), "select b from later"); strings.Contains(got, "078-05") || !strings.Contains(got, "*****") {
		t.Errorf("another session reads %q", got)
	}
}

func TestNothingIsWrittenBeforeItsTagsAreKept(t *testing.T) {
	var asked [][]catalog.Acquired
	answer := errors.New("there is no operator")
	var mu sync.Mutex
	p := start(t, config{tags: shopTags, sql: notesSQL, engine: func(o *postgres.Options) {
		o.Keep = func(_ context.Context, acquired []catalog.Acquired) error {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, acquired)
			return answer
		}
	}})
	conn := p.connect(t)
	const write = "insert into notes select id, ssn, 'fine' from customers"
	if _, err := conn.Exec(t.Context(), write).ReadAll(); err == nil || !strings.Contains(err.Error(), "there is no operator") {
		t.Errorf("written although nobody keeps the tags: %v", err)
	}
	if got := shown(t, conn, "select count(*) from notes"); got != "1 " {
		t.Errorf("rows in the table: %q", got)
	}
	mu.Lock()
	answer = nil
	mu.Unlock()
	shown(t, conn, write)
	shown(t, conn, write)
	mu.Lock()
	defer mu.Unlock()
	if len(asked) < 2 || len(asked[len(asked)-1]) != 1 || asked[len(asked)-1][0].Relation == 0 {
		t.Errorf("asked to keep %v", asked)
	}
	if len(asked) > 4 {
		t.Errorf("asked %d times: what is kept was asked for again", len(asked))
	}
}

// What another sidecar has seen written is protected here as well.
func TestTagsThatAnotherSidecarHasSeenAcquiredProtect(t *testing.T) {
	var kept []catalog.Acquired
	writer := start(t, config{tags: shopTags, sql: notesSQL, engine: func(o *postgres.Options) {
		o.Keep = func(_ context.Context, acquired []catalog.Acquired) error {
			kept = acquired
			return nil
		}
	}})
	shown(t, writer.connect(t), "insert into notes select id, ssn, 'fine' from customers")
	reader := start(t, config{tags: shopTags, server: writer.server, database: writer.db})
	conn := reader.connect(t)
	if got := shown(t, conn, "select note from notes"); !strings.Contains(got, "078-05") {
		t.Fatalf("without them the other proxy masks all the same, so this shows nothing: %q", got)
	}
	reader.engine.Reclassify(nil, kept, nil)
	if got := shown(t, conn, "select note from notes"); strings.Contains(got, "078-05") || !strings.Contains(got, "*****") {
		t.Errorf("the other proxy shows %q", got)
	}
}

func TestAcquiredTagsOutliveReclassification(t *testing.T) {
	p := start(t, config{tags: shopTags, sql: notesSQL})
	conn := p.connect(t)
	shown(t, conn, "insert into notes select id, ssn, 'fine' from customers")
	p.engine.Reclassify(nil, nil, nil)
	if got := shown(t, conn, "select note from notes"); strings.Contains(got, "078-05") {
		t.Errorf("after the classification was withdrawn: %q", got)
	}
}

// What was decided before a column got tags may run after the write, in its own time.
func TestAWriteWaitsForStatementsThatWereDecidedBefore(t *testing.T) {
	p := start(t, config{tags: shopTags, sql: notesSQL})
	reader, writer := p.connect(t), p.connect(t)
	read := make(chan string)
	go func() {
		results, err := reader.Exec(context.Background(), "select pg_sleep(1.5); select upper(note) from notes; insert into kept select note from notes; select note from kept").ReadAll()
		if err != nil {
			read <- err.Error()
			return
		}
		var all strings.Builder
		for _, r := range results {
			for _, row := range r.Rows {
				all.Write(row[0])
			}
		}
		read <- all.String()
	}()
	until(t, "the reader sleeps", func() bool {
		return p.server.Exec(context.Background(), p.db, `DO $$ BEGIN ASSERT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'select pg_sleep(1.5)%' AND wait_event = 'PgSleep'); END $$`) == nil
	})
	shown(t, writer, "insert into notes select id, ssn, 'fine' from customers")
	// What the reader's first statement shows was decided by tags that are no more: it is dropped, unless its rows were there before.
	if got := <-read; strings.Contains(got, "078-05") || !strings.Contains(got, "FINE") && !strings.Contains(got, "40001") {
		t.Errorf("the reader got %q", got)
	}
}

func TestAStatementPreparedBeforeAColumnGotTagsIsMasked(t *testing.T) {
	p := start(t, config{tags: shopTags, sql: notesSQL})
	reader, writer := p.connect(t), p.connect(t)
	shown(t, reader, "prepare plain as select note from notes; prepare computed as select upper(note) from notes")
	shown(t, writer, "insert into notes select id, ssn, 'fine' from customers")
	for _, sql := range []string{"execute plain", "execute computed"} {
		results, err := reader.Exec(context.Background(), sql).ReadAll()
		for _, r := range results {
			for _, row := range r.Rows {
				if strings.Contains(string(row[0]), "078-05") {
					t.Errorf("%s: %q", sql, row)
				}
			}
		}
		if err != nil && !strings.Contains(err.Error(), "tidewaiter") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for _, name := range []string{"plain", "computed"} {
		res := reader.ExecPrepared(context.Background(), name, nil, nil, nil).Read()
		for _, row := range res.Rows {
			if strings.Contains(string(row[0]), "078-05") {
				t.Errorf("%s: %q", name, row)
			}
		}
	}
}
