package admission

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/approval"
)

// livePatience bounds how long the API server is waited for about what is not in the cache: it waits for the answer of
// this webhook meanwhile, for 5 s.
const livePatience = 2 * time.Second

// Records are the AccessRequests, AccessDecisions and AccessPolicies that there are.
//
// They come from a cache. What is not in it is looked for at the API server itself, once: people who see a request in a watch
// may answer before this replica's cache has it, and an answer that is refused for that is an answer lost. It is the one
// thing that admission asks over the network; it is bounded in time, and whoever names what does not exist pays a read for it.
type Records struct {
	cached, live client.Reader
	informers    []cache.Informer
}

// NewRecords reads from a cache that has the index approval.ByRequest, and what is not in it from live.
func NewRecords(ctx context.Context, from cache.Cache, live client.Reader) (*Records, error) {
	r := &Records{cached: from, live: live}
	for _, kind := range []client.Object{&v1alpha1.AccessRequest{}, &v1alpha1.AccessDecision{}, &v1alpha1.AccessPolicy{}} {
		informer, err := from.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, fmt.Errorf("watching %T: %w", kind, err)
		}
		r.informers = append(r.informers, informer)
	}
	return r, nil
}

var errRecordsNotRead = errors.New("the operator has not read AccessRequests, AccessDecisions and AccessPolicies yet; try again")

// Ready says that something has not been read yet. Before that, reading would wait for the API server.
func (r *Records) Ready() error {
	for _, informer := range r.informers {
		if !informer.HasSynced() || informer.IsStopped() {
			return errRecordsNotRead
		}
	}
	return nil
}

// request returns nil when there is none of that name.
func (r *Records) request(ctx context.Context, namespace, name string) (*v1alpha1.AccessRequest, error) {
	var out v1alpha1.AccessRequest
	found, err := r.find(ctx, "AccessRequest", client.ObjectKey{Namespace: namespace, Name: name}, &out)
	if !found {
		return nil, err
	}
	return &out, nil
}

// policies are those of a request's rules that exist.
func (r *Records) policies(ctx context.Context, namespace string, spec *v1alpha1.AccessRequestSpec) (approval.Policies, error) {
	out := approval.Policies{}
	for _, name := range approval.Names(spec) {
		var policy v1alpha1.AccessPolicy
		found, err := r.find(ctx, "AccessPolicy", client.ObjectKey{Namespace: namespace, Name: string(name)}, &policy)
		if err != nil {
			return nil, err
		}
		if found {
			out[name] = &policy
		}
	}
	return out, nil
}

// requests of a namespace that the cache has: how many, and how many of them ask for access ahead of time.
func (r *Records) requests(ctx context.Context, namespace string) (all, access int, err error) {
	var list v1alpha1.AccessRequestList
	if err := r.cached.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return 0, 0, fmt.Errorf("listing AccessRequests of namespace %s: %w", namespace, err)
	}
	for i := range list.Items {
		if list.Items[i].Spec.Access != nil {
			access++
		}
	}
	return len(list.Items), access, nil
}

// decisions about a request that the cache has, of one kind.
func (r *Records) decisions(ctx context.Context, namespace, request string, kind v1alpha1.DecisionKind) (int, error) {
	var list v1alpha1.AccessDecisionList
	err := r.cached.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{approval.ByRequest: request}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return 0, fmt.Errorf("listing AccessDecisions about AccessRequest %s/%s: %w", namespace, request, err)
	}
	n := 0
	for i := range list.Items {
		if list.Items[i].Spec.Decision == kind {
			n++
		}
	}
	return n, nil
}

func (r *Records) find(ctx context.Context, kind string, key client.ObjectKey, obj client.Object) (bool, error) {
	err := r.cached.Get(ctx, key, obj)
	if apierrors.IsNotFound(err) {
		ctx, cancel := context.WithTimeout(ctx, livePatience)
		defer cancel()
		err = r.live.Get(ctx, key, obj)
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("reading %s %s: %w", kind, key, err)
	}
	return err == nil, nil
}
