package distribute

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/session"
)

// A sidecar that asks again finds what it has asked for, whichever replica it comes to and whatever has happened meanwhile.
func TestAHoldOutlivesItsReplica(t *testing.T) {
	first, second := start(t, nil), start(t, nil)
	s := first.shop(t).asking(t, "")
	pod := s.pod(t, "report", "orders")
	w := s.waitsFor(t, first.connect(t, pod))
	open, decided, gone := s.question(), s.question(), s.question()
	for _, m := range []*sidecarv1alpha1.ApprovalRequest{open, decided, gone} {
		w.ask(m)
	}
	name, decidedName, goneName := w.name(open), w.name(decided), w.name(gone)
	first.stop()
	s.decide(t, decidedName, v1alpha1.RequestApproved)
	w = second.waitsFor(t, second.connect(t, pod))
	w.ask(open)
	w.ask(decided)
	if again := w.name(open); again != name {
		t.Errorf("asked again as %s, was %s", again, name)
	}
	if a := w.outcome(decided, granted); a.GetName() != decidedName {
		t.Errorf("answer %v", a)
	}
	w.withdraw(gone.GetHold()) // what was not asked again over this stream
	eventually(t, "the withdrawal", func() bool { return s.request(t, goneName).Status.State == v1alpha1.RequestWithdrawn })
	s.decide(t, name, v1alpha1.RequestApproved)
	w.outcome(open, granted)
	if n := len(s.requests(t)); n != 3 {
		t.Errorf("%d requests", n)
	}
	other := s.question(func(m *sidecarv1alpha1.ApprovalRequest) { m.Hold = decided.GetHold() })
	w.forget(decided)
	w.ask(other)
	w.outcome(other, refusedAs) // an approval is for exactly one statement
}

func TestAHoldThatMovesToAnotherReplicaIsNotWithdrawnByTheFirst(t *testing.T) {
	first, second := start(t, nil), start(t, func(_ *Options, o *session.Options) { o.Replica = "operator-1" })
	s := first.shop(t).asking(t, "")
	pod := s.pod(t, "report", "orders")
	w := s.waitsFor(t, first.connect(t, pod))
	m := s.question()
	w.ask(m)
	name := w.name(m)
	w.close()
	w = second.waitsFor(t, second.connect(t, pod))
	w.ask(m)
	if again := w.name(m); again != name {
		t.Errorf("asked again as %s, was %s", again, name)
	}
	time.Sleep(8 * time.Second) // longer than the first replica waits for it
	if state := s.request(t, name).Status.State; state != "" {
		t.Fatalf("it is %s", state)
	}
	s.decide(t, name, v1alpha1.RequestApproved)
	w.outcome(m, granted)
}

// asks asks, and reports whether it was answered by what was approved before.
func (w *waiter) granted(t *testing.T, s shop, change ...func(*sidecarv1alpha1.ApprovalRequest)) *sidecarv1alpha1.ApprovalAnswer {
	t.Helper()
	m := s.question(change...)
	w.ask(m)
	var out *sidecarv1alpha1.ApprovalAnswer
	eventually(t, "a grant or a request", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		out = w.answers[m.GetHold()]
		return out != nil || w.pending[m.GetHold()].GetName() != ""
	})
	if out == nil {
		w.withdraw(m.GetHold())
		return nil
	}
	if out.GetOutcome() != granted || out.GetGrant() == nil {
		t.Fatalf("answer %v", out)
	}
	return out
}

