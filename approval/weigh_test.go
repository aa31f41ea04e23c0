package approval

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func asks(name string, change ...func(*v1alpha1.Approval)) v1alpha1.Rule {
	a := v1alpha1.Approval{}
	for _, f := range change {
		f(&a)
	}
	return v1alpha1.Rule{Name: name, Action: v1alpha1.ActionRequireApproval, Statements: []v1alpha1.StatementClass{"CopyOut"}, Approval: &a}
}

func approvers(n int32) func(*v1alpha1.Approval) {
	return func(a *v1alpha1.Approval) { a.Approvers = n }
}

func grant(g v1alpha1.ApprovalGrant) func(*v1alpha1.Approval) {
	return func(a *v1alpha1.Approval) { a.Grant = g }
}

func anyOf(groups ...v1alpha1.GroupName) func(*v1alpha1.Approval) {
	return func(a *v1alpha1.Approval) { a.AnyOf = groups }
}

func allOf(groups ...v1alpha1.GroupName) func(*v1alpha1.Approval) {
	return func(a *v1alpha1.Approval) { a.AllOf = groups }
}

func glass(a *v1alpha1.Approval) { a.BreakGlass = v1alpha1.BreakGlassWithReason }

func policy(name v1alpha1.ObjectName, rules ...v1alpha1.Rule) Policies {
	return Policies{name: {
		ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: string(name)},
		Spec:       v1alpha1.AccessPolicySpec{DataSources: []v1alpha1.DataSourceReference{{Name: "orders"}}, Rules: rules},
	}}
}

func request(change ...func(*v1alpha1.AccessRequest)) *v1alpha1.AccessRequest {
	r := &v1alpha1.AccessRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: "r", UID: "u"},
		Spec: v1alpha1.AccessRequestSpec{
			DataSource: v1alpha1.DataSourceReference{Name: "orders"}, Policy: "p", Rule: "ask",
			Requester: v1alpha1.Requester{Namespace: "shop", ServiceAccount: "agent"}, CreatedBy: &v1alpha1.Decider{Username: "operator"},
			Statement: &v1alpha1.HeldStatement{Digest: "d"}, ExpiresAt: metav1.NewTime(noon.Add(time.Hour)),
		},
	}
	for _, f := range change {
		f(r)
	}
	return r
}

// by is a decision that counts as far as it is its own doing, made minutes after eleven.
func by(who string, kind v1alpha1.DecisionKind, minutes int, change ...func(*v1alpha1.AccessDecision)) v1alpha1.AccessDecision {
	user, groups, _ := strings.Cut(who, "/")
	d := v1alpha1.AccessDecision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "data", Name: fmt.Sprintf("%s-%s-%d", user, kind, minutes), UID: types.UID(fmt.Sprint(minutes)),
			CreationTimestamp: metav1.NewTime(noon.Add(time.Duration(minutes-60) * time.Minute)),
		},
		Spec: v1alpha1.AccessDecisionSpec{
			RequestRef: v1alpha1.AccessRequestReference{Name: "r", UID: "u", Digest: "d"}, Decision: kind, Reason: "so",
			DecidedBy: &v1alpha1.Decider{Username: user},
		},
	}
	if groups != "" {
		d.Spec.DecidedBy.Groups = strings.Split(groups, ",")
	}
	for _, f := range change {
		f(&d)
	}
	return d
}

const (
	approve = v1alpha1.DecisionApprove
	deny    = v1alpha1.DecisionDeny
	breaks  = v1alpha1.DecisionBreakGlass
)

// what a status says, in a line.
func shown(s v1alpha1.AccessRequestStatus) string {
	out := string(s.State)
	if s.Missing != "" {
		out += " needs " + s.Missing
	}
	if s.GrantedUntil != nil {
		out += " until " + s.GrantedUntil.UTC().Format("15:04")
	}
	for _, d := range s.Decisions {
		if d.Refused != "" {
			out += "; not " + d.By + ": " + d.Refused
		}
	}
	return out
}

