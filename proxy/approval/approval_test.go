package approval

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// operator is the other end of a stream: it keeps what it is asked.
type operator struct {
	broker *Broker
	asked  chan *sidecarv1alpha1.ApprovalRequest
	gone   chan *sidecarv1alpha1.ApprovalWithdrawal
	hangUp func()
}

func (o *operator) Ask(ctx context.Context, r *sidecarv1alpha1.ApprovalRequest) error {
	o.asked <- r
	return ctx.Err()
}

func (o *operator) Withdraw(ctx context.Context, w *sidecarv1alpha1.ApprovalWithdrawal) error {
	o.gone <- w
	return ctx.Err()
}

func connect(t *testing.T, b *Broker) *operator {
	o := &operator{broker: b, asked: make(chan *sidecarv1alpha1.ApprovalRequest, 2000), gone: make(chan *sidecarv1alpha1.ApprovalWithdrawal, 2000)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Talk(ctx, o)
	}()
	o.hangUp = func() {
		cancel()
		<-done
	}
	t.Cleanup(o.hangUp)
	return o
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing comes")
		panic("unreachable")
	}
}

func (o *operator) answer(r *sidecarv1alpha1.ApprovalRequest, outcome sidecarv1alpha1.ApprovalOutcome, grant *sidecarv1alpha1.Grant) {
	o.broker.Answer(&sidecarv1alpha1.ApprovalAnswer{Hold: r.GetHold(), Name: "r1", Outcome: outcome, By: []string{"alice"}, Reason: "because", Grant: grant})
}

const (
	approved = sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_APPROVED
	denied   = sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_DENIED
)

func select1(text string) *session.Question {
	return &session.Question{
		DataSource: "data/orders", Session: "s1", What: "Select on public.orders needs approval (policy data/p, rule exports)", Timeout: time.Minute,
		Rules: []access.RuleRef{{Policy: "data/p", Rule: "exports"}}, Notify: func(access.Notice) {},
		Operation: &access.Operation{
			Statements: []access.Statement{{Kind: "Select", Resources: []access.Resource{{Schema: "public", Name: "orders", Access: access.AccessRead}}}},
			Held:       access.Held{Digest: []byte(text), Shape: []byte("like " + text), Text: text, Summary: "Select on public.orders"},
		},
	}
}

type end struct {
	a   access.Answered
	err error
}

func begin(ctx context.Context, b *Broker, q *session.Question) <-chan end {
	out := make(chan end, 1)
	go func() {
		a, err := b.Approve(ctx, q)
		out <- end{a, err}
	}()
	return out
}

func TestFiveHundredStatementsAreBoundedAndHaveTheirTurns(t *testing.T) {
	before := goleak.IgnoreCurrent()
	b := New(nil)
	o := connect(t, b)
	const all = 500
	var wg sync.WaitGroup
	ends := make(chan end, all)
	for i := range all {
		wg.Go(func() {
			q := select1(fmt.Sprint(i))
			q.Session = fmt.Sprint("s", i)
			a, err := b.Approve(t.Context(), q)
			ends <- end{a, err}
		})
	}
	for range all - maxHolds { // these are refused at once
		e := receive(t, ends)
		if e.a.Outcome != access.AnswerRefused || e.err == nil || !strings.Contains(access.AsDenial(e.err).Detail, "256 statements of this pod wait") {
			t.Fatalf("got %+v, %v", e.a, e.err)
		}
	}
	if n := b.Held(); n != maxHolds {
		t.Errorf("%d are held", n)
	}
	for range maxHolds {
		r := receive(t, o.asked)
		if n := len(o.asked); n >= maxOpen {
			t.Fatalf("%d are asked at a time", n+1)
		}
		o.answer(r, approved, nil)
		if e := receive(t, ends); e.err != nil {
			t.Fatal(e.err)
		}
	}
	wg.Wait()
	o.hangUp()
	if n := b.Held(); n != 0 || len(o.gone) != 0 {
		t.Errorf("%d are held still, %d withdrawn", n, len(o.gone))
	}
	goleak.VerifyNone(t, before)
}

func TestOnlyAnApprovalApproves(t *testing.T) {
	for outcome, want := range map[sidecarv1alpha1.ApprovalOutcome]string{
		approved: "",
		denied:   "and was denied by alice (data/r1)",
		sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_EXPIRED:     "and nobody answered in 1m0s (data/r1)",
		sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_WITHDRAWN:   "and the request was withdrawn (data/r1)",
		sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_REFUSED:     "and nobody could be asked (data/r1)",
		sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_UNSPECIFIED: "and nobody could be asked (data/r1)",
		99: "and nobody could be asked (data/r1)",
	} {
		b := New(nil)
		o := connect(t, b)
		got := begin(t.Context(), b, select1("a"))
		o.answer(receive(t, o.asked), outcome, nil)
		e := receive(t, got)
		if want == "" && e.err == nil && e.a.Outcome == access.AnswerApproved {
			continue
		}
		if want == "" || e.err == nil || !strings.HasSuffix(e.err.Error(), want) || e.a.Outcome == access.AnswerApproved {
			t.Errorf("%v: got %+v, %v", outcome, e.a, e.err)
		}
	}
}

