package accessrequest

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrlbuilder "sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/approval"
	"github.com/tidewaiter/tidewaiter/controllers/phase"
)

// Indexes of the cache beside approval.ByRequest.
const (
	byPolicy = "policies"
	byPod    = "pod"
)

// Index makes the cache find decisions by their request, and requests by their policies and their pod (its UID). It is called
// once, before the cache is started.
func Index(ctx context.Context, indexer client.FieldIndexer) error {
	err := errors.Join(
		indexer.IndexField(ctx, &v1alpha1.AccessDecision{}, approval.ByRequest, func(obj client.Object) []string {
			return []string{string(obj.(*v1alpha1.AccessDecision).Spec.RequestRef.Name)}
		}),
		indexer.IndexField(ctx, &v1alpha1.AccessRequest{}, byPolicy, func(obj client.Object) []string {
			var names []string
			for _, name := range approval.Names(&obj.(*v1alpha1.AccessRequest).Spec) {
				names = append(names, string(name))
			}
			return names
		}),
		indexer.IndexField(ctx, &v1alpha1.AccessRequest{}, byPod, func(obj client.Object) []string {
			if pod := obj.(*v1alpha1.AccessRequest).Spec.Requester.Pod; pod != nil {
				return []string{pod.UID}
			}
			return nil
		}),
	)
	if err != nil {
		return fmt.Errorf("indexes of AccessRequests and AccessDecisions: %w", err)
	}
	return nil
}

// SetUp runs the reconciler in a manager, on the leader. Requests that are over are kept for a time; 0: DefaultKept.
func SetUp(mgr manager.Manager, clients phase.Clients, kept time.Duration) error {
	r, from := New(clients, mgr.GetClient(), kept), affected{clients.Cached}
	err := ctrlbuilder.ControllerManagedBy(mgr).Named("accessrequest").For(&v1alpha1.AccessRequest{}).
		Watches(&v1alpha1.AccessDecision{}, handler.EnqueueRequestsFromMapFunc(from.decision)).
		Watches(&v1alpha1.AccessPolicy{}, handler.EnqueueRequestsFromMapFunc(from.policy), ctrlbuilder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(from.pod), ctrlbuilder.WithPredicates(ends())).
		Watches(&v1alpha1.AccessRequest{}, r.withdrawn()).
		WithOptions(phase.Options(4)).Complete(r)
	if err != nil {
		return fmt.Errorf("controller of AccessRequests: %w", err)
	}
	return nil
}

// affected finds the requests whose status may change with another object.
type affected struct {
	cached client.Reader
}

func (affected) decision(_ context.Context, obj client.Object) []reconcile.Request {
	decision, ok := obj.(*v1alpha1.AccessDecision)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: decision.Namespace, Name: string(decision.Spec.RequestRef.Name)}}}
}

func (a affected) policy(ctx context.Context, obj client.Object) []reconcile.Request {
	return a.open(ctx, client.InNamespace(obj.GetNamespace()), client.MatchingFields{byPolicy: obj.GetName()})
}

func (a affected) pod(ctx context.Context, obj client.Object) []reconcile.Request {
	return a.open(ctx, client.MatchingFields{byPod: string(obj.GetUID())})
}

// open finds requests that wait for people.
func (a affected) open(ctx context.Context, of ...client.ListOption) []reconcile.Request {
	var list v1alpha1.AccessRequestList
	if err := a.cached.List(ctx, &list, of...); err != nil {
		log.FromContext(ctx).Error(err, "list AccessRequests")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if approval.Open(list.Items[i].Status.State) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return requests
}

// ends lets the ends of pods through: they are removed, or finish.
func ends() predicate.Predicate {
	over := func(obj client.Object) bool {
		pod, ok := obj.(*corev1.Pod)
		return ok && (pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed)
	}
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		DeleteFunc:  func(event.DeleteEvent) bool { return true },
		UpdateFunc:  func(e event.UpdateEvent) bool { return over(e.ObjectNew) && !over(e.ObjectOld) },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}
