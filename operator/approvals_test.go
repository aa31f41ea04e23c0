package operator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/accessrequest"
)

// The API server, its authorizer, the webhook, the policies and the operator are the real ones; the requests are made by
// the operator's own account, as the part of it that serves sidecars makes them.
func TestPeopleDecide(t *testing.T) {
	w := newTown(t)
	for name, test := range map[string]func(*testing.T, *town){
		"with stock kubectl": stockKubectl, "only who may": onlyWhoMay, "nobody else says who decided": nobodyElseSays,
		"about what they read": aboutWhatTheyRead, "two of them": twoOfThem, "by groups": byGroups, "deny and revoke": denyAndRevoke,
		"in an emergency": inAnEmergency, "ahead of time": aheadOfTime, "before it expires": beforeItExpires,
		"by the policy as it is": byThePolicyAsItIs, "quickly": quickly, "of several policies": ofSeveralPolicies,
		"for somebody who waits": forSomebodyWhoWaits,
	} {
		t.Run(name, func(t *testing.T) {
			outer := w.t
			w.t = t
			defer func() { w.t = outer }()
			test(t, w)
		})
	}
	nothingIsTold(t, w.admin, w.run)
}

func stockKubectl(t *testing.T, w *town) {
	request := w.held("exports")
	request.Name = "reporting-7k2p4" // as the sample says
	w.create(request)
	w.state(request, v1alpha1.RequestPending, missing("1 of 1 approvals"))
	kubeconfig, err := w.WriteKubeConfig("alice", w.User(t, "alice", people["alice"]...))
	must(t, err)
	t.Log("\n" + w.Kubectl(t, "--kubeconfig", kubeconfig, "get", "treq", "-n", "data"))
	t.Log("\n" + w.Kubectl(t, "--kubeconfig", kubeconfig, "create", "-f", "../config/samples/approvals/approve.yaml"))
	got := w.state(request, v1alpha1.RequestApproved)
	if got.Status.GrantedAt == nil || got.Status.ClosedAt == nil || got.Status.GrantedUntil != nil || got.Status.Missing != "" {
		t.Errorf("status %+v", got.Status)
	}
	if c := meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionApproved); c == nil || c.Status != metav1.ConditionTrue || !strings.Contains(c.Message, "alice: the monthly export") {
		t.Errorf("condition %+v", c)
	}
	t.Log("\n" + w.Kubectl(t, "--kubeconfig", kubeconfig, "get", "treq,tdec", "-n", "data", "-o", "wide"))
	t.Log("\n" + w.Kubectl(t, "--kubeconfig", kubeconfig, "describe", "treq", "-n", "data", request.Name))
	w.Kubectl(t, "--kubeconfig", kubeconfig, "wait", "--for=condition=Approved", "-n", "data", "treq/"+request.Name)
	w.event("AccessRequest", request.Name, corev1.EventTypeNormal, v1alpha1.ReasonRequested, "COPY orders TO STDOUT")
	w.event("AccessRequest", request.Name, corev1.EventTypeNormal, v1alpha1.ReasonApproved, "Approved by alice: the monthly export")
	w.event("Pod", "report-7d9f", corev1.EventTypeNormal, v1alpha1.ReasonApproved, "AccessRequest data/reporting-7k2p4: Approved by alice")

	var made v1alpha1.AccessDecisionList
	must(t, w.admin.List(t.Context(), &made, client.MatchingFields{"spec.requestRef.name": request.Name}))
	d := &made.Items[0]
	if len(made.Items) != 1 || d.Spec.DecidedBy.Username != "alice" || !slices.Contains(d.Spec.DecidedBy.Groups, "approvers") ||
		!slices.Equal(d.Spec.Policies, []v1alpha1.ObjectName{"reporting"}) || d.Spec.RequestRef.UID != string(request.UID) ||
		d.Spec.RequestRef.Digest != request.Spec.Statement.Digest || len(d.OwnerReferences) != 1 || d.OwnerReferences[0].UID != request.UID {
		t.Errorf("the decision is %+v", made.Items)
	}
}

