// Package inject decides what becomes of a pod: nothing, the patch that puts a proxy into it, or a denial that names the
// field and the cure. It never skips silently: a pod that asks for injection gets all of it or is refused.
//
// It is a pure function of the pod's bytes, its namespace, the DataSources and the operator's settings. It must not know
// clients, caches, admission requests, the network, files or the clock.
package inject

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	kjson "sigs.k8s.io/json"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/injection"
	"github.com/tidewaiter/tidewaiter/webhook/annotation"
)

// maxPodBytes bounds what is read. API servers take requests of up to 3 MiB.
const maxPodBytes = 4 << 20

// Settings are what the operator is configured with. The zero value injects nothing and refuses every pod that asks.
type Settings struct {
	injection.Settings
	// Resources of the proxy's container unless the pod says otherwise. Left out, injection.DefaultResources.
	Resources *corev1.ResourceRequirements
	// SpoolSize of the volume for recordings unless the pod says otherwise. Left out, 1Gi.
	SpoolSize *resource.Quantity
	// NativeSidecars says that the API server and the nodes serve native sidecars (Kubernetes 1.29 and later). Where they
	// do not, the field that makes one is dropped silently, and the pod would hang forever.
	NativeSidecars bool
	// Strict refuses what is otherwise warned of.
	Strict bool
}

// Namespace is the pod's namespace.
type Namespace struct {
	Name   string
	Labels map[string]string
}

// Sources finds a DataSource. What it returns is not changed.
type Sources func(namespace, name string) (*v1alpha1.DataSource, bool)

// Result is what becomes of a pod that is not denied.
type Result struct {
	// Patch (RFC 6902) of the pod. Empty when there is nothing to do: the pod does not ask, or is injected already.
	Patch []Operation
	// DataSources that the pod is given, as namespace/name; none when it does not ask.
	DataSources []string
	// Warnings for whoever creates the pod. They repeat no value of the pod.
	Warnings []string
}

// Reason names why a pod was denied, for metrics.
type Reason string

// Reasons.
const (
	// ReasonInvalidPod is a pod that cannot be read.
	ReasonInvalidPod Reason = "InvalidPod"
	// ReasonNotConfigured is an operator without the image or the address that proxies need.
	ReasonNotConfigured Reason = "NotConfigured"
	// ReasonInvalidAnnotation is an annotation that is unknown or has a wrong value.
	ReasonInvalidAnnotation Reason = "InvalidAnnotation"
	// ReasonNamespaceNotEnabled is a namespace that is not opted in.
	ReasonNamespaceNotEnabled Reason = "NamespaceNotEnabled"
	// ReasonDataSourceNotFound is a DataSource that is not there.
	ReasonDataSourceNotFound Reason = "DataSourceNotFound"
	// ReasonDataSource is a DataSource that is unusable, or not for this namespace.
	ReasonDataSource Reason = "DataSource"
	// ReasonNoSidecar is a pod in which no kind of sidecar can work.
	ReasonNoSidecar Reason = "NoSidecar"
	// ReasonClash is a name, a port or a variable that two want.
	ReasonClash Reason = "Clash"
	// ReasonReachesProxy is a pod that reaches for the proxy.
	ReasonReachesProxy Reason = "ReachesProxy"
	// ReasonAltered is a pod that brings parts of an injection along which are not as they would be written.
	ReasonAltered Reason = "AlteredInjection"
	// ReasonStrict is, in strict mode, what is otherwise warned of: signs of a credential, or of a way to the proxy.
	ReasonStrict Reason = "Strict"
)

// Denial is why a pod is refused.
type Denial struct {
	// Reason of the first problem.
	Reason Reason
	// Problems, at least one.
	Problems []injection.Problem
	// DataSources that the pod asked for, as far as they could be read.
	DataSources []string
}

// Bounds of what an error says; what is cured first brings the rest to light.
const (
	maxProblems     = 10
	maxProblemBytes = 1000
)

