package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AccessRequestSpec asks for something that a policy allows only after approval. Nobody can change it: an approval is for
// what was read.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an AccessRequest's spec cannot be changed: create another one"
// +kubebuilder:validation:XValidation:rule="has(self.statement) != has(self.access)",message="set exactly one of spec.statement (one statement that is held) and spec.access (access for a time)"
type AccessRequestSpec struct {
	// dataSource in the same namespace.
	// +required
	DataSource DataSourceReference `json:"dataSource"`

	// policy and rule that ask for the approval.
	// +required
	Policy ObjectName `json:"policy"`

	// rule of the policy.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Rule string `json:"rule"`

	// requester is the workload that waits.
	// +required
	Requester Requester `json:"requester"`

	// statement that is held.
	// +optional
	Statement *HeldStatement `json:"statement,omitempty"`

	// access asked for ahead of time.
	// +optional
	Access *RequestedAccess `json:"access,omitempty"`

	// expiresAt is when the request is void, approved or not.
	// +required
	ExpiresAt metav1.Time `json:"expiresAt"`

	// reason in the requester's own words.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
}

// Requester is who asks.
type Requester struct {
	// namespace of the workload.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`

	// serviceAccount of the workload.
	// +required
	ServiceAccount ObjectName `json:"serviceAccount"`

	// pod that waits, where one statement is held.
	// +optional
	Pod *PodReference `json:"pod,omitempty"`

	// process within the pod, where it is known.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Process string `json:"process,omitempty"`
}

// HeldStatement identifies one statement.
type HeldStatement struct {
	// session of the proxy in which it is held.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Session string `json:"session"`

	// digest is the SHA-256 of the statement's text, in hex.
	// +required
	Digest Digest `json:"digest"`

	// parametersDigest is the SHA-256 of its parameters, in hex.
	// +optional
	ParametersDigest Digest `json:"parametersDigest,omitempty"`

	// text of the statement with constants taken out, cut short where it is long.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	Text string `json:"text"`

	// summary such as "COPY orders TO STDOUT".
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Summary string `json:"summary,omitempty"`
}

// Digest is a SHA-256 in hex.
//
// +kubebuilder:validation:MinLength=64
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9a-f]{64}$')",message="must be a SHA-256 in lower-case hex, 64 digits"
type Digest string

// RequestedAccess asks for kinds of statements on tables, for a time.
type RequestedAccess struct {
	// statements are kinds and features, as in a policy's rule.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Statements []StatementClass `json:"statements"`

	// tables are patterns schema.table.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Tables []TablePattern `json:"tables"`

	// duration from the approval on: 1s to 24h, such as 1h.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=24
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be a duration between 1s and 24h, such as 1h"
	Duration metav1.Duration `json:"duration"`
}

// AccessRequestStatus is what became of the request. Conditions: Approved, Denied, Expired, Withdrawn.
type AccessRequestStatus struct {
	// conditions of the AccessRequest.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// state as kubectl get shows it.
	// +optional
	State AccessRequestState `json:"state,omitempty"`
}

// AccessRequestState sums the conditions up. Treat a value that is not listed as Denied.
//
// +kubebuilder:validation:Enum=Pending;Approved;Denied;Expired;Withdrawn
type AccessRequestState string

// States of an AccessRequest.
const (
	// RequestPending waits for decisions.
	RequestPending AccessRequestState = "Pending"
	// RequestApproved has all the approvals that it needs.
	RequestApproved AccessRequestState = "Approved"
	// RequestDenied was denied by somebody who may.
	RequestDenied AccessRequestState = "Denied"
	// RequestExpired got no answer in time.
	RequestExpired AccessRequestState = "Expired"
	// RequestWithdrawn means that whoever waited is gone.
	RequestWithdrawn AccessRequestState = "Withdrawn"
)

// AccessRequest asks people for an approval. It lives with the data's owner.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=treq,categories=tidewaiter
// +kubebuilder:selectablefield:JSONPath=`.spec.dataSource.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.requester.serviceAccount`
// +kubebuilder:selectablefield:JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Requester",type=string,JSONPath=`.spec.requester.serviceAccount`,description="Who waits."
// +kubebuilder:printcolumn:name="Rule",type=string,JSONPath=`.spec.rule`,description="The rule that asks."
// +kubebuilder:printcolumn:name="What",type=string,JSONPath=`.spec.statement.summary`,description="What is asked for."
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`,description="Pending, Approved, Denied, Expired or Withdrawn."
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.spec.expiresAt`,description="When it is void."
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AccessRequest struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says what is asked for.
	// +required
	Spec AccessRequestSpec `json:"spec"`

	// status is what became of it.
	// +optional
	Status AccessRequestStatus `json:"status,omitzero"`
}

// AccessRequestList is a list of AccessRequests.
//
// +kubebuilder:object:root=true
type AccessRequestList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	// Items are the AccessRequests.
	Items []AccessRequest `json:"items"`
}
