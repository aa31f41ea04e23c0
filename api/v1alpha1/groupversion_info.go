// Package v1alpha1 is the API: owners of data write DataSource, which says what is protected and how it is reached, and
// AccessPolicy, which says who may do what with it; the operator writes Session, one for each injected pod and DataSource;
// AccessRequest and AccessDecision are the questions to people, and their answers.
//
// It holds declarations only: fields, bounds, defaults and the rules by which an API server refuses a wrong object.
// It must not know controllers, sidecars, wire protocols or clients, and must not read files or the network; so
// everybody may import it except the sidecar, which is handed compiled policy instead.
//
// +kubebuilder:object:generate=true
// +groupName=tidewaiter.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of every Tidewaiter kind.
const Group = "tidewaiter.dev"

// Version is the API version that this package declares.
const Version = "v1alpha1"

var (
	// GroupVersion is tidewaiter.dev/v1alpha1.
	GroupVersion = schema.GroupVersion{Group: Group, Version: Version}

	// SchemeBuilder collects the functions that add this version's kinds to a scheme.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme adds the kinds of this version and their lists to a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&DataSource{}, &DataSourceList{},
		&AccessPolicy{}, &AccessPolicyList{},
		&Session{}, &SessionList{},
		&AccessRequest{}, &AccessRequestList{},
		&AccessDecision{}, &AccessDecisionList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
