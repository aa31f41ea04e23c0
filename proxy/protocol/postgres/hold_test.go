package postgres_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/approval"
)

// desk is the operator's end of approvals, which does what a test says.
type desk struct {
	broker *approval.Broker
	asked  chan *sidecarv1alpha1.ApprovalRequest
	gone   chan *sidecarv1alpha1.ApprovalWithdrawal

	hangUp context.CancelFunc
	ended  chan struct{}
}

func openDesk(t *testing.T) *desk {
	d := &desk{
		broker: approval.New(nil), asked: make(chan *sidecarv1alpha1.ApprovalRequest, 1000),
		gone: make(chan *sidecarv1alpha1.ApprovalWithdrawal, 1000),
	}
	d.connect()
	t.Cleanup(d.disconnect)
	return d
}

func (d *desk) Ask(ctx context.Context, r *sidecarv1alpha1.ApprovalRequest) error {
	d.asked <- r
	return ctx.Err()
}

func (d *desk) Withdraw(ctx context.Context, w *sidecarv1alpha1.ApprovalWithdrawal) error {
	d.gone <- w
	return ctx.Err()
}

func (d *desk) connect() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	d.hangUp, d.ended = cancel, ended
	go func() {
		defer close(ended)
		d.broker.Talk(ctx, d)
	}()
}

func (d *desk) disconnect() {
	d.hangUp()
	<-d.ended
}

// next is the next request.
func (d *desk) next(t *testing.T) *sidecarv1alpha1.ApprovalRequest {
	t.Helper()
	return within(t, d.asked, "request")
}

// pending is the next request, which people have been told of as name.
func (d *desk) pending(t *testing.T, name string) *sidecarv1alpha1.ApprovalRequest {
	t.Helper()
	r := d.next(t)
	d.broker.Pending(&sidecarv1alpha1.ApprovalPending{Hold: r.GetHold(), Name: name})
	return r
}

func (d *desk) answer(r *sidecarv1alpha1.ApprovalRequest, name string, outcome access.AnswerOutcome, grant *sidecarv1alpha1.Grant) {
	m := &sidecarv1alpha1.ApprovalAnswer{
		Hold: r.GetHold(), Name: name, By: []string{"alice"}, Reason: "as ticket OPS-7 says", Grant: grant,
		Outcome: sidecarv1alpha1.ApprovalOutcome(sidecarv1alpha1.ApprovalOutcome_value["APPROVAL_OUTCOME_"+strings.ToUpper(string(outcome))]),
	}
	d.broker.Answer(m)
}

func (d *desk) withdrawn(t *testing.T) *sidecarv1alpha1.ApprovalWithdrawal {
	t.Helper()
	return within(t, d.gone, "withdrawal")
}

// withdrawnOrNever is the reason of a withdrawal, if one comes soon.
func (d *desk) withdrawnOrNever() string {
	select {
	case w := <-d.gone:
		return w.GetReason()
	case <-time.After(100 * time.Millisecond):
		return ""
	}
}

// quiet fails if anything has been asked.
func (d *desk) quiet(t *testing.T) {
	t.Helper()
	select {
	case r := <-d.asked:
		t.Fatalf("asked: %v", r)
	default:
	}
}

func within[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("there is no %s", what)
		panic("unreachable")
	}
}

// asking is a policy that asks for what uses orders, and allows the rest.
type asking struct {
	approval atomic.Pointer[access.Approval]
	effect   atomic.Uint32 // of what uses orders
	decided  atomic.Int64
}

func askingFor(rules ...string) *asking {
	d := &asking{}
	d.effect.Store(uint32(access.RequireApproval))
	d.ask(time.Minute, false, rules...)
	return d
}

func (d *asking) ask(timeout time.Duration, refuse bool, rules ...string) {
	a := &access.Approval{Timeout: timeout, TransactionTimeout: timeout, Approvers: 1, Grant: "Statement", Refuse: refuse}
	for _, r := range rules {
		a.Rules = append(a.Rules, access.RuleRef{Policy: "data/p", Rule: r})
	}
	d.approval.Store(a)
}

func (d *asking) Decide(_ context.Context, _ access.Identity, op *access.Operation) (access.Decision, error) {
	for i := range op.Statements {
		for _, r := range op.Statements[i].Resources {
			if r.Name == "orders" {
				d.decided.Add(1)
				a := d.approval.Load()
				return access.Decision{Effect: access.Effect(d.effect.Load()), Policy: "data/p", Rule: a.Rules[0].Rule, Approval: *a}, nil
			}
		}
	}
	return allowUnderstood(op)
}

