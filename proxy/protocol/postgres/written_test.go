package postgres_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// masked is a policy that allows everything and shows tax numbers in part.
func masked(op *access.Operation) (access.Decision, error) {
	d, err := allowUnderstood(op)
	d.Masks = map[string]access.Mask{"pii/ssn": {Strategy: "Partial", KeepLast: 4}, "pii/free": {Strategy: "Reveal"}}
	return d, err
}

const staffSQL = shopSQL + `
CREATE TABLE staff (id int PRIMARY KEY, ssn text, pay int, born date, motto text, data jsonb);
INSERT INTO staff VALUES (1, '078-05-1120', 100, '1970-01-01', 'none', '{}');`

var staffTags = map[string]string{
	"public.staff.ssn": "pii/ssn", "public.staff.pay": "pii/pay", "public.staff.born": "pii/born", "public.staff.data": "pii/data", "public.staff.motto": "pii/free",
}

// destroyed reports whether err is the refusal to write a placeholder to a column.
func destroyed(err error) bool {
	return err != nil && strings.Contains(err.Error(), "is the placeholder that its mask shows")
}

func TestAPlaceholderIsNotWrittenBack(t *testing.T) {
	p := start(t, config{tags: staffTags, sql: staffSQL, decider: decide(masked)})
	conn, direct := p.connect(t), context.Background()
	for _, s := range []step{
		{sql: "update staff set ssn = '***1120' where id = 1"},
		{sql: "update staff set ssn = ('***1120'::text)::varchar(11) where id = 1"},
		{sql: "update staff set ssn = coalesce(null, '***1120') where id = 1"},
		{sql: "update staff as s set (pay, ssn) = (7, '***1120') where id = 1"},
		{sql: "update staff set (pay, ssn) = (select 7, '***1120') where id = 1"},
		{sql: "update staff set ssn = case id when 1 then '***1120' when 2 then '***1121' end where id in (1, 2)"},
		{sql: "update staff set ssn = v.n from (values (1, '***1120')) as v(id, n) where v.id = staff.id"},
		{sql: "with v(id, n) as (values (1, '***1120')) update staff set ssn = n from v where v.id = staff.id"},
		{sql: "update staff set data = '\"*****\"' where id = 1"},
		{sql: "update staff set ssn = $1 where id = 1", params: []string{"***1120"}},
		{sql: "update staff set ssn = coalesce($2, ssn), pay = $1 where id = 1", params: []string{"7", "***1120"}},
		{sql: "insert into staff (id, ssn) values (2, '***1120')"},
		{sql: "insert into staff values (3, '100-00-0001'), (2, '***1120')"},
		{sql: "insert into staff (id, ssn) select 2, '***1120'"},
		{sql: "insert into staff (id, ssn) select * from (values (2, '***1120')) v"},
		{sql: "insert into staff (id, ssn) values ($1, $2)", params: []string{"2", "***1120"}},
		{sql: "insert into staff (id, ssn) values (1, '1') on conflict (id) do update set ssn = '***1120'"},
		{sql: "with w as (insert into staff (id, ssn) values (2, '***1120') returning id) select id from w"},
		{sql: "merge into staff using (values (1, '***1120')) v(id, n) on v.id = staff.id when matched then update set ssn = v.n"},
		{sql: "merge into staff using (values (2, '***1120')) v(id, n) on v.id = staff.id when not matched then insert (id, ssn) values (v.id, v.n)"},
		{sql: "explain analyze update staff set ssn = '***1120' where id = 1"},
		{sql: "prepare p as update staff set ssn = $1 where id = 1; execute p('***1120')"},
	} {
		if err := attempt(conn, s.sql, s.params...); !destroyed(err) || !strings.Contains(err.Error(), "public.staff.") {
			t.Errorf("%s %q: %v", s.sql, s.params, err)
		}
	}
	if err := p.server.Exec(direct, p.db, `DO $$ BEGIN ASSERT (SELECT string_agg(id || ssn || pay, '') FROM staff) = '1078-05-1120100'; END $$`); err != nil {
		t.Errorf("something was written: %v", err)
	}
	_ = conn.Close(direct)
	if got := p.closed(t); got.Denied < 22 {
		t.Errorf("recorded %d refusals", got.Denied)
	}
}

func TestOrdinaryValuesAreWritten(t *testing.T) {
	p := start(t, config{tags: staffTags, sql: staffSQL, decider: decide(masked)})
	conn := p.connect(t)
	for _, s := range []step{
		{sql: "update staff set pay = 0, born = '1970-01-01', motto = '*****' where id = 1"},
		{sql: "update staff set ssn = '219-09-9999', pay = null where id = 1"},
		{sql: "update staff set ssn = $1, pay = $2, born = $3 where id = 1", params: []string{"219-09-9999", "0", "1970-01-01"}},
		{sql: "update staff set ssn = null, data = '{\"a\": \"***\"}' where id = 1"},
		{sql: "update staff set ssn = default where ssn = '***1120'"},
		{sql: "insert into orders values (11, 1)"},
		{sql: "select id from staff where ssn = '***1120'"},
	} {
		if err := attempt(conn, s.sql, s.params...); err != nil {
			t.Errorf("%s %q: %v", s.sql, s.params, err)
		}
	}
}

