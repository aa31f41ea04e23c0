// Package admission answers the API server's questions about pods: it brings package inject what it needs from the
// operator's caches, and its answer into the form of an AdmissionReview.
//
// It does no network I/O while it answers, and has no side effects, so that dry runs need no case of their own. It must
// not know reconcilers, the proxy, or what is in a patch.
package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/webhook/inject"
)

// PodPath is where the MutatingWebhookConfiguration sends pods.
const PodPath = "/inject/pods"

// Objects are the operator's view of the cluster. Implementations answer from memory, never from the API server, and may
// be called concurrently.
type Objects interface {
	// Ready says what is missing until everything has been read once.
	Ready() error
	// DataSource returns nil when there is none of that name. The object is the caller's.
	DataSource(ctx context.Context, namespace, name string) (*v1alpha1.DataSource, error)
	// Namespace returns its labels, and whether it is there.
	Namespace(ctx context.Context, name string) (labels map[string]string, found bool, err error)
}

// Pods is the handler of the mutating webhook. It is safe for concurrent use.
type Pods struct {
	objects  Objects
	settings *inject.Settings
	metrics  *Metrics
}

// NewPods returns the handler. Metrics may be nil.
func NewPods(objects Objects, settings inject.Settings, metrics *Metrics) (*Pods, error) {
	if err := settings.Check(); err != nil {
		return nil, err
	}
	return &Pods{objects: objects, settings: &settings, metrics: metrics}, nil
}

// Register serves the handler.
func (p *Pods) Register(server webhook.Server) {
	server.Register(PodPath, &webhook.Admission{Handler: p})
}

// Ready is a check for the operator's /readyz: a replica is asked only when it knows what there is, because it would
// refuse every pod until then.
func (p *Pods) Ready(*http.Request) error { return p.objects.Ready() }

// Handle answers one request. Whatever goes wrong, the pod is not created.
func (p *Pods) Handle(ctx context.Context, request admission.Request) admission.Response {
	begin := time.Now()
	result, err := p.decideWhenKnown(ctx, &request)
	p.metrics.observe(result, err, time.Since(begin))
	if err != nil {
		return refusal(err)
	}
	return answer(result)
}

// How long a pod may wait for what it names, and how often is looked: objects that are applied together with it reach the
// operator's caches some milliseconds after the API server has them.
const (
	lag  = 500 * time.Millisecond
	look = 50 * time.Millisecond
)

// decideWhenKnown decides again while the reason for a refusal may be that the caches are behind.
func (p *Pods) decideWhenKnown(ctx context.Context, request *admission.Request) (*inject.Result, error) {
	deadline := time.Now().Add(lag)
	for {
		result, err := p.decide(ctx, request)
		if !perhapsBehind(err) || time.Now().After(deadline) {
			return result, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(look):
		}
	}
}

func perhapsBehind(err error) bool {
	var denial *inject.Denial
	if errors.As(err, &denial) {
		return denial.Reason == inject.ReasonDataSourceNotFound || denial.Reason == inject.ReasonNamespaceNotEnabled
	}
	return errors.Is(err, errUnknownNamespace)
}

var errUnknownNamespace = errors.New("its namespace is not known yet; try again")

var errUnexpected = errors.New("the MutatingWebhookConfiguration sends what this webhook is not for: it takes the creation of pods")

func (p *Pods) decide(ctx context.Context, request *admission.Request) (*inject.Result, error) {
	if request.Operation != admissionv1.Create || request.SubResource != "" ||
		request.Resource != (metav1.GroupVersionResource{Version: "v1", Resource: "pods"}) {
		return nil, errUnexpected
	}
	if err := p.objects.Ready(); err != nil {
		return nil, &unavailable{err}
	}
	labels, found, err := p.objects.Namespace(ctx, request.Namespace)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, &unavailable{fmt.Errorf("pod of namespace %s: %w", request.Namespace, errUnknownNamespace)}
	}
	// An error is not the same as "there is none": the pod is refused for it, and the message says so.
	var failed error
	sources := func(namespace, name string) (*v1alpha1.DataSource, bool) {
		ds, err := p.objects.DataSource(ctx, namespace, name)
		failed = errors.Join(failed, err)
		return ds, ds != nil && err == nil
	}
	result, err := inject.Pod(request.Object.Raw, inject.Namespace{Name: request.Namespace, Labels: labels}, sources, p.settings)
	if failed != nil {
		return nil, failed
	}
	return result, err
}

// unavailable is a refusal that trying again may cure.
type unavailable struct{ error }

func (u *unavailable) Unwrap() error { return u.error }

func refusal(err error) admission.Response {
	var denial *inject.Denial
	var unfit *misfit
	var later *unavailable
	switch {
	case errors.As(err, &denial):
		return admission.Denied(denial.Error())
	case errors.As(err, &unfit):
		return admission.Denied(unfit.Error())
	case errors.As(err, &later):
		return admission.Errored(http.StatusServiceUnavailable, fmt.Errorf("tidewaiter: %w", err))
	default:
		return admission.Errored(http.StatusInternalServerError, fmt.Errorf("tidewaiter: %w", err))
	}
}

func answer(result *inject.Result) admission.Response {
	response := admission.Allowed("")
	response.Warnings = result.Warnings
	if len(result.Patch) == 0 {
		return response
	}
	patch, err := json.Marshal(result.Patch)
	if err != nil {
		return refusal(fmt.Errorf("writing the patch: %w", err))
	}
	kind := admissionv1.PatchTypeJSONPatch
	response.Patch, response.PatchType = patch, &kind
	return response
}