func TestWhatBecomesOfARequest(t *testing.T) {
	two := policy("p", asks("ask", approvers(2)))
	one := policy("p", asks("ask"))
	late := func(r *v1alpha1.AccessRequest) { r.Spec.ExpiresAt = metav1.NewTime(noon.Add(-time.Minute)) }
	type decisions = []v1alpha1.AccessDecision
	for name, test := range map[string]struct {
		policies  Policies
		request   *v1alpha1.AccessRequest
		decisions decisions
		rights    string // of whom the verbs are missing
		want      string
	}{
		"nobody has decided":                   {one, request(), nil, "", "Pending needs 1 of 1 approvals"},
		"one is enough":                        {one, request(), decisions{by("a", approve, 1)}, "", "Approved"},
		"two are not there yet":                {two, request(), decisions{by("a", approve, 1)}, "", "Pending needs 1 of 2 approvals"},
		"two are there":                        {two, request(), decisions{by("b", approve, 2), by("a", approve, 1)}, "", "Approved"},
		"one person counts once":               {two, request(), decisions{by("a", approve, 1), by("a", approve, 2)}, "", "Pending needs 1 of 2 approvals; not a: a has approved already, with a-Approve-1: a person counts once"},
		"a Deny denies":                        {one, request(), decisions{by("a", approve, 1), by("b", deny, 2)}, "", "Denied"},
		"a Deny of who may not does nothing":   {one, request(), decisions{by("b", deny, 2)}, "b approve", "Pending needs 1 of 1 approvals; not b: b has no right to approve AccessPolicy p"},
		"what nobody knows denies":             {one, request(), decisions{by("b", "Maybe", 2)}, "", "Denied"},
		"a right that was lost":                {one, request(), decisions{by("a", approve, 1)}, "a approve", "Pending needs 1 of 1 approvals; not a: a has no right to approve AccessPolicy p"},
		"the workload itself":                  {one, request(), decisions{by("system:serviceaccount:shop:agent", approve, 1)}, "", "Pending needs 1 of 1 approvals; not system:serviceaccount:shop:agent: the workload that asks cannot answer itself: somebody else has to"},
		"the creator":                          {one, request(), decisions{by("operator", approve, 1)}, "", "Pending needs 1 of 1 approvals; not operator: operator has created the AccessRequest: somebody else has to approve it"},
		"the creator may end it":               {one, request(), decisions{by("operator", deny, 1)}, "", "Denied"},
		"a request of nobody knows whom":       {one, request(func(r *v1alpha1.AccessRequest) { r.Spec.CreatedBy = nil }), decisions{by("a", approve, 1)}, "", "Pending needs 1 of 1 approvals; not a: spec.createdBy of the AccessRequest is empty, so that nobody knows whose it is: create it again, through admission"},
		"a decision of nobody knows whom":      {one, request(), decisions{by("a", approve, 1, func(d *v1alpha1.AccessDecision) { d.Spec.DecidedBy = nil })}, "", "Pending needs 1 of 1 approvals; not nobody: spec.decidedBy is empty, so that nobody knows whose it is: create it through admission"},
		"about an earlier request of the name": {one, request(), decisions{by("a", approve, 1, func(d *v1alpha1.AccessDecision) { d.Spec.RequestRef.UID = "v" })}, "", "Pending needs 1 of 1 approvals; not a: spec.requestRef is another AccessRequest"},
		"about no request in particular":       {one, request(), decisions{by("a", approve, 1, func(d *v1alpha1.AccessDecision) { d.Spec.RequestRef.UID = "" })}, "", "Pending needs 1 of 1 approvals; not a: spec.requestRef is another AccessRequest"},
		"of another namespace":                 {one, request(), decisions{by("a", approve, 1, func(d *v1alpha1.AccessDecision) { d.Namespace = "shop" })}, "", "Pending needs 1 of 1 approvals; not a: spec.requestRef is another AccessRequest"},
		"about another statement":              {one, request(), decisions{by("a", approve, 1, func(d *v1alpha1.AccessDecision) { d.Spec.RequestRef.Digest = "e" })}, "", "Pending needs 1 of 1 approvals; not a: spec.requestRef.digest: the statement is another one than was read"},
		"too late":                             {one, request(), decisions{by("a", approve, 121)}, "", "Pending needs 1 of 1 approvals; not a: it came after spec.expiresAt of the AccessRequest"},
		"expired":                              {one, request(late), nil, "", "Expired"},
		"expired before it was weighed":        {one, request(late), decisions{by("a", approve, 1)}, "", "Expired"},
		"the policy is gone":                   {Policies{}, request(), decisions{by("a", approve, 1)}, "", "Withdrawn"},
		"the rule is gone":                     {policy("p", asks("other")), request(), decisions{by("a", approve, 1)}, "", "Withdrawn"},
		"the rule does not ask any more":       {policy("p", v1alpha1.Rule{Name: "ask", Action: v1alpha1.ActionAllow}), request(), decisions{by("a", approve, 1)}, "", "Withdrawn"},
		"the rule denies by now": {policy("p", v1alpha1.Rule{
			Name: "ask", Action: v1alpha1.ActionDeny, Limits: &v1alpha1.Limits{OnExceed: v1alpha1.ExceedRequireApproval},
		}), request(), decisions{by("a", approve, 1)}, "", "Withdrawn"},
		"a limit asks": {policy("p", v1alpha1.Rule{
			Name: "ask", Action: v1alpha1.ActionAllow, Limits: &v1alpha1.Limits{OnExceed: v1alpha1.ExceedRequireApproval},
		}), request(), decisions{by("a", approve, 1)}, "", "Approved"},
		"in none of the groups": {policy("p", asks("ask", anyOf("x", "y"))), request(), decisions{by("a/z", approve, 1)}, "", "Pending needs 1 of 1 approvals; not a: a is in none of the groups that may approve: x or y"},
		"in one of the groups":  {policy("p", asks("ask", anyOf("x", "y"))), request(), decisions{by("a/z,y", approve, 1)}, "", "Approved"},
		"a group is missing":    {policy("p", asks("ask", allOf("x", "y"))), request(), decisions{by("a/y", approve, 1)}, "", "Pending needs somebody of group x"},
		"one for two groups":    {policy("p", asks("ask", allOf("x", "y"))), request(), decisions{by("a/y,x", approve, 1)}, "", "Approved"},
		"a group that only somebody who does not count has": {
			policy("p", asks("ask", allOf("x"))), request(),
			decisions{by("a/x", approve, 1), by("b", approve, 2)},
			"a approve",
			"Pending needs somebody of group x; not a: a has no right to approve AccessPolicy p",
		},
		"glass is broken":                      {policy("p", asks("ask", approvers(3), glass, anyOf("x"))), request(), decisions{by("a", breaks, 1)}, "a approve", "Approved"},
		"glass that is not to be broken":       {one, request(), decisions{by("a", breaks, 1)}, "", "Pending needs 1 of 1 approvals; not a: no BreakGlass here: the rule's approval.breakGlass is Never"},
		"glass is broken by who may not":       {policy("p", asks("ask", glass)), request(), decisions{by("a", breaks, 1)}, "a break-glass", "Pending needs 1 of 1 approvals; not a: a has no right to break-glass AccessPolicy p"},
		"glass is broken by the workload":      {policy("p", asks("ask", glass)), request(), decisions{by("system:serviceaccount:shop:agent", breaks, 1)}, "", "Pending needs 1 of 1 approvals; not system:serviceaccount:shop:agent: the workload that asks cannot answer itself: somebody else has to"},
		"glass is broken and somebody denies":  {policy("p", asks("ask", glass)), request(), decisions{by("a", breaks, 1), by("b", deny, 2)}, "", "Denied"},
		"glass is broken without a reason":     {policy("p", asks("ask", glass)), request(), decisions{by("a", breaks, 1, func(d *v1alpha1.AccessDecision) { d.Spec.Reason = " " })}, "", "Pending needs 1 of 1 approvals; not a: breaking the glass needs a reason"},
		"for a time":                           {policy("p", asks("ask", grant("2h"))), request(), decisions{by("a", approve, 1)}, "", "Approved until 14:00"},
		"access ahead of time is for its time": {one, access(3 * time.Hour), decisions{by("a", approve, 1, func(d *v1alpha1.AccessDecision) { d.Spec.RequestRef.Digest = "" })}, "", "Approved until 15:00"},
		"access with a digest of something":    {one, access(3 * time.Hour), decisions{by("a", approve, 1)}, "", "Pending needs 1 of 1 approvals; not a: spec.requestRef.digest: the statement is another one than was read"},
		"the policy's own Rego asks":           {rego(), request(func(r *v1alpha1.AccessRequest) { r.Spec.Rule = "rego" }), decisions{by("a", approve, 1)}, "", "Approved"},
		"no Rego any more":                     {one, request(func(r *v1alpha1.AccessRequest) { r.Spec.Rule = "rego" }), decisions{by("a", approve, 1)}, "", "Withdrawn"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Case{Request: test.request, Decisions: test.decisions, Policies: test.policies, Now: noon, Allowed: func(by *v1alpha1.Decider, _ v1alpha1.ObjectName, verb string) bool {
				return test.rights != by.Username+" "+verb
			}}
			before := test.request.DeepCopy()
			status := c.Weigh()
			if got := shown(status); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if open := status.State == v1alpha1.RequestPending; open != (status.ClosedAt == nil) {
				t.Errorf("closed at %v", status.ClosedAt)
			}
			if yes := meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionApproved); yes != (status.State == v1alpha1.RequestApproved) {
				t.Errorf("conditions %+v", status.Conditions)
			}
			if !reflect.DeepEqual(before, test.request) {
				t.Error("the request was changed")
			}
			// Weighed again, nothing changes.
			c.Request = test.request.DeepCopy()
			c.Request.Status = status
			if again := c.Weigh(); !reflect.DeepEqual(again, status) {
				t.Errorf("again\n%+v\nwas\n%+v", again, status)
			}
		})
	}
}

