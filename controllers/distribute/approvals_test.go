package distribute

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

func TestWhatIsAskedBecomesAnAccessRequest(t *testing.T) {
	s := start(t, nil).shop(t).asking(t, "")
	w := s.waits(t, s, "report")
	rows := int64(1200)
	m := s.question(func(m *sidecarv1alpha1.ApprovalRequest) {
		m.EstimatedRows, m.InTransaction, m.WaitedSeconds, m.Process = &rows, true, 20, "psql (pid 7)\x1b[2J"
	})
	w.ask(m)
	name := w.name(m)
	r := s.request(t, name)
	if !strings.HasPrefix(name, "reporting-") || len(name) != len("reporting-")+8 {
		t.Errorf("name %s", name)
	}
	st, by := r.Spec.Statement, r.Spec.Requester
	if r.Spec.Policy != "reporting" || r.Spec.Rule != "exports" || r.Spec.DataSource.Name != "orders" || r.Spec.Summary != "COPY orders TO STDOUT" ||
		by.Namespace != s.work || by.ServiceAccount != "default" || by.Pod.Name != "report" || by.Process != "psql (pid 7)?[2J" ||
		st.Hold != m.GetHold() || st.Text != m.GetText() || *st.EstimatedRows != rows || !st.InTransaction || len(st.Shape) != 64 {
		t.Errorf("spec %+v, statement %+v", r.Spec, st)
	}
	if left := time.Until(r.Spec.ExpiresAt.Time); left < 90*time.Second || left > 101*time.Second {
		t.Errorf("it expires in %v, of 2 minutes in a transaction and 20 s waited", left)
	}
	if got := w.pending[m.GetHold()].GetExpiresAt().AsTime(); !got.Equal(r.Spec.ExpiresAt.Time) {
		t.Errorf("told %v", got)
	}
}

func TestAHoldIsAnsweredAsPeopleDecide(t *testing.T) {
	s := start(t, nil).shop(t).asking(t, "")
	w := s.waits(t, s, "report")
	for _, c := range []struct {
		name, reason string
		by           []string
		decide       func(name string)
		want         sidecarv1alpha1.ApprovalOutcome
	}{
		{"approved", "ticket 7", []string{"alice"}, func(name string) {
			d := &v1alpha1.AccessDecision{
				ObjectMeta: metav1.ObjectMeta{Namespace: s.data, Name: "d-" + name},
				Spec:       v1alpha1.AccessDecisionSpec{RequestRef: v1alpha1.AccessRequestReference{Name: v1alpha1.ObjectName(name)}, Decision: "Approve", Reason: "ticket 7"},
			}
			must(t, s.client.Create(t.Context(), d))
			eventually(t, "the decision in the cache", func() bool {
				return s.server.o.Cache.Get(t.Context(), client.ObjectKeyFromObject(d), &v1alpha1.AccessDecision{}) == nil
			})
			s.decide(t, name, v1alpha1.RequestApproved, func(st *v1alpha1.AccessRequestStatus) {
				st.Decisions[0].Name = v1alpha1.ObjectName(d.Name)
				st.Decisions = append(st.Decisions, v1alpha1.WeighedDecision{Name: "other", Decision: "Approve", By: "mallory", Refused: "no right"})
			})
		}, granted},
		{"denied", "not today", []string{"alice"}, func(name string) {
			s.decide(t, name, v1alpha1.RequestDenied, func(st *v1alpha1.AccessRequestStatus) {
				st.Conditions = []metav1.Condition{{Type: "Denied", Status: "True", Reason: "Denied", Message: "not today", LastTransitionTime: metav1.Now()}}
			})
		}, denied},
		{"revoked", "", []string{"alice"}, func(name string) { s.decide(t, name, v1alpha1.RequestRevoked) }, denied},
		{"expired", "nobody answered in time", nil, func(name string) { s.decide(t, name, v1alpha1.RequestExpired) }, expired},
		{"withdrawn", "", nil, func(name string) { s.decide(t, name, v1alpha1.RequestWithdrawn) }, withdrawn},
		{"deleted", "the request was deleted", nil, func(name string) { must(t, s.client.Delete(t.Context(), s.request(t, name))) }, withdrawn},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := s.question()
			w.ask(m)
			name := w.name(m)
			c.decide(name)
			a := w.outcome(m, c.want)
			if a.GetName() != name || a.GetReason() != c.reason || strings.Join(a.GetBy(), " ") != strings.Join(c.by, " ") || a.GetGrant() != nil {
				t.Errorf("answer %v", a)
			}
		})
	}
}

func TestARequestWithoutAnAnswerExpiresAlsoWithoutALeader(t *testing.T) {
	s := start(t, nil).shop(t).asking(t, "")
	w := s.waits(t, s, "report")
	m := s.question(func(m *sidecarv1alpha1.ApprovalRequest) { m.WaitedSeconds = 598 })
	w.ask(m)
	w.name(m)
	w.outcome(m, expired)
	late := s.question(func(m *sidecarv1alpha1.ApprovalRequest) { m.WaitedSeconds = 600 })
	w.ask(late)
	w.outcome(late, expired)
	if n := len(s.requests(t)); n != 1 {
		t.Errorf("%d requests: one was made for something that is over", n)
	}
}