// noticed is a connection that keeps its notices.
type noticed struct {
	*pgconn.PgConn
	mu   sync.Mutex
	said []*pgconn.Notice
	come chan struct{}
}

func (p *proxy) listening(t *testing.T, application string) *noticed {
	t.Helper()
	n := &noticed{come: make(chan struct{}, 100)}
	cfg, err := pgconn.ParseConfig(p.dsn())
	if err != nil {
		t.Fatal(err)
	}
	cfg.RuntimeParams["application_name"] = application
	cfg.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.said = append(n.said, notice)
		n.come <- struct{}{}
	}
	if n.PgConn, err = pgconn.ConnectConfig(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.PgConn.Close(context.Background()) })
	return n
}

// begin runs a text by the simple protocol, and returns where its end will be.
func (n *noticed) begin(text string) <-chan string {
	out := make(chan string, 1)
	go func() { out <- rows(n.PgConn, text) }()
	return out
}

// extended does so by the extended one.
func (n *noticed) extended(text string, params ...string) <-chan string {
	out := make(chan string, 1)
	var values [][]byte
	for _, p := range params {
		values = append(values, []byte(p))
	}
	go func() {
		r := n.PgConn.ExecParams(context.Background(), text, values, nil, nil, nil).Read()
		if r.Err != nil {
			out <- r.Err.Error()
			return
		}
		var lines []string
		for _, row := range r.Rows {
			lines = append(lines, string(row[0]))
		}
		out <- strings.Join(lines, "|")
	}()
	return out
}

func TestAHeldStatementRunsOnceItIsApproved(t *testing.T) {
	const text = "SELECT total FROM orders WHERE id = 3 AND 'secret' <> '' -- of 078-05-1120"
	for name, run := range map[string]func(n *noticed) <-chan string{
		"simple":   func(n *noticed) <-chan string { return n.begin(text) },
		"extended": func(n *noticed) <-chan string { return n.extended(text) },
	} {
		t.Run(name, func(t *testing.T) {
			d := openDesk(t)
			p := start(t, config{decider: askingFor("exports", "other"), approver: d.broker})
			conn := p.listening(t, "")
			got := run(conn)
			r := d.pending(t, "reporting-7k2p4")
			within(t, conn.come, "notice")
			conn.mu.Lock()
			n := conn.said[0]
			conn.mu.Unlock()
			if n.Severity != "NOTICE" || n.Code != "00000" || n.Hint != "An approver runs: kubectl tidewaiter approve -n data reporting-7k2p4" ||
				!strings.HasPrefix(n.Message, "tidewaiter: held for approval as data/reporting-7k2p4 (rule exports, until ") || !strings.HasSuffix(n.Message, " UTC)") {
				t.Errorf("the client is told %+v", n)
			}
			if len(r.GetHold()) != 32 || r.GetDataSource() != "data/shop" || len(r.GetRules()) != 2 || r.GetRules()[0].GetRule() != "exports" || len(r.GetDigest()) != 32 || len(r.GetShape()) != 32 {
				t.Errorf("asked: %v", r)
			}
			if r.GetText() != "SELECT total FROM orders WHERE id = ? AND ? <> ?" || r.GetSummary() != "Select on public.orders" || r.GetInTransaction() {
				t.Errorf("shown: %q, %q, in a transaction: %v", r.GetText(), r.GetSummary(), r.GetInTransaction())
			}
			select {
			case out := <-got:
				t.Fatalf("it did not wait: %s", out)
			default:
			}
			d.answer(r, "reporting-7k2p4", access.AnswerApproved, nil)
			if out := within(t, got, "result"); out != "3" {
				t.Errorf("got %s", out)
			}
			again := run(conn)
			r = d.pending(t, "reporting-2")
			within(t, conn.come, "notice")
			d.answer(r, "reporting-2", access.AnswerDenied, nil)
			if out := within(t, again, "result"); !strings.Contains(out, "needs approval (policy data/p, rule exports), and was denied by alice (data/reporting-2)") || !strings.Contains(out, "42501") {
				t.Errorf("a second time: %s", out)
			}
			if out := rows(conn.PgConn, "SELECT 1"); out != "1" {
				t.Errorf("the connection did not go on: %s", out)
			}
			d.quiet(t)
			p.told(t, "Decided RequireApproval, Held data/reporting-7k2p4, Answered Approved by alice, Decided RequireApproval, Ended Done")
			p.told(t, "Decided RequireApproval, Held data/reporting-2, Answered Denied by alice, Ended Denied")
		})
	}
}