func access(d time.Duration) *v1alpha1.AccessRequest {
	return request(func(r *v1alpha1.AccessRequest) {
		r.Spec.Statement = nil
		r.Spec.Access = &v1alpha1.RequestedAccess{
			Statements: []v1alpha1.StatementClass{"CopyOut"}, Tables: []v1alpha1.TablePattern{"public.orders"}, Duration: metav1.Duration{Duration: d},
		}
	})
}

func rego() Policies {
	p := policy("p", asks("ask"))
	p["p"].Spec.Rego = "package tidewaiter.custom"
	return p
}

func TestWithoutAnAnswerAboutRightsNobodyDecides(t *testing.T) {
	for _, kind := range []v1alpha1.DecisionKind{approve, deny, breaks} {
		c := Case{
			Request: request(), Decisions: []v1alpha1.AccessDecision{by("a", kind, 1)}, Policies: policy("p", asks("ask", glass)), Now: noon,
			Allowed: func(*v1alpha1.Decider, v1alpha1.ObjectName, string) bool { return false },
		}
		if got := c.Weigh(); got.State != v1alpha1.RequestPending {
			t.Errorf("%s: %s", kind, shown(got))
		}
	}
	if got := missing([]*v1alpha1.AccessDecision{{}}, &Terms{}); got == "" {
		t.Error("no terms are met")
	}
}

