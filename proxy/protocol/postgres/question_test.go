package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// probing is a policy that allows everything and so many distinct probes a session.
func probing(most int64) decide {
	return func(op *access.Operation) (access.Decision, error) {
		d, err := allowUnderstood(op)
		d.Probes.PerSession = access.Bound{Most: most, Policy: "data/careful"}
		return d, err
	}
}

// attempt runs statements, or one with its parameters, and returns the error.
func attempt(conn *pgconn.PgConn, sql string, params ...string) error {
	if len(params) == 0 {
		_, err := conn.Exec(context.Background(), sql).ReadAll()
		return err
	}
	var values [][]byte
	for _, p := range params {
		values = append(values, []byte(p))
	}
	return conn.ExecParams(context.Background(), sql, values, nil, nil, nil).Read().Err
}

// exhausted reports whether err is the refusal for too many probes.
func exhausted(err error) bool {
	return err != nil && strings.Contains(err.Error(), "policy data/careful, rule probes")
}

// step is a statement, and whether it is one probe too many.
type step struct {
	sql     string
	params  []string
	refused bool
}

func TestOnlyDistinctProbesAreCounted(t *testing.T) {
	for name, steps := range map[string][]step{
		"constants": {
			{sql: "select id from customers where ssn = '1'"},
			{sql: "SELECT id  FROM customers /* again */ WHERE ssn = '1' -- the same"},
			{sql: "select id from customers where ssn = '2'"},
			{sql: "select id from customers where ssn = '3'", refused: true},
			{sql: "select id from customers where ssn = '2'"},
			{sql: "select id from orders where id = 3"},
			{sql: "select id, name from customers where id = 1"},
		},
		"parameters": {
			{sql: "select id from customers where ssn = $1", params: []string{"1"}},
			{sql: "select id from customers where ssn = $1", params: []string{"2"}},
			{sql: "select id from customers where ssn = $1", params: []string{"1"}},
			{sql: "select id from customers where ssn = $1", params: []string{"3"}, refused: true},
		},
		"prepared by name": {
			{sql: "prepare p as select id from customers where ssn = $1"},
			{sql: "execute p('1')"},
			{sql: "execute p('1')"},
			{sql: "execute p('2')"},
			{sql: "execute p('3')", refused: true},
		},
		"the same name for other constants": {
			{sql: "prepare p as select id from customers where ssn = '1'"},
			{sql: "execute p"},
			{sql: "deallocate p; prepare p as select id from customers where ssn = '2'"},
			{sql: "execute p"},
			{sql: "deallocate p; prepare p as select id from customers where ssn = '3'"},
			{sql: "execute p", refused: true},
			{sql: "explain analyze execute p", refused: true},
		},
		"cursors": {
			{sql: "begin; declare c cursor for select id from customers where ssn >= '1'"},
			{sql: "fetch 1 from c"},
			{sql: "fetch 1 from c"},
			{sql: "declare d cursor for select id from customers where ssn >= '1'"},
			{sql: "declare e cursor for select id from customers where ssn >= '2'"},
			{sql: "move 1 in e"},
			{sql: "declare f cursor for select id from customers where ssn >= '3'", refused: true},
		},
		"several in one text": {
			{sql: "select id from customers where ssn = '1'; select id from customers where ssn = '2'; select id from customers where ssn = '3'", refused: true},
			{sql: "select id from customers where ssn = '1'; select id from customers where ssn = '2'"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, config{tags: shopTags, decider: probing(2)})
			conn := p.connect(t)
			for _, s := range steps {
				if err := attempt(conn, s.sql, s.params...); exhausted(err) != s.refused || err != nil && !s.refused {
					t.Errorf("%s %q: %v, want a refusal: %v", s.sql, s.params, err, s.refused)
				}
			}
		})
	}
}

// A portal may be bound with a value and read by FETCH, without an Execute.
func TestAFetchOfABoundPortalIsTheProbeOfItsParameters(t *testing.T) {
	p := start(t, config{tags: shopTags, decider: probing(2)})
	conn := p.raw(t)
	send(t, conn, []byte("Q\x00\x00\x00\x0abegin\x00"))
	untilKind(t, conn, 'Z')
	parse := "q\x00select id from customers where ssn = $1\x00\x00\x00"
	send(t, conn, framed('P', parse))
	for i, want := range []byte{'T', 'T', 'E'} {
		value := string(rune('1' + i))
		send(t, conn, framed('B', value+"\x00q\x00\x00\x00\x00\x01\x00\x00\x00\x01"+value+"\x00\x00"))
		send(t, conn, framed('S', ""))
		untilKind(t, conn, 'Z')
		send(t, conn, framed('Q', "fetch all from \""+value+"\"\x00"))
		if kind, _ := message(t, conn); kind != want {
			t.Errorf("the %d. portal: got %q, want %q", i+1, kind, want)
		}
		untilKind(t, conn, 'Z')
	}
}

func framed(kind byte, body string) []byte {
	n := len(body) + 4
	return append([]byte{kind, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, body...)
}

func TestFailuresThatDependOnTaggedDataCloseIt(t *testing.T) {
	p := start(t, config{tags: shopTags, decider: probing(2)})
	conn := p.connect(t)
	for _, sql := range []string{
		"select 1/0 from orders where id = 1", // no tagged data: tells nothing
		"select nothing from customers",       // depends on no row
		"select ssn::date from customers where id = 1",
		"select ssn::date from customers where id = 1", // the same again
		"select ssn::date from customers where id = 2",
		"select ssn::inet from customers where id = 1",
	} {
		if err := attempt(conn, sql); err == nil || exhausted(err) {
			t.Errorf("%s: %v, want the server's own error", sql, err)
		}
	}
	if err := attempt(conn, "select ssn::uuid from customers where id = 1"); !exhausted(err) {
		t.Errorf("one more: %v", err)
	}
	if err := attempt(conn, "select id from orders"); err != nil {
		t.Errorf("what touches no tagged data: %v", err)
	}
	_ = conn.Close(context.Background())
	if got := p.closed(t); got.Probes != 2 {
		t.Errorf("counted %d probes", got.Probes)
	}
}
