package approval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/plugin/cluster"
	"github.com/tidewaiter/tidewaiter/plugin/table"
)

// Ask is what somebody asks for ahead of time. What is left out is found, where it can only be one thing.
type Ask struct {
	// Namespace and DataSource that it is about.
	Namespace, DataSource string
	// Policy and Rule that ask for an approval; empty: the only one that fits.
	Policy, Rule string
	// Statements and Tables; empty: the rule's.
	Statements, Tables []string
	// For how long, from the approval on.
	For time.Duration
	// Patience is how long the request may wait for people; 0: DefaultPatience.
	Patience time.Duration
	// Reason in the asker's own words.
	Reason string
	// Workload as namespace/serviceaccount; empty: the caller's, if they are a service account, or the only one that the policy names.
	Workload string
}

// How long a request for access may wait for people. It keeps nobody's connection waiting, so they may sleep on it.
const (
	DefaultPatience = 24 * time.Hour
	MaxPatience     = 7 * 24 * time.Hour
)

// Request creates the AccessRequest.
func (d *Desk) Request(ctx context.Context, a Ask) (*v1alpha1.AccessRequest, error) {
	what := "DataSource " + a.Namespace + "/" + a.DataSource
	if err := d.Cluster.Need(ctx, what, cluster.Ours("create", "accessrequests", a.Namespace, "")); err != nil {
		return nil, err
	}
	policy, rule, err := d.ruleFor(ctx, a)
	if err != nil {
		return nil, err
	}
	workload, err := d.workload(ctx, a, policy)
	if err != nil {
		return nil, err
	}
	access := accessFor(a, rule)
	patience := a.Patience
	if patience == 0 {
		patience = DefaultPatience
	}
	r := &v1alpha1.AccessRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, GenerateName: policy.Name + "-"},
		Spec: v1alpha1.AccessRequestSpec{
			DataSource: v1alpha1.DataSourceReference{Name: v1alpha1.ObjectName(a.DataSource)},
			Policy:     v1alpha1.ObjectName(policy.Name), Rule: rule.Name, Requester: workload, Access: access,
			ExpiresAt: metav1.NewTime(d.Now().Add(patience).UTC().Truncate(time.Second)),
			Reason:    a.Reason, Summary: table.Clip(accessWords(access), 250),
		},
	}
	if err := d.Cluster.Create(ctx, r); err != nil {
		return nil, cluster.Explain(err, what, "create", "accessrequests."+v1alpha1.Group)
	}
	return r, nil
}

// accessFor fills in from the rule what was not said.
func accessFor(a Ask, rule *v1alpha1.Rule) *v1alpha1.RequestedAccess {
	out := &v1alpha1.RequestedAccess{Statements: rule.Statements, Tables: rule.Tables, Duration: metav1.Duration{Duration: a.For}}
	if len(a.Statements) > 0 {
		out.Statements = nil
		for _, s := range a.Statements {
			out.Statements = append(out.Statements, v1alpha1.StatementClass(s))
		}
	}
	if len(a.Tables) > 0 {
		out.Tables = nil
		for _, t := range a.Tables {
			out.Tables = append(out.Tables, v1alpha1.TablePattern(t))
		}
	}
	if len(out.Tables) == 0 {
		out.Tables = []v1alpha1.TablePattern{"*.*"}
	}
	return out
}

// candidate is a rule that asks for approvals.
type candidate struct {
	policy *v1alpha1.AccessPolicy
	rule   *v1alpha1.Rule
}

func (c candidate) String() string { return "--policy " + c.policy.Name + " --rule " + c.rule.Name }

// ruleFor finds the rule that the request is about.
func (d *Desk) ruleFor(ctx context.Context, a Ask) (*v1alpha1.AccessPolicy, *v1alpha1.Rule, error) {
	what := "DataSource " + a.Namespace + "/" + a.DataSource
	var all []candidate
	list := &v1alpha1.AccessPolicyList{}
	err := d.Cluster.List(ctx, list, func() {
		for i := range list.Items {
			all = append(all, candidates(list.Items[i].DeepCopy(), a)...)
		}
	}, client.InNamespace(a.Namespace))
	if err != nil {
		return nil, nil, fmt.Errorf("%w (or name the rule with --policy and --rule and read them)", cluster.Explain(err, what, "list", "accesspolicies."+v1alpha1.Group))
	}
	switch len(all) {
	case 1:
		return all[0].policy, all[0].rule, nil
	case 0:
		return nil, nil, fmt.Errorf("%s: no rule of its AccessPolicies asks for an approval of %s: there is nothing that people could grant; see kubectl get accesspolicies -n %s -o yaml",
			what, asked(a), a.Namespace)
	}
	names := make([]string, len(all))
	for i, c := range all {
		names[i] = c.String()
	}
	slices.Sort(names)
	return nil, nil, fmt.Errorf("%s: several rules ask for an approval of %s: choose one: %s", what, asked(a), strings.Join(names, "; "))
}

func asked(a Ask) string {
	out := "statements"
	if len(a.Statements) > 0 {
		out = strings.Join(a.Statements, ", ")
	}
	if len(a.Tables) > 0 {
		out += " on " + strings.Join(a.Tables, ", ")
	}
	if a.Policy != "" || a.Rule != "" {
		out += strings.TrimRight(" (policy "+orNone(a.Policy)+", rule "+orNone(a.Rule)+")", " ")
	}
	return out
}