func TestWhatWasApprovedEndsByADenyOrItsTimeAndByNothingElse(t *testing.T) {
	everybody := func(*v1alpha1.Decider, v1alpha1.ObjectName, string) bool { return true }
	c := Case{Request: request(), Decisions: []v1alpha1.AccessDecision{by("a", approve, 1)}, Policies: policy("p", asks("ask", grant("2h"))), Now: noon, Allowed: everybody}
	c.Request.Status = c.Weigh()
	approved := c.Request.DeepCopy()

	// The rule, the decision and the right may be gone: it has been approved.
	c.Decisions, c.Policies, c.Now = nil, nil, noon.Add(119*time.Minute)
	if got := shown(c.Weigh()); got != "Approved until 14:00" {
		t.Errorf("got %s", got)
	}
	if Next(approved) != noon.Add(2*time.Hour) {
		t.Errorf("next %s", Next(approved))
	}
	c.Now = noon.Add(2 * time.Hour)
	if got := c.Weigh(); got.State != v1alpha1.RequestExpired || meta.FindStatusCondition(got.Conditions, v1alpha1.ConditionExpired).Reason != v1alpha1.ReasonGrantEnded {
		t.Errorf("got %+v", got)
	}

	// A Deny counts for as long as something is granted, also after spec.expiresAt.
	c.Now, c.Decisions = noon.Add(90*time.Minute), []v1alpha1.AccessDecision{by("a", approve, 1), by("b", deny, 145), by("c", approve, 146)}
	got := c.Weigh()
	if got.State != v1alpha1.RequestRevoked || len(got.Decisions) != 2 || got.Decisions[1].By != "b" {
		t.Errorf("got %+v", got)
	}
	c.Allowed = func(*v1alpha1.Decider, v1alpha1.ObjectName, string) bool { return false }
	if got := c.Weigh(); got.State != v1alpha1.RequestApproved || got.Decisions[1].Refused == "" {
		t.Errorf("a Deny of who may not: %+v", got)
	}
}

