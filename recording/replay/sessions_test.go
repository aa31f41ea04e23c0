package replay_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// pipelined is a session past midnight whose statements begin before those before
// them have ended, and one never ends.
func pipelined() []access.Event {
	one, two, three := run(1, "select 1"), run(2, "select 2"), run(1203, "select pg_sleep(100)")
	three.Time = start.Add(3 * time.Second)
	row := func(number int64, v string) access.Event {
		return access.Event{Kind: access.EventRows, Time: start, Statement: number, Rows: &access.Rows{Values: [][]access.Value{{{Text: v}}}}}
	}
	return []access.Event{
		one, two,
		row(2, "two"),
		ended(2, access.Ended{Outcome: access.OutcomeDone, Rows: 1, Duration: 1500 * time.Millisecond}),
		row(1, "one"),
		ended(1, access.Ended{Outcome: access.OutcomeDone, Rows: 1, Duration: 250 * time.Second}),
		three,
		{Kind: access.EventDisagreed, Time: start, Statement: 1, Note: "the server contradicted statement 1 after its end"},
		{Kind: access.EventClosed, Time: start.Add(4 * time.Second), Closed: &access.Closed{Reason: "the client went away"}},
	}
}

// hostile is a session of somebody who wants to hide what they did.
func hostile() []access.Event {
	const hide = "\x1b[1A\x1b[2K\r\x1b]0;title\x07\u009b31m"
	texts := []string{
		"select 1 -- harmless\n; drop table customers",
		"select 'gone" + hide + "'",
		"select '\u202eevitcerid\u202c', 'zero\u200bwidth', '\u3164\u2800', 'z\u0301\u0302\u0303\u0304algo'",
		"/*" + strings.Repeat(" ", 5000) + strings.Repeat("*", 500) + "*/ delete from customers",
		"select 1" + strings.Repeat("\n", 3000) + "; delete from orders",
		"caf\xe9 \xff",
		"   12  14:17:03.000  select 1   allowed (rule read)\n      chain ok",
	}
	var events []access.Event
	events = append(events, access.Event{Kind: access.EventOpened, Time: start, Opened: &access.Opened{
		Session: "s" + hide, DataSource: "data/orders", Protocol: "postgres",
		Hello: access.Hello{User: hide, Application: "psql\nWho      shop/somebody-else", Settings: map[string]string{hide: hide}},
	}})
	for i, text := range texts {
		number := int64(i + 1)
		e := run(number, text)
		e.Decided.Kinds, e.Decided.Resources = []string{"Select", "Delete"}, []string{"Write public.customers"}
		e.Decided.Parameters = []access.Value{{Text: hide}}
		e.Decided.Flags = []string{hide}
		events = append(events, e,
			access.Event{Kind: access.EventRows, Time: start, Statement: number, Rows: &access.Rows{
				Columns: []access.Column{{Name: "a" + hide, Masked: hide}},
				Values:  [][]access.Value{{{Text: hide}}, {{Text: "two\nlines\tand a tab"}}},
			}},
			ended(number, access.Ended{Outcome: access.OutcomeFailed, Tag: hide, Code: "\x1b[0m", Message: "no\nsuch " + hide}))
	}
	return append(events,
		access.Event{Kind: "\x1b[2J", Time: start},
		access.Event{Kind: access.EventDisagreed, Time: start, Note: hide},
		access.Event{Kind: access.EventClosed, Time: start, Closed: &access.Closed{Reason: hide}})
}

// refusals are the ways in which a statement does not run.
func refusals() []access.Event {
	var events []access.Event
	number := int64(0)
	add := func(text string, end *access.Ended, change func(*access.Decided)) {
		number++
		e := run(number, text)
		change(e.Decided)
		events = append(events, e)
		if end != nil {
			events = append(events, ended(number, *end))
		}
	}
	denied := &access.Ended{Outcome: access.OutcomeDenied, Message: "tidewaiter: the statement was refused"}
	done := &access.Ended{Outcome: access.OutcomeDone, Tag: "COPY 5", Duration: 12 * time.Second}
	add("drop table orders", denied, func(d *access.Decided) { d.Effect, d.Policy, d.Rule, d.Reason = "Deny", "", "", "no rule allows DDL" })
	add("garbage", denied, func(d *access.Decided) { *d = access.Decided{Phase: access.PhaseRun, Text: "garbage"} })
	add("prepared and denied", denied, func(d *access.Decided) {
		d.Phase, d.Effect, d.Rule, d.Reason = access.PhasePrepare, "Deny", "no-exports", "exports are denied"
	})
	add("prepared and failed", &access.Ended{Outcome: access.OutcomeFailed, Code: "42601", Message: "syntax error"}, func(d *access.Decided) { d.Phase = access.PhasePrepare })
	add("prepared", &access.Ended{Outcome: access.OutcomeDone}, func(d *access.Decided) { d.Phase = access.PhasePrepare })
	add("copy a to stdout", denied, func(d *access.Decided) {
		d.Effect, d.Rule, d.Reason = "RequireApproval", "exports", "exports need approval"
	})
	add("copy b to stdout", done, func(d *access.Decided) { d.Effect, d.Rule = "RequireApproval", "exports" })
	add("copy c to stdout", denied, func(*access.Decided) {})
	add("select 1", &access.Ended{Outcome: access.OutcomeSkipped}, func(*access.Decided) {})
	add("select 2", &access.Ended{Outcome: access.OutcomeLost, Duration: 20 * time.Millisecond}, func(*access.Decided) {})
	add("select 3", &access.Ended{Outcome: "Vanished"}, func(d *access.Decided) { d.Effect = "Sometimes" })
	add("copy d to stdout", nil, func(d *access.Decided) { d.Effect, d.Rule = "RequireApproval", "exports" })
	return events
}

// wideTables has more rows, columns, results and bytes than are shown.
func wideTables() []access.Event {
	var columns []access.Column
	var row []access.Value
	for i := range 40 {
		columns = append(columns, access.Column{Name: fmt.Sprintf("c%d", i)})
		row = append(row, access.Value{Text: fmt.Sprint(i)})
	}
	events := []access.Event{run(1, "select * from wide")}
	rows := func(r access.Rows) {
		events = append(events, access.Event{Kind: access.EventRows, Time: start, Statement: 1, Rows: &r})
	}
	rows(access.Rows{Columns: columns, Values: [][]access.Value{row}})
	rows(access.Rows{Columns: []access.Column{{Name: "doc"}, {Name: "raw"}, {Name: "größe"}}, Values: [][]access.Value{
		{{Text: strings.Repeat("long ", 40), Size: 1 << 30}, {Binary: []byte{0xde, 0xad}, Size: 123456}, {Text: "ü"}},
	}})
	for range 600 {
		rows(access.Rows{Values: [][]access.Value{{{Text: "short"}, {Masked: true, Null: true}}, {}}})
	}
	return append(events, ended(1, access.Ended{Outcome: access.OutcomeDone, Rows: 1202, Bytes: 42 << 20, Duration: time.Second}))
}