func TestWithoutAnOperatorItWaitsAndThenSaysSo(t *testing.T) {
	b := New(nil)
	q := select1("a")
	q.Timeout = 30 * time.Millisecond
	_, err := b.Approve(t.Context(), q)
	if err == nil || !strings.Contains(access.AsDenial(err).Detail, "the operator of Tidewaiter could not be reached") {
		t.Errorf("got %v, %s", err, access.AsDenial(err).Detail)
	}
	q.Timeout = time.Minute
	got := begin(t.Context(), b, q)
	o := connect(t, b) // it comes back meanwhile
	o.answer(receive(t, o.asked), approved, nil)
	if e := receive(t, got); e.err != nil {
		t.Error(e.err)
	}
}

func TestWhatCannotBeShownIsNotAsked(t *testing.T) {
	many := select1("a")
	for i := range 10 {
		many.Rules = append(many.Rules, access.RuleRef{Policy: "data/p", Rule: fmt.Sprint(i)})
	}
	large := select1("a")
	for i := range 300 {
		large.Operation.Statements = append(large.Operation.Statements, access.Statement{Kind: "Select", Resources: []access.Resource{{Schema: "public", Name: fmt.Sprint(i)}}})
	}
	endless := select1("a")
	endless.Timeout = 0
	unknown := select1("a")
	unknown.Operation.Held.Digest, unknown.Refuse = nil, true
	for name, q := range map[string]*session.Question{"rules": many, "statements": large, "no time": endless, "unrecognizable": unknown} {
		b := New(nil)
		if a, err := b.Approve(t.Context(), q); err == nil || a.Outcome != access.AnswerRefused || b.Held() != 0 {
			t.Errorf("%s: got %+v, %v", name, a, err)
		}
	}
}

func TestAWithdrawalIsSentOverTheNextStreamIfThereIsNone(t *testing.T) {
	b := New(nil)
	o := connect(t, b)
	ctx, cancel := context.WithCancelCause(t.Context())
	got := begin(ctx, b, select1("a"))
	r := receive(t, o.asked)
	o.hangUp()
	cancel(&access.Denial{What: "tidewaiter: the client has gone"})
	if e := receive(t, got); e.a.Outcome != access.AnswerWithdrawn || e.a.Reason != "the client has gone" {
		t.Errorf("got %+v", e.a)
	}
	if w := receive(t, connect(t, b).gone); w.GetHold() != r.GetHold() || w.GetReason() != "the client has gone" {
		t.Errorf("withdrawn: %v", w)
	}
}

// comes is a client that does not wait.
func comes(b *Broker, q *session.Question) (access.Answered, error) {
	q.Refuse = true
	if a, ok := b.Granted(q); ok {
		return a, nil
	}
	return b.Approve(context.Background(), q)
}

func TestAnUnusedApprovalDoesNotOutliveWhatCouldTakeItBack(t *testing.T) {
	ask := func(t *testing.T) (*Broker, *operator, *sidecarv1alpha1.ApprovalRequest) {
		b := New(nil)
		o := connect(t, b)
		q := select1("a")
		q.Refuse = true
		got := begin(t.Context(), b, q)
		r := receive(t, o.asked)
		b.Pending(&sidecarv1alpha1.ApprovalPending{Hold: r.GetHold(), Name: "r1"})
		if e := receive(t, got); e.a.Outcome != access.AnswerPending || e.a.Request != "data/r1" {
			t.Fatalf("got %+v", e.a)
		}
		o.answer(r, approved, nil)
		return b, o, r
	}
	b, _, _ := ask(t)
	b.GrantEnd(&sidecarv1alpha1.GrantEnd{Name: "r1"})
	if a, err := comes(b, select1("a")); err == nil || a.Outcome != access.AnswerDenied {
		t.Errorf("revoked: %+v, %v", a, err)
	}

	b, o, first := ask(t)
	o.hangUp()
	if a, err := comes(b, select1("a")); err == nil || a.Outcome != access.AnswerPending {
		t.Errorf("without a stream: %+v, %v", a, err)
	}
	o = connect(t, b)
	if again := receive(t, o.asked); again.GetHold() != first.GetHold() {
		t.Errorf("asked again as %s", again.GetHold())
	}
	o.answer(first, approved, nil)
	other := select1("a")
	other.Operation.Held.Parameters = []byte("others")
	elsewhere := select1("a")
	elsewhere.Operation.Statements = []access.Statement{{Kind: "Select", Resources: []access.Resource{{Schema: "evil", Name: "orders"}}}}
	ruled := select1("a")
	ruled.Rules = append(ruled.Rules, access.RuleRef{Policy: "data/p", Rule: "more"})
	for name, q := range map[string]*session.Question{"parameters": other, "tables": elsewhere, "rules": ruled, "text": select1("b")} {
		if _, ok := b.Granted(q); ok {
			t.Errorf("an approval is good for other %s", name)
		}
	}
	if a, err := comes(b, select1("a")); err != nil || a.Outcome != access.AnswerApproved {
		t.Errorf("approved: %+v, %v", a, err)
	}
	if _, ok := b.Granted(select1("a")); ok {
		t.Error("it is good for twice")
	}
}

