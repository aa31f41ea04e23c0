package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AcquiredTags are tags of one column, or of a relation that was not there when values were written to it.
type AcquiredTags struct {
	// relation is the OID of the column's relation; 0: see schema and name.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=4294967295
	Relation int64 `json:"relation,omitempty"`

	// column is the attribute number; 0 is every column.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=32767
	Column int32 `json:"column,omitempty"`

	// schema of a relation that is known by its name; empty is any schema of the owner's.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Schema string `json:"schema,omitempty"`

	// name of a relation that is known by it.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// tags that it carries.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=63
	Tags []string `json:"tags"`

	// since is when the values were about to be written.
	// +optional
	Since metav1.Time `json:"since,omitzero"`
}
