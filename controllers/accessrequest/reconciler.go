package accessrequest

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/approval"
	"github.com/tidewaiter/tidewaiter/controllers/phase"
)

// DefaultKept is how long a request that is over is kept.
const DefaultKept = time.Hour

const (
	// mostOver is how many requests of a pod are kept that are over.
	mostOver = 50
	// soon is when what could not be written, as somebody else has just written it, is looked at again.
	soon = 20 * time.Millisecond
	// late is how long after a time its coming is looked for: the clock must not be a moment early.
	late = 10 * time.Millisecond
)

// Reconciler reconciles AccessRequests. It goes by phase's clients and queue, and is no phase.Runner: a request has ends that
// are final and that others write as well, so every write is made only if nobody has written since.
type Reconciler struct {
	phase.Clients
	writer client.Client
	kept   time.Duration
}

// New returns the reconciler. The cache needs the indexes that Index makes; writer deletes requests and asks about rights.
func New(clients phase.Clients, writer client.Client, kept time.Duration) *Reconciler {
	if kept <= 0 {
		kept = DefaultKept
	}
	return &Reconciler{Clients: clients, writer: writer, kept: kept}
}

// Reconcile looks at one request, writes what becomes of it, and removes it when it has been over for long enough.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var before v1alpha1.AccessRequest
	if err := r.Cached.Get(ctx, request.NamespacedName, &before); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !before.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil
	}
	after := before.DeepCopy()
	var err error
	if after.Status, err = r.decide(ctx, &before); err != nil {
		return reconcile.Result{}, err
	}
	if !equality.Semantic.DeepEqual(before.Status, after.Status) {
		switch err := put(ctx, r.Status, &before, after); {
		case apierrors.IsConflict(err):
			return reconcile.Result{RequeueAfter: soon}, nil
		case err != nil:
			return reconcile.Result{}, fmt.Errorf("write the status of AccessRequest %s: %w", request.NamespacedName, err)
		}
		r.tell(ctx, &before, after)
	}
	if next := approval.Next(after); !next.IsZero() {
		return reconcile.Result{RequeueAfter: max(0, next.Sub(r.Now())) + late}, nil
	}
	return r.tidy(ctx, after)
}

// decide weighs a request. A cache may lag behind: what cannot be undone is decided once more by what the API server has.
func (r *Reconciler) decide(ctx context.Context, request *v1alpha1.AccessRequest) (v1alpha1.AccessRequestStatus, error) {
	rights := &rights{ctx: ctx, client: r.writer, namespace: request.Namespace, known: map[string]bool{}}
	status, err := r.weigh(ctx, r.Cached, request, rights)
	if err == nil && !approval.Open(status.State) && status.State != request.Status.State {
		status, err = r.weigh(ctx, r.Live, request, rights)
	}
	if err != nil || !approval.Open(status.State) {
		return status, err
	}
	waits, err := r.waits(ctx, request)
	if err == nil && !waits {
		approval.Withdraw(&status, v1alpha1.ReasonWithdrawn, "the pod that waited is gone", r.Now())
	}
	return status, err
}

// waits reports whether the pod that waits is still there. Usually whoever made the request withdraws it; that is a replica,
// which may have gone with the pod.
func (r *Reconciler) waits(ctx context.Context, request *v1alpha1.AccessRequest) (bool, error) {
	ref := request.Spec.Requester.Pod
	if ref == nil {
		return true, nil
	}
	alive, err := r.alive(ctx, r.Cached, request)
	if err != nil || alive {
		return alive, err
	}
	return r.alive(ctx, r.Live, request)
}

// alive reports whether the requester's pod is there and has not finished.
func (r *Reconciler) alive(ctx context.Context, reader client.Reader, request *v1alpha1.AccessRequest) (bool, error) {
	ref := request.Spec.Requester.Pod
	var pod corev1.Pod
	err := reader.Get(ctx, types.NamespacedName{Namespace: request.Spec.Requester.Namespace, Name: string(ref.Name)}, &pod)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read Pod %s/%s: %w", request.Spec.Requester.Namespace, ref.Name, err)
	}
	return string(pod.UID) == ref.UID && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed, nil
}

func (r *Reconciler) weigh(ctx context.Context, reader client.Reader, request *v1alpha1.AccessRequest, rights *rights) (v1alpha1.AccessRequestStatus, error) {
	state := request.Status.State
	if !approval.Open(state) && state != v1alpha1.RequestApproved {
		return request.Status, nil
	}
	c := approval.Case{Request: request, Allowed: rights.allowed, Now: r.Now()}
	var list v1alpha1.AccessDecisionList
	if err := reader.List(ctx, &list, client.InNamespace(request.Namespace), client.MatchingFields{approval.ByRequest: request.Name}); err != nil {
		return request.Status, fmt.Errorf("list AccessDecisions about AccessRequest %s/%s: %w", request.Namespace, request.Name, err)
	}
	c.Decisions = list.Items
	var err error
	if c.Policies, err = policies(ctx, reader, request); err != nil {
		return request.Status, err
	}
	status := c.Weigh()
	return status, rights.err
}

// policies are those of the request's rules that exist.
func policies(ctx context.Context, reader client.Reader, request *v1alpha1.AccessRequest) (approval.Policies, error) {
	out := approval.Policies{}
	for _, name := range approval.Names(&request.Spec) {
		var policy v1alpha1.AccessPolicy
		switch err := reader.Get(ctx, client.ObjectKey{Namespace: request.Namespace, Name: string(name)}, &policy); {
		case err == nil:
			out[name] = &policy
		case !apierrors.IsNotFound(err):
			return nil, fmt.Errorf("read AccessPolicy %s/%s: %w", request.Namespace, name, err)
		}
	}
	return out, nil
}