func TestAConnectionThatDoesNotWaitHasBoundedRequestsAndTheyExpire(t *testing.T) {
	b := New(nil)
	o := connect(t, b)
	for i := range maxPerSession {
		q := select1(fmt.Sprint(i))
		q.Timeout, q.Refuse = 200*time.Millisecond, true
		begin(t.Context(), b, q)
		receive(t, o.asked)
	}
	q := select1("more")
	q.Refuse = true
	if _, err := b.Approve(t.Context(), q); err == nil || !strings.Contains(access.AsDenial(err).Detail, "10 requests that nobody has answered") {
		t.Errorf("got %v", err)
	}
	for range maxPerSession {
		if w := receive(t, o.gone); w.GetReason() != "nobody has answered in time" {
			t.Errorf("withdrawn: %v", w)
		}
	}
	if b.Held() != 0 {
		t.Error("some are held still")
	}
}

func TestAGrantCoversWhatItListsAndEndsByItsOwnClock(t *testing.T) {
	now := time.Now()
	b := New(func() time.Time { return now })
	o := connect(t, b)
	rules := []*sidecarv1alpha1.RuleReference{{Policy: "data/p", Rule: "exports"}, {Policy: "data/p", Rule: "writes"}}
	give := func(g *sidecarv1alpha1.Grant) {
		t.Helper()
		got := begin(t.Context(), b, select1("given"))
		o.answer(receive(t, o.asked), approved, g)
		receive(t, got)
	}
	give(&sidecarv1alpha1.Grant{Name: "r1", Rules: rules, Seconds: 60, Access: &sidecarv1alpha1.GrantedAccess{
		Classes: []string{"Select", "BulkSelect"}, Tables: []string{"public.ord*s", "app_*.*"},
	}})
	as := func(change func(q *session.Question, st *access.Statement)) *session.Question {
		q := select1("x")
		change(q, &q.Operation.Statements[0])
		return q
	}
	for name, c := range map[string]struct {
		change func(q *session.Question, st *access.Statement)
		want   bool
	}{
		"what it lists": {func(*session.Question, *access.Statement) {}, true},
		"another table": {func(_ *session.Question, st *access.Statement) { st.Resources[0].Name = "ordersx" }, false},
		"a pattern": {func(_ *session.Question, st *access.Statement) {
			st.Resources[0] = access.Resource{Schema: "app_1", Name: "x"}
		}, true},
		"a dot in a name": {func(_ *session.Question, st *access.Statement) {
			st.Resources[0] = access.Resource{Schema: "pub", Name: "lic.orders"}
		}, false},
		"a table more": {func(_ *session.Question, st *access.Statement) {
			st.Resources = append(st.Resources, access.Resource{Schema: "public", Name: "x"})
		}, false},
		"a feature of it": {func(_ *session.Question, st *access.Statement) { st.Features = []access.Feature{{Name: "BulkSelect"}} }, true},
		"another feature": {func(_ *session.Question, st *access.Statement) { st.Features = []access.Feature{{Name: "Program"}} }, false},
		"another kind":    {func(_ *session.Question, st *access.Statement) { st.Kind = "Update" }, false},
		"no kind":         {func(_ *session.Question, st *access.Statement) { st.Kind = "" }, false},
		"no statement":    {func(q *session.Question, _ *access.Statement) { q.Operation.Statements = nil }, false},
		"a rule more": {func(q *session.Question, _ *access.Statement) {
			q.Rules = append(q.Rules, access.RuleRef{Policy: "data/p", Rule: "x"})
		}, false},
		"another policy": {func(q *session.Question, _ *access.Statement) { q.Rules[0].Policy = "data/q" }, false},
		"no rule":        {func(q *session.Question, _ *access.Statement) { q.Rules = nil }, false},
		"another source": {func(q *session.Question, _ *access.Statement) { q.DataSource = "data/other" }, false},
		"a second, not its": {func(q *session.Question, _ *access.Statement) {
			q.Operation.Statements = append(q.Operation.Statements, access.Statement{Kind: "Delete"})
		}, false},
	} {
		if _, ok := b.Granted(as(c.change)); ok != c.want {
			t.Errorf("%s: covered %v", name, ok)
		}
	}
	now = now.Add(59 * time.Second)
	if _, ok := b.Granted(select1("x")); !ok {
		t.Error("it ends before its time")
	}
	now = now.Add(time.Second)
	if _, ok := b.Granted(select1("x")); ok {
		t.Error("it outlives its time")
	}

	give(&sidecarv1alpha1.Grant{Name: "r2", Rules: rules, Seconds: 60, Shape: []byte("like x")})
	if _, ok := b.Granted(select1("x")); ok {
		t.Error("a grant for the like of it covers what fewer rules ask for")
	}
	for name, g := range map[string]*sidecarv1alpha1.Grant{
		"no time":   {Name: "r3", Rules: rules[:1], Shape: []byte("like x")},
		"no rules":  {Name: "r3", Shape: []byte("like x"), Seconds: 60},
		"no bounds": {Name: "r3", Rules: rules[:1], Seconds: 60},
		"no name":   {Rules: rules[:1], Shape: []byte("like x"), Seconds: 60},
	} {
		give(g)
		if _, ok := b.Granted(select1("x")); ok {
			t.Errorf("%s: it covers something", name)
		}
	}
	more := select1("x") // what was approved is that a result goes on
	more.Operation.Exceeded = &access.Exceeded{Limit: "rowsPerStatement", Rows: 10}
	got := begin(t.Context(), b, more)
	o.answer(receive(t, o.asked), approved, &sidecarv1alpha1.Grant{Name: "r4", Rules: rules[:1], Seconds: 60, Shape: []byte("like x")})
	if e := receive(t, got); e.err != nil {
		t.Errorf("to go on: %v", e.err)
	}
	if _, ok := b.Granted(select1("x")); ok {
		t.Error("an approval to go on lets another statement begin")
	}
	for i := range maxGrants + 10 {
		give(&sidecarv1alpha1.Grant{Name: fmt.Sprint("g", i), Rules: rules[:1], Seconds: uint32(1000 + i), Shape: fmt.Append(nil, "like ", i)})
	}
	if len(b.grants) != maxGrants {
		t.Errorf("%d grants are kept", len(b.grants))
	}
	if _, ok := b.Granted(select1(fmt.Sprint(maxGrants + 9))); !ok {
		t.Error("the one that ends last is not kept")
	}
	b.Forget("data/orders", "revoked")
	if len(b.grants) != 0 {
		t.Error("grants outlive their data source")
	}
}

