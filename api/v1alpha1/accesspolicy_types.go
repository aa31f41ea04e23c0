package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AccessPolicySpec says who may do what with the data of one owner.
type AccessPolicySpec struct {
	// dataSources in the same namespace that this policy speaks of.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	DataSources []DataSourceReference `json:"dataSources"`

	// subjects are the workloads that this policy speaks of. A workload has to match one entry.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Subjects []Subject `json:"subjects"`

	// mode is Enforce, or Observe to decide and record what would be denied while letting it through.
	// +optional
	// +kubebuilder:default=Enforce
	Mode PolicyMode `json:"mode,omitempty"`

	// rules decide about statements. Every matching rule counts: Deny before RequireApproval before Allow; what no rule
	// matches is denied, so a policy without rules denies everything.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=30
	Rules []Rule `json:"rules,omitempty"`

	// masks say what becomes of values of tagged columns. The most specific tag wins, among equals the stricter strategy.
	// A tagged column that no mask matches is redacted; only strategy Reveal shows it.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Masks []Mask `json:"masks,omitempty"`

	// predicates says what becomes of statements that compare, sort or group by tagged columns: Allow, Flag (let through
	// and record), EqualityOnly (=, IN and joins of equal tags) or Deny.
	// +optional
	// +kubebuilder:default=Flag
	Predicates PredicateMode `json:"predicates,omitempty"`

	// probes bound how many different comparisons with tagged columns a workload may make, since each tells something of
	// values that it does not show. Left out, there is no bound.
	// +optional
	Probes *Probes `json:"probes,omitempty"`

	// rego is a module of package tidewaiter.custom. It may only make a decision stricter.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	// +kubebuilder:validation:XValidation:rule="self.contains('package tidewaiter.custom')",message="must be a module of package tidewaiter.custom: start it with the line \"package tidewaiter.custom\""
	Rego string `json:"rego,omitempty"`
}

// Subject selects workloads. Every field that is set has to match.
//
// +kubebuilder:validation:XValidation:rule="has(self.namespaceSelector) || has(self.serviceAccounts) || has(self.podSelector)",message="has no selector: set namespaceSelector, serviceAccounts or podSelector; namespaceSelector: {} means every namespace"
type Subject struct {
	// namespaceSelector picks namespaces by their labels. Left out, only the policy's own namespace; an empty selector
	// picks every namespace that the DataSource allows.
	// +optional
	NamespaceSelector *LabelSelector `json:"namespaceSelector,omitempty"`

	// serviceAccounts are names of service accounts in those namespaces. Left out, any.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	ServiceAccounts []ObjectName `json:"serviceAccounts,omitempty"`

	// podSelector picks pods by their labels. Left out, any. Labels are the workload owner's own claim: use
	// serviceAccounts where that matters.
	// +optional
	PodSelector *LabelSelector `json:"podSelector,omitempty"`
}

// PolicyMode says whether decisions take effect. Treat the zero value, and any value not listed, as Enforce.
//
// +kubebuilder:validation:Enum=Enforce;Observe
type PolicyMode string

// Policy modes.
const (
	// ModeEnforce makes decisions take effect.
	ModeEnforce PolicyMode = "Enforce"
	// ModeObserve records what would be denied and lets it through. Masks stay on.
	ModeObserve PolicyMode = "Observe"
)

// Rule decides about statements.
//
// +kubebuilder:validation:XValidation:rule="!has(self.approval) || self.action == 'RequireApproval' || (has(self.limits) && self.limits.onExceed == 'RequireApproval')",message="approval is used only when action or limits.onExceed is RequireApproval: set one of them, or remove approval"
// +kubebuilder:validation:XValidation:rule="!has(self.limits) || self.action != 'Deny'",message="limits have no effect when action is Deny: remove limits, or change action"
type Rule struct {
	// name of the rule, unique in its policy. Clients, recordings and approvers see it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be lower-case letters, digits and '-', such as read"
	Name string `json:"name"`

	// action is what matching statements get: Allow, RequireApproval or Deny.
	// +required
	Action RuleAction `json:"action"`

	// statements are kinds and features that the rule is about. `*` stands for the ordinary kinds; a dangerous feature is
	// denied unless a rule names it.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Statements []StatementClass `json:"statements"`

	// tables are patterns schema.table that the rule is about; `*` stands for any text within a part: public.orders,
	// app_*.*. A Deny or RequireApproval rule is about a statement that uses any of them; an Allow rule covers only them,
	// and every table that a statement uses has to be covered. Left out, Deny and RequireApproval are about every table,
	// while Allow covers statements that use no table: write *.* to allow all.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Tables []TablePattern `json:"tables,omitempty"`

	// limits on what a statement covered by this rule may move.
	// +optional
	Limits *Limits `json:"limits,omitempty"`

	// approval says how a held statement is approved. Left out, 15m, one approver, for the one statement.
	// +optional
	Approval *Approval `json:"approval,omitempty"`
}

// RuleAction is what a matching statement gets. Treat the zero value, and any value not listed, as Deny.
//
// +kubebuilder:validation:Enum=Allow;RequireApproval;Deny
type RuleAction string

// Rule actions, the strictest last.
const (
	// ActionAllow lets the statement through.
	ActionAllow RuleAction = "Allow"
	// ActionRequireApproval holds the statement until a human answers.
	ActionRequireApproval RuleAction = "RequireApproval"
	// ActionDeny refuses the statement.
	ActionDeny RuleAction = "Deny"
)

