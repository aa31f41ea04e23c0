package compile

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// Subject is a workload as policies select it.
type Subject struct {
	Namespace       string
	NamespaceLabels map[string]string
	ServiceAccount  string
	PodLabels       map[string]string
}

// Attached reports whether the DataSource lets pods of the subject's namespace
// attach at all (spec.allowedNamespaces). An error means that the field cannot be
// read, and that nobody is attached.
func Attached(ds *v1alpha1.DataSource, s Subject) (bool, error) {
	ok, err := ds.Spec.AllowedNamespaces.Allows(ds.Namespace, s.Namespace, s.NamespaceLabels)
	if err != nil {
		err = fmt.Errorf("datasource %s/%s: %w", ds.Namespace, ds.Name, err)
	}
	return ok, err
}

// Selected returns the policies that speak of the DataSource and select the
// subject, sorted by name. The policies are not copied.
func Selected(ds *v1alpha1.DataSource, policies []v1alpha1.AccessPolicy, s Subject) ([]*v1alpha1.AccessPolicy, error) {
	var selected []*v1alpha1.AccessPolicy
	for i := range policies {
		p := &policies[i]
		if p.Namespace != ds.Namespace || !speaksOf(p, ds.Name) {
			continue
		}
		ok, err := selectedBy(p, s)
		if err != nil {
			return nil, fmt.Errorf("AccessPolicy %s: %w", fullName(p), err)
		}
		if ok {
			selected = append(selected, p)
		}
	}
	slices.SortFunc(selected, func(a, b *v1alpha1.AccessPolicy) int {
		return strings.Compare(a.Name, b.Name)
	})
	return selected, nil
}

func fullName(p *v1alpha1.AccessPolicy) string { return p.Namespace + "/" + p.Name }

func speaksOf(p *v1alpha1.AccessPolicy, dataSource string) bool {
	return slices.ContainsFunc(p.Spec.DataSources, func(r v1alpha1.DataSourceReference) bool {
		return string(r.Name) == dataSource
	})
}

func selectedBy(p *v1alpha1.AccessPolicy, s Subject) (bool, error) {
	for i := range p.Spec.Subjects {
		ok, err := matches(&p.Spec.Subjects[i], p.Namespace, s)
		if err != nil {
			return false, fmt.Errorf("spec.subjects[%d]: %w", i, err)
		}
		if ok {
			return true, nil
		}
	}
	return false, nil
}

// matches reports whether every field of sel that is set matches. An entry that
// sets nothing matches nobody.
func matches(sel *v1alpha1.Subject, policyNamespace string, s Subject) (bool, error) {
	if sel.NamespaceSelector == nil && sel.PodSelector == nil && len(sel.ServiceAccounts) == 0 {
		return false, nil
	}
	if sel.NamespaceSelector == nil {
		if s.Namespace != policyNamespace {
			return false, nil
		}
	} else if ok, err := selects(sel.NamespaceSelector, s.NamespaceLabels); err != nil || !ok {
		return false, wrap("namespaceSelector", err)
	}
	if len(sel.ServiceAccounts) > 0 && !slices.Contains(sel.ServiceAccounts, v1alpha1.ObjectName(s.ServiceAccount)) {
		return false, nil
	}
	if sel.PodSelector != nil {
		ok, err := selects(sel.PodSelector, s.PodLabels)
		return ok, wrap("podSelector", err)
	}
	return true, nil
}

func selects(sel *v1alpha1.LabelSelector, set map[string]string) (bool, error) {
	selector, err := sel.AsSelector()
	if err != nil {
		return false, err
	}
	return selector.Matches(labels.Set(set)), nil
}

func wrap(field string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", field, err)
}
