package approvals

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

var orders = types.NamespacedName{Namespace: "data", Name: "orders"}

func message() *sidecarv1alpha1.ApprovalRequest {
	return &sidecarv1alpha1.ApprovalRequest{
		Hold: strings.Repeat("a", 32), Session: "s", Digest: make([]byte, 32),
		Rules: []*sidecarv1alpha1.RuleReference{{Policy: "data/a", Rule: "x"}, {Policy: "data/b", Rule: "x"}},
	}
}

func policy(name string, rules ...v1alpha1.Rule) *v1alpha1.AccessPolicy {
	return &v1alpha1.AccessPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: name}, Spec: v1alpha1.AccessPolicySpec{Rules: rules}}
}

func rule(timeout, transaction time.Duration, grant v1alpha1.ApprovalGrant) v1alpha1.Rule {
	return v1alpha1.Rule{Name: "x", Action: v1alpha1.ActionRequireApproval, Approval: &v1alpha1.Approval{
		Timeout: metav1.Duration{Duration: timeout}, TransactionTimeout: metav1.Duration{Duration: transaction}, Grant: grant,
	}}
}

func TestTheStrictestOfAllRulesCounts(t *testing.T) {
	for name, c := range map[string]struct {
		a, b          v1alpha1.ApprovalGrant
		session, time bool
	}{
		"both for the session":             {"Session", "Session", true, false},
		"both for a time":                  {"1h", "2h", false, true},
		"a session and a time":             {"1h", "Session", true, false},
		"a time and a session":             {"Session", "1h", true, false},
		"a statement and a session":        {"Statement", "Session", false, false},
		"a session and a statement":        {"Session", "Statement", false, false},
		"a time and a statement":           {"1h", "", false, false},
		"what this version does not know":  {"1h", "Forever", false, false},
		"what it does not know, and first": {"Forever", "1h", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			policies := []*v1alpha1.AccessPolicy{policy("a", rule(time.Hour, time.Minute, c.a)), policy("b", rule(time.Minute, 2*time.Minute, c.b))}
			a, err := read(Question{Message: message(), DataSource: orders, Policies: policies})
			if err != nil {
				t.Fatal(err)
			}
			if a.terms.session != c.session || a.terms.timed != c.time || a.terms.timeout != time.Minute {
				t.Errorf("terms %+v", a.terms)
			}
			m := message()
			m.InTransaction = true
			if a, err = read(Question{Message: m, DataSource: orders, Policies: policies}); err != nil || a.terms.timeout != time.Minute {
				t.Errorf("in a transaction %v, %v", a, err)
			}
		})
	}
}

