// Package trust keeps what others verify the operator by: the ConfigMap tidewaiter-ca in every namespace that opted in to
// injection, which sidecars mount, and in the operator's own, where auditors find it; and the caBundle of the admission webhook, which the API server dials by.
//
// It is given the authority's certificates and must not know keys. What it wrote stays when a namespace opts out, or when
// Tidewaiter is removed: pods that are there still mount it, and a ConfigMap blocks nobody.
package trust

import (
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	admissionapply "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	coreapply "k8s.io/client-go/applyconfigurations/core/v1"
	ctrlbuilder "sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/tidewaiter/tidewaiter/controllers/phase"
)

// Names that the operator and what it injects agree on.
const (
	// ConfigMapName is the ConfigMap with the authority's certificates, in every namespace that opted in.
	ConfigMapName = "tidewaiter-ca"
	// ConfigMapKey is the ConfigMap's key: PEM certificates, more than one while the authority is rotated.
	ConfigMapKey = "ca.crt"
	// InjectionLabel with InjectionEnabled is how a namespace opts in.
	InjectionLabel = "tidewaiter.dev/injection"
	// InjectionEnabled is InjectionLabel's value.
	InjectionEnabled = "enabled"
	// WebhookName is the MutatingWebhookConfiguration.
	WebhookName = "tidewaiter-injector"
)

// Bundle returns the PEM certificates of every authority that is trusted now, as authority.Keeper's TrustBundle does.
type Bundle func() ([]byte, error)

// Reconciler keeps the copies of the bundle. Namespaces and webhook configurations are reconciled by their names, which
// cannot be mistaken for each other: a request for the webhook has a namespace that no namespace has.
type Reconciler struct {
	cached client.Reader
	writer client.Client
	own    string
	bundle Bundle
}

// New returns the reconciler of an operator in the namespace own. It reads by cached and writes by writer.
func New(cached client.Reader, writer client.Client, own string, bundle Bundle) *Reconciler {
	return &Reconciler{cached: cached, writer: writer, own: own, bundle: bundle}
}

// webhook marks a request for the webhook configuration; "/" is in no namespace's name.
const webhook = "/webhook"

// SetUp runs the reconciler in a manager, on the leader. The namespace own is the operator's. An event in rotated says that the bundle
// has changed.
func SetUp(mgr manager.Manager, own string, bundle Bundle, rotated <-chan event.GenericEvent) error {
	r := New(mgr.GetClient(), mgr.GetClient(), own, bundle)
	err := ctrlbuilder.ControllerManagedBy(mgr).Named("trust").
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.ofNamespace)).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(ofConfigMap)).
		Watches(&admissionregistrationv1.MutatingWebhookConfiguration{}, handler.EnqueueRequestsFromMapFunc(ofWebhook)).
		WatchesRawSource(source.Channel(rotated, handler.EnqueueRequestsFromMapFunc(r.all))).
		WithOptions(phase.Options(4)).Complete(r)
	if err != nil {
		return fmt.Errorf("controller of trust: %w", err)
	}
	return nil
}

// Reconcile writes one copy, if it is not as it should be.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	if request.Namespace == webhook {
		return reconcile.Result{}, r.keepWebhook(ctx, request.Name)
	}
	return reconcile.Result{}, r.keepConfigMap(ctx, request.Name)
}