// Error says every problem in a line of its own, and the way out that is left for all of them.
func (d *Denial) Error() string {
	var b strings.Builder
	for i, p := range d.Problems {
		if i == maxProblems {
			fmt.Fprintf(&b, "\nand %d more", len(d.Problems)-i)
			break
		}
		if i > 0 {
			b.WriteString("\n")
		}
		text := p.String()
		if len(text) > maxProblemBytes {
			text = strings.ToValidUTF8(text[:maxProblemBytes], "") + "…"
		}
		b.WriteString(text)
	}
	if len(d.DataSources) > 0 {
		fmt.Fprintf(&b, ", or remove the annotation %s (the pod then has no access to %s)",
			injection.Annotation, strings.Join(d.DataSources, ", "))
	}
	return b.String()
}

// denials collects problems.
type denials struct {
	reason   Reason
	problems []injection.Problem
}

func (d *denials) add(reason Reason, problems ...injection.Problem) {
	if len(problems) > 0 && d.reason == "" {
		d.reason = reason
	}
	d.problems = append(d.problems, problems...)
}

func (d *denials) addf(reason Reason, field, cure, what string, args ...any) {
	d.add(reason, injection.Problem{Field: field, What: fmt.Sprintf(what, args...), Cure: cure})
}

func (d *denials) err(dataSources []string) error {
	if len(d.problems) == 0 {
		return nil
	}
	return &Denial{Reason: d.reason, Problems: d.problems, DataSources: dataSources}
}

// Pod decides on a pod, given as its JSON. The error is a *Denial.
//
// The pod is read into the types that this program knows, and changed only by a patch against the bytes, so that fields
// which are newer than these types come through unharmed.
func Pod(raw []byte, ns Namespace, sources Sources, s *Settings) (*Result, error) {
	var pod corev1.Pod
	var d denials
	if len(raw) > maxPodBytes {
		d.addf(ReasonInvalidPod, "pod", "make it smaller", "is larger than %d bytes", maxPodBytes)
		return nil, d.err(nil)
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, &pod); err != nil {
		d.addf(ReasonInvalidPod, "pod", "correct it", "cannot be read: %v", err)
		return nil, d.err(nil)
	}
	options, problems := annotation.Parse(ns.Name, pod.Annotations)
	d.add(ReasonInvalidAnnotation, problems...)
	if err := d.err(nil); err != nil {
		return nil, err
	}
	if len(options.DataSources) == 0 {
		unclaimed(&d, &pod)
		if err := d.err(nil); err != nil {
			return nil, err
		}
		return &Result{}, nil
	}
	if err := d.nameless(&pod); err != nil {
		return nil, err
	}
	j := &job{pod: &pod, ns: ns, settings: s, options: &options, denials: &d}
	return j.run(sources)
}

// nameless refuses what the API server would refuse later, and what a patch could not be made for.
func (d *denials) nameless(pod *corev1.Pod) error {
	if len(pod.Spec.Containers) == 0 {
		d.addf(ReasonInvalidPod, "spec.containers", "add one", "is empty")
	}
	for _, c := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
		if c.Name == "" {
			d.addf(ReasonInvalidPod, "spec.containers", "name it", "there is a container without a name")
		}
	}
	return d.err(nil)
}

// unclaimed refuses pods that have what only injection writes, without asking for injection.
func unclaimed(d *denials, pod *corev1.Pod) {
	cure := "remove it, or ask for injection with the annotation " + injection.Annotation
	if _, there := pod.Labels[injection.InjectedLabel]; there {
		d.addf(ReasonAltered, "metadata.labels["+injection.InjectedLabel+"]", cure, "says that the pod is injected, and it is not")
	}
	if _, there := pod.Annotations[injection.StatusAnnotation]; there {
		d.addf(ReasonAltered, "metadata.annotations["+injection.StatusAnnotation+"]", cure, "says that the pod is injected, and it is not")
	}
}