func TestWhatIsNotAsTheProtocolSaysIsRefused(t *testing.T) {
	policies := []*v1alpha1.AccessPolicy{policy("a", rule(time.Hour, time.Minute, "")), policy("b", rule(time.Hour, time.Minute, ""))}
	many := func(n int, size int) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = strings.Repeat("x", size)
		}
		return out
	}
	for name, change := range map[string]func(*sidecarv1alpha1.ApprovalRequest){
		"no hold":              func(m *sidecarv1alpha1.ApprovalRequest) { m.Hold = "" },
		"a hold in upper case": func(m *sidecarv1alpha1.ApprovalRequest) { m.Hold = strings.Repeat("A", 32) },
		"no session":           func(m *sidecarv1alpha1.ApprovalRequest) { m.Session = "" },
		"a long session":       func(m *sidecarv1alpha1.ApprovalRequest) { m.Session = strings.Repeat("x", 129) },
		"half a digest":        func(m *sidecarv1alpha1.ApprovalRequest) { m.ParametersDigest = make([]byte, 16) },
		"no UTF-8":             func(m *sidecarv1alpha1.ApprovalRequest) { m.Text = "\xff" },
		"a long shape":         func(m *sidecarv1alpha1.ApprovalRequest) { m.Shape = make([]byte, 65) },
		"rows below 0":         func(m *sidecarv1alpha1.ApprovalRequest) { n := int64(-1); m.EstimatedRows = &n },
		"a limit that is none": func(m *sidecarv1alpha1.ApprovalRequest) {
			m.Exceeded = &sidecarv1alpha1.ExceededLimit{Limit: "rows per hour"}
		},
		"too many rules":         func(m *sidecarv1alpha1.ApprovalRequest) { m.Rules = make([]*sidecarv1alpha1.RuleReference, 10) },
		"a rule twice":           func(m *sidecarv1alpha1.ApprovalRequest) { m.Rules[1] = m.Rules[0] },
		"a policy without place": func(m *sidecarv1alpha1.ApprovalRequest) { m.Rules[1].Policy = "b" },
		"too many statements":    func(m *sidecarv1alpha1.ApprovalRequest) { m.Statements = make([]*sidecarv1alpha1.HeldStatement, 65) },
		"too many tables": func(m *sidecarv1alpha1.ApprovalRequest) {
			m.Statements = []*sidecarv1alpha1.HeldStatement{{Tables: many(200, 1)}, {Tables: many(57, 1)}}
		},
		"a long table": func(m *sidecarv1alpha1.ApprovalRequest) {
			m.Statements = []*sidecarv1alpha1.HeldStatement{{Tables: many(1, 257)}}
		},
		"a long feature": func(m *sidecarv1alpha1.ApprovalRequest) {
			m.Statements = []*sidecarv1alpha1.HeldStatement{{Features: many(1, 65)}}
		},
		"a long kind": func(m *sidecarv1alpha1.ApprovalRequest) {
			m.Statements = []*sidecarv1alpha1.HeldStatement{{Kind: strings.Repeat("x", 65)}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := message()
			if _, err := read(Question{Message: m, DataSource: orders, Policies: policies}); err != nil {
				t.Fatal(err)
			}
			change(m)
			if _, err := read(Question{Message: m, DataSource: orders, Policies: policies}); err == nil {
				t.Error("it was taken")
			}
		})
	}
}

func TestATableMatchesWithinItsParts(t *testing.T) {
	for _, c := range []struct {
		pattern, table string
		want           bool
	}{
		{"public.orders", "public.orders", true},
		{"public.orders", "public.orders2", false},
		{"public.*", "public.orders", true},
		{"*.orders", "public.orders", true},
		{"*.*", "public.orders", true},
		{"app_*.ord*s", "app_1.orders", true},
		{"app_*.ord*s", "app_1.order", false},
		{"a*a.x", "a.x", false},
		{"public.*", "publicx.orders", false},
		{"public.*", "orders", false},
		{"public.*", "public.a.b", false}, // whose schema it is cannot be told
		{"*.*", "public.a.b", true},
	} {
		if got := matches(c.pattern, c.table); got != c.want {
			t.Errorf("%s on %s: %v", c.pattern, c.table, got)
		}
	}
}

func TestANameIsThePolicysAndADigest(t *testing.T) {
	first := nameOf("reporting", "uid", orders, "hold", 8)
	if first != nameOf("reporting", "uid", orders, "hold", 8) || !strings.HasPrefix(first, "reporting-") || len(first) != 18 {
		t.Errorf("%s", first)
	}
	for _, other := range []string{
		nameOf("reporting", "uid", orders, "hole", 8), nameOf("reporting", "uie", orders, "hold", 8),
		nameOf("reporting", "uid", types.NamespacedName{Namespace: "data", Name: "stock"}, "hold", 8),
	} {
		if other == first {
			t.Errorf("%s is two requests", other)
		}
	}
	long := nameOf(v1alpha1.ObjectName(strings.Repeat("x", 200)+strings.Repeat(".", 53)), "uid", orders, "hold", 52)
	if len(long) > 253 || strings.Contains(long, ".-") {
		t.Errorf("%s", long)
	}
}

func TestAnUnknownStateIsNoApproval(t *testing.T) {
	r := &v1alpha1.AccessRequest{Spec: v1alpha1.AccessRequestSpec{ExpiresAt: metav1.NewTime(time.Now().Add(time.Hour))}}
	r.Status.State = "Perhaps"
	if out, _, over := outcomeOf(r, time.Now()); out != outcomeDenied || !over {
		t.Errorf("%v, %v", out, over)
	}
	r.Status.State = v1alpha1.RequestApproved
	if out, _, _ := outcomeOf(r, time.Now().Add(2*time.Hour)); out != outcomeExpired {
		t.Errorf("approved and void: %v", out)
	}
}
