package approvals

import (
	"fmt"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// regoRule is what a policy's own Rego is called where it asks for an approval.
const regoRule = "rego"

// terms are what the rules of a question ask for together: of each, the strictest. The zero terms give no time.
type terms struct {
	timeout time.Duration
	// session and timed say what an approval is good for beyond the statement; neither: for nothing.
	session, timed bool
}

// termsOf finds the rules in the policies that select the pod. Any that is not there, or does not ask, ends the question:
// what a sidecar says that policy says is a claim.
func termsOf(a *ask, policies []*v1alpha1.AccessPolicy) (terms, error) {
	out, statement := terms{}, false
	for _, ref := range a.rules {
		approval, err := approvalOf(a, ref, policies)
		if err != nil {
			return terms{}, err
		}
		timeout := approval.Timeout.Duration
		if a.inTransaction {
			timeout = approval.TransactionTimeout.Duration
		}
		if out.timeout == 0 || timeout < out.timeout {
			out.timeout = timeout
		}
		_, timed := approval.Grant.Duration()
		switch {
		case approval.Grant == v1alpha1.GrantSession:
			out.session = true
		case !timed: // also what this version does not know
			statement = true
		}
	}
	out.session, out.timed = out.session && !statement, !out.session && !statement
	return out, nil
}

func approvalOf(a *ask, ref v1alpha1.RuleReference, policies []*v1alpha1.AccessPolicy) (v1alpha1.Approval, error) {
	none := v1alpha1.Approval{}
	at := slices.IndexFunc(policies, func(p *v1alpha1.AccessPolicy) bool { return p.Name == string(ref.Policy) })
	if at < 0 {
		return none, fmt.Errorf("AccessPolicy %s is none that selects this pod for DataSource %s", clip(string(ref.Policy), 256), a.dataSource)
	}
	policy := policies[at]
	i := slices.IndexFunc(policy.Spec.Rules, func(r v1alpha1.Rule) bool { return r.Name == ref.Rule })
	if i < 0 {
		if ref.Rule == regoRule && policy.Spec.Rego != "" && a.exceeded == nil {
			return (&v1alpha1.Rule{}).EffectiveApproval(), nil
		}
		return none, fmt.Errorf("AccessPolicy %s has no rule %s", policy.Name, clip(ref.Rule, 64))
	}
	rule := &policy.Spec.Rules[i]
	byLimit := a.exceeded != nil && rule.Action == v1alpha1.ActionAllow && rule.Limits != nil && rule.Limits.OnExceed == v1alpha1.ExceedRequireApproval
	if rule.Action != v1alpha1.ActionRequireApproval && !byLimit {
		return none, fmt.Errorf("rule %s of AccessPolicy %s does not ask for approval", rule.Name, policy.Name)
	}
	return rule.EffectiveApproval(), nil
}

func clip(s string, limit int) string { return plain(s, limit, "") }
