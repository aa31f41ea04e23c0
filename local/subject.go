package local

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/tidewaiter/tidewaiter/api/manifest"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/compile"
)

// SubjectRequest is what a person says about whose access to try. The zero value says nothing.
type SubjectRequest struct {
	// As is "namespace/serviceaccount"; empty means the one that the manifests leave no choice about.
	As string
	// Labels of the pod. nil means those that the podSelector of a policy asks for, where they leave no choice.
	Labels map[string]string
	// NamespaceLabels are added to those of the Namespace in the manifests.
	NamespaceLabels map[string]string
}

// ErrNoSubject says that the manifests do not tell whose access to try; its text says what to pass.
var ErrNoSubject = errors.New("whose access to try")

// ChooseSubject returns the subject that a person means. Where something is not said, the subjects of the policies are
// asked: an entry that names a service account in a namespace of the manifests is a candidate, and what is missing is
// taken from them if exactly one fits. Being chosen permits nothing; it only says whose policy is tried.
func ChooseSubject(set *manifest.Set, r SubjectRequest) (compile.Subject, error) {
	candidates, err := candidatesIn(set, r.NamespaceLabels)
	if err != nil {
		return compile.Subject{}, err
	}
	if r.As == "" {
		return onlyOne(candidates, r.Labels)
	}
	namespace, account, ok := strings.Cut(r.As, "/")
	if !ok || namespace == "" || account == "" || strings.Contains(account, "/") {
		return compile.Subject{}, fmt.Errorf("--as %q: write it as namespace/serviceaccount, such as shop/report-agent", r.As)
	}
	subject := compile.Subject{
		Namespace: namespace, NamespaceLabels: NamespaceLabels(set, namespace, r.NamespaceLabels),
		ServiceAccount: account, PodLabels: r.Labels,
	}
	if r.Labels == nil {
		subject.PodLabels = labelsFor(set, subject, candidates)
	}
	return subject, nil
}

// labelsFor are the labels that a pod of the subject needs to be selected by a policy: none if one selects it as it is, or
// those that the candidates agree on.
func labelsFor(set *manifest.Set, subject compile.Subject, candidates []compile.Subject) map[string]string {
	if selected(set, subject) {
		return nil
	}
	var found []map[string]string
	for _, c := range candidates {
		subject.PodLabels = c.PodLabels
		if selected(set, subject) && !slices.ContainsFunc(found, func(m map[string]string) bool { return maps.Equal(m, c.PodLabels) }) {
			found = append(found, c.PodLabels)
		}
	}
	if len(found) == 1 {
		return found[0]
	}
	return nil
}

// onlyOne returns the only candidate, with the labels that were given in place of its own.
func onlyOne(candidates []compile.Subject, given map[string]string) (compile.Subject, error) {
	switch len(candidates) {
	case 1:
		if given != nil {
			candidates[0].PodLabels = given
		}
		return candidates[0], nil
	case 0:
		return compile.Subject{}, fmt.Errorf("%w cannot be told from the manifests: no policy's subject names a service account in a namespace "+
			"whose labels are known; pass --as namespace/serviceaccount, and --namespace-labels or the Namespace's manifest", ErrNoSubject)
	}
	const most = 5
	var names []string
	for _, c := range candidates[:min(most, len(candidates))] {
		names = append(names, "--as "+DescribeSubject(c))
	}
	if len(candidates) > most {
		names = append(names, "…")
	}
	return compile.Subject{}, fmt.Errorf("%w: the policies speak of several subjects; pass one of: %s", ErrNoSubject, strings.Join(names, "; "))
}

// DescribeSubject writes a subject as the flags --as and --labels take it.
func DescribeSubject(s compile.Subject) string {
	out := s.Namespace + "/" + s.ServiceAccount
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(s.PodLabels)) {
		pairs = append(pairs, key+"="+s.PodLabels[key])
	}
	if len(pairs) > 0 {
		out += " --labels " + strings.Join(pairs, ",")
	}
	return out
}

