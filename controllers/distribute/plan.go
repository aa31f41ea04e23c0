package distribute

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
	"github.com/tidewaiter/tidewaiter/controllers/credential"
)

// verdict on one data source of a pod.
type verdict int

const (
	// refuse is the zero value: the pod may not use it, and what it has is taken.
	refuse verdict = iota
	// hold means that it cannot be told now what the pod may use: what it has stays,
	// and it is given nothing new.
	hold
	// grant means that the pod may use it.
	grant
)

// claimed is one data source that a pod was injected with, and what the cluster
// says of it.
type claimed struct {
	name    types.NamespacedName
	verdict verdict
	// reason and message say why it is not granted.
	reason, message string

	ds       *v1alpha1.DataSource
	policies []*v1alpha1.AccessPolicy // that select the pod, by name
	material credential.Material
}

// world is what a plan is made from. Objects are not changed.
type world struct {
	dataSource func(types.NamespacedName) (*v1alpha1.DataSource, error) // nil: there is none
	policies   func(namespace string) ([]v1alpha1.AccessPolicy, error)
	secret     credential.Getter
}

// subjectOf is the pod as policies select it.
func subjectOf(id identity) compile.Subject {
	return compile.Subject{
		Namespace: id.pod.Namespace, NamespaceLabels: id.namespace.Labels,
		ServiceAccount: id.pod.Spec.ServiceAccountName, PodLabels: id.pod.Labels,
	}
}

// plan says what the pod may use of what it was injected with.
func plan(id identity, w world) []claimed {
	out := make([]claimed, 0, len(id.injected))
	for _, name := range id.injected {
		c := claim(name, subjectOf(id), w)
		c.name = name
		out = append(out, c)
	}
	return out
}

func claim(name types.NamespacedName, subject compile.Subject, w world) claimed {
	ds, err := w.dataSource(name)
	if err != nil {
		return claimed{verdict: hold, reason: ReasonInternal, message: "the operator cannot read its cache"}
	}
	if ds == nil {
		return claimed{reason: ReasonDataSourceNotFound, message: fmt.Sprintf("DataSource %s does not exist", name)}
	}
	attached, err := compile.Attached(ds, subject)
	if err != nil {
		return claimed{reason: ReasonDataSourceInvalid, message: err.Error()}
	}
	if !attached {
		return claimed{reason: ReasonNamespaceNotAllowed, message: fmt.Sprintf(
			"spec.allowedNamespaces of DataSource %s does not include namespace %s", name, subject.Namespace)}
	}
	return choose(ds, name, subject, w)
}

func choose(ds *v1alpha1.DataSource, name types.NamespacedName, subject compile.Subject, w world) claimed {
	all, err := w.policies(ds.Namespace)
	if err != nil {
		return claimed{verdict: hold, reason: ReasonInternal, message: "the operator cannot read its cache"}
	}
	c := claimed{ds: ds}
	c.policies, err = compile.Selected(ds, all, subject)
	switch {
	case err != nil: // it is not known whether it selects the pod
		c.verdict, c.reason, c.message = hold, ReasonPolicyInvalid, err.Error()
		return c
	case len(c.policies) == 0:
		c.reason, c.message = ReasonNotSelected, fmt.Sprintf(
			"no AccessPolicy of namespace %s selects service account %s/%s for DataSource %s",
			ds.Namespace, subject.Namespace, subject.ServiceAccount, name)
		return c
	}
	c.material, err = credential.Read(ds, w.secret)
	if err != nil {
		// A Secret that is replaced by deleting it first must not cut anybody off.
		c.verdict, c.reason, c.message = hold, credential.Reason(err), fmt.Sprintf("DataSource %s: %v", name, err)
		return c
	}
	c.verdict = grant
	return c
}
