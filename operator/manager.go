package operator

import (
	"fmt"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/injection"
)

// stopPatience is how long servers may take to end what they are at. The Deployment grants 30 s.
const stopPatience = 20 * time.Second

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return scheme, nil
}

// newManager returns a manager whose cache holds what the operator may see. Secrets are never among it: to cache one, all
// would have to be readable.
func newManager(o *Options, hooks webhook.Server) (manager.Manager, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	several := true // replicas in one process, in tests
	renew, retry, patience := o.LeaseDuration*2/3, o.LeaseDuration*2/15, stopPatience
	mgr, err := manager.New(o.Config, manager.Options{
		Scheme: scheme, Logger: o.Log, WebhookServer: hooks,
		Metrics: server.Options{BindAddress: o.Metrics}, HealthProbeBindAddress: o.Health,
		LeaderElection: !o.OneReplica, LeaderElectionNamespace: o.Namespace, LeaderElectionID: LeaderLease,
		LeaderElectionReleaseOnCancel: true, // the command ends when Run does
		LeaseDuration:                 &o.LeaseDuration, RenewDeadline: &renew, RetryPeriod: &retry,
		GracefulShutdownTimeout: &patience,
		Controller:              config.Controller{SkipNameValidation: &several},
		Client:                  client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Pod{}:       {Transform: strip},
				&corev1.ConfigMap{}: {Field: fields.OneTermEqualSelector("metadata.name", injection.CAConfigMap)},
				&admissionregistrationv1.MutatingWebhookConfiguration{}: {
					Field: fields.OneTermEqualSelector("metadata.name", WebhookConfiguration),
				},
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("the operator's manager: %w", err)
	}
	return mgr, nil
}

// strip leaves of a pod what is asked of it. Pods that are not injected are kept so that their tokens can be refused with
// the reason, and for that their spec is not needed; the pods of a cluster would otherwise be most of the memory.
func strip(in any) (any, error) {
	pod, ok := in.(*corev1.Pod)
	if !ok {
		return in, nil // a tombstone
	}
	pod.ManagedFields = nil
	pod.Status = corev1.PodStatus{Phase: pod.Status.Phase, Conditions: pod.Status.Conditions}
	if pod.Labels[injection.InjectedLabel] == "" && pod.Annotations[injection.StatusAnnotation] == "" {
		pod.Annotations = nil
		pod.Spec = corev1.PodSpec{ServiceAccountName: pod.Spec.ServiceAccountName, NodeName: pod.Spec.NodeName}
	}
	return pod, nil
}