func onlyWhoMay(t *testing.T, w *town) {
	request := w.create(w.held("exports"))
	err := w.user("eve").Create(t.Context(), decision(request, v1alpha1.DecisionApprove))
	refused(t, "who has not the verb", err, "you may not approve by AccessPolicy data/reporting", "resourceNames: [reporting], verbs: [approve]")
	refused(t, "a Deny of who has not the verb", w.user("eve").Create(t.Context(), decision(request, v1alpha1.DecisionDeny)), "you may not approve")

	// The workload that asks, with the right by mistake: by a token of its pod, and by another one of the same account.
	bound, err := w.PodToken(t.Context(), w.pod)
	must(t, err)
	unbound, err := w.UnboundToken(t.Context(), "shop", "report-agent")
	must(t, err)
	for what, token := range map[string]string{"the pod's token": bound, "another token": unbound} {
		config := rest.AnonymousClientConfig(w.Config)
		config.BearerToken = token
		refused(t, what, w.as(config).Create(t.Context(), decision(request, v1alpha1.DecisionApprove)), "the workload that asks cannot answer itself")
	}

	// Whoever has created the request does not approve it. They may end it.
	own := w.access()
	must(t, w.user("alice").Create(t.Context(), own))
	refused(t, "the creator", w.user("alice").Create(t.Context(), decision(own, v1alpha1.DecisionApprove)), "alice has created the AccessRequest")
	w.decide("alice", own, v1alpha1.DecisionDeny)
	w.state(own, v1alpha1.RequestDenied)

	// kubectl --as is a right of its own.
	kubeconfig, err := w.WriteKubeConfig("eve", w.User(t, "eve", people["eve"]...))
	must(t, err)
	out, err := w.Command(t.Context(), "--kubeconfig", kubeconfig, "--as", "alice", "--as-group", "approvers", "get", "treq", "-n", "data").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "cannot impersonate") {
		t.Errorf("--as: %v: %s", err, out)
	}
	w.state(request, v1alpha1.RequestPending)
}

func nobodyElseSays(t *testing.T, w *town) {
	request := w.create(w.held("exports"))
	d := decision(request, v1alpha1.DecisionApprove)
	d.Spec.DecidedBy = &v1alpha1.Decider{Username: "bob", Groups: []string{"system:masters", "legal"}}
	d.Spec.Policies = []v1alpha1.ObjectName{"mine"}
	must(t, w.user("alice").Create(t.Context(), d))
	if by := d.Spec.DecidedBy; by.Username != "alice" || slices.Contains(by.Groups, "system:masters") || d.Spec.Policies[0] != "reporting" {
		t.Errorf("decided by %+v, policies %v", d.Spec.DecidedBy, d.Spec.Policies)
	}
	w.state(request, v1alpha1.RequestApproved)

	// Nobody changes either object, or writes a status.
	d.Spec.Decision = v1alpha1.DecisionDeny
	refused(t, "a changed decision", w.admin.Update(t.Context(), d), "cannot be changed")
	var live v1alpha1.AccessRequest
	must(t, w.admin.Get(t.Context(), client.ObjectKeyFromObject(request), &live))
	live.Spec.Rule = "glass"
	refused(t, "a changed request", w.admin.Update(t.Context(), &live), "cannot be changed")
	other := w.create(w.held("exports"))
	approved := client.RawPatch("application/merge-patch+json", []byte(`{"status":{"state":"Approved"}}`))
	refused(t, "a status that eve writes, who has every verb on it", w.user("eve").Status().Patch(t.Context(), other.DeepCopy(), approved), "the operator alone writes it")

	// Only the operator says that a statement is held.
	refused(t, "a held statement of alice", w.user("alice").Create(t.Context(), w.held("exports")), "only the operator says that a statement is held")
	if request.Spec.CreatedBy.Username != "system:serviceaccount:"+Namespace+":tidewaiter-operator" {
		t.Errorf("created by %+v", request.Spec.CreatedBy)
	}

	// Past the webhook, the API server still looks.
	w.pastTheWebhook(func() {
		forged := decision(other, v1alpha1.DecisionApprove)
		forged.Spec.RequestRef.UID, forged.Spec.Policies = string(other.UID), []v1alpha1.ObjectName{"reporting"}
		forged.Spec.DecidedBy = &v1alpha1.Decider{Username: "bob"}
		refused(t, "past the webhook, as bob", w.user("alice").Create(t.Context(), forged.DeepCopy()), "spec.decidedBy: it is not you")
		forged.Spec.DecidedBy = &v1alpha1.Decider{Username: "alice", Groups: []string{"legal"}}
		refused(t, "past the webhook, of another group", w.user("alice").Create(t.Context(), forged.DeepCopy()), "spec.decidedBy.groups")
		forged.Spec.DecidedBy, forged.Spec.Policies = &v1alpha1.Decider{Username: "alice"}, nil
		refused(t, "past the webhook, by no policy", w.user("alice").Create(t.Context(), forged.DeepCopy()), "spec.policies or spec.requestRef.uid is empty")
		forged.Spec.DecidedBy, forged.Spec.Policies = &v1alpha1.Decider{Username: "eve"}, []v1alpha1.ObjectName{"reporting"}
		refused(t, "past the webhook, without the verb", w.user("eve").Create(t.Context(), forged.DeepCopy()), "you may not approve")
		access := w.access()
		access.Spec.CreatedBy, access.Spec.ExpiresAt = &v1alpha1.Decider{Username: "bob"}, metav1.NewTime(time.Now().Add(time.Hour))
		refused(t, "past the webhook, a request as bob", w.user("alice").Create(t.Context(), access), "spec.createdBy: it is not you")
		held := w.held("exports")
		held.Spec.CreatedBy = &v1alpha1.Decider{Username: "eve"}
		refused(t, "past the webhook, a held statement", w.user("eve").Create(t.Context(), held), "only the operator says")
	})
	w.state(other, v1alpha1.RequestPending)
}

