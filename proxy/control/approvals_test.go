package control

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/approval"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/test/operatortest"
)

// question is one that people are asked, with what they are told of it.
func question(notices chan access.Notice) *session.Question {
	return &session.Question{
		DataSource: "data/orders", Session: "s1", What: "CopyOut on public.orders needs approval (policy data/p, rule exports)",
		Operation: &access.Operation{
			Statements: []access.Statement{{
				Kind: "CopyOut", Features: []access.Feature{{Name: "BulkSelect"}}, Resources: []access.Resource{{Schema: "public", Name: "orders", Access: access.AccessRead}},
			}},
			Held: access.Held{Digest: make([]byte, 32), Shape: []byte("like"), Text: "COPY orders TO STDOUT", Summary: "COPY public.orders TO STDOUT"},
		},
		Rules: []access.RuleRef{{Policy: "data/p", Rule: "exports"}}, Timeout: time.Minute,
		Notify: func(n access.Notice) { notices <- n },
	}
}

func TestApprovalsGoOverTheStreamAndSurviveIt(t *testing.T) {
	o, broker := operatortest.Start(t), approval.New(nil)
	run(t, o, func(opt *Options) { opt.Approvals = broker })
	s := o.Next(t)
	s.Snapshot(t, whole(o, 7, 600))
	asked := func(s *operatortest.Stream) *sidecarv1alpha1.ApprovalRequest {
		t.Helper()
		return s.Until(t, func(m *sidecarv1alpha1.ConnectRequest) bool { return m.GetApproval() != nil }).GetApproval()
	}

	notices, ends := make(chan access.Notice, 1), make(chan access.Answered, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		a, _ := broker.Approve(ctx, question(notices))
		ends <- a
	}()
	r := asked(s)
	if r.GetText() != "COPY orders TO STDOUT" || r.GetRules()[0].GetRule() != "exports" || len(r.GetStatements()) != 1 || r.GetStatements()[0].GetTables()[0] != "public.orders" {
		t.Errorf("asked: %v", r)
	}
	until := time.Now().Add(10 * time.Second)
	s.Send(t, &sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_Pending{Pending: &sidecarv1alpha1.ApprovalPending{
		Hold: r.GetHold(), Name: "orders-1", ExpiresAt: timestamppb.New(until),
	}}})
	if n := <-notices; n.Request != "data/orders-1" || !n.Until.Equal(until) {
		t.Errorf("told: %+v", n)
	}

	s.End(nil)
	s = o.Next(t)
	s.Snapshot(t, whole(o, 8, 600))
	if again := asked(s); again.GetHold() != r.GetHold() {
		t.Errorf("asked again as %s, first as %s", again.GetHold(), r.GetHold())
	}
	s.Send(t, &sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_Answer{Answer: &sidecarv1alpha1.ApprovalAnswer{
		Hold: r.GetHold(), Name: "orders-1", Outcome: sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_APPROVED, By: []string{"alice"},
		Grant: &sidecarv1alpha1.Grant{Name: "orders-1", Rules: r.GetRules(), Shape: r.GetShape(), Seconds: 600},
	}}})
	if a := <-ends; a.Outcome != access.AnswerApproved || a.By[0] != "alice" {
		t.Errorf("answered: %+v", a)
	}
	if _, ok := broker.Granted(question(nil)); !ok {
		t.Error("the grant does not hold")
	}
	s.Send(t, &sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_GrantEnd{GrantEnd: &sidecarv1alpha1.GrantEnd{Name: "orders-1"}}})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, ok := broker.Granted(question(nil)); !ok {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the grant holds although it was taken back")
		}
	}

	go func() {
		a, _ := broker.Approve(ctx, question(notices))
		ends <- a
	}()
	r = asked(s)
	cancel()
	w := s.Until(t, func(m *sidecarv1alpha1.ConnectRequest) bool { return m.GetWithdrawal() != nil }).GetWithdrawal()
	if a := <-ends; w.GetHold() != r.GetHold() || a.Outcome != access.AnswerWithdrawn {
		t.Errorf("withdrawn: %v, answered: %+v", w, a)
	}
}

func TestAnAnswerThatNobodyAskedForEndsNothing(t *testing.T) {
	o := operatortest.Start(t)
	_, l := run(t, o)
	s := o.Next(t)
	s.Snapshot(t, whole(o, 7, 600))
	l.wait(t, "lease true")
	s.Send(t, &sidecarv1alpha1.ConnectResponse{Message: &sidecarv1alpha1.ConnectResponse_Answer{Answer: &sidecarv1alpha1.ApprovalAnswer{Hold: "x"}}})
	s.Lease(t, 0)
	l.wait(t, "lease false")
}
