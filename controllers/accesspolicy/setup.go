package accesspolicy

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrlbuilder "sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/controllers/census"
	"github.com/tidewaiter/tidewaiter/controllers/phase"
)

// SetUp runs the reconciler in a manager, on the leader.
func SetUp(mgr manager.Manager, clients phase.Clients) error {
	from := affected{clients.Cached}
	labels := ctrlbuilder.WithPredicates(predicate.LabelChangedPredicate{})
	err := ctrlbuilder.ControllerManagedBy(mgr).Named("accesspolicy").For(&v1alpha1.AccessPolicy{}).
		Watches(&v1alpha1.DataSource{}, handler.EnqueueRequestsFromMapFunc(from.dataSource)).
		Watches(&v1alpha1.Session{}, handler.EnqueueRequestsFromMapFunc(from.session), ctrlbuilder.WithPredicates(census.Changed())).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(from.pod), labels).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(from.namespace), labels).
		WithOptions(phase.Options(4)).Complete(New(clients))
	if err != nil {
		return fmt.Errorf("controller of AccessPolicies: %w", err)
	}
	return nil
}

// affected finds the policies whose status may change with another object.
type affected struct {
	cached client.Reader
}

func (a affected) dataSource(ctx context.Context, obj client.Object) []reconcile.Request {
	return a.speakingOf(ctx, obj.GetNamespace(), obj.GetName())
}

func (a affected) session(ctx context.Context, obj client.Object) []reconcile.Request {
	session, ok := obj.(*v1alpha1.Session)
	if !ok {
		return nil
	}
	return a.speakingOf(ctx, session.Spec.DataSource.Namespace, string(session.Spec.DataSource.Name))
}

// pod finds the policies of the DataSources that the pod has Sessions with.
func (a affected) pod(ctx context.Context, obj client.Object) []reconcile.Request {
	return a.sessions(ctx, obj.GetNamespace(), obj.GetName())
}

func (a affected) namespace(ctx context.Context, obj client.Object) []reconcile.Request {
	return a.sessions(ctx, obj.GetName(), "")
}

// sessions finds the policies of a namespace's Sessions, of one pod or of all.
func (a affected) sessions(ctx context.Context, namespace, pod string) []reconcile.Request {
	var list v1alpha1.SessionList
	if err := a.cached.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		log.FromContext(ctx).Error(err, "list Sessions", "namespace", namespace)
		return nil
	}
	seen := map[v1alpha1.NamespacedReference]bool{}
	var requests []reconcile.Request
	for i := range list.Items {
		spec := &list.Items[i].Spec
		if (pod == "" || string(spec.Pod.Name) == pod) && !seen[spec.DataSource] {
			seen[spec.DataSource] = true
			requests = append(requests, a.speakingOf(ctx, spec.DataSource.Namespace, string(spec.DataSource.Name))...)
		}
	}
	return requests
}

func (a affected) speakingOf(ctx context.Context, namespace, dataSource string) []reconcile.Request {
	var list v1alpha1.AccessPolicyList
	if err := a.cached.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		log.FromContext(ctx).Error(err, "list AccessPolicies", "namespace", namespace)
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		for _, ref := range list.Items[i].Spec.DataSources {
			if string(ref.Name) == dataSource {
				requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: list.Items[i].Name}})
			}
		}
	}
	return requests
}