// A parameter that comes in many pieces, in binary, after a large one.
func TestAPlaceholderAmongLargeParametersIsFound(t *testing.T) {
	p := start(t, config{tags: staffTags, sql: staffSQL, decider: decide(masked)})
	conn, ctx := p.connect(t), context.Background()
	large := []byte(strings.Repeat("x", 200_000))
	write := func(value string) error {
		return conn.ExecParams(ctx, "update staff set motto = $1, ssn = $2 where id = 1", [][]byte{large, []byte(value)}, nil, []int16{1, 1}, nil).Read().Err
	}
	if err := write("***1120"); !destroyed(err) {
		t.Error(err)
	}
	if err := write("219-09-9999"); err != nil {
		t.Error(err)
	}
	var many strings.Builder
	var values [][]byte
	many.WriteString("insert into staff (id, ssn) values (0, '0')")
	for i := range 10_000 {
		many.WriteString(", ($" + strconv.Itoa(2*i+1) + ", $" + strconv.Itoa(2*i+2) + ")")
		values = append(values, []byte(strconv.Itoa(i+10)), []byte("219-09-"+strconv.Itoa(i)))
	}
	values[len(values)-1] = []byte("***1120")
	if err := conn.ExecParams(ctx, many.String(), values, nil, nil, nil).Read().Err; !destroyed(err) {
		t.Error(err)
	}
	values[len(values)-1] = []byte("219-09-9999")
	if err := conn.ExecParams(ctx, many.String(), values, nil, nil, nil).Read().Err; err != nil {
		t.Error(err)
	}
}

func TestACopyOfPlaceholdersIsEndedAndTheConnectionLives(t *testing.T) {
	p := start(t, config{tags: staffTags, sql: staffSQL, decider: decide(masked)})
	conn, ctx := p.connect(t), context.Background()
	var many strings.Builder
	for i := range 50_000 { // each with a key of its own, or the server would be the first to refuse
		fmt.Fprintf(&many, "%d\t219-09-9999\n", 100+i)
	}
	lines := many.String()
	for name, c := range map[string]struct{ sql, data string }{
		"text":                 {"copy staff (id, ssn) from stdin", "2\t***1120\n"},
		"late":                 {"copy staff (id, ssn) from stdin", lines + "2\t***1120\n" + strings.ReplaceAll(lines, "\t", "0000\t")},
		"without a line's end": {"copy staff (id, ssn) from stdin", "2\t***1120"},
		"escaped":              {"copy staff (id, ssn) from stdin", "2\t**\\*1120\n"},
		"every column":         {"copy staff from stdin", "2\t***1120\t0\t1970-01-01\t\\N\t{}\n"},
		"csv":                  {"copy staff (id, ssn) from stdin (format csv, header)", "id,ssn\r\n2,***1120\r\n"},
		"quoted":               {"copy staff (ssn, id) from stdin csv", "\"***1120\",2\n"},
		"binary":               {"copy staff (id, ssn) from stdin binary", "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x04\x00\x00\x00\x02\x00\x00\x00\x07***1120\xff\xff"},
	} {
		_, err := conn.CopyFrom(ctx, strings.NewReader(c.data), c.sql)
		if !destroyed(err) || !strings.Contains(err.Error(), "public.staff.ssn") {
			t.Errorf("%s: %v", name, err)
		}
		if got := query(t, conn, "select count(*) from staff"); got != "1" {
			t.Errorf("%s: then there are %s rows", name, got)
		}
	}
	for _, sql := range []string{"copy staff (id, ssn) from stdin", "copy staff (id, motto) from stdin"} {
		data := "2\t219-09-9999\n3\t\\N\n"
		if strings.Contains(sql, "motto") {
			data = "4\t***1120\n"
		}
		if _, err := conn.CopyFrom(ctx, strings.NewReader(data), sql); err != nil {
			t.Errorf("%s of ordinary values: %v", sql, err)
		}
	}
}

// A client may send the data before it knows that the server takes it.
func TestACopyOfPlaceholdersSentAheadIsEnded(t *testing.T) {
	p := start(t, config{tags: staffTags, sql: staffSQL, decider: decide(masked)})
	conn := p.raw(t)
	ahead := append(framed('Q', "copy staff (id, ssn) from stdin\x00"), framed('d', "2\t***11")...)
	ahead = append(append(ahead, framed('d', "20\n")...), framed('d', "3\t219-09-9999\n")...)
	send(t, conn, append(ahead, framed('c', "")...))
	if got := kinds(t, conn); !strings.Contains(got, "E") {
		t.Errorf("got %q", got)
	}
	send(t, conn, framed('Q', "select count(*) from staff\x00"))
	if got := kinds(t, conn); got != "TDCZ" {
		t.Errorf("afterwards: %q", got)
	}
	if err := p.server.Exec(context.Background(), p.db, `DO $$ BEGIN ASSERT (SELECT count(*) FROM staff) = 1; END $$`); err != nil {
		t.Error(err)
	}
}

// kinds reads up to ReadyForQuery and returns the types of the messages.
func kinds(t *testing.T, conn net.Conn) string {
	t.Helper()
	var all []byte
	for {
		kind, _ := message(t, conn)
		if all = append(all, kind); kind == 'Z' {
			return string(all)
		}
	}
}
