package distribute

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

const (
	granted   = sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_APPROVED
	denied    = sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_DENIED
	expired   = sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_EXPIRED
	withdrawn = sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_WITHDRAWN
	refusedAs = sidecarv1alpha1.ApprovalOutcome_APPROVAL_OUTCOME_REFUSED
)

// asking makes the shop's policy ask for approval.
func (s shop) asking(t *testing.T, grant v1alpha1.ApprovalGrant) shop {
	t.Helper()
	rows := int64(100)
	update(t, s.client, s.getPolicy("reporting"), func(p *v1alpha1.AccessPolicy) {
		p.Spec.Rules = append(p.Spec.Rules,
			v1alpha1.Rule{
				Name: "exports", Action: v1alpha1.ActionRequireApproval, Statements: []v1alpha1.StatementClass{"CopyOut", "Update"},
				Approval: &v1alpha1.Approval{
					Timeout: metav1.Duration{Duration: 10 * time.Minute}, TransactionTimeout: metav1.Duration{Duration: 2 * time.Minute}, Grant: grant,
				},
			},
			v1alpha1.Rule{
				Name: "capped", Action: v1alpha1.ActionAllow, Statements: []v1alpha1.StatementClass{"Select"}, Tables: []v1alpha1.TablePattern{"*.*"},
				Limits: &v1alpha1.Limits{RowsPerHour: &rows, OnExceed: v1alpha1.ExceedRequireApproval},
			})
	})
	return s
}

// question is about a COPY of the orders, by rule exports.
func (s shop) question(change ...func(*sidecarv1alpha1.ApprovalRequest)) *sidecarv1alpha1.ApprovalRequest {
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	text, shape := sha256.Sum256(id), sha256.Sum256([]byte("copy orders"))
	m := &sidecarv1alpha1.ApprovalRequest{
		Hold: hex.EncodeToString(id), DataSource: s.data + "/orders", Session: "session-1", Digest: text[:], Shape: shape[:],
		Rules: []*sidecarv1alpha1.RuleReference{{Policy: s.data + "/reporting", Rule: "exports"}},
		Text:  "COPY public.orders TO STDOUT", Summary: "COPY orders TO STDOUT",
		Statements: []*sidecarv1alpha1.HeldStatement{{Kind: "CopyOut", Tables: []string{"public.orders"}}},
	}
	for _, f := range change {
		f(m)
	}
	return m
}

// waiter is a sidecar that reads all the time, and notes what it is told about approvals.
type waiter struct {
	*sidecar
	mu      sync.Mutex
	pending map[string]*sidecarv1alpha1.ApprovalPending
	answers map[string]*sidecarv1alpha1.ApprovalAnswer
	at      map[string]time.Time
	ends    []string
}

func (o *operator) waits(t *testing.T, s shop, name string) *waiter {
	t.Helper()
	return o.waitsFor(t, o.connect(t, s.pod(t, name, "orders")))
}

func (o *operator) waitsFor(t *testing.T, c *sidecar) *waiter {
	t.Helper()
	w := &waiter{
		sidecar: c, pending: map[string]*sidecarv1alpha1.ApprovalPending{},
		answers: map[string]*sidecarv1alpha1.ApprovalAnswer{}, at: map[string]time.Time{},
	}
	w.snapshot(true)
	go func() {
		for {
			msg, err := c.stream.Recv()
			if err != nil {
				return
			}
			w.note(msg)
		}
	}()
	return w
}

func (w *waiter) note(msg *sidecarv1alpha1.ConnectResponse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch m := msg.GetMessage().(type) {
	case *sidecarv1alpha1.ConnectResponse_Pending:
		w.pending[m.Pending.GetHold()] = m.Pending
	case *sidecarv1alpha1.ConnectResponse_Answer:
		w.answers[m.Answer.GetHold()], w.at[m.Answer.GetHold()] = m.Answer, time.Now()
	case *sidecarv1alpha1.ConnectResponse_GrantEnd:
		w.ends = append(w.ends, m.GrantEnd.GetName())
	}
}