func (r *Reconciler) keepConfigMap(ctx context.Context, name string) error {
	var namespace corev1.Namespace
	if err := r.cached.Get(ctx, client.ObjectKey{Name: name}, &namespace); err != nil {
		return client.IgnoreNotFound(err)
	}
	if !r.has(&namespace) || !namespace.DeletionTimestamp.IsZero() {
		return nil
	}
	bundle, err := r.bundle()
	if err != nil {
		return err
	}
	want := string(bundle)
	var have corev1.ConfigMap
	err = r.cached.Get(ctx, client.ObjectKey{Namespace: name, Name: ConfigMapName}, &have)
	switch {
	case client.IgnoreNotFound(err) != nil:
		return fmt.Errorf("read ConfigMap %s/%s: %w", name, ConfigMapName, err)
	case err == nil && have.Data[ConfigMapKey] == want:
		return nil
	}
	desired := coreapply.ConfigMap(ConfigMapName, name).
		WithLabels(map[string]string{"app.kubernetes.io/managed-by": "tidewaiter"}).
		WithData(map[string]string{ConfigMapKey: want})
	err = r.writer.Apply(ctx, desired, client.FieldOwner(phase.FieldOwner), client.ForceOwnership)
	if apierrors.IsInvalid(err) && have.UID != "" {
		// Somebody made one that cannot be put right (immutable, or with the key in binaryData). It would have sidecars
		// believe whom that somebody certifies.
		if err := r.writer.Delete(ctx, &have, client.Preconditions{UID: &have.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete ConfigMap %s/%s, which cannot be written: %w", name, ConfigMapName, err)
		}
		err = r.writer.Apply(ctx, desired, client.FieldOwner(phase.FieldOwner), client.ForceOwnership)
	}
	if err != nil {
		return fmt.Errorf("write ConfigMap %s/%s: %w", name, ConfigMapName, err)
	}
	return nil
}

// keepWebhook sets the caBundle of every webhook of the configuration and owns nothing else of it.
func (r *Reconciler) keepWebhook(ctx context.Context, name string) error {
	var have admissionregistrationv1.MutatingWebhookConfiguration
	if err := r.cached.Get(ctx, client.ObjectKey{Name: name}, &have); err != nil {
		return client.IgnoreNotFound(err)
	}
	want, err := r.bundle()
	if err != nil {
		return err
	}
	changed := false
	desired := admissionapply.MutatingWebhookConfiguration(name).WithUID(have.UID) // never makes one that was removed
	for i := range have.Webhooks {
		changed = changed || string(have.Webhooks[i].ClientConfig.CABundle) != string(want)
		desired.WithWebhooks(admissionapply.MutatingWebhook().WithName(have.Webhooks[i].Name).
			WithClientConfig(admissionapply.WebhookClientConfig().WithCABundle(want...)))
	}
	if !changed || !have.DeletionTimestamp.IsZero() {
		return nil
	}
	if err := r.writer.Apply(ctx, desired, client.FieldOwner(phase.FieldOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("write caBundle of MutatingWebhookConfiguration %s: %w", name, err)
	}
	return nil
}

// all asks for everything, since the bundle is another one.
func (r *Reconciler) all(ctx context.Context, _ client.Object) []reconcile.Request {
	requests := []reconcile.Request{request(webhook, WebhookName), request("", r.own)}
	var namespaces corev1.NamespaceList
	if err := r.cached.List(ctx, &namespaces, client.MatchingLabels{InjectionLabel: InjectionEnabled}); err != nil {
		return requests // the cache has stopped, and with it the operator
	}
	for i := range namespaces.Items {
		requests = append(requests, request("", namespaces.Items[i].Name))
	}
	return requests
}

// has reports whether a namespace is one of those that have the ConfigMap.
func (r *Reconciler) has(namespace client.Object) bool {
	return namespace.GetName() == r.own || namespace.GetLabels()[InjectionLabel] == InjectionEnabled
}

func (r *Reconciler) ofNamespace(_ context.Context, obj client.Object) []reconcile.Request {
	if !r.has(obj) {
		return nil
	}
	return []reconcile.Request{request("", obj.GetName())}
}

func ofConfigMap(_ context.Context, obj client.Object) []reconcile.Request {
	if obj.GetName() != ConfigMapName {
		return nil
	}
	return []reconcile.Request{request("", obj.GetNamespace())}
}

func ofWebhook(_ context.Context, obj client.Object) []reconcile.Request {
	if obj.GetName() != WebhookName {
		return nil
	}
	return []reconcile.Request{request(webhook, obj.GetName())}
}

func request(namespace, name string) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Namespace: namespace, Name: name}}
}
