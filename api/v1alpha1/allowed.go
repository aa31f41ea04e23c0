package v1alpha1

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/labels"
)

// Allows reports whether a DataSource of namespace own lets pods of a namespace with these labels attach. Left out, only
// its own namespace may. An error means that the field cannot be read, and that nobody may attach.
func (a AllowedNamespaces) Allows(own, namespace string, namespaceLabels map[string]string) (bool, error) {
	switch {
	case a.Selector != nil && a.From != "":
		return false, errors.New("spec.allowedNamespaces: set exactly one of from and selector")
	case a.Selector != nil:
		selector, err := a.Selector.AsSelector()
		if err != nil {
			return false, fmt.Errorf("spec.allowedNamespaces.selector: %w", err)
		}
		return selector.Matches(labels.Set(namespaceLabels)), nil
	case a.From == "" || a.From == NamespacesSame:
		return namespace != "" && namespace == own, nil
	default:
		return false, fmt.Errorf("spec.allowedNamespaces.from: unknown value %q", a.From)
	}
}