func TestAGrantIsGoodForTheLikeOfWhatWasApproved(t *testing.T) {
	o := start(t, nil)
	otherSession := func(m *sidecarv1alpha1.ApprovalRequest) { m.Session = "session-2" }
	otherShape := func(m *sidecarv1alpha1.ApprovalRequest) { m.Shape = []byte("another") }
	noShape := func(m *sidecarv1alpha1.ApprovalRequest) { m.Shape = nil }
	exceeded := func(m *sidecarv1alpha1.ApprovalRequest) {
		m.Exceeded = &sidecarv1alpha1.ExceededLimit{Limit: "rowsPerHour"}
	}
	for name, c := range map[string]struct {
		grant                         v1alpha1.ApprovalGrant
		until                         []func(*v1alpha1.AccessRequestStatus)
		alike, otherSession, otherPod bool
		session                       string
		least, most                   uint32
	}{
		"Statement":           {grant: "Statement"},
		"Session":             {grant: "Session", alike: true, session: "session-1", least: 86400, most: 86400},
		"a time":              {grant: "1h", until: []func(*v1alpha1.AccessRequestStatus){until(time.Hour)}, alike: true, otherSession: true, otherPod: true, least: 3500, most: 3600},
		"a time that is over": {grant: "1h", until: []func(*v1alpha1.AccessRequestStatus){until(-time.Second)}},
	} {
		t.Run(name, func(t *testing.T) {
			s := o.shop(t).asking(t, c.grant)
			w, other := s.waits(t, s, "report"), s.waits(t, s, "other")
			m := s.question()
			w.ask(m)
			approvedName := w.name(m)
			s.decide(t, approvedName, v1alpha1.RequestApproved, c.until...)
			got := w.outcome(m, granted).GetGrant()
			if (got != nil) != c.alike {
				t.Fatalf("grant %v", got)
			}
			if c.alike && (got.GetName() != approvedName || got.GetSession() != c.session || string(got.GetShape()) != string(m.GetShape()) ||
				got.GetSeconds() < c.least || got.GetSeconds() > c.most || len(got.GetRules()) != 1 || got.GetRules()[0].GetPolicy() != s.data+"/reporting") {
				t.Errorf("grant %v", got)
			}
			for what, is := range map[string]struct {
				got  *sidecarv1alpha1.ApprovalAnswer
				want bool
			}{
				"the like of it":                {w.granted(t, s), c.alike},
				"in another session":            {w.granted(t, s, otherSession), c.otherSession},
				"by another pod of the account": {other.granted(t, s), c.otherPod},
				"of another shape":              {w.granted(t, s, otherShape), false},
				"of no shape":                   {w.granted(t, s, noShape), false},
				"beyond a limit":                {w.granted(t, s, exceeded), false},
			} {
				if (is.got != nil) != is.want || is.got != nil && is.got.GetName() != approvedName {
					t.Errorf("%s: %v", what, is.got)
				}
			}
		})
	}
}

// access makes a request ahead of time, approved for an hour.
func (s shop) access(t *testing.T, change ...func(*v1alpha1.AccessRequest)) *v1alpha1.AccessRequest {
	t.Helper()
	r := &v1alpha1.AccessRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.data, GenerateName: "ahead-"},
		Spec: v1alpha1.AccessRequestSpec{
			DataSource: v1alpha1.DataSourceReference{Name: "orders"}, Policy: "reporting", Rule: "exports",
			Requester: v1alpha1.Requester{Namespace: s.work, ServiceAccount: "default"},
			Access: &v1alpha1.RequestedAccess{
				Statements: []v1alpha1.StatementClass{"*", "BulkSelect"}, Tables: []v1alpha1.TablePattern{"public.ord*"},
				Duration: metav1.Duration{Duration: time.Hour},
			},
			ExpiresAt: metav1.NewTime(time.Now().Add(time.Hour)),
		},
	}
	for _, f := range change {
		f(r)
	}
	must(t, s.client.Create(t.Context(), r))
	return r
}

func TestAccessAheadOfTimeIsGoodForWhatItLists(t *testing.T) {
	s := start(t, nil).shop(t).asking(t, "")
	r := s.access(t)
	s.access(t, func(r *v1alpha1.AccessRequest) { r.Spec.Requester.ServiceAccount = "else" })
	w := s.waits(t, s, "report")
	if got := w.granted(t, s); got != nil {
		t.Fatalf("granted before anybody has approved: %v", got)
	}
	s.decide(t, r.Name, v1alpha1.RequestApproved, until(time.Hour))
	eventually(t, "the approval in the cache", func() bool { return w.granted(t, s) != nil })
	statement := func(kind string, features []string, tables ...string) func(*sidecarv1alpha1.ApprovalRequest) {
		return func(m *sidecarv1alpha1.ApprovalRequest) {
			m.Shape = nil
			m.Statements = append(m.Statements, &sidecarv1alpha1.HeldStatement{Kind: kind, Features: features, Tables: tables})
		}
	}
	rego := func(m *sidecarv1alpha1.ApprovalRequest) {
		m.Rules = append(m.Rules, &sidecarv1alpha1.RuleReference{Policy: s.data + "/reporting", Rule: "rego"})
	}
	update(t, s.client, s.getPolicy("reporting"), func(p *v1alpha1.AccessPolicy) {
		p.Spec.Rego = "package tidewaiter.custom\n\nrequire_approval contains \"it is late\" if { input.never }\n"
	})
	for name, c := range map[string]struct {
		change func(*sidecarv1alpha1.ApprovalRequest)
		want   bool
	}{
		"another statement that is listed": {statement("Update", []string{"BulkSelect"}, "public.orders", "public.order_items"), true},
		"a kind that * is not":             {statement("DDL", nil, "public.orders"), false},
		"a feature that is not listed":     {statement("Select", []string{"Laundering"}, "public.orders"), false},
		"a table that is not listed":       {statement("Select", nil, "public.orders", "public.customers"), false},
		"a schema that is not listed":      {statement("Select", nil, "private.orders"), false},
		"a name with a dot":                {statement("Select", nil, "public.ord.x"), false},
		"nothing is said of it":            {func(m *sidecarv1alpha1.ApprovalRequest) { m.Statements = nil }, false},
		"another rule asks as well":        {rego, false},
		"a limit is reached": {func(m *sidecarv1alpha1.ApprovalRequest) {
			m.Exceeded = &sidecarv1alpha1.ExceededLimit{Limit: "rowsPerHour"}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := w.granted(t, s, c.change)
			if (got != nil) != c.want {
				t.Fatalf("answer %v", got)
			}
			if g := got.GetGrant(); got != nil && (g.GetName() != r.Name || g.GetSeconds() < 3500 || len(g.GetAccess().GetClasses()) != 12 ||
				g.GetAccess().GetTables()[0] != "public.ord*" || len(g.GetShape()) != 0) {
				t.Errorf("grant %v", g)
			}
		})
	}
}

