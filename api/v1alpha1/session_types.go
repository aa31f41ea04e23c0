package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SessionSpec says who uses what.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a Session's spec cannot be changed"
type SessionSpec struct {
	// pod that the sidecar is in, in the Session's own namespace.
	// +required
	Pod PodReference `json:"pod"`

	// serviceAccount that the pod runs as.
	// +required
	ServiceAccount ObjectName `json:"serviceAccount"`

	// dataSource that is used.
	// +required
	DataSource NamespacedReference `json:"dataSource"`
}

// PodReference names one pod, and not a later one of the same name.
type PodReference struct {
	// name of the pod.
	// +required
	Name ObjectName `json:"name"`

	// uid of the pod.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid"`
}

// NamespacedReference names an object in some namespace.
type NamespacedReference struct {
	// namespace of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`

	// name of the object.
	// +required
	Name ObjectName `json:"name"`
}

// SessionState says how a sidecar stands to the operator. Treat a value that is not listed as Lost.
//
// +kubebuilder:validation:Enum=Active;Idle;Revoked;Lost;Ended
type SessionState string

// States of a Session.
const (
	// SessionActive means that connections are open.
	SessionActive SessionState = "Active"
	// SessionIdle means that the sidecar is there and no connection is open.
	SessionIdle SessionState = "Idle"
	// SessionRevoked means that the operator has cut the data source off.
	SessionRevoked SessionState = "Revoked"
	// SessionLost means that the sidecar's stream is gone and the pod is still there.
	SessionLost SessionState = "Lost"
	// SessionEnded means that the pod is gone or has finished.
	SessionEnded SessionState = "Ended"
)

// SessionStatus is what the operator last heard of the sidecar. It is written when the state changes and otherwise at
// most once a minute; what happened in between is in the recordings.
type SessionStatus struct {
	// state of the session.
	// +optional
	State SessionState `json:"state,omitempty"`

	// replica of the operator that holds the sidecar's stream, or held it last.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Replica string `json:"replica,omitempty"`

	// revision of the bundle that the sidecar has acknowledged; 0 while there is none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Revision int64 `json:"revision,omitempty"`

	// policies that select the workload, sorted by name, each with the generation that the sidecar has acknowledged.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Policies []SessionPolicy `json:"policies,omitempty"`

	// rejection says why the sidecar refused the latest revision and goes on by the one before.
	// +optional
	Rejection *SessionRejection `json:"rejection,omitempty"`

	// dataSourceGeneration is the generation of the DataSource that the sidecar has acknowledged; 0 while there is none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	DataSourceGeneration int64 `json:"dataSourceGeneration,omitempty"`

	// connections that are open.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Connections int64 `json:"connections"`

	// statements that were decided, denied ones included.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Statements int64 `json:"statements"`

	// denied statements.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Denied int64 `json:"denied"`

	// masked values.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Masked int64 `json:"masked"`

	// held statements, waiting for approval or approved.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Held int64 `json:"held"`

	// rows that clients received.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Rows int64 `json:"rows"`

	// bytes of results that clients received.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Bytes int64 `json:"bytes"`

	// alarms are results dropped because the database attested a classified column that the statement did not show: the
	// catalog was out of date, or a statement was not understood as it should have been. Each deserves a look.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Alarms int64 `json:"alarms,omitempty"`

	// conditions of the Session: SlowDrip, while the workload reads classified columns near the limit of its hour, and has
	// done so in at least 30 of 60 minutes. Below every limit, it gets all of them in the end.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=4
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// lastActivity is when the latest statement was decided.
	// +optional
	LastActivity *metav1.Time `json:"lastActivity,omitempty"`

	// endedAt is when the pod was gone; the Session is removed some time after.
	// +optional
	EndedAt *metav1.Time `json:"endedAt,omitempty"`

	// recording is where the latest recording that has ended is kept, as the URI of its folder of segments.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Recording string `json:"recording,omitempty"`

	// chainHead is the SHA-256 that the latest complete recording ends with, in hex.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	ChainHead string `json:"chainHead,omitempty"`

	// logIndex is the index, from 0, of the entry in the log over all sessions that has the last segment of that recording;
	// unset until it is in the log.
	// +optional
	LogIndex *int64 `json:"logIndex,omitempty"`

	// message says more about the state, for people.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
}

// SessionPolicy is an AccessPolicy, in the DataSource's namespace, that selects the workload.
type SessionPolicy struct {
	// name of the AccessPolicy.
	// +required
	Name ObjectName `json:"name"`

	// generation of the AccessPolicy that the sidecar has acknowledged; 0 while it has acknowledged none.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Generation int64 `json:"generation"`
}

// Labels of a Session, by which those of a DataSource are listed. A value that is longer than a label may be is cut and
// ends in a digest.
const (
	// LabelDataSourceNamespace is the DataSource's namespace.
	LabelDataSourceNamespace = "tidewaiter.dev/datasource-namespace"
	// LabelDataSourceName is the DataSource's name.
	LabelDataSourceName = "tidewaiter.dev/datasource-name"
)

// SessionRejection is a sidecar's refusal of a revision.
type SessionRejection struct {
	// revision that was refused.
	// +required
	// +kubebuilder:validation:Minimum=0
	Revision int64 `json:"revision"`

	// reason such as BundleExpired.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason"`

	// message of the sidecar.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
}

// Session is one injected pod that may use one DataSource. It is written by the operator only, belongs to the pod, and
// goes with it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=tses,categories=tidewaiter
// +kubebuilder:selectablefield:JSONPath=`.spec.pod.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.serviceAccount`
// +kubebuilder:selectablefield:JSONPath=`.spec.dataSource.name`
// +kubebuilder:selectablefield:JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Pod",type=string,JSONPath=`.spec.pod.name`,description="The workload."
// +kubebuilder:printcolumn:name="DataSource",type=string,JSONPath=`.spec.dataSource.name`,description="What it uses."
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`,description="Active, Idle, Revoked, Lost or Ended."
// +kubebuilder:printcolumn:name="Statements",type=integer,JSONPath=`.status.statements`,description="Statements decided."
// +kubebuilder:printcolumn:name="Denied",type=integer,JSONPath=`.status.denied`,description="Statements denied."
// +kubebuilder:printcolumn:name="Masked",type=integer,JSONPath=`.status.masked`,description="Values masked."
// +kubebuilder:printcolumn:name="Held",type=integer,JSONPath=`.status.held`,description="Statements held for approval."
// +kubebuilder:printcolumn:name="Last",type=date,JSONPath=`.status.lastActivity`,description="Time since the latest statement."
// +kubebuilder:printcolumn:name="Rows",type=integer,priority=1,JSONPath=`.status.rows`,description="Rows that clients received."
// +kubebuilder:printcolumn:name="Revision",type=integer,priority=1,JSONPath=`.status.revision`,description="Policy revision in force."
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.message`,description="More about the state."
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Session struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says who uses what.
	// +required
	Spec SessionSpec `json:"spec"`

	// status is what the operator last heard.
	// +optional
	Status SessionStatus `json:"status,omitzero"`
}

// SessionList is a list of Sessions.
//
// +kubebuilder:object:root=true
type SessionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	// Items are the Sessions.
	Items []Session `json:"items"`
}
