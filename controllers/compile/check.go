package compile

import (
	"errors"
	"fmt"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// Check says everything that keeps a policy out of bundles, whatever the DataSource and the subject: selectors, rules and
// Rego. Mistakes in Rego are *RegoErrors, with their place; errors name the object and the field.
func Check(p *v1alpha1.AccessPolicy) error {
	anywhere := &v1alpha1.DataSource{}
	anywhere.Namespace = p.Namespace
	_, err := compileDocument(anywhere, []*v1alpha1.AccessPolicy{p})
	errs := []error{checkSubjects(p), err}
	if p.Spec.Rego != "" {
		errs = append(errs, CheckRego(fullName(p), p.Spec.Rego))
	}
	return errors.Join(errs...)
}

// Selects reports whether the policy selects the subject. An error means that it selects nobody.
func Selects(p *v1alpha1.AccessPolicy, s Subject) (bool, error) {
	ok, err := selectedBy(p, s)
	if err != nil {
		return false, fmt.Errorf("AccessPolicy %s: %w", fullName(p), err)
	}
	return ok, nil
}

func checkSubjects(p *v1alpha1.AccessPolicy) error {
	var errs []error
	for i := range p.Spec.Subjects {
		check := func(field string, selector *v1alpha1.LabelSelector) {
			if _, err := selector.AsSelector(); err != nil {
				errs = append(errs, fmt.Errorf("AccessPolicy %s: spec.subjects[%d].%s: %w", fullName(p), i, field, err))
			}
		}
		check("namespaceSelector", p.Spec.Subjects[i].NamespaceSelector)
		check("podSelector", p.Spec.Subjects[i].PodSelector)
	}
	return errors.Join(errs...)
}
