package doctor

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apimachinery/pkg/version"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/config"
	"github.com/tidewaiter/tidewaiter/config/crd"
	"github.com/tidewaiter/tidewaiter/injection"
	"github.com/tidewaiter/tidewaiter/plugin/cluster"
	"github.com/tidewaiter/tidewaiter/plugin/finding"
)

// version judges what the API server can do.
func (s *Section) version(v *version.Info) {
	if injection.ServesNativeSidecars(v.Major, v.Minor) {
		s.ok("Kubernetes "+v.GitVersion, "has native sidecars")
		return
	}
	s.add(finding.Warn, "Kubernetes "+v.GitVersion, "has no native sidecars (before 1.29): init containers do not reach data sources, and applications have to retry their first connection", "upgrade the cluster")
}

// manifest is as much of an object as says what it is.
type manifest struct {
	Kind     string            `json:"kind"`
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		Names struct {
			Plural string `json:"plural"`
		} `json:"names"`
	} `json:"spec"`
	Webhooks []struct {
		Name string `json:"name"`
	} `json:"webhooks"`
}

// manifests takes files apart into objects.
func manifests(files map[string][]byte) ([]manifest, error) {
	var out []manifest
	for name, content := range files {
		for reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content))); ; {
			document, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			var m manifest
			if err := yaml.Unmarshal(document, &m); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if m.Kind != "" {
				out = append(out, m)
			}
		}
	}
	slices.SortFunc(out, func(a, b manifest) int { return strings.Compare(a.Kind+a.Metadata.Name, b.Kind+b.Metadata.Name) })
	return out, nil
}

// definitions asks by discovery, which everybody may, whether the kinds are served in this version.
func (d *Doctor) definitions(_ context.Context, s *Section) {
	files, err := crd.Definitions()
	var wanted []manifest
	if err == nil {
		wanted, err = manifests(files)
	}
	if err != nil {
		s.add(finding.Fail, "this program", err.Error(), "use a release")
		return
	}
	served, err := d.Cluster.Kube.Discovery().ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	if cluster.Unknown(err) {
		s.add(finding.Fail, v1alpha1.GroupVersion.String(), "is not served: Tidewaiter's CustomResourceDefinitions are not installed, or in another version", install)
		return
	}
	if err != nil {
		s.unread(v1alpha1.GroupVersion.String(), err, "get", "/apis")
		return
	}
	var missing []string
	for _, m := range wanted {
		if !slices.ContainsFunc(served.APIResources, func(r metav1.APIResource) bool { return r.Name == m.Spec.Names.Plural }) {
			missing = append(missing, m.Spec.Names.Plural)
		}
	}
	if len(missing) > 0 {
		s.add(finding.Fail, v1alpha1.GroupVersion.String(), "does not serve "+strings.Join(missing, ", "), install)
		return
	}
	s.ok(v1alpha1.GroupVersion.String(), fmt.Sprintf("served, with all %d kinds", len(wanted)))
}