// pastTheWebhook takes the webhooks of approvals out of the configuration meanwhile.
func (w *town) pastTheWebhook(do func()) {
	w.t.Helper()
	var hooks admissionregistrationv1.MutatingWebhookConfiguration
	must(w.t, w.admin.Get(w.t.Context(), client.ObjectKey{Name: WebhookConfiguration}, &hooks))
	all := hooks.Webhooks
	hooks.Webhooks = all[:1:1]
	must(w.t, w.admin.Update(w.t.Context(), &hooks))
	eventually(w.t, "the webhook is not asked any more", func(ctx context.Context) error {
		probe := w.held("exports")
		probe.Spec.CreatedBy = &v1alpha1.Decider{Username: "somebody"}
		if err := w.op.Create(ctx, probe, client.DryRunAll); err == nil || !strings.Contains(err.Error(), "it is not you") {
			return fmt.Errorf("it is: %w", err)
		}
		return nil
	})
	defer func() {
		must(w.t, w.admin.Get(w.t.Context(), client.ObjectKey{Name: WebhookConfiguration}, &hooks))
		hooks.Webhooks = all
		must(w.t, w.admin.Update(w.t.Context(), &hooks))
		eventually(w.t, "the webhook is asked again", func(ctx context.Context) error {
			return w.op.Create(ctx, w.held("exports"), client.DryRunAll)
		})
	}()
	do()
}

func aboutWhatTheyRead(t *testing.T, w *town) {
	request := w.create(w.held("exports"))
	alice := w.user("alice")
	for name, test := range map[string]struct {
		change func(*v1alpha1.AccessDecision)
		says   string
	}{
		"another statement": {func(d *v1alpha1.AccessDecision) {
			d.Spec.RequestRef.Digest = v1alpha1.Digest(strings.Repeat("b2", 32))
		}, "spec.requestRef.digest: the statement is another one than you read"},
		"another request of the name": {func(d *v1alpha1.AccessDecision) { d.Spec.RequestRef.UID = "u" }, "spec.requestRef.uid"},
		"no request":                  {func(d *v1alpha1.AccessDecision) { d.Spec.RequestRef.Name = "none" }, "there is no AccessRequest none in namespace data; kubectl get treq -n data"},
	} {
		d := decision(request, v1alpha1.DecisionApprove)
		test.change(d)
		refused(t, name, alice.Create(t.Context(), d), test.says)
	}
	d := decision(request, v1alpha1.DecisionApprove)
	d.Spec.RequestRef.Digest, d.Spec.RequestRef.UID = request.Spec.Statement.Digest, string(request.UID)
	must(t, alice.Create(t.Context(), d))
	w.state(request, v1alpha1.RequestApproved)
	refused(t, "one more approval", w.user("bob").Create(t.Context(), decision(request, v1alpha1.DecisionApprove)), "is approved already")
}

