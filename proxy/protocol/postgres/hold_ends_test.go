package postgres_test

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

func TestACancelRequestEndsTheWaitAndSendsNothingUpstream(t *testing.T) {
	d := openDesk(t)
	p := start(t, config{decider: askingFor("exports"), approver: d.broker})
	for _, protocol := range []string{"simple", "extended"} {
		conn := p.listening(t, "")
		run := conn.begin
		if protocol == "extended" {
			run = func(text string) <-chan string { return conn.extended(text) }
		}
		got := run("UPDATE orders SET total = 0")
		d.pending(t, "r1")
		within(t, conn.come, "notice")
		if err := conn.CancelRequest(t.Context()); err != nil {
			t.Fatal(err)
		}
		if out := within(t, got, "result"); !strings.Contains(out, "canceling statement due to user request") || !strings.Contains(out, "57014") {
			t.Errorf("%s: got %s", protocol, out)
		}
		if w := d.withdrawn(t); !strings.Contains(w.GetReason(), "user request") {
			t.Errorf("%s: withdrawn: %v", protocol, w)
		}
		if got := rows(conn.PgConn, "SELECT 1"); got != "1" {
			t.Errorf("%s: the connection did not go on: %s", protocol, got)
		}
	}
}

func TestAClientThatGoesWithdrawsItsRequest(t *testing.T) {
	d := openDesk(t)
	p := start(t, config{decider: askingFor("exports"), approver: d.broker})
	early := strings.Repeat("x", 80_000)
	for name, leave := range map[string]func(conn net.Conn){
		"hangs up":     func(conn net.Conn) { conn.Close() },
		"says goodbye": func(conn net.Conn) { send(t, conn, framed('X', "")) },
		"hangs up behind a lot": func(conn net.Conn) {
			send(t, conn, framed('Q', "select 1 -- "+early+"\x00"))
			conn.Close()
		},
		"says goodbye behind another": func(conn net.Conn) { send(t, conn, append(framed('Q', "select 1\x00"), framed('X', "")...)) },
	} {
		conn := p.raw(t)
		send(t, conn, framed('Q', "SELECT total FROM orders\x00"))
		d.pending(t, "r1")
		if kind, _ := message(t, conn); kind != 'N' {
			t.Errorf("%s: %c came first", name, kind)
		}
		leave(conn)
		if w := d.withdrawn(t); w.GetReason() != "the client has gone" {
			t.Errorf("%s: withdrawn: %v", name, w)
		}
	}
	conn := p.raw(t)
	send(t, conn, append(framed('Q', "SELECT total FROM orders\x00"), framed('X', "")...))
	if w := d.withdrawnOrNever(); w != "" && w != "the client has gone" {
		t.Errorf("goodbye in the same breath: withdrawn: %s", w)
	}
	waitFor(t, func() bool { return d.broker.Held() == 0 })
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come about")
		}
	}
}