func candidates(p *v1alpha1.AccessPolicy, a Ask) (out []candidate) {
	of := slices.ContainsFunc(p.Spec.DataSources, func(r v1alpha1.DataSourceReference) bool { return string(r.Name) == a.DataSource })
	if !of || a.Policy != "" && a.Policy != p.Name {
		return nil
	}
	for i := range p.Spec.Rules {
		rule := &p.Spec.Rules[i]
		if rule.Action == v1alpha1.ActionRequireApproval && (a.Rule == "" || a.Rule == rule.Name) && fits(rule, a) {
			out = append(out, candidate{p, rule})
		}
	}
	return out
}

// fits says whether a rule is about what is asked for, as far as names tell; what is granted in the end is decided by policy.
func fits(rule *v1alpha1.Rule, a Ask) bool {
	for _, s := range a.Statements {
		class := v1alpha1.StatementClass(s)
		if !slices.Contains(rule.Statements, class) && (!slices.Contains(rule.Statements, "*") || !slices.Contains(v1alpha1.OrdinaryKinds(), class)) {
			return false
		}
	}
	for _, t := range a.Tables {
		if len(rule.Tables) > 0 && !slices.ContainsFunc(rule.Tables, func(p v1alpha1.TablePattern) bool { return within(t, string(p)) }) {
			return false
		}
	}
	return true
}

// within says whether a table, or all of a pattern of them, is in a rule's pattern, part by part.
func within(asked, pattern string) bool {
	p, a := strings.Split(pattern, "."), strings.Split(asked, ".")
	if len(p) != len(a) {
		return false
	}
	for i := range p {
		if !wild(p[i], a[i]) {
			return false
		}
	}
	return true
}

// wild matches * for any text.
func wild(pattern, text string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	if !strings.HasPrefix(text, head) {
		return false
	}
	text = text[len(head):]
	for i := 0; i <= len(text); i++ {
		if wild(rest, text[i:]) {
			return true
		}
	}
	return false
}

// workload is for whom access is asked.
func (d *Desk) workload(ctx context.Context, a Ask, p *v1alpha1.AccessPolicy) (v1alpha1.Requester, error) {
	if a.Workload != "" {
		namespace, account, ok := strings.Cut(a.Workload, "/")
		if !ok || namespace == "" || account == "" || strings.Contains(account, "/") {
			return v1alpha1.Requester{}, fmt.Errorf("--as-workload %q: write it as namespace/serviceaccount, such as shop/report-agent", a.Workload)
		}
		return v1alpha1.Requester{Namespace: namespace, ServiceAccount: v1alpha1.ObjectName(account)}, nil
	}
	if me, err := d.Cluster.WhoAmI(ctx); err == nil {
		if rest, ok := strings.CutPrefix(me.Username, "system:serviceaccount:"); ok {
			namespace, account, _ := strings.Cut(rest, ":")
			return v1alpha1.Requester{Namespace: namespace, ServiceAccount: v1alpha1.ObjectName(account)}, nil
		}
	}
	if s := p.Spec.Subjects; len(s) == 1 && s[0].NamespaceSelector == nil && len(s[0].ServiceAccounts) == 1 {
		return v1alpha1.Requester{Namespace: p.Namespace, ServiceAccount: s[0].ServiceAccounts[0]}, nil
	}
	return v1alpha1.Requester{}, errors.New("say for which workload: --as-workload namespace/serviceaccount, such as shop/report-agent")
}

// Settled waits until the request is decided or void, or ctx ends, and returns it as it is then.
func (d *Desk) Settled(ctx context.Context, r *v1alpha1.AccessRequest) (*v1alpha1.AccessRequest, error) {
	for {
		next := &v1alpha1.AccessRequest{}
		err := d.Cluster.Get(ctx, client.ObjectKeyFromObject(r), next)
		switch {
		case ctx.Err() != nil:
			return r, ctx.Err()
		case cluster.Gone(err) || err == nil && next.UID != r.UID:
			return nil, fmt.Errorf("%s was deleted while you waited", nameOf(r.Namespace, r.Name))
		case err != nil:
			return nil, cluster.Explain(err, nameOf(r.Namespace, r.Name), "get", "accessrequests."+v1alpha1.Group)
		}
		if r = next; !Open(r) || d.Now().After(r.Spec.ExpiresAt.Add(5*time.Second)) {
			return r, nil
		}
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// Verdict says on one line what became of a request for access, and by whom.
func Verdict(r *v1alpha1.AccessRequest, now time.Time) string {
	name := nameOf(r.Namespace, r.Name)
	switch state := State(r); {
	case state == v1alpha1.RequestApproved && r.Status.GrantedUntil != nil:
		return fmt.Sprintf("%s: approved%s, until %s", name, by(r), table.Clock(r.Status.GrantedUntil.Time, now))
	case state == v1alpha1.RequestPending:
		return name + ": nobody has answered in time"
	default:
		return fmt.Sprintf("%s: %s%s", name, strings.ToLower(string(state)), by(r))
	}
}