// The API server stamps whole seconds, and kubectl names decisions at random.
func TestWithinASecondWhatWasWeighedBeforeCameBefore(t *testing.T) {
	policies := policy("p", asks("ask", approvers(2)))
	named := func(name string) func(*v1alpha1.AccessDecision) {
		return func(d *v1alpha1.AccessDecision) { d.Name = name }
	}
	first := []v1alpha1.AccessDecision{by("alice", approve, 1, named("d-x"))}
	r := request()
	everybody := func(*v1alpha1.Decider, v1alpha1.ObjectName, string) bool { return true }
	weigh := func(all ...v1alpha1.AccessDecision) v1alpha1.AccessRequestStatus {
		return (&Case{Request: r, Decisions: all, Policies: policies, Allowed: everybody, Now: noon}).Weigh()
	}
	r.Status = weigh(first...)
	got := weigh(append(first, by("bob", approve, 1, named("d-a")), by("carol", approve, 0, named("d-z")))...)
	if c := meta.FindStatusCondition(got.Conditions, v1alpha1.ConditionApproved); c == nil || c.Message != "carol: so; alice: so; bob: so" {
		t.Errorf("%+v", c)
	}
}

func TestAnEndIsFinal(t *testing.T) {
	for _, state := range []v1alpha1.AccessRequestState{
		v1alpha1.RequestDenied, v1alpha1.RequestExpired, v1alpha1.RequestWithdrawn, v1alpha1.RequestRevoked, "Something",
	} {
		c := Case{
			Request: request(), Decisions: []v1alpha1.AccessDecision{by("a", approve, 1)}, Policies: policy("p", asks("ask")), Now: noon,
			Allowed: func(*v1alpha1.Decider, v1alpha1.ObjectName, string) bool { return true },
		}
		c.Request.Status.State = state
		if got := c.Weigh(); got.State != state || len(got.Decisions) != 0 {
			t.Errorf("%s became %s", state, shown(got))
		}
		if status := c.Request.Status; Withdraw(&status, v1alpha1.ReasonWithdrawn, "gone", noon) {
			t.Errorf("%s was withdrawn", state)
		}
	}
	status := v1alpha1.AccessRequestStatus{State: v1alpha1.RequestApproved}
	if Withdraw(&status, v1alpha1.ReasonWithdrawn, "gone", noon) {
		t.Error("an approval was withdrawn")
	}
}

