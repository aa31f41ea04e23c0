package v1alpha1

// ObjectName is the name of another object in the same namespace.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="must be the name of an object in the same namespace: lower-case letters, digits, '-' and '.', such as orders-db"
type ObjectName string

// SecretReference names a Secret in the namespace of the object that refers to it. There is no namespace field on
// purpose: a reference across namespaces would let one tenant use another's credential.
type SecretReference struct {
	// name of the Secret.
	// +required
	Name ObjectName `json:"name"`
}

// SecretKeyReference names one key of a Secret in the namespace of the object that refers to it.
type SecretKeyReference struct {
	// name of the Secret.
	// +required
	Name ObjectName `json:"name"`

	// key within the Secret's data.
	// +optional
	// +kubebuilder:default="ca.crt"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$')",message="must be a key of the Secret: letters, digits, '-', '_' and '.', such as ca.crt"
	Key string `json:"key,omitempty"`
}

// DataSourceReference names a DataSource in the namespace of the AccessPolicy. Only the owner of the data's namespace
// can therefore write policy for it.
type DataSourceReference struct {
	// name of the DataSource.
	// +required
	Name ObjectName `json:"name"`
}