func TestNobodyIsAskedForWhatNoPolicyAsksAbout(t *testing.T) {
	s := start(t, nil).shop(t).asking(t, "")
	s.dataSource(t, "stock")
	s.policy(t, "stock", "stock")
	update(t, s.client, s.getPolicy("stock"), func(p *v1alpha1.AccessPolicy) { p.Spec.Rules[0].Action = v1alpha1.ActionRequireApproval })
	s.policy(t, "others", "orders") // does not select the pod
	update(t, s.client, s.getPolicy("others"), func(p *v1alpha1.AccessPolicy) {
		p.Spec.Rules[0].Action, p.Spec.Subjects[0].ServiceAccounts = v1alpha1.ActionRequireApproval, []v1alpha1.ObjectName{"else"}
	})
	w := s.waits(t, s, "report")
	rule := func(policy, rule string) func(*sidecarv1alpha1.ApprovalRequest) {
		return func(m *sidecarv1alpha1.ApprovalRequest) {
			m.Rules = []*sidecarv1alpha1.RuleReference{{Policy: policy, Rule: rule}}
		}
	}
	for name, change := range map[string]func(*sidecarv1alpha1.ApprovalRequest){
		"a data source that the pod was not injected with": func(m *sidecarv1alpha1.ApprovalRequest) { m.DataSource = s.data + "/stock" },
		"a policy that does not select the pod":            rule(s.data+"/others", "read"),
		"a policy of another data source":                  rule(s.data+"/stock", "read"),
		"a policy of another namespace":                    rule(s.work+"/reporting", "exports"),
		"no such rule":                                     rule(s.data+"/reporting", "nosuch"),
		"a rule that allows":                               rule(s.data+"/reporting", "read"),
		"a limit that was not reached":                     rule(s.data+"/reporting", "capped"),
		"Rego that there is not":                           rule(s.data+"/reporting", "rego"),
		"no rule":                                          func(m *sidecarv1alpha1.ApprovalRequest) { m.Rules = nil },
		"one rule that asks and one that does not": func(m *sidecarv1alpha1.ApprovalRequest) {
			m.Rules = append(m.Rules, &sidecarv1alpha1.RuleReference{Policy: s.data + "/reporting", Rule: "read"})
		},
		"a text that is too long": func(m *sidecarv1alpha1.ApprovalRequest) { m.Text = strings.Repeat("x", 8193) },
		"a digest that is none":   func(m *sidecarv1alpha1.ApprovalRequest) { m.Digest = []byte("x") },
	} {
		t.Run(name, func(t *testing.T) {
			m := s.question(change)
			w.ask(m)
			if a := w.outcome(m, refusedAs); a.GetReason() == "" {
				t.Error("no reason")
			}
		})
	}
	if n := len(s.requests(t)); n != 0 {
		t.Errorf("%d AccessRequests", n)
	}
	reached := s.question(rule(s.data+"/reporting", "capped"), func(m *sidecarv1alpha1.ApprovalRequest) {
		m.Exceeded = &sidecarv1alpha1.ExceededLimit{Limit: "rowsPerHour", Rows: 100, Bytes: 4000}
	})
	w.ask(reached)
	if e := s.request(t, w.name(reached)).Spec.Statement.Exceeded; e == nil || e.Rows != 100 || e.Limit != "rowsPerHour" {
		t.Errorf("exceeded %v", e)
	}
}

func TestWhatNobodyWaitsForIsWithdrawn(t *testing.T) {
	s := start(t, nil).shop(t).asking(t, "")
	state := func(name string) v1alpha1.AccessRequestState { return s.request(t, name).Status.State }
	t.Run("the sidecar says so", func(t *testing.T) {
		w := s.waits(t, s, "one")
		m := s.question()
		w.ask(m)
		name := w.name(m)
		w.withdraw(m.GetHold())
		eventually(t, "the withdrawal", func() bool { return state(name) == v1alpha1.RequestWithdrawn })
		if c := s.request(t, name).Status.Conditions; len(c) != 2 || c[0].Message != "the client has gone" {
			t.Errorf("conditions %v", c)
		}
	})
	t.Run("the sidecar says so before it has heard of it", func(t *testing.T) {
		w := s.waits(t, s, "hasty")
		for range 8 {
			m := s.question()
			w.ask(m)
			w.withdraw(m.GetHold())
		}
		last := s.question()
		w.ask(last)
		name := w.name(last)
		eventually(t, "nothing to be open but the last", func() bool {
			for _, r := range s.requests(t) {
				if r.Name != name && r.Spec.Requester.Pod.Name == "hasty" && r.Status.State != v1alpha1.RequestWithdrawn {
					return false
				}
			}
			return true
		})
	})
	t.Run("the pod is gone", func(t *testing.T) {
		pod := s.pod(t, "two", "orders")
		w := s.waitsFor(t, s.connect(t, pod))
		m := s.question()
		w.ask(m)
		name := w.name(m)
		deleteNow(t, s.client, pod)
		eventually(t, "the withdrawal", func() bool { return state(name) == v1alpha1.RequestWithdrawn })
	})
	t.Run("the sidecar does not come back", func(t *testing.T) {
		w := s.waits(t, s, "three")
		m := s.question()
		w.ask(m)
		name, began := w.name(m), time.Now()
		w.close()
		eventually(t, "the withdrawal", func() bool { return state(name) == v1alpha1.RequestWithdrawn })
		if took := time.Since(began); took < 3*time.Second {
			t.Errorf("withdrawn after %v: the sidecar had no time to come back", took)
		}
	})
	t.Run("the sidecar has started anew", func(t *testing.T) {
		pod := s.pod(t, "four", "orders")
		w := s.waitsFor(t, s.connect(t, pod))
		m := s.question()
		w.ask(m)
		name := w.name(m)
		w.close()
		s.waitsFor(t, s.connect(t, pod))
		eventually(t, "the withdrawal", func() bool { return state(name) == v1alpha1.RequestWithdrawn })
	})
}
