package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/approval"
	"github.com/tidewaiter/tidewaiter/webhook/inject"
)

// DecisionPath is where the API server asks about AccessDecisions.
const DecisionPath = "/approvals/decisions"

// Decisions stamps AccessDecisions with who makes them and what they are about, and refuses those that could not count.
type Decisions struct {
	records *Records
	now     func() time.Time
}

// NewDecisions returns the webhook of AccessDecisions. now is the clock.
func NewDecisions(records *Records, now func() time.Time) *Decisions {
	return &Decisions{records: records, now: now}
}

// Register serves it.
func (d *Decisions) Register(server webhook.Server) {
	server.Register(DecisionPath, &webhook.Admission{Handler: d})
}

// Handle answers the API server. Without an answer, the decision is not created (failurePolicy: Fail).
func (d *Decisions) Handle(ctx context.Context, request admission.Request) admission.Response {
	result, err := d.decide(ctx, &request)
	if err != nil {
		return refusal(err)
	}
	return answer(result)
}

// errUndecidable says that the configuration sends what this webhook is not for. Nothing else it could do is safe.
var errUndecidable = errors.New("the MutatingWebhookConfiguration sends what this webhook is not for: it takes the creation of AccessRequests and AccessDecisions")

func (d *Decisions) decide(ctx context.Context, request *admission.Request) (*inject.Result, error) {
	var decision v1alpha1.AccessDecision
	if err := d.records.read(request, "accessdecisions", &decision); err != nil {
		return nil, err
	}
	ref := &decision.Spec.RequestRef
	about, err := d.records.request(ctx, request.Namespace, string(ref.Name))
	if err != nil {
		return nil, err
	}
	if about == nil {
		return nil, denied("spec.requestRef.name: there is no AccessRequest %s in namespace %s; kubectl get treq -n %s lists those that wait",
			ref.Name, request.Namespace, request.Namespace)
	}
	policies, err := d.records.policies(ctx, request.Namespace, &about.Spec)
	if err != nil {
		return nil, err
	}
	before, err := d.records.decisions(ctx, request.Namespace, about.Name, decision.Spec.Decision)
	if err != nil {
		return nil, err
	}
	by := decider(&request.UserInfo, policies)
	if before >= approval.MostDecisions {
		return nil, denied("AccessRequest %s has %d decisions of this kind already, and takes no more", about.Name, before)
	}
	terms, void := approval.TermsOf(&about.Spec, policies)
	if err := judge(&decision, about, by, &terms, void, d.now()); err != nil {
		return nil, err
	}
	result := &inject.Result{Patch: stamp(&decision, about, by)}
	if err := terms.InGroups(by); err != nil && decision.Spec.Decision == v1alpha1.DecisionApprove {
		result.Warnings = append(result.Warnings, fmt.Sprintf("this approval counts for nothing: %v", err))
	}
	return result, nil
}

// judge says why a decision cannot count. Whoever may, may deny, also what they have asked for themselves: that it ends harms
// nobody.
func judge(d *v1alpha1.AccessDecision, about *v1alpha1.AccessRequest, by *v1alpha1.Decider, terms *approval.Terms, void error, now time.Time) error {
	ref, state := &d.Spec.RequestRef, about.Status.State
	approves := d.Spec.Decision == v1alpha1.DecisionApprove || d.Spec.Decision == v1alpha1.DecisionBreakGlass
	own := approval.Own(&about.Spec, by)
	switch {
	case ref.UID != "" && ref.UID != string(about.UID):
		return denied("spec.requestRef.uid: AccessRequest %s is another one by now, with uid %s: read it again, and answer that", about.Name, about.UID)
	case ref.Digest != "" && ref.Digest != approval.Digest(&about.Spec):
		return denied("spec.requestRef.digest: the statement is another one than you read: read AccessRequest %s again, and leave digest out or copy it from spec.statement.digest", about.Name)
	case approves && state == v1alpha1.RequestApproved:
		return denied("spec.requestRef.name: AccessRequest %s is approved already; a Deny would take the approval back", about.Name)
	case !approval.Open(state) && state != v1alpha1.RequestApproved:
		return denied("spec.requestRef.name: AccessRequest %s is %s: it is too late to answer it; whoever still needs it asks again", about.Name, state)
	case approval.Open(state) && !now.Before(about.Spec.ExpiresAt.Time):
		return denied("spec.requestRef.name: AccessRequest %s has expired at %s: whoever still needs it asks again", about.Name, about.Spec.ExpiresAt.UTC().Format(time.RFC3339))
	case approves && own != nil:
		return denied("spec.decision: %v", own)
	case approves && void != nil:
		return denied("spec.requestRef.name: AccessRequest %s is void: %v", about.Name, void)
	case d.Spec.Decision == v1alpha1.DecisionBreakGlass && !terms.BreakGlass:
		return denied("spec.decision: no BreakGlass here: approval.breakGlass of rule %s of AccessPolicy %s, or of another rule that asks, is Never; use Approve", about.Spec.Rule, about.Spec.Policy)
	case d.Spec.Decision == v1alpha1.DecisionBreakGlass && strings.TrimSpace(d.Spec.Reason) == "":
		return denied("spec.reason: breaking the glass needs a reason")
	}
	return nil
}

// stamp is the patch that says who decides, about what, and by which policies.
func stamp(d *v1alpha1.AccessDecision, about *v1alpha1.AccessRequest, by *v1alpha1.Decider) []inject.Operation {
	patch := []inject.Operation{
		set("/spec/decidedBy", by),
		set("/spec/policies", approval.Names(&about.Spec)),
		set("/spec/requestRef/uid", string(about.UID)),
	}
	if digest := approval.Digest(&about.Spec); digest != "" {
		patch = append(patch, set("/spec/requestRef/digest", digest))
	}
	if slices.ContainsFunc(d.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == about.UID }) {
		return patch
	}
	return append(patch, set("/metadata/ownerReferences", append(d.OwnerReferences, metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "AccessRequest", Name: about.Name, UID: about.UID,
	})))
}

// Bounds of what a decider's groups may be; see Decider.
const mostGroups, longestGroup = 64, 256

// decider is whom the API server has authenticated. Of more groups than a decision has room for, those that the policies name
// are kept first, then the others in their order.
func decider(user *authenticationv1.UserInfo, policies approval.Policies) *v1alpha1.Decider {
	named := map[string]bool{}
	for _, policy := range policies {
		for i := range policy.Spec.Rules {
			if a := policy.Spec.Rules[i].Approval; a != nil {
				for _, group := range slices.Concat(a.AnyOf, a.AllOf) {
					named[string(group)] = true
				}
			}
		}
	}
	by := &v1alpha1.Decider{Username: user.Username, UID: user.UID}
	for _, wanted := range []bool{true, false} {
		for _, group := range user.Groups {
			if named[group] == wanted && len(group) <= longestGroup && len(by.Groups) < mostGroups && !slices.Contains(by.Groups, group) {
				by.Groups = append(by.Groups, group)
			}
		}
	}
	return by
}

// set is an operation that sets a field, whether it is there or not.
func set(path string, value any) inject.Operation {
	raw, err := json.Marshal(value)
	if err != nil {
		panic("admission: a value of a patch that JSON cannot hold: " + err.Error()) // types of ours and of Kubernetes
	}
	return inject.Operation{Op: "add", Path: path, Value: raw}
}
