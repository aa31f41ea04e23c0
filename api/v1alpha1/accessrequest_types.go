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

	// otherRules ask for the approval as well. Whoever approves needs the verb approve on the policies of all of them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	OtherRules []RuleReference `json:"otherRules,omitempty"`

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

	// reason in the requester's own words, such as "ticket OPS-7".
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`

	// summary of what is asked for, such as "COPY orders TO STDOUT" or "Update on public.orders for 1h". Admission sets it
	// for access ahead of time.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Summary string `json:"summary,omitempty"`

	// createdBy is who created this object. Admission sets it; what a client writes here is overwritten. Nobody approves
	// what they have asked for themselves.
	// +optional
	CreatedBy *Decider `json:"createdBy,omitempty"`
}

// RuleReference names a rule of an AccessPolicy in the same namespace.
type RuleReference struct {
	// policy that has the rule.
	// +required
	Policy ObjectName `json:"policy"`

	// rule of the policy.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Rule string `json:"rule"`
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

	// shape is equal for statements that are alike: an approval for a session or a time is good for those.
	// +optional
	Shape Digest `json:"shape,omitempty"`

	// hold is the wait in the sidecar that this request is for. Where a sidecar asks again after a lost stream, it is the
	// same.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Hold string `json:"hold"`

	// inTransaction says that locks may be held while this waits.
	// +optional
	InTransaction bool `json:"inTransaction,omitempty"`

	// estimatedRows is how many rows the database's planner expects, where it was asked.
	// +optional
	// +kubebuilder:validation:Minimum=0
	EstimatedRows *int64 `json:"estimatedRows,omitempty"`

	// exceeded is the limit that the statement has reached, where it is that what the approval is about: the statement
	// has begun, and rows have gone to the client.
	// +optional
	Exceeded *ExceededLimit `json:"exceeded,omitempty"`
}

// ExceededLimit is a limit of a rule that was reached in the middle of a result.
type ExceededLimit struct {
	// limit as the policy's field is called, such as rowsPerHour.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Limit string `json:"limit"`

	// rows of this statement that have gone to the client.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Rows int64 `json:"rows"`

	// bytes of this statement's result that have gone to the client.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Bytes int64 `json:"bytes"`
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

// AccessRequestStatus is what became of the request. Conditions: Approved, Denied, Expired, Withdrawn, Revoked, BrokenGlass.
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

	// decisions that were taken into account, the oldest first, and those that were refused, each with why.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Decisions []WeighedDecision `json:"decisions,omitempty"`

	// missing says what the request still needs, such as "1 of 2 approvals" or "somebody of group security".
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Missing string `json:"missing,omitempty"`

	// grantedAt is when the last approval that was needed came.
	// +optional
	GrantedAt *metav1.Time `json:"grantedAt,omitempty"`

	// grantedUntil is when what was granted ends, where it is for a time.
	// +optional
	GrantedUntil *metav1.Time `json:"grantedUntil,omitempty"`

	// closedAt is when the request was decided, or void; it is removed some time after.
	// +optional
	ClosedAt *metav1.Time `json:"closedAt,omitempty"`
}

// WeighedDecision is an AccessDecision and what it counted for.
type WeighedDecision struct {
	// name of the AccessDecision.
	// +required
	Name ObjectName `json:"name"`

	// decision that it is.
	// +required
	Decision DecisionKind `json:"decision"`

	// by is the user name of who decided.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	By string `json:"by"`

	// refused says why it counted for nothing; empty: it counted.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Refused string `json:"refused,omitempty"`
}

// AccessRequestState sums the conditions up. Treat a value that is not listed as Denied.
//
// +kubebuilder:validation:Enum=Pending;Approved;Denied;Expired;Withdrawn;Revoked
type AccessRequestState string

// States of an AccessRequest.
const (
	// RequestPending waits for decisions.
	RequestPending AccessRequestState = "Pending"
	// RequestApproved has all the approvals that it needs.
	RequestApproved AccessRequestState = "Approved"
	// RequestDenied was denied by somebody who may.
	RequestDenied AccessRequestState = "Denied"
	// RequestExpired got no answer in time, or what was granted for a time has ended.
	RequestExpired AccessRequestState = "Expired"
	// RequestWithdrawn means that whoever waited is gone.
	RequestWithdrawn AccessRequestState = "Withdrawn"
	// RequestRevoked was approved, and somebody who may has denied it since.
	RequestRevoked AccessRequestState = "Revoked"
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
// +kubebuilder:printcolumn:name="What",type=string,JSONPath=`.spec.summary`,description="What is asked for."
// +kubebuilder:printcolumn:name="Rows",type=integer,JSONPath=`.spec.statement.estimatedRows`,description="Rows that the database expects."
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`,description="Pending, Approved, Denied, Expired, Withdrawn or Revoked."
// +kubebuilder:printcolumn:name="Missing",type=string,JSONPath=`.status.missing`,priority=1,description="What it still needs."
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.spec.expiresAt`,description="When it is void."
// +kubebuilder:printcolumn:name="Until",type=string,JSONPath=`.status.grantedUntil`,priority=1,description="When what was granted ends."
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