// selected reports whether any policy of the set speaks of the subject and a DataSource to which it may attach.
func selected(set *manifest.Set, s compile.Subject) bool {
	for i := range set.DataSources {
		ds := &set.DataSources[i]
		attached, err := compile.Attached(ds, s)
		if err != nil || !attached {
			continue
		}
		if policies, err := compile.Selected(ds, set.Policies, s); err == nil && len(policies) > 0 {
			return true
		}
	}
	return false
}

// NamespaceLabels returns the labels of a namespace: those of its manifest, or else the one that every namespace has,
// with more added.
func NamespaceLabels(set *manifest.Set, namespace string, more map[string]string) map[string]string {
	out := map[string]string{"kubernetes.io/metadata.name": namespace}
	for i := range set.Namespaces {
		if ns := &set.Namespaces[i]; ns.Name == namespace {
			maps.Copy(out, ns.Labels)
		}
	}
	maps.Copy(out, more)
	return out
}

// candidatesIn returns the subjects that the policies' entries name, each once.
func candidatesIn(set *manifest.Set, namespaceLabels map[string]string) ([]compile.Subject, error) {
	var out []compile.Subject
	for i := range set.Policies {
		p := &set.Policies[i]
		for j := range p.Spec.Subjects {
			entry := &p.Spec.Subjects[j]
			namespaces, err := namespacesOf(set, p, entry, namespaceLabels)
			if err != nil {
				return nil, fmt.Errorf("AccessPolicy %s/%s: spec.subjects[%d]: %w", p.Namespace, p.Name, j, err)
			}
			for _, c := range expand(entry, namespaces) {
				c.NamespaceLabels = NamespaceLabels(set, c.Namespace, namespaceLabels)
				same := func(o compile.Subject) bool { return DescribeSubject(o) == DescribeSubject(c) }
				if selected(set, c) && !slices.ContainsFunc(out, same) {
					out = append(out, c)
				}
			}
		}
	}
	return out, nil
}

// namespacesOf returns the namespaces of the manifests that an entry selects.
func namespacesOf(set *manifest.Set, p *v1alpha1.AccessPolicy, entry *v1alpha1.Subject, more map[string]string) ([]string, error) {
	if entry.NamespaceSelector == nil {
		return []string{p.Namespace}, nil
	}
	var out []string
	for i := range set.Namespaces {
		name := set.Namespaces[i].Name
		selector, err := entry.NamespaceSelector.AsSelector()
		if err != nil {
			return nil, err
		}
		if selector.Matches(labels.Set(NamespaceLabels(set, name, more))) {
			out = append(out, name)
		}
	}
	return out, nil
}

// expand returns the subjects that an entry names in namespaces.
func expand(entry *v1alpha1.Subject, namespaces []string) []compile.Subject {
	accounts := []string{"default"} // what a pod runs as that names none
	if len(entry.ServiceAccounts) > 0 {
		accounts = nil
		for _, a := range entry.ServiceAccounts {
			accounts = append(accounts, string(a))
		}
	}
	var out []compile.Subject
	for _, namespace := range namespaces {
		for _, account := range accounts {
			out = append(out, compile.Subject{Namespace: namespace, ServiceAccount: account, PodLabels: example(entry.PodSelector)})
		}
	}
	return out
}

// example returns labels that a selector matches, as far as that can be told; nil where it asks for none.
func example(s *v1alpha1.LabelSelector) map[string]string {
	if s == nil {
		return nil
	}
	var out map[string]string
	put := func(key, value string) {
		if out == nil {
			out = map[string]string{}
		}
		out[key] = value
	}
	for key, value := range s.MatchLabels {
		put(key, string(value))
	}
	for _, e := range s.MatchExpressions {
		switch {
		case e.Operator == metav1.LabelSelectorOpIn && len(e.Values) > 0:
			put(e.Key, string(e.Values[0]))
		case e.Operator == metav1.LabelSelectorOpExists:
			put(e.Key, "")
		}
	}
	return out
}
