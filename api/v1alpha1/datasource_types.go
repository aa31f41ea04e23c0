package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DataSourceSpec says what is protected, how it is reached, what in it is sensitive, and who may attach to it.
//
// +kubebuilder:validation:XValidation:rule="self.protocol != 'postgres' || has(self.postgres)",message="spec.postgres is required when spec.protocol is postgres: add postgres with host and database"
type DataSourceSpec struct {
	// protocol spoken by clients and by the data source.
	// +required
	Protocol Protocol `json:"protocol"`

	// postgres says how a PostgreSQL server is reached.
	// +optional
	Postgres *PostgresSource `json:"postgres,omitempty"`

	// credentials with which the data source is entered. They never reach the workload.
	// +required
	Credentials Credentials `json:"credentials"`

	// allowedNamespaces says whose pods may attach at all. Left out, only pods in the DataSource's own namespace.
	// +optional
	// +kubebuilder:default={from: Same}
	AllowedNamespaces AllowedNamespaces `json:"allowedNamespaces,omitzero"`

	// listen says where the data source appears to the workload: on 127.0.0.1 and ::1 of its pod.
	// +required
	Listen Listen `json:"listen"`

	// inject says what the application's containers are given, so that unchanged applications use the sidecar.
	// +optional
	Inject Inject `json:"inject,omitzero"`

	// functions says which user-defined functions the owner vouches for.
	// +optional
	Functions Functions `json:"functions,omitzero"`

	// classifications tag columns as sensitive. A column may be tagged by several entries; the tags add up.
	// A tagged column that no mask of a policy matches is redacted.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=128
	Classifications []Classification `json:"classifications,omitempty"`

	// recording says what of a session is kept, and how surely.
	// +optional
	// +kubebuilder:default={rows: Masked, durability: Statement}
	Recording Recording `json:"recording,omitzero"`
}

// Protocol names a wire protocol.
//
// +kubebuilder:validation:Enum=postgres
type Protocol string

// ProtocolPostgres is PostgreSQL's frontend/backend protocol, version 3.
const ProtocolPostgres Protocol = "postgres"

