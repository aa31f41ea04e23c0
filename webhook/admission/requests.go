package admission

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/approval"
	"github.com/tidewaiter/tidewaiter/webhook/inject"
)

// RequestPath is where the API server asks about AccessRequests.
const RequestPath = "/approvals/requests"

// How long people may take to answer a request for access ahead of time.
const (
	defaultExpiry = 24 * time.Hour
	longestExpiry = 7 * 24 * time.Hour
)

// How many AccessRequests a namespace has at most, over or not: who may create them must not fill the API server's store. Those
// that people make leave room for statements that are held.
const (
	mostRequests = 2000
	mostOfPeople = 500
)

// Requests stamps AccessRequests with who makes them, and refuses those that no approval could make good.
type Requests struct {
	records  *Records
	operator string
	now      func() time.Time

	most, mostOfPeople int
}

// NewRequests returns the webhook of AccessRequests. Only the user named operator, which must not be empty, says that a
// statement is held. now is the clock.
func NewRequests(records *Records, operator string, now func() time.Time) (*Requests, error) {
	if operator == "" {
		return nil, fmt.Errorf("the webhook of AccessRequests must know the operator's own user name")
	}
	return &Requests{records: records, operator: operator, now: now, most: mostRequests, mostOfPeople: mostOfPeople}, nil
}

// Register serves it.
func (r *Requests) Register(server webhook.Server) {
	server.Register(RequestPath, &webhook.Admission{Handler: r})
}

// Handle answers the API server. Without an answer, the request is not created (failurePolicy: Fail).
func (r *Requests) Handle(ctx context.Context, request admission.Request) admission.Response {
	result, err := r.decide(ctx, &request)
	if err != nil {
		return refusal(err)
	}
	return answer(result)
}

func (r *Requests) decide(ctx context.Context, request *admission.Request) (*inject.Result, error) {
	var asked v1alpha1.AccessRequest
	if err := r.records.read(request, "accessrequests", &asked); err != nil {
		return nil, err
	}
	spec := &asked.Spec
	if err := r.room(ctx, request.Namespace, spec); err != nil {
		return nil, err
	}
	result := &inject.Result{Patch: []inject.Operation{set("/spec/createdBy", decider(&request.UserInfo, nil))}}
	switch {
	case spec.Statement != nil && request.UserInfo.Username != r.operator:
		return nil, denied("spec.statement: only the operator says that a statement is held; ask for access ahead of time by spec.access")
	case spec.Statement != nil || spec.Access == nil: // the API server refuses neither and both
		return result, nil
	}
	policies, err := r.records.policies(ctx, request.Namespace, spec)
	if err != nil {
		return nil, err
	}
	now := r.now()
	if wrong := beyond(request.Namespace, spec, policies, now); wrong != nil {
		return nil, denied("%s", strings.Join(wrong, "; "))
	}
	result.Patch = append(result.Patch, set("/spec/summary", approval.Summary(spec.Access)))
	if spec.ExpiresAt.IsZero() {
		result.Patch = append(result.Patch, set("/spec/expiresAt", metav1.NewTime(now.Add(defaultExpiry).UTC())))
	}
	return result, nil
}

// room refuses a request where its namespace has too many.
func (r *Requests) room(ctx context.Context, namespace string, spec *v1alpha1.AccessRequestSpec) error {
	all, ofPeople, err := r.records.requests(ctx, namespace)
	switch {
	case err != nil:
		return err
	case all >= r.most || spec.Access != nil && ofPeople >= r.mostOfPeople:
		return denied("namespace %s has %d AccessRequests, %d of them for access ahead of time, and takes no more of this kind: delete those that nobody needs", namespace, all, ofPeople)
	}
	return nil
}

// beyond says what of a request for access ahead of time no approval could make good.
func beyond(namespace string, spec *v1alpha1.AccessRequestSpec, policies approval.Policies, now time.Time) []string {
	var wrong []string
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if spec.Requester.Pod != nil {
		add("spec.requester.pod: access ahead of time is for a workload, not for one pod: leave it out")
	}
	switch at := spec.ExpiresAt.Time; {
	case at.IsZero():
	case !at.After(now):
		add("spec.expiresAt: %s is over; give people some time to answer, or leave it out for %s", at.UTC().Format(time.RFC3339), "24h")
	case at.After(now.Add(longestExpiry)):
		add("spec.expiresAt: more than 7 days ahead; ask again later, or leave it out for %s", "24h")
	}
	for i, ref := range approval.Rules(spec) {
		at := "spec"
		if i > 0 {
			at = fmt.Sprintf("spec.otherRules[%d]", i-1)
		}
		wrong = append(wrong, beyondRule(at, namespace, spec, ref, policies[ref.Policy])...)
	}
	return wrong
}

