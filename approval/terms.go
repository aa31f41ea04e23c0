package approval

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// RegoRule is what a policy's own Rego is called where it asks for an approval.
const RegoRule = "rego"

// ByRequest is the index of AccessDecisions by the name of their request. It is a selectable field as well, so that the API
// server itself can be asked by it.
const ByRequest = "spec.requestRef.name"

// Policies are AccessPolicies of the request's namespace by name. One that is not there has no entry.
type Policies map[v1alpha1.ObjectName]*v1alpha1.AccessPolicy

// Rules of a request, the one that is named to the client first.
func Rules(spec *v1alpha1.AccessRequestSpec) []v1alpha1.RuleReference {
	return append([]v1alpha1.RuleReference{{Policy: spec.Policy, Rule: spec.Rule}}, spec.OtherRules...)
}

// Names of the policies of a request's rules, each once, in the order of the rules: whoever decides needs the verb on all.
func Names(spec *v1alpha1.AccessRequestSpec) []v1alpha1.ObjectName {
	var out []v1alpha1.ObjectName
	for _, rule := range Rules(spec) {
		if !slices.Contains(out, rule.Policy) {
			out = append(out, rule.Policy)
		}
	}
	return out
}

// Account is the user name of the workload that asks, whatever token it shows.
func Account(spec *v1alpha1.AccessRequestSpec) string {
	return "system:serviceaccount:" + spec.Requester.Namespace + ":" + string(spec.Requester.ServiceAccount)
}

// Digest of the statement that a request is about, or nothing where it asks for access ahead of time.
func Digest(spec *v1alpha1.AccessRequestSpec) v1alpha1.Digest {
	if spec.Statement == nil {
		return ""
	}
	return spec.Statement.Digest
}

// Open reports whether people can still approve a request in this state. The zero state has not been looked at yet.
func Open(state v1alpha1.AccessRequestState) bool {
	return state == "" || state == v1alpha1.RequestPending
}

// Terms are what the rules of a request ask for together: of each, the strictest. The zero Terms are no terms: nothing is
// approved by them.
type Terms struct {
	// Approvers is how many different people have to approve, at least 1.
	Approvers int
	// AnyOf are lists of groups: whoever approves has to be in one group of each list.
	AnyOf [][]v1alpha1.GroupName
	// AllOf are groups that each have to be represented among those who approve.
	AllOf []v1alpha1.GroupName
	// BreakGlass says whether one person may answer alone in an emergency: every rule has to allow it.
	BreakGlass bool
	// Grant is what the approval is good for: Statement if one rule says so, else Session if one does, else the shortest time.
	Grant v1alpha1.ApprovalGrant
	// For is how long the grant holds where it is for a time; else 0.
	For time.Duration
}

// TermsOf reads the terms of a request in the policies as they are. An error says why nobody has to be asked any more, or
// why it cannot be told who: the request is void.
func TermsOf(spec *v1alpha1.AccessRequestSpec, policies Policies) (Terms, error) {
	var all []v1alpha1.Approval
	for _, ref := range Rules(spec) {
		a, err := asked(spec, ref, policies[ref.Policy])
		if err != nil {
			return Terms{}, err
		}
		all = append(all, a)
	}
	terms := Terms{Approvers: 1, BreakGlass: true}
	for i := range all {
		a := &all[i]
		terms.Approvers = max(terms.Approvers, int(a.Approvers))
		terms.BreakGlass = terms.BreakGlass && a.BreakGlass == v1alpha1.BreakGlassWithReason
		if len(a.AnyOf) > 0 {
			terms.AnyOf = append(terms.AnyOf, a.AnyOf)
		}
		for _, group := range a.AllOf {
			if !slices.Contains(terms.AllOf, group) {
				terms.AllOf = append(terms.AllOf, group)
			}
		}
	}
	terms.Grant, terms.For = grantOf(spec, all)
	return terms, nil
}

// asked is what one rule asks for, or why it does not.
func asked(spec *v1alpha1.AccessRequestSpec, ref v1alpha1.RuleReference, policy *v1alpha1.AccessPolicy) (v1alpha1.Approval, error) {
	none := v1alpha1.Approval{}
	if policy == nil || !policy.DeletionTimestamp.IsZero() {
		return none, fmt.Errorf("AccessPolicy %s does not exist any more", ref.Policy)
	}
	if !slices.Contains(policy.Spec.DataSources, spec.DataSource) {
		return none, fmt.Errorf("AccessPolicy %s is not about DataSource %s any more", ref.Policy, spec.DataSource.Name)
	}
	i := slices.IndexFunc(policy.Spec.Rules, func(r v1alpha1.Rule) bool { return r.Name == ref.Rule })
	switch {
	case i < 0 && ref.Rule == RegoRule && policy.Spec.Rego != "" && spec.Statement != nil:
		return (&v1alpha1.Rule{}).EffectiveApproval(), nil
	case i < 0:
		return none, fmt.Errorf("AccessPolicy %s has no rule %s any more", ref.Policy, ref.Rule)
	}
	rule := &policy.Spec.Rules[i]
	byLimit := spec.Statement != nil && rule.Limits != nil && rule.Limits.OnExceed == v1alpha1.ExceedRequireApproval
	if rule.Action == v1alpha1.ActionRequireApproval || rule.Action == v1alpha1.ActionAllow && byLimit {
		return rule.EffectiveApproval(), nil
	}
	return none, fmt.Errorf("rule %s of AccessPolicy %s does not ask for approval any more", ref.Rule, ref.Policy)
}

// grantOf is the narrowest of what the rules grant. Access ahead of time is for the time that was asked for.
func grantOf(spec *v1alpha1.AccessRequestSpec, all []v1alpha1.Approval) (v1alpha1.ApprovalGrant, time.Duration) {
	if spec.Access != nil {
		return v1alpha1.ApprovalGrant(spec.Access.Duration.Duration.String()), spec.Access.Duration.Duration
	}
	session, least := false, time.Duration(0)
	for i := range all {
		d, timed := all[i].Grant.Duration()
		switch {
		case all[i].Grant == v1alpha1.GrantSession:
			session = true
		case !timed:
			return v1alpha1.GrantStatement, 0 // also for what this version does not know
		case least == 0 || d < least:
			least = d
		}
	}
	if session {
		return v1alpha1.GrantSession, 0
	}
	return v1alpha1.ApprovalGrant(least.String()), least
}

// InGroups says of which list the decider is in no group, or nil.
func (t *Terms) InGroups(by *v1alpha1.Decider) error {
	for _, list := range t.AnyOf {
		if !slices.ContainsFunc(list, func(g v1alpha1.GroupName) bool { return slices.Contains(by.Groups, string(g)) }) {
			return fmt.Errorf("%s is in none of the groups that may approve: %s", by.Username, joined(list, "or"))
		}
	}
	return nil
}

// Own says why somebody may not approve a request: it is their own. It returns nil for everybody else. By a Deny, people
// may end what they have asked for themselves.
func Own(spec *v1alpha1.AccessRequestSpec, by *v1alpha1.Decider) error {
	switch {
	case by.Username == Account(spec):
		return errors.New("the workload that asks cannot answer itself: somebody else has to")
	case spec.CreatedBy == nil || spec.CreatedBy.Username == "":
		return errors.New("spec.createdBy of the AccessRequest is empty, so that nobody knows whose it is: create it again, through admission")
	case by.Username == spec.CreatedBy.Username:
		return fmt.Errorf("%s has created the AccessRequest: somebody else has to approve it", by.Username)
	}
	return nil
}