// PostgresSource says how a PostgreSQL server is reached.
type PostgresSource struct {
	// host is a DNS name or an IP address, without scheme or port.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?$') || isIP(self)",message="must be a DNS name or an IP address without scheme, port or brackets, such as orders-db.data.svc; the port goes into postgres.port"
	Host string `json:"host"`

	// port of the server.
	// +optional
	// +kubebuilder:default=5432
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`

	// database is the one database that clients may open; another name is refused with PostgreSQL's own error.
	// At most 63 bytes, as PostgreSQL's NAMEDATALEN allows.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Database string `json:"database"`

	// tls says how the connection to the server is protected. Left out, mode is verify-full.
	// +optional
	// +kubebuilder:default={mode: verify-full}
	TLS PostgresTLS `json:"tls,omitzero"`
}

// PostgresTLS protects the connection between sidecar and server.
//
// +kubebuilder:validation:XValidation:rule="!has(self.caSecretRef) || self.mode in ['verify-ca', 'verify-full']",message="caSecretRef is used only when mode is verify-ca or verify-full: set tls.mode to verify-full, or remove tls.caSecretRef"
// +kubebuilder:validation:XValidation:rule="!has(self.clientCertSecretRef) || self.mode != 'disable'",message="clientCertSecretRef needs TLS: set tls.mode to verify-full, or remove tls.clientCertSecretRef"
type PostgresTLS struct {
	// mode is how far the server is verified, named as libpq's sslmode: disable, require (encrypted, not verified),
	// verify-ca (certificate chain), verify-full (chain and host name). A server that does not offer TLS is refused in
	// every mode but disable; there is no mode that falls back to clear text.
	// +optional
	// +kubebuilder:default=verify-full
	Mode TLSMode `json:"mode,omitempty"`

	// caSecretRef names PEM certificates that the server's certificate must chain to. Left out, the verify modes use
	// the certificate authorities of the system that the sidecar runs on.
	// +optional
	CASecretRef *SecretKeyReference `json:"caSecretRef,omitempty"`

	// clientCertSecretRef names a Secret of type kubernetes.io/tls with the certificate shown to the server.
	// +optional
	ClientCertSecretRef *SecretReference `json:"clientCertSecretRef,omitempty"`
}

// TLSMode is how far the server's identity is verified. The zero value is not a mode: treat it as verify-full.
//
// +kubebuilder:validation:Enum=disable;require;verify-ca;verify-full
type TLSMode string

// TLS modes, named as libpq names them.
const (
	// TLSDisable speaks clear text.
	TLSDisable TLSMode = "disable"
	// TLSRequire encrypts without verifying whom it talks to.
	TLSRequire TLSMode = "require"
	// TLSVerifyCA verifies the certificate's chain but not the host name.
	TLSVerifyCA TLSMode = "verify-ca"
	// TLSVerifyFull verifies chain and host name.
	TLSVerifyFull TLSMode = "verify-full"
)

// Credentials with which the sidecar enters the data source on the workload's behalf.
type Credentials struct {
	// secretRef names a Secret with the keys username and password (type kubernetes.io/basic-auth fits). It is read
	// only by the operator.
	// +required
	SecretRef SecretReference `json:"secretRef"`
}

// Keys of the Secret that Credentials refers to.
const (
	// CredentialUsernameKey holds the user name.
	CredentialUsernameKey = "username"
	// CredentialPasswordKey holds the password.
	CredentialPasswordKey = "password"
)

// AllowedNamespaces says from which namespaces pods may attach. Exactly one of its fields is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.from) != has(self.selector)",message="set exactly one of allowedNamespaces.from and allowedNamespaces.selector: {from: Same} for the DataSource's own namespace, {selector: {matchLabels: …}} for others, {selector: {}} for all"
type AllowedNamespaces struct {
	// from Same means the DataSource's own namespace.
	// +optional
	From NamespaceSource `json:"from,omitempty"`

	// selector picks namespaces by their labels. An empty selector picks all.
	// +optional
	Selector *LabelSelector `json:"selector,omitempty"`
}

// NamespaceSource names a set of namespaces without selecting by label. The zero value is no namespace.
//
// +kubebuilder:validation:Enum=Same
type NamespaceSource string

// NamespacesSame is the DataSource's own namespace.
const NamespacesSame NamespaceSource = "Same"

// Listen says where the sidecar listens inside the pod.
type Listen struct {
	// port on 127.0.0.1 and ::1 of the pod. At least 1024: the sidecar has no capability to open lower ones.
	// +required
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`

	// tlsSecretRef names a Secret of type kubernetes.io/tls. When set, the sidecar offers TLS to its clients, so that
	// applications with sslmode=require run unchanged.
	// +optional
	TLSSecretRef *SecretReference `json:"tlsSecretRef,omitempty"`
}

// Inject says what application containers are given.
type Inject struct {
	// env are environment variables for the application's containers.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Env []EnvVar `json:"env,omitempty"`
}

// EnvVar is an environment variable whose value may hold placeholders.
type EnvVar struct {
	// name of the variable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z_][A-Za-z0-9_]*$')",message="must be an environment variable's name: letters, digits and '_', not starting with a digit, such as DATABASE_URL"
	Name string `json:"name"`

	// value of the variable. $(USER), $(HOST), $(PORT) and $(DATABASE) stand for where the sidecar listens and for the
	// database; there is no placeholder for a password, since the workload has none.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.replace('$(USER)', '').replace('$(HOST)', '').replace('$(PORT)', '').replace('$(DATABASE)', '').contains('$(')",message="has an unknown placeholder: only $(USER), $(HOST), $(PORT) and $(DATABASE) can be used"
	Value string `json:"value,omitempty"`
}

// Functions says which user-defined functions may be called although their bodies cannot be analyzed.
type Functions struct {
	// trusted are signatures, schema.name(argument types), such as app.order_total(integer). The owner vouches that such
	// a function returns no sensitive value that its arguments do not hold.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	Trusted []FunctionSignature `json:"trusted,omitempty"`
}