func (w *waiter) ask(m *sidecarv1alpha1.ApprovalRequest) {
	w.t.Helper()
	w.send(&sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Approval{Approval: m}})
}

func (w *waiter) withdraw(hold string) {
	w.t.Helper()
	w.send(&sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Withdrawal{
		Withdrawal: &sidecarv1alpha1.ApprovalWithdrawal{Hold: hold, Reason: "the client has gone"},
	}})
}

// name waits until the question has an AccessRequest.
func (w *waiter) name(m *sidecarv1alpha1.ApprovalRequest) string {
	w.t.Helper()
	var out string
	eventually(w.t, "the AccessRequest's name", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		a := w.answers[m.GetHold()]
		if a != nil && strings.Contains(a.GetReason(), "none that selects this pod") { // a test asks before any sidecar could: the operator's cache lags
			delete(w.answers, m.GetHold())
			go w.ask(m)
			return false
		}
		if a != nil && w.pending[m.GetHold()] == nil {
			w.t.Fatalf("answered: %v", a)
		}
		out = w.pending[m.GetHold()].GetName()
		return out != ""
	})
	return out
}

// answer waits for the answer.
func (w *waiter) answer(m *sidecarv1alpha1.ApprovalRequest) *sidecarv1alpha1.ApprovalAnswer {
	w.t.Helper()
	var out *sidecarv1alpha1.ApprovalAnswer
	eventually(w.t, "the answer", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		out = w.answers[m.GetHold()]
		return out != nil
	})
	return out
}

func (w *waiter) forget(m *sidecarv1alpha1.ApprovalRequest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.answers, m.GetHold())
	delete(w.pending, m.GetHold())
}

func (w *waiter) ended(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, end := range w.ends {
		if end == name {
			return true
		}
	}
	return false
}

// outcome requires an outcome, and returns the answer.
func (w *waiter) outcome(m *sidecarv1alpha1.ApprovalRequest, want sidecarv1alpha1.ApprovalOutcome) *sidecarv1alpha1.ApprovalAnswer {
	w.t.Helper()
	a := w.answer(m)
	if a.GetOutcome() != want {
		w.t.Fatalf("answer %v, want %v", a, want)
	}
	return a
}

func (s shop) request(t *testing.T, name string) *v1alpha1.AccessRequest {
	t.Helper()
	var out v1alpha1.AccessRequest
	must(t, s.client.Get(t.Context(), types.NamespacedName{Namespace: s.data, Name: name}, &out))
	return &out
}

func (s shop) requests(t *testing.T) []v1alpha1.AccessRequest {
	t.Helper()
	var list v1alpha1.AccessRequestList
	must(t, s.client.List(t.Context(), &list, client.InNamespace(s.data)))
	return list.Items
}

// decide sets the status as the reconciler does, and returns when it began to write.
func (s shop) decide(t *testing.T, name string, state v1alpha1.AccessRequestState, change ...func(*v1alpha1.AccessRequestStatus)) time.Time {
	t.Helper()
	before := s.request(t, name)
	after, now := before.DeepCopy(), metav1.Now()
	after.Status.State, after.Status.ClosedAt = state, &now
	kind := v1alpha1.DecisionApprove
	if state != v1alpha1.RequestApproved {
		kind = v1alpha1.DecisionDeny
	}
	after.Status.Decisions = append(after.Status.Decisions, v1alpha1.WeighedDecision{
		Name: v1alpha1.ObjectName(strings.ToLower(string(state))), Decision: kind, By: "alice",
	})
	for _, f := range change {
		f(&after.Status)
	}
	began := time.Now()
	must(t, s.client.Status().Patch(t.Context(), after, client.MergeFrom(before)))
	return began
}

// until makes the approval one for a time.
func until(d time.Duration) func(*v1alpha1.AccessRequestStatus) {
	return func(st *v1alpha1.AccessRequestStatus) {
		at := metav1.NewTime(time.Now().Add(d))
		st.GrantedUntil = &at
	}
}