// TablePattern is schema.table with * for any text within a part. Names are compared as the catalog spells them; one
// that itself holds a dot, a quote or white space is matched with * in its place.
//
// +kubebuilder:validation:MinLength=3
// +kubebuilder:validation:MaxLength=127
// +kubebuilder:validation:XValidation:rule="self.matches('^[^.\"\\\\s]+[.][^.\"\\\\s]+$')",message="must be schema.table without quotes or spaces, with * for any text within a part, such as public.orders or app_*.*"
type TablePattern string

// Limits on what is moved. At least one limit is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.rowsPerStatement) || has(self.rowsPerHour) || has(self.bytesPerStatement) || has(self.bytesPerHour)",message="limits nothing: set rowsPerStatement, rowsPerHour, bytesPerStatement or bytesPerHour, or remove limits"
type Limits struct {
	// rowsPerStatement is the most rows that one statement may return or change.
	// +optional
	// +kubebuilder:validation:Minimum=1
	RowsPerStatement *int64 `json:"rowsPerStatement,omitempty"`

	// rowsPerHour is the most rows that the workload may move in any hour.
	// +optional
	// +kubebuilder:validation:Minimum=1
	RowsPerHour *int64 `json:"rowsPerHour,omitempty"`

	// bytesPerStatement is the most bytes of rows that one statement may return, such as 10Mi.
	// +optional
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : !(self.startsWith('-') || self.startsWith('0') || self.endsWith('m'))",message="must be a number of bytes without a leading zero, at least one, such as 100Mi or 1.5Gi; the suffix for millions is M or Mi, since m means a thousandth"
	BytesPerStatement *resource.Quantity `json:"bytesPerStatement,omitempty"`

	// bytesPerHour is the most bytes of rows that the workload may move in any hour, such as 100Mi.
	// +optional
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 : !(self.startsWith('-') || self.startsWith('0') || self.endsWith('m'))",message="must be a number of bytes without a leading zero, at least one, such as 100Mi or 1.5Gi; the suffix for millions is M or Mi, since m means a thousandth"
	BytesPerHour *resource.Quantity `json:"bytesPerHour,omitempty"`

	// onExceed is what happens when a limit is reached: Deny stops the statement, RequireApproval holds it.
	// +optional
	// +kubebuilder:default=Deny
	OnExceed ExceedAction `json:"onExceed,omitempty"`
}

// ExceedAction is what happens at a limit. Treat the zero value, and any value not listed, as Deny.
//
// +kubebuilder:validation:Enum=Deny;RequireApproval
type ExceedAction string

// What happens when a limit is reached.
const (
	// ExceedDeny stops the statement.
	ExceedDeny ExceedAction = "Deny"
	// ExceedRequireApproval holds the statement until a human answers.
	ExceedRequireApproval ExceedAction = "RequireApproval"
)

// PredicateMode says what becomes of statements whose conditions, ordering or grouping use tagged columns. Treat the
// zero value, and any value not listed, as Deny.
//
// +kubebuilder:validation:Enum=Allow;Flag;EqualityOnly;Deny
type PredicateMode string

// Predicate modes, the strictest last.
const (
	// PredicatesAllow lets them through.
	PredicatesAllow PredicateMode = "Allow"
	// PredicatesFlag lets them through and marks them in the recording.
	PredicatesFlag PredicateMode = "Flag"
	// PredicatesEqualityOnly lets through equality only.
	PredicatesEqualityOnly PredicateMode = "EqualityOnly"
	// PredicatesDeny refuses them.
	PredicatesDeny PredicateMode = "Deny"
)

// AccessPolicyStatus is what the operator observed. Conditions: Accepted, ResolvedRefs, Programmed, Enforced, Ready.
type AccessPolicyStatus struct {
	// observedGeneration is the metadata.generation that this status speaks of.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// subjects is the number of entries in spec.subjects, for kubectl get.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Subjects int32 `json:"subjects,omitempty"`

	// enforcement says how many sidecars have the policy.
	// +optional
	Enforcement *Enforcement `json:"enforcement,omitempty"`

	// conditions of the AccessPolicy.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Enforcement counts sidecars that the policy concerns.
type Enforcement struct {
	// revision is the metadata.generation of the policy that sidecars have to acknowledge.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Revision int64 `json:"revision"`

	// sidecars that the policy concerns.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Sidecars int32 `json:"sidecars"`

	// enforcing is how many of them acknowledged the revision.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Enforcing int32 `json:"enforcing"`

	// summary is enforcing/sidecars as kubectl get shows it, such as "5/5".
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Summary string `json:"summary,omitempty"`
}

// AccessPolicy says which workloads may do what with which DataSources, and what they see of sensitive values. It lives
// in the namespace of its DataSources, so that only the data's owner writes it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,path=accesspolicies,shortName=tap,categories=tidewaiter
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether it is in force."
// +kubebuilder:printcolumn:name="Enforced",type=string,JSONPath=`.status.enforcement.summary`,description="Sidecars that have it, of those concerned."
// +kubebuilder:printcolumn:name="Subjects",type=integer,JSONPath=`.status.subjects`,description="Entries in spec.subjects."
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`,description="Enforce or Observe."
// +kubebuilder:printcolumn:name="Predicates",type=string,priority=1,JSONPath=`.spec.predicates`,description="What comparisons with tagged columns get."
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AccessPolicy struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says who may do what.
	// +required
	Spec AccessPolicySpec `json:"spec"`

	// status is what the operator observed.
	// +optional
	Status AccessPolicyStatus `json:"status,omitzero"`
}

// AccessPolicyList is a list of AccessPolicies.
//
// +kubebuilder:object:root=true
type AccessPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	// Items are the AccessPolicies.
	Items []AccessPolicy `json:"items"`
}