// admission compares what API servers refuse by themselves, and whom they ask, with what this program was built with.
func (d *Doctor) admission(ctx context.Context, s *Section) {
	files, err := config.Admission()
	var wanted []manifest
	if err == nil {
		wanted, err = manifests(files)
	}
	if err != nil {
		s.add(finding.Fail, "this program", err.Error(), "use a release")
		return
	}
	policies := 0
	for _, m := range wanted {
		key := client.ObjectKey{Name: m.Metadata.Name}
		switch m.Kind {
		case "MutatingWebhookConfiguration":
			o := &admissionv1.MutatingWebhookConfiguration{}
			if d.have(ctx, s, key, o, "mutatingwebhookconfigurations") {
				names := []string{}
				for _, w := range o.Webhooks {
					names = append(names, w.Name)
					s.webhook(o.Name, w.Name, w.ClientConfig, w.FailurePolicy)
				}
				s.webhooks(&m, names)
			}
		case "ValidatingWebhookConfiguration":
			o := &admissionv1.ValidatingWebhookConfiguration{}
			if d.have(ctx, s, key, o, "validatingwebhookconfigurations") {
				names := []string{}
				for _, w := range o.Webhooks {
					names = append(names, w.Name)
					s.webhook(o.Name, w.Name, w.ClientConfig, w.FailurePolicy)
				}
				s.webhooks(&m, names)
			}
		case "ValidatingAdmissionPolicy":
			o := &admissionv1.ValidatingAdmissionPolicy{}
			if d.have(ctx, s, key, o, "validatingadmissionpolicies") && s.policy(o) {
				policies++
			}
		case "ValidatingAdmissionPolicyBinding":
			o := &admissionv1.ValidatingAdmissionPolicyBinding{}
			if d.have(ctx, s, key, o, "validatingadmissionpolicybindings") {
				s.binding(o)
			}
		}
	}
	if policies > 0 && !slices.ContainsFunc(s.Findings, func(f finding.Finding) bool { return strings.HasPrefix(f.About, "ValidatingAdmission") }) {
		s.ok("admission policies", fmt.Sprintf("all %d are there, bound, and deny", policies))
	}
}

// have reads an object and notes where it is not there.
func (d *Doctor) have(ctx context.Context, s *Section, key client.ObjectKey, o client.Object, resource string) bool {
	kind := strings.TrimPrefix(fmt.Sprintf("%T", o), "*v1.")
	switch err := d.Cluster.Get(ctx, key, o); {
	case cluster.Gone(err):
		s.add(finding.Fail, kind+" "+key.Name, "is not there", install)
	case err != nil:
		s.unread(kind+" "+key.Name, err, "get", resource+".admissionregistration.k8s.io")
	default:
		return true
	}
	return false
}

// webhooks notes those of a configuration that are not there.
func (s *Section) webhooks(m *manifest, names []string) {
	for _, w := range m.Webhooks {
		if !slices.Contains(names, w.Name) {
			s.add(finding.Fail, "webhook "+w.Name, "is not in "+m.Kind+" "+m.Metadata.Name, install)
		}
	}
}

func (s *Section) webhook(configuration, name string, c admissionv1.WebhookClientConfig, failure *admissionv1.FailurePolicyType) {
	about := "webhook " + name
	cure := "the operator keeps it: kubectl logs -n NAMESPACE deployment/tidewaiter-operator; if it was edited by hand, " + install
	switch {
	case len(c.CABundle) == 0:
		s.add(finding.Fail, about, "has no caBundle: the API server cannot verify the operator, and refuses what it would ask about", cure)
	case failure == nil || *failure != admissionv1.Fail:
		s.add(finding.Fail, about, "has failurePolicy Ignore: what it should look at goes through while the operator does not answer", "kubectl edit mutatingwebhookconfiguration "+configuration+": set failurePolicy: Fail")
	default:
		s.ok(about, "configured, with caBundle and failurePolicy Fail")
	}
}

func (s *Section) policy(o *admissionv1.ValidatingAdmissionPolicy) bool {
	about := "ValidatingAdmissionPolicy " + o.Name
	if f := o.Spec.FailurePolicy; f != nil && *f != admissionv1.Fail {
		s.add(finding.Fail, about, "has failurePolicy Ignore: an expression that fails would let things through", install)
		return false
	}
	if t := o.Status.TypeChecking; t != nil && len(t.ExpressionWarnings) > 0 {
		s.add(finding.Warn, about, t.ExpressionWarnings[0].Warning, install)
	}
	return true
}

func (s *Section) binding(o *admissionv1.ValidatingAdmissionPolicyBinding) {
	if !slices.Contains(o.Spec.ValidationActions, admissionv1.Deny) {
		s.add(finding.Fail, "ValidatingAdmissionPolicyBinding "+o.Name, "does not deny: its validationActions lack Deny", install)
	}
}