func TestAGrantThatIsTakenBackEndsAtOnceAtEveryReplica(t *testing.T) {
	first, second := start(t, nil), start(t, nil)
	s := first.shop(t).asking(t, "1h")
	ways := map[string]func(name string){
		"revoked": func(name string) { s.decide(t, name, v1alpha1.RequestRevoked) },
		"deleted": func(name string) { must(t, s.client.Delete(t.Context(), s.request(t, name))) },
	}
	for name, take := range ways {
		t.Run(name, func(t *testing.T) {
			w := first.waits(t, s, "report-"+name)
			other := second.waits(t, s, "other-"+name)
			m := s.question()
			w.ask(m)
			approvedName := w.name(m)
			s.decide(t, approvedName, v1alpha1.RequestApproved, until(time.Hour))
			w.outcome(m, granted)
			eventually(t, "the grant at the other replica", func() bool { return other.granted(t, s) != nil })
			began := time.Now()
			take(approvedName)
			eventually(t, "the end of the grant", func() bool { return w.ended(approvedName) && other.ended(approvedName) })
			took := time.Since(began)
			if took > 2*time.Second {
				t.Errorf("it ended after %v", took)
			}
			t.Logf("it ended after %v", took)
			if got := w.granted(t, s); got != nil {
				t.Errorf("granted again: %v", got)
			}
		})
	}
}

// An owner who grants less from now on is obeyed, whatever was approved before.
func TestAGrantIsNoMoreThanTheRuleGrantsNow(t *testing.T) {
	s := start(t, nil).shop(t).asking(t, "1h")
	w := s.waits(t, s, "report")
	m := s.question()
	w.ask(m)
	s.decide(t, w.name(m), v1alpha1.RequestApproved, until(time.Hour))
	w.outcome(m, granted)
	if w.granted(t, s) == nil {
		t.Fatal("the like of it was asked for again")
	}
	update(t, s.client, s.getPolicy("reporting"), func(p *v1alpha1.AccessPolicy) { p.Spec.Rules[1].Approval.Grant = v1alpha1.GrantStatement })
	eventually(t, "the like of it to be asked for again", func() bool { return w.granted(t, s) == nil })
}

func TestAPodsRequestsNeverPassItsCapAtTwoReplicas(t *testing.T) {
	first, second := start(t, nil), start(t, nil)
	s := first.shop(t).asking(t, "")
	pod := s.pod(t, "report", "orders")
	w := s.waitsFor(t, first.connect(t, pod))
	var asked []*sidecarv1alpha1.ApprovalRequest
	for range 10 {
		m := s.question()
		asked = append(asked, m)
		w.ask(m)
		w.name(m)
	}
	w.close()
	w = second.waitsFor(t, second.connect(t, pod))
	for _, m := range asked {
		w.ask(m)
	}
	more := s.question()
	w.ask(more)
	for _, m := range asked {
		w.name(m)
	}
	w.mu.Lock()
	turn, known := w.pending[more.GetHold()]
	w.mu.Unlock()
	if !known || turn.GetName() != "" || len(s.requests(t)) != 10 {
		t.Fatalf("the eleventh: %v; %d requests", turn, len(s.requests(t)))
	}
	s.decide(t, w.name(asked[3]), v1alpha1.RequestDenied)
	if name := w.name(more); name == "" {
		t.Error("no room was made")
	}
	if n := len(s.requests(t)); n != 11 {
		t.Error(fmt.Sprint(n, " requests"))
	}
}