func TestOfSeveralRulesTheStrictestCounts(t *testing.T) {
	spec := request().Spec
	spec.OtherRules = []v1alpha1.RuleReference{{Policy: "q", Rule: "ask"}}
	for name, test := range map[string]struct {
		p, q v1alpha1.Rule
		want string
	}{
		"approvers":          {asks("ask", approvers(1)), asks("ask", approvers(3)), "3 [] [] false Statement 0s"},
		"glass of one":       {asks("ask", glass), asks("ask"), "1 [] [] false Statement 0s"},
		"glass of both":      {asks("ask", glass), asks("ask", glass), "1 [] [] true Statement 0s"},
		"groups":             {asks("ask", anyOf("x"), allOf("y")), asks("ask", anyOf("z"), allOf("y", "w")), "1 [[x] [z]] [y w] false Statement 0s"},
		"session, statement": {asks("ask", grant("Session")), asks("ask", grant("Statement")), "1 [] [] false Statement 0s"},
		"session, time":      {asks("ask", grant("Session")), asks("ask", grant("1h")), "1 [] [] false Session 0s"},
		"two times":          {asks("ask", grant("2h")), asks("ask", grant("1h")), "1 [] [] false 1h0m0s 1h0m0s"},
		"unknown grant":      {asks("ask", grant("Forever")), asks("ask", grant("1h")), "1 [] [] false Statement 0s"},
	} {
		policies := policy("p", test.p)
		policies["q"] = policy("q", test.q)["q"]
		terms, err := TermsOf(&spec, policies)
		if got := fmt.Sprint(terms.Approvers, terms.AnyOf, terms.AllOf, terms.BreakGlass, " ", terms.Grant, " ", terms.For); err != nil || strings.ReplaceAll(got, "  ", " ") != test.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, test.want)
		}
	}
	if _, err := TermsOf(&spec, policy("p", asks("ask"))); err == nil {
		t.Error("a request whose second policy is gone has terms")
	}
	if got := Names(&spec); !slices.Equal(got, []v1alpha1.ObjectName{"p", "q"}) {
		t.Errorf("names %v", got)
	}
}

func TestStatusHasRoomForWhatCounts(t *testing.T) {
	c := Case{
		Request: request(), Policies: policy("p", asks("ask", approvers(3))), Now: noon,
		Allowed: func(by *v1alpha1.Decider, _ v1alpha1.ObjectName, _ string) bool {
			return !strings.HasPrefix(by.Username, "x")
		},
	}
	for i := range 55 {
		c.Decisions = append(c.Decisions, by(fmt.Sprintf("x%d", i), approve, i))
	}
	c.Decisions = append(c.Decisions, by("a", approve, 56), by("b", approve, 57))
	got := c.Weigh()
	if len(got.Decisions) != listed || got.Decisions[listed-1].By != "b" || got.Missing != "1 of 3 approvals" {
		t.Errorf("%d decisions, %s", len(got.Decisions), shown(got))
	}
	// More than anybody has a use for are not looked at; a Deny still is.
	for i := range MostDecisions {
		c.Decisions = append(c.Decisions, by(fmt.Sprintf("y%d", i), approve, 70))
	}
	c.Decisions = append(c.Decisions, by("z", deny, 80))
	if got := c.Weigh(); got.State != v1alpha1.RequestDenied {
		t.Errorf("got %s", shown(got))
	}
}

func TestASummaryIsShortAndSaysHowLong(t *testing.T) {
	a := &v1alpha1.RequestedAccess{Statements: []v1alpha1.StatementClass{"Update"}, Tables: []v1alpha1.TablePattern{"public.orders"}}
	for d, want := range map[time.Duration]string{time.Hour: "1h", 90 * time.Minute: "1h30m", 10 * time.Minute: "10m", 30 * time.Second: "30s", 10 * time.Hour: "10h"} {
		a.Duration.Duration = d
		if got := Summary(a); got != "Update on public.orders for "+want {
			t.Errorf("got %q", got)
		}
	}
	for range 64 {
		a.Tables = append(a.Tables, "public.a_table_with_a_long_name_é")
	}
	if got := Summary(a); len(got) > 256 || !strings.HasSuffix(got, "… for 10m") && !strings.Contains(got, "… for ") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
}