func TestWhatTheClientSendsMeanwhileIsKeptInOrder(t *testing.T) {
	d := openDesk(t)
	p := start(t, config{decider: askingFor("exports"), approver: d.broker})
	conn := p.raw(t)
	send(t, conn, framed('Q', "SELECT total FROM orders WHERE id = 1\x00"))
	r := d.pending(t, "r1")
	if kind, _ := message(t, conn); kind != 'N' {
		t.Errorf("got %q, want the notice", kind)
	}
	more := append(framed('Q', "SELECT 'a'\x00"), framed('Q', "SELECT '"+strings.Repeat("b", 100_000)+"'\x00")...)
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(more[:7]) // cut in the middle of a message
		if err == nil {
			_, err = conn.Write(more[7:])
		}
		sent <- err
	}()
	if err := within(t, sent, "end of what is sent"); err != nil {
		t.Fatal(err)
	}
	d.answer(r, "r1", access.AnswerApproved, nil)
	for _, want := range []string{"TDCZ", "TDCZ", "TDCZ"} {
		if got := kinds(t, conn); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAServerThatGoesEndsTheWait(t *testing.T) {
	d := openDesk(t)
	p := start(t, config{decider: askingFor("exports"), approver: d.broker})
	conn := p.raw(t)
	send(t, conn, framed('Q', "SELECT total FROM orders\x00"))
	d.pending(t, "r1")
	message(t, conn)
	if err := p.server.Exec(t.Context(), p.db, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name NOT LIKE 'tidewaiter%'"); err != nil {
		t.Fatal(err)
	}
	if kind, body := message(t, conn); kind != 'E' || !strings.Contains(string(body), "57P01") {
		t.Errorf("got %c %q", kind, body)
	}
	if w := d.withdrawn(t); !strings.Contains(w.GetReason(), "server closed") {
		t.Errorf("withdrawn: %v", w)
	}
}

func TestAProxyThatStopsEndsTheWait(t *testing.T) {
	d := openDesk(t)
	drain := make(chan struct{})
	p := start(t, config{decider: askingFor("exports"), approver: d.broker, drain: drain})
	conn := p.raw(t)
	send(t, conn, framed('Q', "SELECT total FROM orders\x00"))
	d.pending(t, "r1")
	message(t, conn)
	close(drain)
	if kind, body := message(t, conn); kind != 'E' || !strings.Contains(string(body), "42501") || !strings.Contains(string(body), "the proxy is stopping") || !strings.Contains(string(body), "data/r1 was withdrawn") {
		t.Errorf("got %c %q", kind, body)
	}
	if w := d.withdrawn(t); !strings.Contains(w.GetReason(), "stopping") {
		t.Errorf("withdrawn: %v", w)
	}
	message(t, conn) // ReadyForQuery
	if kind, body := message(t, conn); kind != 'E' || !strings.Contains(string(body), "57P01") {
		t.Errorf("the session goes on: %c %q", kind, body)
	}
}

func TestALostStreamKeepsHoldsAndIsAskedAgain(t *testing.T) {
	d := openDesk(t)
	p := start(t, config{decider: askingFor("exports"), approver: d.broker})
	conn := p.listening(t, "")
	got := conn.begin("SELECT total FROM orders WHERE id = 7")
	first := d.pending(t, "r1")
	t.Cleanup(d.disconnect)
	d.disconnect()
	d.answer(first, "r1", access.AnswerApproved, nil) // of a stream that is gone: it counts for nothing
	d.connect()
	second := d.next(t)
	if second.GetHold() != first.GetHold() {
		t.Errorf("asked again as %s, first as %s", second.GetHold(), first.GetHold())
	}
	select {
	case out := <-got:
		t.Fatalf("it ended with the stream: %s", out)
	default:
	}
	d.answer(second, "r1", access.AnswerApproved, nil)
	if out := within(t, got, "result"); out != "7" {
		t.Errorf("got %s", out)
	}
}

func TestAHeldClientIsHeardInsideOfTLSToo(t *testing.T) {
	d := openDesk(t)
	cert, key := newCertificate(t)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, config{decider: askingFor("exports"), approver: d.broker, engine: func(o *postgresOptions) {
		o.ClientTLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	}})
	secure := func() net.Conn {
		plain := p.dial(t)
		send(t, plain, []byte{0, 0, 0, 8, 4, 210, 22, 47}) // SSLRequest
		if _, err := io.ReadFull(plain, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		conn := tls.Client(plain, &tls.Config{InsecureSkipVerify: true})
		conn.SetDeadline(time.Now().Add(time.Minute))
		send(t, conn, startupMessage(3<<16, "user", "me", "database", p.db))
		ready(t, conn)
		return conn
	}
	conn := secure()
	for range 2 { // what a read that was cut short has left must not be lost
		send(t, conn, framed('Q', "SELECT total FROM orders WHERE id = 1\x00"))
		r := d.pending(t, "r1")
		message(t, conn)
		send(t, conn, framed('Q', "SELECT 'behind'\x00"))
		d.answer(r, "r1", access.AnswerApproved, nil)
		if got := kinds(t, conn) + kinds(t, conn); got != "TDCZTDCZ" {
			t.Errorf("got %q", got)
		}
	}
	for name, leave := range map[string]func(conn net.Conn){
		"hangs up":              func(conn net.Conn) { conn.Close() },
		"hangs up behind a lot": func(conn net.Conn) { send(t, conn, framed('Q', strings.Repeat("x", 100_000))); conn.Close() },
	} {
		conn := secure()
		send(t, conn, framed('Q', "SELECT total FROM orders WHERE id = 1\x00"))
		d.pending(t, "r2")
		message(t, conn)
		leave(conn)
		if w := d.withdrawn(t); w.GetReason() != "the client has gone" {
			t.Errorf("%s: withdrawn: %v", name, w)
		}
	}
}

func TestASettingAtTheStartIsNotWaitedFor(t *testing.T) {
	d := openDesk(t)
	p := start(t, config{approver: d.broker, decider: decide(func(op *access.Operation) (access.Decision, error) {
		return access.Decision{Effect: access.RequireApproval, Policy: "data/p", Rule: "settings", Approval: access.Approval{Timeout: time.Hour}}, nil
	})})
	_, err := pgconn.Connect(t.Context(), p.dsn()+" options='-c work_mem=64kB'")
	if err == nil || !strings.Contains(err.Error(), "a setting of the startup message needs approval") {
		t.Errorf("got %v", err)
	}
	d.quiet(t)
}

// What the server runs is what a cancel request is about; what was held behind it is then
// skipped, and nobody needs to be asked any more.
func TestACancelRequestIsAboutWhatRunsBeforeWhatIsHeld(t *testing.T) {
	d := openDesk(t)
	p := start(t, config{decider: askingFor("exports"), approver: d.broker})
	conn := p.listening(t, "")
	pipe := conn.StartPipeline(t.Context())
	pipe.SendQueryParams("SELECT pg_sleep(60)", nil, nil, nil, nil)
	pipe.SendQueryParams("UPDATE orders SET total = 0", nil, nil, nil, nil)
	if err := pipe.Sync(); err != nil {
		t.Fatal(err)
	}
	d.pending(t, "r1")
	if err := conn.CancelRequest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w := d.withdrawn(t); !strings.Contains(w.GetReason(), "a statement before the one that was held has failed") {
		t.Errorf("withdrawn: %v", w)
	}
	if err := pipe.Close(); err == nil || !strings.Contains(err.Error(), "57014") {
		t.Errorf("the pipeline: %v", err)
	}
	if got := rows(conn.PgConn, "SELECT 1"); got != "1" {
		t.Errorf("the connection did not go on: %s", got)
	}
}