// told fails unless a statement's record reads so.
func (p *proxy) told(t *testing.T, want string) {
	t.Helper()
	p.record.mu.Lock()
	defer p.record.mu.Unlock()
	by := map[int64][]string{}
	for _, e := range p.record.events {
		word := string(e.Kind)
		switch {
		case e.Decided != nil && e.Decided.Phase != access.PhasePrepare:
			word += " " + e.Decided.Effect
		case e.Held != nil:
			word += " " + e.Held.Request
		case e.Answered != nil:
			word += " " + string(e.Answered.Outcome)
			if len(e.Answered.By) > 0 {
				word += " by " + strings.Join(e.Answered.By, ", ")
			}
		case e.Ended != nil:
			word += " " + string(e.Ended.Outcome)
		}
		by[e.Statement] = append(by[e.Statement], word)
	}
	var all []string
	for _, words := range by {
		if got := strings.Join(words, ", "); got == want {
			return
		} else if strings.Contains(got, "Answered") {
			all = append(all, got)
		}
	}
	t.Errorf("nothing is recorded as %q, but %q", want, all)
}

func TestAPipelineIsHeldAtTheStatementThatNeedsIt(t *testing.T) {
	d := openDesk(t)
	p := start(t, config{decider: askingFor("exports"), approver: d.broker})
	for _, outcome := range []access.AnswerOutcome{access.AnswerApproved, access.AnswerDenied} {
		conn := p.listening(t, "")
		pipe := conn.StartPipeline(t.Context())
		pipe.SendQueryParams("SELECT 'before'", nil, nil, nil, nil)
		pipe.SendQueryParams("SELECT total FROM orders WHERE id = $1::int", [][]byte{[]byte("3")}, nil, nil, nil)
		pipe.SendQueryParams("SELECT 'behind'", nil, nil, nil, nil)
		if err := pipe.Sync(); err != nil {
			t.Fatal(err)
		}
		out := make(chan string, 1)
		go func() {
			var all []string
			for {
				next, err := pipe.GetResults()
				if reader, ok := next.(*pgconn.ResultReader); ok && err == nil {
					r := reader.Read()
					if err = r.Err; err == nil {
						all = append(all, string(r.Rows[0][0]))
					}
				}
				var pg *pgconn.PgError
				if errors.As(err, &pg) {
					all = append(all, pg.Code)
				} else if _, synced := next.(*pgconn.PipelineSync); synced || err != nil || next == nil {
					break
				}
			}
			out <- strings.Join(all, " ")
		}()
		r := d.pending(t, "r1")
		if !r.GetInTransaction() || len(r.GetParametersDigest()) != 32 {
			t.Errorf("asked: %v", r)
		}
		d.answer(r, "r1", outcome, nil)
		want := map[access.AnswerOutcome]string{access.AnswerApproved: "before 3 behind", access.AnswerDenied: "before 42501"}[outcome]
		if got := within(t, out, "end of the pipeline"); got != want {
			t.Errorf("%s: got %q, want %q", outcome, got, want)
		}
		if err := pipe.Close(); err != nil && outcome == access.AnswerApproved {
			t.Error(err)
		}
		if got := rows(conn.PgConn, "SELECT 1"); got != "1" {
			t.Errorf("%s: the connection did not go on: %s", outcome, got)
		}
	}
	d.quiet(t)
}

func TestAStatementIsPreparedWithoutAskingAndHeldWhenItRuns(t *testing.T) {
	d := openDesk(t)
	p := start(t, config{decider: askingFor("exports"), approver: d.broker})
	conn := p.listening(t, "")
	if _, err := conn.Prepare(t.Context(), "q", "SELECT total FROM orders WHERE id = $1", nil); err != nil {
		t.Fatal(err)
	}
	d.quiet(t)
	for _, id := range []string{"4", "5"} {
		out := make(chan *pgconn.Result, 1)
		go func() {
			out <- conn.ExecPrepared(context.Background(), "q", [][]byte{[]byte(id)}, nil, nil).Read()
		}()
		d.answer(d.pending(t, "r"+id), "r"+id, access.AnswerApproved, nil)
		if r := within(t, out, "result"); r.Err != nil || string(r.Rows[0][0]) != id {
			t.Errorf("%s: %v", id, r)
		}
	}
	d.quiet(t)
}

