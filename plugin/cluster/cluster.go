// Package cluster is the plugin's way to an API server: a client that knows Tidewaiter's kinds, the questions what the caller may do
// and who they are, and errors that name the object and the cure.
//
// It must not know commands, flags or what answers look like.
package cluster

import (
	"fmt"
	"io"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// Scheme knows Kubernetes' kinds and ours.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := clientscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	return scheme, v1alpha1.AddToScheme(scheme)
}

// Cluster is one API server, as one user.
type Cluster struct {
	client.WithWatch
	// Kube is for what the other client has no words for: discovery, reviews.
	Kube kubernetes.Interface
	// Namespace of the caller's context, or that they asked for.
	Namespace string
}

// New connects nowhere yet: the first request does. What the API server warns of is written to warnings, such as that an approval
// will count for nothing.
func New(config *rest.Config, namespace string, warnings io.Writer) (*Cluster, error) {
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.WarningHandler = rest.NewWarningWriter(warnings, rest.WarningWriterOptions{Deduplicate: true})
	if config.QPS == 0 {
		config.QPS, config.Burst = 50, 100 // doctor asks some dozens of things at once
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("no client for %s: %w: check --kubeconfig and --context", config.Host, err)
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("no client for %s: %w: check --kubeconfig and --context", config.Host, err)
	}
	return &Cluster{WithWatch: c, Kube: kube, Namespace: namespace}, nil
}

// Explain says of an error what it was about and what to do. What is an object such as "AccessRequest data/x"; verb and
// resource are as in RBAC, such as "list" and "accessrequests.tidewaiter.dev".
func Explain(err error, what, verb, resource string) error {
	switch {
	case err == nil:
		return nil
	case Gone(err):
		return fmt.Errorf("%s is not there: check its name and -n: %w", what, err)
	case Unknown(err):
		return fmt.Errorf("%s: the cluster does not know %s: Tidewaiter is not installed there, or is older: kubectl tidewaiter doctor", what, resource)
	case apierrors.IsForbidden(err):
		group, name := "", resource
		if before, after, ok := strings.Cut(resource, "."); ok {
			name, group = before, after
		}
		return fmt.Errorf("%s: you may not: %w; ask for the rule %s", what, err, Rule(group, name, "", verb))
	default:
		return fmt.Errorf("%s: %w", what, err)
	}
}

// Gone tells an object that is not there from a kind that the API server does not know.
func Gone(err error) bool {
	return apierrors.IsNotFound(err) && !strings.Contains(err.Error(), "could not find the requested resource")
}

// Unknown says that the API server does not know a group, a version or a kind.
func Unknown(err error) bool {
	return meta.IsNoMatchError(err) || apierrors.IsNotFound(err) && !Gone(err)
}

// Rule writes an RBAC rule on one line, as YAML.
func Rule(group, resource, name, verb string) string {
	if group == "" {
		group = `""`
	}
	if name != "" {
		return fmt.Sprintf("{apiGroups: [%s], resources: [%s], resourceNames: [%s], verbs: [%s]}", group, resource, name, verb)
	}
	return fmt.Sprintf("{apiGroups: [%s], resources: [%s], verbs: [%s]}", group, resource, verb)
}
