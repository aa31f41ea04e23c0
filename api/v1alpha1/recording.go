package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Recording says what is kept of a session.
type Recording struct {
	// rows says whether answers are recorded: None; Digests, a SHA-256 of each batch as the client saw it; or Masked as the
	// client saw them. Unmasked values of tagged columns are never recorded.
	// +optional
	// +kubebuilder:default=Masked
	Rows RecordingRows `json:"rows,omitempty"`

	// durability says what a client's answer waits for: Statement, until the statement's events are on stable storage;
	// Async, only until they are in the recorder's bounded queue.
	// +optional
	// +kubebuilder:default=Statement
	Durability RecordingDurability `json:"durability,omitempty"`

	// onRecorderLoss says what becomes of statements that cannot be recorded, since the disk fails, or the spool is full as
	// the operator cannot be reached: Deny refuses them; Serve runs them unrecorded, which the sidecar's metrics, the
	// Session and the log of recordings say.
	// +optional
	// +kubebuilder:default=Deny
	OnRecorderLoss OnRecorderLoss `json:"onRecorderLoss,omitempty"`

	// retention is how long a session's recording is kept after it has ended, such as 2160h. Where the store can lock
	// objects, nobody can delete it before. Left out, the operator's --recordings-retention holds.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=24
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}(h|m|s|ms)){1,4}$') && duration(self) >= duration('1h') && duration(self) <= duration('876000h')",message="must be from 1h to 876000h (100 years)"
	Retention *metav1.Duration `json:"retention,omitempty"`
}

// OnRecorderLoss says what becomes of statements that cannot be recorded. Treat the zero value as Deny.
//
// +kubebuilder:validation:Enum=Deny;Serve
type OnRecorderLoss string

// What becomes of statements that cannot be recorded.
const (
	// RecorderLossDeny refuses them.
	RecorderLossDeny OnRecorderLoss = "Deny"
	// RecorderLossServe runs them.
	RecorderLossServe OnRecorderLoss = "Serve"
)

// RecordingRows says which rows are recorded. Treat the zero value as Masked.
//
// +kubebuilder:validation:Enum=None;Digests;Masked
type RecordingRows string

// What is recorded of the rows that a client received.
const (
	// RecordRowsNone records counts only.
	RecordRowsNone RecordingRows = "None"
	// RecordRowsDigests records a digest of each batch of rows as the client saw them.
	RecordRowsDigests RecordingRows = "Digests"
	// RecordRowsMasked records rows as the client saw them.
	RecordRowsMasked RecordingRows = "Masked"
)

// RecordingDurability says what an answer waits for. Treat the zero value as Statement.
//
// +kubebuilder:validation:Enum=Async;Statement
type RecordingDurability string

// What a statement's answer waits for.
const (
	// DurabilityAsync waits for the recorder's queue.
	DurabilityAsync RecordingDurability = "Async"
	// DurabilityStatement waits for stable storage, once per statement.
	DurabilityStatement RecordingDurability = "Statement"
)