func TestTheCauseOfAnEndIsWhatTheClientIsTold(t *testing.T) {
	b := New(nil)
	o := connect(t, b)
	ctx, cancel := context.WithCancelCause(t.Context())
	named := make(chan access.Notice, 1)
	q := select1("a")
	q.Notify = func(n access.Notice) { named <- n }
	got := begin(ctx, b, q)
	b.Pending(&sidecarv1alpha1.ApprovalPending{Hold: receive(t, o.asked).GetHold(), Name: "r1"})
	receive(t, named)
	cause := &access.Denial{Code: access.CodeCanceled, What: "canceling statement due to user request"}
	cancel(cause)
	e := receive(t, got)
	var d *access.Denial
	if !errors.As(e.err, &d) || d.Code != access.CodeCanceled || d.What != cause.What || !strings.Contains(d.Detail, "data/r1 was withdrawn") || cause.Detail != "" {
		t.Errorf("got %+v", d)
	}
}

func TestATextThatIsCutSaysSo(t *testing.T) {
	for _, text := range []string{"SELECT ?", strings.Repeat("é", maxText/2), strings.Repeat("é", maxText) + "; DELETE FROM orders", strings.Repeat("x", maxText+1)} {
		q := select1(text)
		r, denied := requestOf(q)
		if denied != nil {
			t.Fatal(denied)
		}
		if got := r.GetText(); len(got) > maxText || strings.HasSuffix(got, tail) != (len(text) > maxText) || len(text) <= maxText && got != text || !utf8.ValidString(got) {
			t.Errorf("%d bytes are shown as %d: …%s", len(text), len(got), got[max(0, len(got)-60):])
		}
	}
}
