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
}

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
	if a.Approvers < 1 {
		a.Approvers = DefaultApprovers
	}
	if a.Grant == "" {
		a.Grant = DefaultGrant
	}
	return a
}
