package v1alpha1

// Probes bounds distinct probes. A probe is a statement with its constants and parameters that compares, sorts or groups by
// tagged columns and is run; running the same again, or fetching more of its rows, is no new one. A statement that uses
// tagged tables and fails as it runs is a probe too. At least one bound is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.perSession) || has(self.perHour)",message="bounds nothing: set perSession or perHour, or remove probes"
type Probes struct {
	// perSession is the most distinct probes that one connection may make.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	PerSession *int64 `json:"perSession,omitempty"`

	// perHour is the most distinct probes that the workload may make in any hour. What two of its pods ask is two probes.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	PerHour *int64 `json:"perHour,omitempty"`
}