func twoOfThem(t *testing.T, w *town) {
	request := w.create(w.held("two"))
	w.state(request, v1alpha1.RequestPending, missing("2 of 2 approvals"))
	w.decide("alice", request, v1alpha1.DecisionApprove)
	w.state(request, v1alpha1.RequestPending, missing("1 of 2 approvals"))
	w.decide("alice", request, v1alpha1.DecisionApprove)
	w.state(request, v1alpha1.RequestPending, missing("1 of 2 approvals"), refusedFor("alice", "a person counts once"))
	w.decide("bob", request, v1alpha1.DecisionApprove)
	got := w.state(request, v1alpha1.RequestApproved)
	if got.Status.GrantedUntil == nil {
		t.Fatalf("granted for no time: %+v", got.Status)
	}
	w.event("AccessRequest", request.Name, corev1.EventTypeNormal, v1alpha1.ReasonApproved, "Approved by alice: as agreed; bob: as agreed")
	ended := w.state(request, v1alpha1.RequestExpired) // the rule grants 2 s
	if c := meta.FindStatusCondition(ended.Status.Conditions, v1alpha1.ConditionExpired); c == nil || c.Reason != v1alpha1.ReasonGrantEnded ||
		ended.Status.ClosedAt.Before(got.Status.GrantedUntil) {
		t.Errorf("status %+v", ended.Status)
	}

	// Who has lost the right since counts no more when it matters.
	request = w.create(w.held("two"))
	w.Apply(t, bindingOf("hank"))
	hank := w.as(w.User(t, "hank"))
	eventually(t, "hank has the right", func(ctx context.Context) error {
		return hank.Create(ctx, decision(request, v1alpha1.DecisionApprove), client.DryRunAll)
	})
	must(t, hank.Create(t.Context(), decision(request, v1alpha1.DecisionApprove)))
	w.state(request, v1alpha1.RequestPending, missing("1 of 2 approvals"))
	w.Kubectl(t, "delete", "rolebinding", "-n", "data", "hank")
	eventually(t, "hank has lost the right", func(ctx context.Context) error {
		if hank.Create(ctx, decision(request, v1alpha1.DecisionApprove), client.DryRunAll) == nil {
			return fmt.Errorf("hank still has it")
		}
		return nil
	})
	w.decide("alice", request, v1alpha1.DecisionApprove)
	w.state(request, v1alpha1.RequestPending, missing("1 of 2 approvals"), refusedFor("hank", "hank has no right to approve AccessPolicy reporting"))
	w.decide("bob", request, v1alpha1.DecisionApprove)
	w.state(request, v1alpha1.RequestApproved)
}

func bindingOf(user string) string {
	return fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: %[1]s, namespace: data}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: tidewaiter-approver}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: %[1]s}]
