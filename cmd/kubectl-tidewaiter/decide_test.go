package main

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

func TestAnApprovalIsForExactlyWhatWasShown(t *testing.T) {
	o := newOwner(t)
	r := o.held(t, "reporting-1")
	o.weighs(t, r, v1alpha1.RequestApproved, "", "")
	code, out, errOut := o.run("approve", "reporting-1", "--yes", "--reason", "OPS-7")
	if code != 0 || out != "AccessRequest "+o.ns+"/reporting-1: approved; the statement runs\n" {
		t.Errorf("exit code %d: %q\n%s", code, out, errOut)
	}
	for _, want := range []string{
		"COPY orders TO STDOUT", "shop/report-agent, pod report-7d9f", "about 12,345 rows", "2 approvals of different people; among them somebody of group security",
		"by shop/report-agent, for 1h", "│ COPY public.orders TO STDOUT\n", "│ WHERE total > $1\n", "void in 14m (", " UTC)",
	} {
		if !strings.Contains(errOut, want) {
			t.Errorf("what is shown does not say %q:\n%s", want, errOut)
		}
	}
	decisions := o.decisions(t, "reporting-1")
	if len(decisions) != 1 {
		t.Fatalf("%d decisions", len(decisions))
	}
	got, want := decisions[0].Spec, v1alpha1.AccessRequestReference{Name: "reporting-1", UID: string(r.UID), Digest: r.Spec.Statement.Digest}
	if got.RequestRef != want || got.Decision != v1alpha1.DecisionApprove || got.Reason != "OPS-7" {
		t.Errorf("the decision is %+v", got)
	}
}

func TestWhatBecomesOfADecisionIsSaid(t *testing.T) {
	o := newOwner(t)
	for _, c := range []struct {
		name, verb       string
		state            v1alpha1.AccessRequestState
		missing, refused string
		code             int
		says             string
	}{
		{"more", "approve", v1alpha1.RequestPending, "somebody of group security", "", 0, "your approval counts, and more is needed; still missing: somebody of group security"},
		{"refused", "approve", v1alpha1.RequestPending, "", "ada is not in group security", 3, "your decision did not count: ada is not in group security"},
		{"denied", "deny", v1alpha1.RequestDenied, "", "", 0, "denied; the client is told so, with your reason"},
		{"late", "approve", v1alpha1.RequestExpired, "", "", 0, "too late: the request is Expired"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := o.held(t, c.name)
			o.weighs(t, r, c.state, c.missing, c.refused)
			code, out, errOut := o.run(c.verb, c.name, "--yes", "--reason", "why")
			if code != c.code || out != "AccessRequest "+o.ns+"/"+c.name+": "+c.says+"\n" {
				t.Errorf("exit code %d: %q\n%s", code, out, errOut)
			}
		})
	}
	t.Run("nobody weighs it", func(t *testing.T) {
		o.held(t, "silent")
		code, out, _ := o.run("approve", "silent", "--yes", "--wait", "600ms")
		if code != 4 || !strings.Contains(out, "not weighed within 600ms: is the operator running? kubectl tidewaiter doctor") {
			t.Errorf("exit code %d: %s", code, out)
		}
	})
}

func TestWhoLacksTheVerbIsToldWhichRuleToAskFor(t *testing.T) {
	o := newOwner(t)
	r := o.held(t, "reporting-1")
	mine := o.user(t, "bob", ours([]string{"get", "list"}, "accessrequests", "accesspolicies"), ours([]string{"create"}, "accessdecisions"))
	code, out, errOut := run("approve", "reporting-1", "--yes", "-n", o.ns, "--kubeconfig", mine)
	want := "error: AccessRequest " + o.ns + "/reporting-1: bob may not approve accesspolicies.tidewaiter.dev/reporting in namespace " + o.ns +
		": ask for a Role and a RoleBinding in namespace " + o.ns + " with the rule {apiGroups: [tidewaiter.dev], resources: [accesspolicies], resourceNames: [reporting], verbs: [approve]}\n"
	if code != 1 || out != "" || errOut != want {
		t.Errorf("exit code %d: %s%s", code, out, errOut)
	}
	if d := o.decisions(t, r.Name); len(d) > 0 {
		t.Errorf("%d decisions were made", len(d))
	}
	code, _, errOut = run("approve", "reporting-1", "--yes", "--break-glass", "--reason", "x", "-n", o.ns, "--kubeconfig", mine)
	if code != 1 || !strings.Contains(errOut, "rule exports of AccessPolicy "+o.ns+"/reporting does not let anybody break the glass") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}