func TestADenialInATransactionFailsItAndTheTimeoutIsShorterThere(t *testing.T) {
	d := openDesk(t)
	policy := askingFor("exports")
	p := start(t, config{decider: policy, approver: d.broker})
	a := *policy.approval.Load()
	a.TransactionTimeout = 50 * time.Millisecond
	policy.approval.Store(&a)
	conn := p.listening(t, "")
	if got := rows(conn.PgConn, "BEGIN"); got != "" {
		t.Fatal(got)
	}
	got := conn.begin("UPDATE orders SET total = 0")
	if r := d.pending(t, "r1"); !r.GetInTransaction() {
		t.Error("the request does not say that locks are kept")
	}
	if out := within(t, got, "result"); !strings.Contains(out, "and nobody answered in 0s (data/r1)") || conn.TxStatus() != 'E' {
		t.Errorf("got %s, status %c", out, conn.TxStatus())
	}
	if w := d.withdrawn(t); w.GetReason() != "nobody has answered in time" {
		t.Errorf("withdrawn: %v", w)
	}
	if got := rows(conn.PgConn, "ROLLBACK"); got != "" {
		t.Error(got)
	}
	policy.ask(50*time.Millisecond, false, "exports")
	if out := within(t, conn.begin("SELECT total FROM orders"), "result"); !strings.Contains(out, "and nobody could be asked") && !strings.Contains(out, "nobody answered") {
		t.Errorf("outside: %s", out)
	}
	policy.effect.Store(uint32(access.Allow))
	if got := rows(conn.PgConn, "SELECT sum(total) FROM orders"); got != "55" {
		t.Errorf("what timed out has run: %s", got)
	}
}

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
	for _, want := range []string{"NTDCZ", "TDCZ", "TDCZ"} {
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

func TestWhatWasApprovedIsDecidedAnew(t *testing.T) {
	d := openDesk(t)
	policy := askingFor("exports")
	p := start(t, config{decider: policy, approver: d.broker})
	conn := p.listening(t, "")

	got := conn.begin("SELECT total FROM orders WHERE id = 1")
	r := d.pending(t, "r1")
	policy.effect.Store(uint32(access.Deny))
	d.answer(r, "r1", access.AnswerApproved, nil)
	if out := within(t, got, "result"); !strings.Contains(out, "is denied (policy data/p, rule exports)") {
		t.Errorf("denied meanwhile: %s", out)
	}
	p.told(t, "Decided RequireApproval, Held data/r1, Answered Approved by alice, Decided Deny, Ended Denied")

	policy.effect.Store(uint32(access.RequireApproval))
	got = conn.begin("SELECT total FROM orders WHERE id = 2")
	r = d.pending(t, "r2")
	policy.ask(time.Minute, false, "exports", "more")
	d.answer(r, "r2", access.AnswerApproved, nil)
	if r = d.pending(t, "r3"); len(r.GetRules()) != 1 || r.GetRules()[0].GetRule() != "more" {
		t.Errorf("asked: %v", r)
	}
	d.answer(r, "r3", access.AnswerApproved, nil)
	if out := within(t, got, "result"); out != "2" {
		t.Errorf("approved by both: %s", out)
	}

	policy.ask(time.Minute, false, "exports")
	got = conn.begin("SELECT * FROM orders WHERE id = 2")
	r = d.pending(t, "r4")
	if err := p.server.Exec(t.Context(), p.db, "ALTER TABLE orders RENAME TO old; ALTER TABLE customers RENAME TO orders"); err != nil {
		t.Fatal(err)
	}
	d.answer(r, "r4", access.AnswerApproved, nil)
	if out := within(t, got, "result"); out != "2 Grace grace@example.org 219-09-9999" {
		t.Errorf("by the same facts it runs as it is now: %s", out)
	}
}

func TestAStatementThatMeansSomethingElseByNowIsAskedForAgain(t *testing.T) {
	d := openDesk(t)
	p := start(t, config{decider: askingFor("exports"), approver: d.broker, sql: shopSQL + "CREATE VIEW latest AS SELECT * FROM orders;", tags: map[string]string{"public.orders.secret": "pii/ssn"}})
	conn := p.listening(t, "")
	got := conn.begin("SELECT * FROM orders WHERE id = 2")
	r := d.pending(t, "r1")
	if err := p.server.Exec(t.Context(), p.db, "ALTER TABLE orders ADD COLUMN secret text DEFAULT '078-05-1120'"); err != nil {
		t.Fatal(err)
	}
	d.answer(r, "r1", access.AnswerApproved, nil)
	second := d.pending(t, "r2")
	if second.GetHold() == r.GetHold() {
		t.Error("it is the same request")
	}
	d.answer(second, "r2", access.AnswerApproved, nil)
	if out := within(t, got, "result"); out != "2 2 *****" {
		t.Errorf("got %s", out)
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

func TestAClientThatDoesNotWaitComesAgain(t *testing.T) {
	for name, byRule := range map[string]bool{"by the rule": true, "by its own wish": false} {
		t.Run(name, func(t *testing.T) {
			d := openDesk(t)
			policy := askingFor("exports")
			policy.ask(time.Minute, byRule, "exports")
			p := start(t, config{decider: policy, approver: d.broker})
			application := "agent tidewaiter.dev/no-wait"
			if byRule {
				application = "agent"
			}
			conn, other := p.listening(t, application), p.listening(t, application)
			const text = "SELECT total FROM orders WHERE id = 5"
			got := conn.begin(text)
			r := d.pending(t, "r1")
			if !r.GetRefuse() {
				t.Error("the request does not say so")
			}
			if out := within(t, got, "result"); !strings.Contains(out, "which is asked for (data/r1)") || !strings.Contains(out, "42501") {
				t.Errorf("got %s", out)
			}
			if out := rows(other.PgConn, text); !strings.Contains(out, "(data/r1)") {
				t.Errorf("again: %s", out)
			}
			d.answer(r, "r1", access.AnswerApproved, nil)
			if out := rows(other.PgConn, text); out != "5" {
				t.Errorf("approved: %s", out)
			}
			got = conn.begin(text) // the approval is used up
			r = d.pending(t, "r2")
			within(t, got, "result")
			d.answer(r, "r2", access.AnswerDenied, nil)
			if out := rows(conn.PgConn, text); !strings.Contains(out, "and was denied by alice (data/r2)") {
				t.Errorf("denied: %s", out)
			}
			d.quiet(t)
			got = conn.begin("SELECT total FROM orders WHERE id = 6")
			d.pending(t, "r3")
			within(t, got, "result")
		})
	}
}

func TestGrantsLetTheLikeThrough(t *testing.T) {
	d := openDesk(t)
	policy := askingFor("exports")
	p := start(t, config{decider: policy, approver: d.broker})
	t.Cleanup(d.disconnect) // before the test looks for what is left
	one, two := p.listening(t, ""), p.listening(t, "")
	rules := []*sidecarv1alpha1.RuleReference{{Policy: "data/p", Rule: "exports"}}
	held := func(n *noticed, text string, grant func(r *sidecarv1alpha1.ApprovalRequest) *sidecarv1alpha1.Grant) string {
		got := n.begin(text)
		r := d.pending(t, "g1")
		outcome, g := access.AnswerDenied, (*sidecarv1alpha1.Grant)(nil)
		if grant != nil {
			outcome, g = access.AnswerApproved, grant(r)
		}
		d.answer(r, "g1", outcome, g)
		return within(t, got, "result")
	}
	through := func(n *noticed, text, want string) {
		t.Helper()
		if out := rows(n.PgConn, text); out != want {
			t.Errorf("%s: got %s, want %s", text, out, want)
		}
		d.quiet(t)
	}
	refused := func(n *noticed, text string) {
		t.Helper()
		if out := held(n, text, nil); !strings.Contains(out, "denied by alice") {
			t.Errorf("%s: got %s", text, out)
		}
	}
	const like = "SELECT total FROM orders WHERE id = "

	held(one, like+"1", func(r *sidecarv1alpha1.ApprovalRequest) *sidecarv1alpha1.Grant {
		return &sidecarv1alpha1.Grant{Name: "g1", Rules: rules, Shape: r.GetShape(), Session: r.GetSession(), Seconds: 60}
	})
	through(one, like+"2", "2")
	refused(two, like+"2") // another session
	refused(one, "SELECT count(*) FROM orders")
	policy.ask(time.Minute, false, "exports", "more")
	refused(one, like+"2") // other rules
	policy.ask(time.Minute, false, "exports")
	d.broker.GrantEnd(&sidecarv1alpha1.GrantEnd{Name: "g1"})
	refused(one, like+"2")

	held(one, like+"1", func(r *sidecarv1alpha1.ApprovalRequest) *sidecarv1alpha1.Grant {
		return &sidecarv1alpha1.Grant{Name: "g1", Rules: rules, Shape: r.GetShape(), Seconds: 60}
	})
	through(two, like+"3", "3")
	policy.effect.Store(uint32(access.Deny))
	if out := rows(two.PgConn, like+"3"); !strings.Contains(out, "is denied") {
		t.Errorf("a grant stands against a denial: %s", out)
	}
	policy.effect.Store(uint32(access.RequireApproval))
	d.disconnect()
	d.connect()
	refused(two, like+"3") // the stream that could take it back is gone

	held(one, like+"1", func(*sidecarv1alpha1.ApprovalRequest) *sidecarv1alpha1.Grant {
		return &sidecarv1alpha1.Grant{Name: "g1", Rules: rules, Access: &sidecarv1alpha1.GrantedAccess{Classes: []string{"Select"}, Tables: []string{"public.ord*"}}, Seconds: 1}
	})
	through(two, "SELECT total FROM orders WHERE id = 9 AND true", "9")
	refused(one, "UPDATE orders SET total = 1")
	time.Sleep(1100 * time.Millisecond)
	refused(two, like+"9")
}

// A held statement has nothing under way that others would wait for.
func TestOtherConnectionsGoOnWhileOneIsHeld(t *testing.T) {
	d := openDesk(t)
	p := start(t, config{decider: askingFor("exports"), approver: d.broker, tags: shopTags, sql: shopSQL + "CREATE TABLE notes (v text);"})
	held, other := p.listening(t, ""), p.listening(t, "")
	got := held.extended("SELECT total FROM orders WHERE id = $1::int", "8")
	r := d.pending(t, "r1")
	begun := time.Now()
	// The value's tag goes to a column without one, for which all other sessions have to be settled.
	if out := rows(other.PgConn, "INSERT INTO notes SELECT ssn FROM customers"); out != "" {
		t.Errorf("got %s", out)
	}
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("it waited for %s", took)
	}
	d.answer(r, "r1", access.AnswerApproved, nil)
	if out := within(t, got, "result"); out != "8" {
		t.Errorf("got %s", out)
	}
}

func TestManyHoldsAreBounded(t *testing.T) {
	d := openDesk(t)
	p := start(t, config{decider: askingFor("exports"), approver: d.broker})
	const clients = 40
	var conns []*noticed
	for range clients {
		conns = append(conns, p.listening(t, ""))
	}
	ends := make([]<-chan string, clients)
	for i, c := range conns {
		ends[i] = c.begin("SELECT total FROM orders WHERE id = 1")
	}
	seen := map[string]bool{}
	for range clients {
		r := d.next(t)
		seen[r.GetHold()] = true
		if open := len(d.asked); open > 10 {
			t.Errorf("%d are asked at a time", open)
		}
		d.answer(r, "r", access.AnswerApproved, nil)
	}
	for _, end := range ends {
		if out := within(t, end, "result"); out != "1" {
			t.Errorf("got %s", out)
		}
	}
	if len(seen) != clients {
		t.Errorf("%d requests for %d holds", len(seen), clients)
	}
}

func TestPeopleAreShownWhatRunsAndNoConstant(t *testing.T) {
	d := openDesk(t)
	p := start(t, config{decider: askingFor("exports"), approver: d.broker})
	conn := p.listening(t, "")
	for _, c := range []struct{ run, text, summary string }{
		{"COPY orders TO STDOUT", "COPY orders TO STDOUT", "COPY public.orders TO STDOUT"},
		{"PREPARE q (int) AS SELECT total FROM orders WHERE id = $1 AND '078' <> ''", "PREPARE q (int) AS SELECT total FROM orders WHERE id = $1 AND ? <> ?", ""},
		{"EXECUTE q(078)", "EXECUTE q(?)\n-- runs: PREPARE q (int) AS SELECT total FROM orders WHERE id = $1 AND ? <> ?", ""},
		{"SELECT 1; DELETE FROM orders WHERE id = 078", "SELECT ?; DELETE FROM orders WHERE id = ?", "2 statements, the first Select"},
	} {
		got := conn.begin(c.run)
		r := d.pending(t, "r1")
		if !strings.HasPrefix(r.GetText(), c.text) || strings.Contains(r.String(), "078") || c.summary != "" && r.GetSummary() != c.summary {
			t.Errorf("%s: shown %q, %q", c.run, r.GetText(), r.GetSummary())
		}
		outcome := access.AnswerApproved
		if c.summary != "" {
			outcome = access.AnswerDenied
		}
		d.answer(r, "r1", outcome, nil)
		if out := within(t, got, "result"); strings.Contains(out, "denied by alice") != (outcome == access.AnswerDenied) {
			t.Errorf("%s: got %s", c.run, out)
		}
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