// beyondRule says what of a request one rule does not ask for approval for. at is the reference's place.
func beyondRule(at, namespace string, spec *v1alpha1.AccessRequestSpec, ref v1alpha1.RuleReference, policy *v1alpha1.AccessPolicy) []string {
	one := func(format string, args ...any) []string { return []string{fmt.Sprintf(format, args...)} }
	if policy == nil {
		return one("%s.policy: there is no AccessPolicy %s in namespace %s; kubectl get tap -n %s lists them", at, ref.Policy, namespace, namespace)
	}
	if !slices.Contains(policy.Spec.DataSources, spec.DataSource) {
		return one("spec.dataSource: AccessPolicy %s is not about DataSource %s, but about %s", ref.Policy, spec.DataSource.Name, listed(policy.Spec.DataSources, func(d v1alpha1.DataSourceReference) string { return string(d.Name) }))
	}
	i := slices.IndexFunc(policy.Spec.Rules, func(r v1alpha1.Rule) bool { return r.Name == ref.Rule })
	if i < 0 || policy.Spec.Rules[i].Action != v1alpha1.ActionRequireApproval {
		var asking []v1alpha1.Rule
		for _, rule := range policy.Spec.Rules {
			if rule.Action == v1alpha1.ActionRequireApproval {
				asking = append(asking, rule)
			}
		}
		return one("%s.rule: AccessPolicy %s has no rule %s with action RequireApproval, so that nobody can approve anything by it; it has %s",
			at, ref.Policy, ref.Rule, listed(asking, func(r v1alpha1.Rule) string { return r.Name }))
	}
	return outside(at, spec.Access, ref, &policy.Spec.Rules[i])
}

// outside says which statements and tables a rule does not ask for approval of.
func outside(at string, access *v1alpha1.RequestedAccess, ref v1alpha1.RuleReference, rule *v1alpha1.Rule) []string {
	var wrong []string
	for i, class := range access.Statements {
		if !asksAbout(rule, access, class) {
			wrong = append(wrong, fmt.Sprintf("spec.access.statements[%d]: rule %s of AccessPolicy %s (%s.rule) does not ask for approval of %s, so that an approval could not permit it; it does of %s",
				i, ref.Rule, ref.Policy, at, class, listed(rule.Statements, func(c v1alpha1.StatementClass) string { return string(c) })))
		}
	}
	for i, table := range access.Tables {
		if len(rule.Tables) > 0 && !slices.ContainsFunc(rule.Tables, func(p v1alpha1.TablePattern) bool { return within(string(table), string(p)) }) {
			wrong = append(wrong, fmt.Sprintf("spec.access.tables[%d]: %s is not within the tables of rule %s of AccessPolicy %s (%s.rule): %s",
				i, table, ref.Rule, ref.Policy, at, listed(rule.Tables, func(p v1alpha1.TablePattern) string { return string(p) })))
		}
	}
	return wrong
}

// asksAbout reports whether a rule asks for approval of a class of statements. A rule that names a feature, such as
// BulkSelect, is about statements that have kinds as well, which it need not name: Select.
func asksAbout(rule *v1alpha1.Rule, access *v1alpha1.RequestedAccess, class v1alpha1.StatementClass) bool {
	ordinary := slices.Contains(v1alpha1.OrdinaryKinds(), class)
	if slices.Contains(rule.Statements, class) || ordinary && slices.Contains(rule.Statements, v1alpha1.AnyOrdinaryKind) {
		return true
	}
	return ordinary && slices.ContainsFunc(access.Statements, func(other v1alpha1.StatementClass) bool {
		return other != v1alpha1.AnyOrdinaryKind && !slices.Contains(v1alpha1.NamedKinds(), other) &&
			!slices.Contains(v1alpha1.OrdinaryKinds(), other) && slices.Contains(rule.Statements, other)
	})
}

// within reports whether whatever one pattern of tables matches, the wider one matches as well.
func within(narrow, wide string) bool {
	schema, table, ok := strings.Cut(narrow, ".")
	wideSchema, wideTable, wideOK := strings.Cut(wide, ".")
	return ok && wideOK && like(schema, wideSchema) && like(table, wideTable)
}

// like reports whether a text matches a pattern, in which "*" is any text. A "*" of the text itself is matched by one alone.
func like(text, pattern string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !strings.HasPrefix(text, first) {
		return false
	}
	text = text[len(first):]
	if !wild {
		return text == ""
	}
	for {
		next, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(text, next)
		}
		at := strings.Index(text, next)
		if at < 0 {
			return false
		}
		text, rest = text[at+len(next):], after
	}
}

// listed names things in a few words.
func listed[T any](all []T, name func(T) string) string {
	if len(all) == 0 {
		return "none"
	}
	var names []string
	for i := range all[:min(len(all), 16)] {
		names = append(names, name(all[i]))
	}
	if len(all) > len(names) {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}

// read decodes the object that is created, if it is what the webhook is for and everything has been read that it needs.
func (r *Records) read(request *admission.Request, resource string, into client.Object) error {
	if request.Operation != admissionv1.Create || request.SubResource != "" || request.Resource != (metav1.GroupVersionResource{
		Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Resource: resource,
	}) {
		return errUndecidable
	}
	if err := r.Ready(); err != nil {
		return &unavailable{err}
	}
	if err := json.Unmarshal(request.Object.Raw, into); err != nil {
		return fmt.Errorf("reading the object: %w", err)
	}
	return nil
}

// denied refuses what people can put right themselves.
func denied(format string, args ...any) error { return &misfit{fmt.Sprintf(format, args...)} }

// misfit is an object that is refused for what it says.
type misfit struct{ says string }

func (m *misfit) Error() string { return m.says }