// FunctionSignature is schema.name(argument types), as PostgreSQL's regprocedure prints it with its schema.
//
// +kubebuilder:validation:MinLength=4
// +kubebuilder:validation:MaxLength=256
// +kubebuilder:validation:XValidation:rule="self.matches('^[^.()*\"\\\\s]+[.][^.()*\"\\\\s]+[(][^()*]*[)]$')",message="must be schema.name(argument types) without wildcards or quotes, such as app.order_total(integer)"
type FunctionSignature string

// Classification tags columns.
type Classification struct {
	// columns are patterns schema.table.column. `*` stands for any text within one part of the name: *.*.email,
	// app_*.customers.ssn. Names are compared as the catalog spells them (Customers, not "Customers").
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Columns []ColumnPattern `json:"columns"`

	// tags are what the columns are, such as pii/ssn. Policies choose masks by tag.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Tags []Tag `json:"tags"`
}

// ColumnPattern is schema.table.column with * for any text within a part. A name that itself holds a dot, a quote or
// white space is matched with * in its place.
//
// +kubebuilder:validation:MinLength=5
// +kubebuilder:validation:MaxLength=191
// +kubebuilder:validation:XValidation:rule="self.matches('^[^.\"\\\\s]+[.][^.\"\\\\s]+[.][^.\"\\\\s]+$')",message="must be schema.table.column without quotes or spaces, with * for any text within a part, such as public.customers.ssn or *.*.email"
type ColumnPattern string

// Tag says what a value is: words separated by slashes, the general one first.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-_.a-z0-9]*[a-z0-9])?(/[a-z0-9]([-_.a-z0-9]*[a-z0-9])?)*$')",message="must be lower-case words separated by '/', such as pii/ssn"
type Tag string

// DataSourceStatus is what the operator observed. Conditions: Accepted, ResolvedRefs, Programmed, Enforced, Reachable,
// Governed, Ready.
type DataSourceStatus struct {
	// observedGeneration is the metadata.generation that this status speaks of.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// classified counts what the classifications match in the data source's catalog.
	// +optional
	Classified *ClassifiedColumns `json:"classified,omitempty"`

	// acquired are tags that columns carry because protected values were written to them, where a rule allows that (feature
	// Laundering). Every sidecar protects them. Classify such columns in the spec; what is here may then be removed.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	Acquired []AcquiredTags `json:"acquired,omitempty"`

	// conditions of the DataSource.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ClassifiedColumns counts tagged columns.
type ClassifiedColumns struct {
	// columns that carry at least one tag.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Columns int32 `json:"columns"`

	// summary is the count as kubectl get shows it, such as "4 columns".
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Summary string `json:"summary,omitempty"`
}

// DataSource is something worth protecting: one database, reached with one credential. It lives with the data's owner,
// not with the workload.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=tds,categories=tidewaiter
// +kubebuilder:printcolumn:name="Protocol",type=string,JSONPath=`.spec.protocol`,description="The wire protocol."
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`,description="Whether workloads can use it."
// +kubebuilder:printcolumn:name="Reachable",type=string,JSONPath=`.status.conditions[?(@.type=="Reachable")].status`,description="Whether it answered."
// +kubebuilder:printcolumn:name="Classified",type=string,JSONPath=`.status.classified.summary`,description="How many columns are tagged."
// +kubebuilder:printcolumn:name="Host",type=string,priority=1,JSONPath=`.spec.postgres.host`,description="Where it is."
// +kubebuilder:printcolumn:name="Database",type=string,priority=1,JSONPath=`.spec.postgres.database`,description="The database."
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type DataSource struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says what is protected and how.
	// +required
	Spec DataSourceSpec `json:"spec"`

	// status is what the operator observed.
	// +optional
	Status DataSourceStatus `json:"status,omitzero"`
}

// DataSourceList is a list of DataSources.
//
// +kubebuilder:object:root=true
type DataSourceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	// Items are the DataSources.
	Items []DataSource `json:"items"`
}
