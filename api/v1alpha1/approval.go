package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Approval says how a held statement is approved.
type Approval struct {
	// timeout is how long a statement is held before it is denied: 1s to 24h, such as 15m.
	// +optional
	// +kubebuilder:default="15m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=24
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be a duration between 1s and 24h, such as 15m"
	Timeout metav1.Duration `json:"timeout,omitempty"`

	// transactionTimeout is how long a statement is held inside of an open transaction, where locks are kept meanwhile: 1s to
	// 24h, and never longer than timeout.
	// +optional
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=24
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be a duration between 1s and 24h, such as 1m"
	TransactionTimeout metav1.Duration `json:"transactionTimeout,omitempty"`

	// wait says what the client does meanwhile. Hold: it waits for the answer. Refuse: it is refused at once with the
	// request's name, and the same statement runs once it is approved.
	// +optional
	// +kubebuilder:default=Hold
	Wait ApprovalWait `json:"wait,omitempty"`

	// approvers is how many different people have to approve.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	Approvers int32 `json:"approvers,omitempty"`

	// grant is what one approval is good for: Statement (this one), Session (the like of it in this session), or a
	// duration of 1s to 24h, such as 1h (the like of it by this workload).
	// +optional
	// +kubebuilder:default=Statement
	Grant ApprovalGrant `json:"grant,omitempty"`

	// anyOf are groups: whoever approves has to be in one of them. Left out, everybody may who has the verb approve on
	// the AccessPolicy.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	AnyOf []GroupName `json:"anyOf,omitempty"`

	// allOf are groups: each of them has to be represented among those who approve. One person may represent several.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	AllOf []GroupName `json:"allOf,omitempty"`

	// breakGlass says whether one person with the verb break-glass on the AccessPolicy may answer alone in an emergency,
	// with a reason, whatever approvers, anyOf and allOf say. It is recorded and announced loudly. Left out, nobody may.
	// +optional
	// +kubebuilder:default=Never
	BreakGlass BreakGlass `json:"breakGlass,omitempty"`
}

// ApprovalWait is Hold or Refuse. Treat the zero value as Hold, and a value that is not listed as Refuse.
//
// +kubebuilder:validation:Enum=Hold;Refuse
type ApprovalWait string

// What a client does while people decide.
const (
	// WaitHold keeps the statement, and the connection, waiting.
	WaitHold ApprovalWait = "Hold"
	// WaitRefuse refuses the statement with the request's name; the same statement runs once it is approved.
	WaitRefuse ApprovalWait = "Refuse"
)

// BreakGlass is Never or WithReason. Treat the zero value, and a value that is not listed, as Never.
//
// +kubebuilder:validation:Enum=Never;WithReason
type BreakGlass string

// Whether one person may answer alone in an emergency.
const (
	// BreakGlassNever means that nobody may.
	BreakGlassNever BreakGlass = "Never"
	// BreakGlassWithReason means that who has the verb break-glass may, and has to say why.
	BreakGlassWithReason BreakGlass = "WithReason"
)

// Virtual verbs on accesspolicies, as approve and sign on signers (Kubernetes, "Certificate Signing Requests").
const (
	// VerbApprove lets a person answer the AccessRequests of the AccessPolicy.
	VerbApprove = "approve"
	// VerbBreakGlass lets a person answer alone where a rule allows that.
	VerbBreakGlass = "break-glass"
)

// GroupName is a group as the API server's authenticator names it.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=256
type GroupName string

// ApprovalGrant is Statement, Session or a duration. Treat the zero value as Statement.
//
// +kubebuilder:validation:MaxLength=24
// +kubebuilder:validation:XValidation:rule="self in ['Statement', 'Session'] || (self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') && duration(self) >= duration('1s') && duration(self) <= duration('24h'))",message="must be Statement, Session or a duration between 1s and 24h, such as 1h"
type ApprovalGrant string

// What an approval is good for, unless it is a duration.
const (
	// GrantStatement is good for the statement that was held.
	GrantStatement ApprovalGrant = "Statement"
	// GrantSession is good for the like of it until the session ends.
	GrantSession ApprovalGrant = "Session"
)

// What an approval is when the rule does not say; the same as the schema's defaults.
const (
	// DefaultApprovalTimeout is how long a statement is held.
	DefaultApprovalTimeout = 15 * time.Minute
	// DefaultApprovers is how many people have to approve.
	DefaultApprovers int32 = 1
	// DefaultTransactionTimeout is how long a statement is held inside of an open transaction.
	DefaultTransactionTimeout = time.Minute
	// DefaultGrant is what an approval is good for.
	DefaultGrant = GrantStatement
)

// Duration returns how long a grant by time lasts, and false when the grant is not a duration.
func (g ApprovalGrant) Duration() (time.Duration, bool) {
	d, err := time.ParseDuration(string(g))
	return d, err == nil && d > 0
}

// EffectiveApproval is the rule's approval with every default filled in, also when the rule has none.
func (r *Rule) EffectiveApproval() Approval {
	a := Approval{}
	if r.Approval != nil {
		a = *r.Approval
	}
	if a.Timeout.Duration <= 0 {
		a.Timeout.Duration = DefaultApprovalTimeout
	}
	if a.TransactionTimeout.Duration <= 0 {
		a.TransactionTimeout.Duration = DefaultTransactionTimeout
	}
	a.TransactionTimeout.Duration = min(a.TransactionTimeout.Duration, a.Timeout.Duration)
	if a.Wait == "" {
		a.Wait = WaitHold
	}
	if a.BreakGlass != BreakGlassWithReason {
		a.BreakGlass = BreakGlassNever
	}
	if a.Approvers < 1 {
		a.Approvers = DefaultApprovers
	}
	if a.Grant == "" {
		a.Grant = DefaultGrant
	}
	return a
}
