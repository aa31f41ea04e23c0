package local

import (
	"fmt"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/tidewaiter/tidewaiter/api/manifest"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
)

// Replace puts the policies of another set in force, for the sessions that are open as well. A DataSource that is gone,
// or to which the subject may no longer attach, refuses everything from then on, and may come back. After an error the old
// policies are in force.
//
// Of the subject the labels of its Namespace are taken over where the set holds that. Of the DataSources only spec.allowedNamespaces is taken over: a change of anything else is an error, since where they are
// and what their columns' tags are is settled at the start. A DataSource that is new waits for the next start.
func (p *Proxy) Replace(set *manifest.Set) error {
	p.replacing.Lock()
	defer p.replacing.Unlock()
	subject := p.subject
	if hasNamespace(set, subject.Namespace) {
		subject.NamespaceLabels = NamespaceLabels(set, subject.Namespace, nil)
	}
	bundles := make([][]byte, len(p.sources)) // nil: barred
	for i, s := range p.sources {
		ds := find(set, s.Name)
		if ds == nil {
			continue
		}
		if !sameButAllowed(s.spec, ds) {
			return fmt.Errorf("DataSource %s: only spec.allowedNamespaces can change while it is in use: start again", s.Name)
		}
		attached, err := compile.Attached(ds, subject)
		if err != nil {
			return err
		}
		if !attached {
			continue
		}
		if bundles[i], err = p.signer.bundle(set, ds, subject, p.revision+1); err != nil {
			return err
		}
	}
	p.revision++
	return p.enforce(bundles)
}

// enforce puts bundles in force. The bar goes down before and up after the bundle that goes with it, so that no moment
// is more generous than both sets.
func (p *Proxy) enforce(bundles [][]byte) error {
	for i, raw := range bundles {
		g, name := p.sources[i].gate, p.sources[i].Name
		if raw == nil {
			bar(g, name, p.subject)
			continue
		}
		if err := g.Use(raw); err != nil {
			bar(g, name, p.subject) // our own bundle was refused: a defect, and no reason to go on by the old one
			return fmt.Errorf("DataSource %s: %w", name, err)
		}
		g.Lift()
	}
	return nil
}

func hasNamespace(set *manifest.Set, name string) bool {
	return slices.ContainsFunc(set.Namespaces, func(ns corev1.Namespace) bool { return ns.Name == name })
}

func find(set *manifest.Set, name string) *v1alpha1.DataSource {
	for i := range set.DataSources {
		if nameOf(&set.DataSources[i]) == name {
			return &set.DataSources[i]
		}
	}
	return nil
}

// sameButAllowed reports whether two DataSources differ in nothing but who may attach.
func sameButAllowed(a, b *v1alpha1.DataSource) bool {
	left, right := a.Spec.DeepCopy(), b.Spec.DeepCopy()
	left.AllowedNamespaces, right.AllowedNamespaces = v1alpha1.AllowedNamespaces{}, v1alpha1.AllowedNamespaces{}
	return reflect.DeepEqual(left, right)
}
