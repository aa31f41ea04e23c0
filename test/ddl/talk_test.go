package ddl_test

import (
	"fmt"

	"github.com/jackc/pgx/v5/pgproto3"
)

// step is messages that go out in one piece, and the type of the message that ends the wait for their answer.
type step struct {
	send  []pgproto3.FrontendMessage
	until string
}

// talk is a conversation in steps. Between any two of them somebody else may change the database.
type talk struct {
	name  string
	steps []step
	// prepares: the first step is not repeated when the talk is held again.
	prepares bool
}

// run holds the whole talk and calls between before the step of that number; a step that fails ends it early, as it may.
func (t talk) run(c *client, between func()) error { return t.runWith(c, -1, between) }

func (t talk) runWith(c *client, at int, between func()) error {
	failed := false
	for i, s := range t.steps {
		if i == at {
			between()
		}
		if failed && s.until != "Z" {
			continue // the server skips it, and answers the Sync that is to come
		}
		before := len(c.codes)
		if err := c.send(s.send...); err != nil {
			return err
		}
		if err := c.until(s.until); err != nil {
			return err
		}
		failed = s.until != "Z" && len(c.codes) > before
	}
	return nil
}

func query(sql string) step {
	return step{[]pgproto3.FrontendMessage{&pgproto3.Query{String: sql}}, "Z"}
}

func simple(sql string) talk { return talk{name: "simple", steps: []step{query(sql)}} }

// talks are the ways to run a statement.
func talks(sql string) []talk {
	parse := &pgproto3.Parse{Name: "s", Query: sql}
	bind := &pgproto3.Bind{DestinationPortal: "p", PreparedStatement: "s"}
	describe := &pgproto3.Describe{ObjectType: 'P', Name: "p"}
	execute, one := &pgproto3.Execute{Portal: "p"}, &pgproto3.Execute{Portal: "p", MaxRows: 1}
	flush, sync := &pgproto3.Flush{}, &pgproto3.Sync{}
	messages := func(m ...pgproto3.FrontendMessage) []pgproto3.FrontendMessage { return m }
	return []talk{
		simple(sql),
		{name: "in a transaction", steps: []step{query("BEGIN"), query(sql), query(sql), query("ROLLBACK")}},
		{name: "prepared by name", prepares: true, steps: []step{
			{messages(parse, sync), "Z"}, {messages(bind, describe, execute, sync), "Z"}, {messages(bind, execute, sync), "Z"},
		}},
		{name: "message by message", steps: []step{
			{messages(&pgproto3.Parse{Name: "", Query: sql}, flush), "1E"},
			{messages(&pgproto3.Bind{DestinationPortal: "p"}, flush), "2E"},
			{messages(one, flush), "sCE"},
			{messages(execute, flush), "CE"},
			{messages(sync), "Z"},
		}},
		{name: "described first", steps: []step{
			query("BEGIN"),
			{messages(&pgproto3.Parse{Name: "", Query: sql}, &pgproto3.Bind{DestinationPortal: "p"}, describe, flush), "TnE"},
			{messages(one, flush), "sCE"},
			{messages(execute, flush), "CE"},
			{messages(sync), "Z"},
			query("ROLLBACK"),
		}},
		{name: "PREPARE", prepares: true, steps: []step{query("PREPARE e AS " + sql), query("EXECUTE e"), query("EXECUTE e")}},
		{name: "cursor", steps: []step{
			query("BEGIN"), query("DECLARE c CURSOR FOR " + sql), query("FETCH 1 FROM c"), query("FETCH ALL FROM c"), query("ROLLBACK"),
		}},
		{name: "cursor with hold", steps: []step{query("DECLARE h CURSOR WITH HOLD FOR " + sql), query("FETCH ALL FROM h"), query("CLOSE h")}},
		{name: "cursor with hold in a transaction", steps: []step{
			query("BEGIN"), query("DECLARE h CURSOR WITH HOLD FOR " + sql),
			query("SELECT upper(notes) FROM app.heir"), query("COMMIT"), query("FETCH ALL FROM h"), query("CLOSE h"),
		}},
		{name: "cursor with hold, executed", steps: []step{
			query("DECLARE h CURSOR WITH HOLD FOR " + sql), query("FETCH 0 FROM h"),
			{messages(&pgproto3.Describe{ObjectType: 'P', Name: "h"}, &pgproto3.Execute{Portal: "h"}, sync), "Z"},
			query("CLOSE h"),
		}},
		{name: "cursor with hold, declared again", steps: []step{
			query("DECLARE h CURSOR WITH HOLD FOR " + sql), query("FETCH 0 FROM h"),
			query("DECLARE h CURSOR WITH HOLD FOR " + sql), query("FETCH ALL FROM h"), query("CLOSE h"),
		}},
		{name: "COPY", steps: []step{query(fmt.Sprintf("COPY (%s) TO STDOUT", sql))}},
		{name: "COPY in a transaction", steps: []step{query("BEGIN"), query(fmt.Sprintf("COPY (%s) TO STDOUT", sql)), query("ROLLBACK")}},
	}
}
