package postgres_test

import (
	"context"
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

// orderly is a policy that asks for what uses orders, and allows the rest.
type orderly struct {
	approval atomic.Pointer[access.Approval]
	effect   atomic.Uint32 // of what uses orders
	decided  atomic.Int64
}

func askingFor(rules ...string) *orderly {
	d := &orderly{}
	d.effect.Store(uint32(access.RequireApproval))
	d.ask(time.Minute, false, rules...)
	return d
}

func (d *orderly) ask(timeout time.Duration, refuse bool, rules ...string) {
	a := &access.Approval{Timeout: timeout, TransactionTimeout: timeout, Approvers: 1, Grant: "Statement", Refuse: refuse}
	for _, r := range rules {
		a.Rules = append(a.Rules, access.RuleRef{Policy: "data/p", Rule: r})
	}
	d.approval.Store(a)
}

func (d *orderly) Decide(_ context.Context, _ access.Identity, op *access.Operation) (access.Decision, error) {
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
