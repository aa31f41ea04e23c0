package accessrequest

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/approval"
)

// again is how often it is looked for the end of a session's pod.
const again = 5 * time.Minute

// tidy removes a request that has been over for long enough, or says when to come back; and where its pod has too many that
// are over, the oldest of them. The garbage collector removes the decisions, which the request owns.
func (r *Reconciler) tidy(ctx context.Context, request *v1alpha1.AccessRequest) (reconcile.Result, error) {
	ended, over, err := r.over(ctx, request)
	switch {
	case err != nil:
		return reconcile.Result{}, err
	case !over:
		return reconcile.Result{RequeueAfter: max(late, min(again, ended.Sub(r.Now())+late))}, nil
	}
	if left := ended.Add(r.kept).Sub(r.Now()); left > 0 {
		return reconcile.Result{RequeueAfter: left + late}, r.crowd(ctx, request)
	}
	return reconcile.Result{}, r.remove(ctx, request)
}

// over says since when nothing follows from a request any more; if it is not over yet, when to look again at the latest. What
// was approved is still good for a statement that comes again until spec.expiresAt, and for a session as long as its pod lives.
func (r *Reconciler) over(ctx context.Context, request *v1alpha1.AccessRequest) (time.Time, bool, error) {
	ended := request.CreationTimestamp.Time
	if request.Status.ClosedAt != nil {
		ended = request.Status.ClosedAt.Time
	}
	now := r.Now()
	switch {
	case approval.Open(request.Status.State):
		return now.Add(again), false, nil
	case request.Status.State != v1alpha1.RequestApproved:
		return ended, true, nil
	case request.Status.GrantedUntil != nil:
		return request.Status.GrantedUntil.Time, false, nil // it becomes Expired first
	case now.Before(request.Spec.ExpiresAt.Time):
		return request.Spec.ExpiresAt.Time, false, nil
	}
	session, err := r.inSession(ctx, request)
	if err != nil || session {
		return now.Add(again), false, err
	}
	return request.Spec.ExpiresAt.Time, true, nil
}

// inSession reports whether a request's approval is for a session that may still go on.
func (r *Reconciler) inSession(ctx context.Context, request *v1alpha1.AccessRequest) (bool, error) {
	ref := request.Spec.Requester.Pod
	if ref == nil {
		return false, nil
	}
	now, err := policies(ctx, r.Cached, request)
	if err != nil {
		return false, err
	}
	// Without its rule, there is nothing that an approval is good for.
	terms, void := approval.TermsOf(&request.Spec, now)
	if session := void == nil && terms.Grant == v1alpha1.GrantSession; !session {
		return false, nil
	}
	return r.alive(ctx, r.Cached, request)
}

// crowd removes the oldest of a pod's requests that are over where there are more than mostOver.
func (r *Reconciler) crowd(ctx context.Context, request *v1alpha1.AccessRequest) error {
	ref := request.Spec.Requester.Pod
	if ref == nil {
		return nil
	}
	var list v1alpha1.AccessRequestList
	if err := r.Cached.List(ctx, &list, client.MatchingFields{byPod: ref.UID}); err != nil {
		return fmt.Errorf("list the AccessRequests of Pod %s/%s: %w", request.Spec.Requester.Namespace, ref.Name, err)
	}
	type end struct {
		request *v1alpha1.AccessRequest
		at      time.Time
	}
	var ends []end
	for i := range list.Items {
		one := &list.Items[i]
		if one.UID == request.UID {
			one = request // the cache may not have seen yet what was just written of it
		}
		at, over, err := r.over(ctx, one)
		if err != nil {
			return err
		}
		if over {
			ends = append(ends, end{one, at})
		}
	}
	slices.SortFunc(ends, func(a, b end) int { return a.at.Compare(b.at) })
	for ; len(ends) > mostOver; ends = ends[1:] {
		if err := r.remove(ctx, ends[0].request); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes the request that was looked at, and no later state of it.
func (r *Reconciler) remove(ctx context.Context, request *v1alpha1.AccessRequest) error {
	uid := request.UID
	err := r.writer.Delete(ctx, request, client.Preconditions{UID: &uid})
	if err := client.IgnoreNotFound(err); err != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("remove AccessRequest %s/%s, which is over: %w", request.Namespace, request.Name, err)
	}
	return nil
}
