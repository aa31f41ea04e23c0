package v1alpha1

// Mask says what becomes of values of tagged columns.
//
// +kubebuilder:validation:XValidation:rule="self.strategy == 'Partial' || !(has(self.keepDomain) || has(self.keepFirst) || has(self.keepLast))",message="keepDomain, keepFirst and keepLast fit only strategy Partial: remove them, or set strategy to Partial"
// +kubebuilder:validation:XValidation:rule="self.strategy != 'Partial' || (has(self.keepDomain) && self.keepDomain) || (has(self.keepFirst) && self.keepFirst > 0) || (has(self.keepLast) && self.keepLast > 0)",message="strategy Partial keeps nothing: set keepDomain: true, keepFirst or keepLast, or use strategy Redact"
// +kubebuilder:validation:XValidation:rule="(self.strategy == 'DateTrunc') == has(self.truncateTo)",message="truncateTo goes with strategy DateTrunc, and DateTrunc needs it: set truncateTo to Year, Month, Day or Hour, or remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.mode) || self.mode != 'Source' || self.strategy != 'Hash'",message="mode Source cannot use strategy Hash, since the database server would need the key: set strategy to Redact, Null or Partial, or mode to Result"
// +kubebuilder:validation:XValidation:rule="!has(self.mode) || self.mode != 'Source' || self.strategy != 'Reveal'",message="mode Source masks nothing with strategy Reveal: remove mode, or set another strategy"
type Mask struct {
	// tags are patterns of tags; `*` stands for any text, slashes included: pii/ssn, pii/*, *.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Tags []TagPattern `json:"tags"`

	// strategy is what is done to the value. NULL stays NULL.
	// +required
	Strategy MaskStrategy `json:"strategy"`

	// mode is where the value is masked: Result masks what the client gets, and lets conditions and expressions use the
	// real value, as predicates says. Source puts the mask into the statement, so that nothing in it ever sees the real
	// value; conditions on masked columns then use no index, and statements that cannot be rewritten exactly are refused.
	// +optional
	// +kubebuilder:default=Result
	Mode MaskMode `json:"mode,omitempty"`

	// keepDomain keeps what follows the last @ where that looks like a domain name: ***@example.org. Strategy Partial
	// only.
	// +optional
	KeepDomain *bool `json:"keepDomain,omitempty"`

	// keepFirst keeps that many characters at the beginning. Together with keepLast never more than half of the value is
	// shown. Strategy Partial only.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=32
	KeepFirst *int32 `json:"keepFirst,omitempty"`

	// keepLast keeps that many characters at the end. Together with keepFirst never more than half of the value is
	// shown. Strategy Partial only.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=32
	KeepLast *int32 `json:"keepLast,omitempty"`

	// truncateTo is the unit that dates and times are truncated to. Strategy DateTrunc only.
	// +optional
	TruncateTo TruncateUnit `json:"truncateTo,omitempty"`
}

// MaskMode is where values are masked. Treat the zero value as Result, and any other value not listed as Source, the
// stricter one.
//
// +kubebuilder:validation:Enum=Result;Source
type MaskMode string

// Mask modes, the strictest last.
const (
	// MaskInResult masks values on their way to the client.
	MaskInResult MaskMode = "Result"
	// MaskAtSource masks values where the statement reads them.
	MaskAtSource MaskMode = "Source"
)

// TagPattern is a tag with * for any text, slashes included.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9*]([-_.a-z0-9*]*[a-z0-9*])?(/[a-z0-9*]([-_.a-z0-9*]*[a-z0-9*])?)*$')",message="must be a tag or a pattern of tags: lower-case words separated by '/', with * for any text, such as pii/ssn, pii/* or *"
type TagPattern string

// MaskStrategy is what is done to a value. Treat the zero value, and any value not listed, as Redact.
//
// +kubebuilder:validation:Enum=Redact;Null;Partial;Hash;DateTrunc;Reveal
type MaskStrategy string

// Mask strategies. From the strictest: Null, Redact, Hash, DateTrunc, Partial, Reveal.
const (
	// MaskRedact replaces the value by a constant of its type.
	MaskRedact MaskStrategy = "Redact"
	// MaskNull replaces the value by NULL.
	MaskNull MaskStrategy = "Null"
	// MaskPartial keeps some characters.
	MaskPartial MaskStrategy = "Partial"
	// MaskHash replaces the value by an HMAC under the DataSource's key, so that equality and joins survive.
	MaskHash MaskStrategy = "Hash"
	// MaskDateTrunc truncates dates and times to a unit.
	MaskDateTrunc MaskStrategy = "DateTrunc"
	// MaskReveal shows the value. Nothing else does: a tagged column that no mask matches is redacted.
	MaskReveal MaskStrategy = "Reveal"
)

// TruncateUnit is a unit of time. There is no zero unit: DateTrunc without one redacts.
//
// +kubebuilder:validation:Enum=Year;Month;Day;Hour
type TruncateUnit string

// Units that dates and times are truncated to.
const (
	// TruncateToYear keeps the year.
	TruncateToYear TruncateUnit = "Year"
	// TruncateToMonth keeps year and month.
	TruncateToMonth TruncateUnit = "Month"
	// TruncateToDay keeps the date.
	TruncateToDay TruncateUnit = "Day"
	// TruncateToHour keeps date and hour.
	TruncateToHour TruncateUnit = "Hour"
)
