package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AccessDecisionSpec is one person's answer to an AccessRequest. Nobody can change it; another answer is another object.
//
// +kubebuilder:validation:XValidation:rule="self.decision != 'BreakGlass' || (has(self.reason) && size(self.reason) > 0)",message="breaking the glass needs a reason: set spec.reason"
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an AccessDecision's spec cannot be changed: create another one"
type AccessDecisionSpec struct {
	// requestRef names the AccessRequest in the same namespace.
	// +required
	RequestRef AccessRequestReference `json:"requestRef"`

	// decision is Approve, Deny, or BreakGlass, which approves alone where the rule allows that, and needs a reason. A Deny
	// after the approval revokes what was granted.
	// +required
	Decision DecisionKind `json:"decision"`

	// reason in the decider's own words.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`

	// policies whose verb approve the decider needs: those of the request's rules. Admission sets it, and checks the verb.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=9
	Policies []ObjectName `json:"policies,omitempty"`

	// decidedBy is who created this object. Admission sets it; what a client writes here is overwritten.
	// +optional
	DecidedBy *Decider `json:"decidedBy,omitempty"`
}

// AccessRequestReference names one AccessRequest, and not a later one of the same name.
type AccessRequestReference struct {
	// name of the AccessRequest.
	// +required
	Name ObjectName `json:"name"`

	// uid of the AccessRequest.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`

	// digest of the statement that was read, where the request holds one.
	// +optional
	Digest Digest `json:"digest,omitempty"`
}

// DecisionKind is Approve, Deny or BreakGlass. Treat a value that is not listed as Deny.
//
// +kubebuilder:validation:Enum=Approve;Deny;BreakGlass
type DecisionKind string

// The decisions.
const (
	// DecisionApprove lets it happen, if whoever decides may approve.
	DecisionApprove DecisionKind = "Approve"
	// DecisionDeny ends the request, and what it has granted.
	DecisionDeny DecisionKind = "Deny"
	// DecisionBreakGlass lets it happen at once, by one person, in an emergency.
	DecisionBreakGlass DecisionKind = "BreakGlass"
)

// Decider is who decided, as the API server authenticated them.
type Decider struct {
	// username of the decider.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Username string `json:"username"`

	// uid of the decider, where the authenticator knows one.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	UID string `json:"uid,omitempty"`

	// groups of the decider.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=256
	Groups []string `json:"groups,omitempty"`
}

// AccessDecision answers an AccessRequest.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,shortName=tdec,categories=tidewaiter
// +kubebuilder:selectablefield:JSONPath=`.spec.requestRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.decision`
// +kubebuilder:printcolumn:name="Request",type=string,JSONPath=`.spec.requestRef.name`,description="What is answered."
// +kubebuilder:printcolumn:name="Decision",type=string,JSONPath=`.spec.decision`,description="Approve, Deny or BreakGlass."
// +kubebuilder:printcolumn:name="By",type=string,JSONPath=`.spec.decidedBy.username`,description="Who decided."
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`,description="Their words."
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AccessDecision struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the answer.
	// +required
	Spec AccessDecisionSpec `json:"spec"`
}

// AccessDecisionList is a list of AccessDecisions.
//
// +kubebuilder:object:root=true
type AccessDecisionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	// Items are the AccessDecisions.
	Items []AccessDecision `json:"items"`
}