`, user)
}

func byGroups(t *testing.T, w *town) {
	request := w.create(w.held("groups"))
	w.decide("frank", request, v1alpha1.DecisionApprove)
	w.state(request, v1alpha1.RequestPending, missing("1 of 1 approvals; somebody of group security; somebody of group legal"),
		refusedFor("frank", "frank is in none of the groups that may approve: data-owners or security"))
	w.decide("alice", request, v1alpha1.DecisionApprove)
	w.state(request, v1alpha1.RequestPending, missing("somebody of group security; somebody of group legal"))
	w.decide("carol", request, v1alpha1.DecisionApprove)
	w.state(request, v1alpha1.RequestPending, missing("somebody of group legal"))
	w.decide("dave", request, v1alpha1.DecisionApprove)
	w.state(request, v1alpha1.RequestApproved)
}

func denyAndRevoke(t *testing.T, w *town) {
	request := w.create(w.held("two"))
	w.decide("alice", request, v1alpha1.DecisionApprove)
	w.decide("bob", request, v1alpha1.DecisionDeny)
	w.state(request, v1alpha1.RequestDenied)
	w.event("AccessRequest", request.Name, corev1.EventTypeWarning, v1alpha1.ReasonDenied, "Denied by bob: as agreed")
	refused(t, "an answer to what is over", w.user("carol").Create(t.Context(), decision(request, v1alpha1.DecisionApprove)), "is Denied: it is too late")

	request = w.create(w.held("exports"))
	w.decide("alice", request, v1alpha1.DecisionApprove)
	w.state(request, v1alpha1.RequestApproved)
	w.decide("bob", request, v1alpha1.DecisionDeny)
	got := w.state(request, v1alpha1.RequestRevoked)
	if meta.IsStatusConditionTrue(got.Status.Conditions, v1alpha1.ConditionApproved) || len(got.Status.Decisions) != 2 {
		t.Errorf("status %+v", got.Status)
	}
	w.event("Pod", "report-7d9f", corev1.EventTypeWarning, v1alpha1.ReasonRevoked, "Revoked by bob: as agreed")
}

func inAnEmergency(t *testing.T, w *town) {
	people["oncall@example.org"] = nil // of config/samples/access/approvers.yaml
	request := w.create(w.held("glass"))
	refused(t, "who may approve alone", w.user("alice").Create(t.Context(), decision(request, v1alpha1.DecisionBreakGlass)), "you may not break-glass by AccessPolicy data/reporting")
	refused(t, "who may break the glass alone", w.user("oncall@example.org").Create(t.Context(), decision(request, v1alpha1.DecisionApprove)), "you may not approve")
	silent := decision(request, v1alpha1.DecisionBreakGlass)
	silent.Spec.Reason = " "
	refused(t, "no reason", w.user("oncall@example.org").Create(t.Context(), silent), "spec.reason")
	other := w.create(w.held("exports"))
	refused(t, "a rule that allows none", w.user("oncall@example.org").Create(t.Context(), decision(other, v1alpha1.DecisionBreakGlass)), "no BreakGlass here")

	w.decide("oncall@example.org", request, v1alpha1.DecisionBreakGlass)
	got := w.state(request, v1alpha1.RequestApproved)
	if !meta.IsStatusConditionTrue(got.Status.Conditions, v1alpha1.ConditionBrokenGlass) {
		t.Errorf("status %+v", got.Status)
	}
	for kind, name := range map[string]string{"AccessRequest": request.Name, "Pod": "report-7d9f", "AccessPolicy": "reporting"} {
		w.event(kind, name, corev1.EventTypeWarning, v1alpha1.ReasonBrokenGlass, "Approved by one person alone, in an emergency: oncall@example.org: as agreed")
	}
}

func aheadOfTime(t *testing.T, w *town) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.AccessRequestSpec)
		says   string
	}{
		"another kind of statements": {func(s *v1alpha1.AccessRequestSpec) {
			s.Access.Statements = []v1alpha1.StatementClass{"CopyOut", "Truncate"}
		}, "spec.access.statements[1]: rule exports of AccessPolicy reporting (spec.rule) does not ask for approval of Truncate"},
		"a kind that the rule is not about": {func(s *v1alpha1.AccessRequestSpec) { s.Access.Statements = []v1alpha1.StatementClass{"Select"} }, "spec.access.statements[0]"},
		"another table":                     {func(s *v1alpha1.AccessRequestSpec) { s.Access.Tables = []v1alpha1.TablePattern{"hr.pay"} }, "spec.access.tables[0]: hr.pay is not within"},
		"every table":                       {func(s *v1alpha1.AccessRequestSpec) { s.Access.Tables = []v1alpha1.TablePattern{"*.*"} }, "spec.access.tables[0]"},
		"a rule that allows":                {func(s *v1alpha1.AccessRequestSpec) { s.Rule = "read" }, "it has exports, two, groups, glass"},
		"no rule":                           {func(s *v1alpha1.AccessRequestSpec) { s.Rule = "none" }, "spec.rule: AccessPolicy reporting has no rule none"},
		"no policy":                         {func(s *v1alpha1.AccessRequestSpec) { s.Policy = "none" }, "spec.policy: there is no AccessPolicy none"},
		"another data source":               {func(s *v1alpha1.AccessRequestSpec) { s.DataSource.Name = "pay" }, "spec.dataSource: AccessPolicy reporting is not about DataSource pay, but about orders"},
		"another rule that is not there": {func(s *v1alpha1.AccessRequestSpec) {
			s.OtherRules = []v1alpha1.RuleReference{{Policy: "ledger", Rule: "none"}}
		}, "spec.otherRules[0].rule"},
		"a pod":             {func(s *v1alpha1.AccessRequestSpec) { s.Requester.Pod = &v1alpha1.PodReference{Name: "p", UID: "u"} }, "spec.requester.pod"},
		"a year to answer":  {func(s *v1alpha1.AccessRequestSpec) { s.ExpiresAt = metav1.NewTime(time.Now().AddDate(1, 0, 0)) }, "spec.expiresAt: more than 7 days"},
		"no time to answer": {func(s *v1alpha1.AccessRequestSpec) { s.ExpiresAt = metav1.NewTime(time.Now().Add(-time.Minute)) }, "spec.expiresAt"},
	} {
		r := w.access()
		test.change(&r.Spec)
		refused(t, name, w.user("alice").Create(t.Context(), r), test.says)
	}
	kubeconfig, err := w.WriteKubeConfig("alice", w.User(t, "alice", people["alice"]...))
	must(t, err)
	name := strings.TrimSpace(w.Kubectl(t, "--kubeconfig", kubeconfig, "create", "-f", "../config/samples/approvals/request.yaml", "-o", "jsonpath={.metadata.name}"))
	request := &v1alpha1.AccessRequest{}
	must(t, w.admin.Get(t.Context(), client.ObjectKey{Namespace: "data", Name: name}, request))
	if s := request.Spec; s.Summary != "CopyOut on public.orders for 1h" || s.CreatedBy.Username != "alice" ||
		time.Until(s.ExpiresAt.Time) < 23*time.Hour || time.Until(s.ExpiresAt.Time) > 24*time.Hour {
		t.Errorf("spec %+v", s)
	}
	w.decide("bob", request, v1alpha1.DecisionApprove)
	got := w.state(request, v1alpha1.RequestApproved)
	if until := got.Status.GrantedUntil; until == nil || until.Sub(got.Status.GrantedAt.Time) != time.Hour {
		t.Errorf("status %+v", got.Status)
	}
	t.Log("\n" + w.Kubectl(t, "get", "treq", "-n", "data", "-o", "wide"))

	with := w.access()
	with.Spec.Access.Statements = []v1alpha1.StatementClass{"Select", "BulkSelect"} // a feature has a kind beside it
	must(t, w.user("alice").Create(t.Context(), with))
}

func beforeItExpires(t *testing.T, w *town) {
	short := w.held("exports")
	short.Spec.ExpiresAt = metav1.NewTime(time.Now().Add(2 * time.Second))
	w.create(short)
	got := w.state(short, v1alpha1.RequestExpired)
	if c := meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionExpired); c == nil || c.Reason != v1alpha1.ReasonExpired || got.Status.ClosedAt == nil {
		t.Errorf("status %+v", got.Status)
	}
	w.event("AccessRequest", short.Name, corev1.EventTypeNormal, v1alpha1.ReasonExpired, "not enough approvals by")
	refused(t, "an answer that comes too late", w.user("alice").Create(t.Context(), decision(short, v1alpha1.DecisionApprove)), "is Expired: it is too late")
}

func byThePolicyAsItIs(t *testing.T, w *town) {
	policy := strings.ReplaceAll(strings.Split(approvalsManifest, "---")[1], "ledger", "passing")
	w.Apply(t, policy)
	request := w.held("audit")
	request.Spec.Policy = "passing"
	w.create(request)
	w.state(request, v1alpha1.RequestPending, missing("1 of 1 approvals"))

	// Two are asked for by now.
	w.Apply(t, strings.Replace(policy, "statements: [CopyOut]", "statements: [CopyOut], approval: {approvers: 2}", 1))
	w.state(request, v1alpha1.RequestPending, missing("2 of 2 approvals"))
	w.Apply(t, strings.Replace(policy, "RequireApproval", "Allow", 1))
	got := w.state(request, v1alpha1.RequestWithdrawn)
	if c := meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionWithdrawn); c == nil || c.Reason != v1alpha1.ReasonRuleGone ||
		c.Message != "rule audit of AccessPolicy passing does not ask for approval any more" {
		t.Errorf("status %+v", got.Status)
	}
	w.Apply(t, policy)
	next := w.held("audit")
	next.Spec.Policy = "passing"
	w.create(next)
	w.state(next, v1alpha1.RequestPending)
	w.Kubectl(t, "delete", "tap", "-n", "data", "passing")
	w.state(next, v1alpha1.RequestWithdrawn)
}

func forSomebodyWhoWaits(t *testing.T, w *town) {
	request := w.create(w.held("exports"))
	w.state(request, v1alpha1.RequestPending)
	must(t, accessrequest.Withdraw(t.Context(), w.op, client.ObjectKeyFromObject(request), "the client has gone"))
	w.state(request, v1alpha1.RequestWithdrawn)
	w.event("AccessRequest", request.Name, corev1.EventTypeNormal, v1alpha1.ReasonWithdrawn, "Withdrawn: the client has gone")
	refused(t, "an answer to nobody", w.user("alice").Create(t.Context(), decision(request, v1alpha1.DecisionApprove)), "is Withdrawn: it is too late")

	// Nobody withdraws for a pod that is gone with the replica that it spoke to.
	was := w.pod
	defer func() { w.pod = was }()
	w.pod = w.newPod("report-gone")
	alone := w.create(w.held("exports"))
	w.state(alone, v1alpha1.RequestPending)
	must(t, w.admin.Delete(t.Context(), w.pod, client.GracePeriodSeconds(0)))
	w.state(alone, v1alpha1.RequestWithdrawn)
	w.event("AccessRequest", alone.Name, corev1.EventTypeNormal, v1alpha1.ReasonWithdrawn, "Withdrawn: the pod that waited is gone")
}

func ofSeveralPolicies(t *testing.T, w *town) {
	request := w.held("exports")
	request.Spec.OtherRules = []v1alpha1.RuleReference{{Policy: "ledger", Rule: "audit"}}
	w.create(request)
	people["gina"] = []string{"data-owners"} // of config/samples/access/approvers.yaml: reporting alone
	refused(t, "who may by one policy alone", w.user("gina").Create(t.Context(), decision(request, v1alpha1.DecisionApprove)), "you may not approve by AccessPolicy data/ledger")
	d := w.decide("carol", request, v1alpha1.DecisionApprove)
	if !slices.Equal(d.Spec.Policies, []v1alpha1.ObjectName{"reporting", "ledger"}) {
		t.Errorf("policies %v", d.Spec.Policies)
	}
	w.state(request, v1alpha1.RequestApproved)

	// As many as there may be: the policy that asks for the verbs has to be cheap enough for them.
	many := w.held("exports")
	for i := range 8 {
		name := fmt.Sprintf("p%d", i)
		w.Apply(t, strings.ReplaceAll(strings.Split(approvalsManifest, "---")[1], "ledger", name))
		many.Spec.OtherRules = append(many.Spec.OtherRules, v1alpha1.RuleReference{Policy: v1alpha1.ObjectName(name), Rule: "audit"})
	}
	w.create(many)
	refused(t, "who may by one policy of nine", w.user("gina").Create(t.Context(), decision(many, v1alpha1.DecisionApprove)), "AccessPolicy data/p0")
	w.decide("carol", many, v1alpha1.DecisionApprove)
	w.state(many, v1alpha1.RequestApproved)
}

// The median is what people notice. Other programs on the machine decide about the slowest.
func quickly(t *testing.T, w *town) {
	watcher, err := w.admin.Watch(t.Context(), &v1alpha1.AccessRequestList{}, client.InNamespace("data"))
	must(t, err)
	defer watcher.Stop()
	alice := w.user("alice")
	for _, waits := range []bool{true, false} { // as people answer; and a machine that answers before anybody has looked at the request
		var took, created []time.Duration
		for range 21 {
			request := w.create(w.held("exports"))
			if waits {
				until(t, watcher, request.Name, v1alpha1.RequestPending)
			}
			d, begin := decision(request, v1alpha1.DecisionApprove), time.Now()
			must(t, alice.Create(t.Context(), d))
			created = append(created, time.Since(begin))
			until(t, watcher, request.Name, v1alpha1.RequestApproved)
			took = append(took, time.Since(begin))
		}
		slices.Sort(took)
		slices.Sort(created)
		t.Logf("pending before: %t; from the creation of a decision to status Approved at a watcher: median %v, slowest %v; the creation alone: median %v",
			waits, took[len(took)/2], took[len(took)-1], created[len(created)/2])
		if took[len(took)/2] > 500*time.Millisecond {
			t.Errorf("the median is %v", took[len(took)/2])
		}
	}
}

// refused asks that the API server refuses, and says each of these.
func refused(t *testing.T, what string, err error, says ...string) {
	t.Helper()
	for _, part := range says {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v, want %q", what, err, part)
		}
	}
}