func TestARequestThatIsNotThereIsNamedWithACure(t *testing.T) {
	o := newOwner(t)
	code, _, errOut := o.run("approve", "gone", "--yes")
	if code != 1 || errOut != "error: AccessRequest "+o.ns+"/gone is not there: whoever waited may be gone, or it was removed after it was closed; see kubectl tidewaiter requests -n "+o.ns+" --all\n" {
		t.Errorf("exit code %d: %s", code, errOut)
	}
	// One that is not there does not keep the others waiting.
	r := o.held(t, "there")
	o.weighs(t, r, v1alpha1.RequestApproved, "", "")
	code, out, errOut := o.run("approve", "gone", "there", "--yes")
	if code != 1 || !strings.Contains(out, "/there: approved") || !strings.Contains(errOut, "/gone is not there") {
		t.Errorf("exit code %d: %s%s", code, out, errOut)
	}
}

func TestNobodyDecidesUnseenOrTwice(t *testing.T) {
	o := newOwner(t)
	o.held(t, "waits")
	o.held(t, "void", func(r *v1alpha1.AccessRequest) { r.Spec.ExpiresAt = metav1.NewTime(time.Now().Add(-time.Minute)) })
	o.held(t, "own", func(r *v1alpha1.AccessRequest) {
		r.Spec.CreatedBy = &v1alpha1.Decider{Username: "carol"}
	})
	o.state(t, o.held(t, "approved"), v1alpha1.AccessRequestStatus{State: v1alpha1.RequestApproved, Decisions: []v1alpha1.WeighedDecision{{Name: "d", Decision: "Approve", By: "ada"}}})
	carol := o.user(t, "carol", ours([]string{"*"}, "*"))
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"approve", "waits"}, "standard input is no terminal, so nobody can be asked: add --yes to approve what is shown above"},
		{[]string{"approve", "void", "--yes"}, "void expired at "},
		{[]string{"approve", "approved", "--yes"}, "approved is Approved already (by ada): a decision would count for nothing"},
		{[]string{"deny", "approved", "--yes", "--reason", "x"}, "approved is approved already: take it back with kubectl tidewaiter revoke"},
		{[]string{"revoke", "waits", "--yes", "--reason", "x"}, "waits is not approved yet: deny it with kubectl tidewaiter deny"},
		{[]string{"deny", "waits", "--yes"}, `say why: --reason "..."`},
		{[]string{"approve", "waits", "--yes", "--break-glass"}, `say why: --reason "..."`},
		{[]string{"approve", "a/b"}, "a/b: write the name alone, and the namespace with -n"},
		{[]string{"approve"}, "name the request: kubectl tidewaiter approve -n NAMESPACE NAME"},
		{[]string{"approve", "own", "--yes", "--kubeconfig", carol}, "was asked for by carol, and nobody approves what they have asked for themselves"},
	} {
		args := append(c.args, "-n", o.ns)
		if !strings.Contains(strings.Join(args, " "), "--kubeconfig") {
			args = append(args, "--kubeconfig", o.server.KubeConfig)
		}
		code, out, errOut := run(args...)
		if code != 1 || out != "" || !strings.Contains(errOut, c.says) {
			t.Errorf("%q: exit code %d: %s%s\nwant: %s", c.args, code, out, errOut, c.says)
		}
	}
	for _, name := range []string{"waits", "void", "approved", "own"} {
		if d := o.decisions(t, name); len(d) > 0 {
			t.Errorf("%s: a decision was made", name)
		}
	}
}

func TestWhatWasApprovedIsTakenBack(t *testing.T) {
	o := newOwner(t)
	r := o.held(t, "reporting-1")
	o.state(t, r, v1alpha1.AccessRequestStatus{State: v1alpha1.RequestApproved})
	o.weighs(t, r, v1alpha1.RequestRevoked, "", "")
	code, out, errOut := o.run("revoke", "reporting-1", "--yes", "--reason", "done")
	if code != 0 || !strings.HasSuffix(out, ": revoked; what was granted has ended\n") {
		t.Errorf("exit code %d: %s%s", code, out, errOut)
	}
	if d := o.decisions(t, "reporting-1"); len(d) != 1 || d[0].Spec.Decision != v1alpha1.DecisionDeny || d[0].Spec.Reason != "done" {
		t.Errorf("the decisions are %+v", d)
	}
}

func TestAStatementCannotMoveTheApproversCursor(t *testing.T) {
	o := newOwner(t)
	o.held(t, "hostile", func(r *v1alpha1.AccessRequest) {
		r.Spec.Statement.Text = "SELECT 1 -- \x1b[2J\u202egnihton\n  good for     nothing"
		r.Spec.Summary = "SELECT\x1b]0;x\x07"
	})
	_, out, errOut := o.run("approve", "hostile")
	_, list, _ := o.run("requests")
	for _, shown := range []string{out, errOut, list} {
		if strings.ContainsAny(shown, "\x1b\x07\u202e") {
			t.Errorf("a terminal would obey this: %q", shown)
		}
	}
	if !strings.Contains(errOut, `│ SELECT 1 -- \x1b[2J\u202egnihton`) || !strings.Contains(errOut, "│   good for     nothing") {
		t.Errorf("the statement is not shown as it is:\n%s", errOut)
	}
}
