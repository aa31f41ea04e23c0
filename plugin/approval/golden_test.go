package approval

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files")

var now = time.Date(2026, 11, 26, 14, 17, 40, 0, time.UTC)

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got:\n%s\nwant:\n%s", name, got, want)
	}
}

func request(name string, left time.Duration, change ...func(*v1alpha1.AccessRequest)) *v1alpha1.AccessRequest {
	rows := int64(12_345)
	r := &v1alpha1.AccessRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(now.Add(-42 * time.Second))},
		Spec: v1alpha1.AccessRequestSpec{
			DataSource: v1alpha1.DataSourceReference{Name: "orders"}, Policy: "reporting", Rule: "exports", Summary: "COPY orders TO STDOUT",
			Requester: v1alpha1.Requester{Namespace: "shop", ServiceAccount: "report-agent", Pod: &v1alpha1.PodReference{Name: "report-7d9f", UID: "u1"}, Process: "psql pid 17"},
			Statement: &v1alpha1.HeldStatement{Digest: v1alpha1.Digest(strings.Repeat("ab", 32)), Text: "COPY public.orders\n\tTO STDOUT", EstimatedRows: &rows, InTransaction: true},
			ExpiresAt: metav1.NewTime(now.Add(left)),
		},
	}
	for _, f := range change {
		f(r)
	}
	return r
}

func examples() []*v1alpha1.AccessRequest {
	state := func(s v1alpha1.AccessRequestState) func(*v1alpha1.AccessRequest) {
		return func(r *v1alpha1.AccessRequest) { r.Status.State = s }
	}
	until := metav1.NewTime(now.Add(30 * time.Minute))
	return []*v1alpha1.AccessRequest{
		request("reporting-denied", time.Minute, state(v1alpha1.RequestDenied)),
		request("reporting-7k2p4", 14*time.Minute+30*time.Second),
		request("reporting-soon", 70*time.Second, func(r *v1alpha1.AccessRequest) {
			r.Spec.OtherRules = []v1alpha1.RuleReference{{Policy: "strict", Rule: "all"}}
			r.Spec.Statement.EstimatedRows, r.Spec.Summary = nil, ""
			r.Status.Missing = "1 of 2 approvals"
		}),
		request("reporting-access", time.Hour, state(v1alpha1.RequestApproved), func(r *v1alpha1.AccessRequest) {
			r.Spec.Statement, r.Spec.Requester.Pod, r.Spec.Summary, r.Spec.Reason = nil, nil, "", "OPS-7"
			r.Spec.Access = &v1alpha1.RequestedAccess{Statements: []v1alpha1.StatementClass{"Update", "Delete"}, Tables: []v1alpha1.TablePattern{"public.orders"}, Duration: metav1.Duration{Duration: 90 * time.Minute}}
			r.Status.GrantedUntil = &until
		}),
		request("reporting-void", -time.Second),
	}
}

func TestRequestsAreATableThatReadsAtAGlance(t *testing.T) {
	all := examples()
	Sort(all)
	for name, v := range map[string]View{"requests.txt": {Now: now}, "requests-wide.txt": {Now: now, Wide: true, Namespaces: true}} {
		var b bytes.Buffer
		if err := Table(all, v).Write(&b, false); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.String())
	}
}

func TestAnApproverReadsAllThatIsAskedFor(t *testing.T) {
	approval := func(change func(*v1alpha1.Approval)) Terms {
		a := (&v1alpha1.Rule{}).EffectiveApproval()
		change(&a)
		return Terms{Policy: "reporting", Rule: "exports", Approval: &a}
	}
	all := examples()
	for name, q := range map[string]*Question{
		"show-statement.txt": {Request: all[1], Rules: []Terms{approval(func(*v1alpha1.Approval) {})}},
		"show-rules.txt": {Request: all[2], Rules: []Terms{
			approval(func(a *v1alpha1.Approval) {
				a.Approvers, a.AnyOf, a.AllOf, a.Grant = 2, []v1alpha1.GroupName{"owners", "leads"}, []v1alpha1.GroupName{"security", "legal"}, "90m"
			}),
			{Policy: "strict", Rule: "all", Problem: "is no longer in the policy"},
		}},
		"show-access.txt": {Request: all[3], Rules: []Terms{approval(func(a *v1alpha1.Approval) { a.AnyOf = []v1alpha1.GroupName{"owners"} })}},
		"show-exceeded.txt": {Request: request("reporting-more", time.Minute, func(r *v1alpha1.AccessRequest) {
			r.Spec.Statement.Exceeded = &v1alpha1.ExceededLimit{Limit: "rowsPerHour", Rows: 50_000, Bytes: 3 << 20}
			r.Spec.Statement.Text = strings.Repeat("x", longText)[:longText]
			r.Status.Decisions = []v1alpha1.WeighedDecision{{Name: "d", Decision: "Approve", By: "bob", Refused: "bob may not approve"}}
		}), Rules: []Terms{approval(func(*v1alpha1.Approval) {})}},
	} {
		var b bytes.Buffer
		if err := q.Show(&b, now, false); err != nil {
			t.Fatal(err)
		}
		golden(t, name, strings.ReplaceAll(b.String(), strings.Repeat("x", longText), "x…x"))
	}
}

func TestOnlyTablesOfTheRuleAreAskedFor(t *testing.T) {
	for _, c := range []struct {
		pattern, asked string
		want           bool
	}{
		{"public.orders", "public.orders", true},
		{"public.*", "public.orders", true},
		{"public.*", "public.*", true},
		{"public.orders", "public.*", false},
		{"app_*.*_log", "app_1.x_log", true},
		{"app_*.*", "public.x", false},
		{"public.orders", "orders", false},
	} {
		if got := within(c.asked, c.pattern); got != c.want {
			t.Errorf("%s within %s: %v", c.asked, c.pattern, got)
		}
	}
}
