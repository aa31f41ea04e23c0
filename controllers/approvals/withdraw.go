package approvals

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// fieldOwner of what is written, the same for all replicas.
const fieldOwner = "tidewaiter-operator"

// withdraw ends a request that nobody waits for any longer. One that is gone, or over, is left as it is. If somebody has
// written it since it was read, it is an error, and tried again: an answer of people must not be overwritten.
func withdraw(ctx context.Context, c client.Client, key types.NamespacedName, reason string, now time.Time) error {
	var before v1alpha1.AccessRequest
	if err := c.Get(ctx, key, &before); err != nil {
		return client.IgnoreNotFound(err)
	}
	if !open(&before) {
		return nil
	}
	after, at := before.DeepCopy(), metav1.NewTime(now.Truncate(time.Second))
	state, condition := v1alpha1.RequestWithdrawn, v1alpha1.ConditionWithdrawn
	if !now.Before(before.Spec.ExpiresAt.Time) { // the sidecar's clock was faster than whoever ends what has expired
		state, condition = v1alpha1.RequestExpired, v1alpha1.ConditionExpired
	}
	after.Status.State, after.Status.ClosedAt, after.Status.Missing = state, &at, ""
	for _, c := range []metav1.Condition{
		{Type: condition, Status: metav1.ConditionTrue},
		{Type: v1alpha1.ConditionApproved, Status: metav1.ConditionFalse},
	} {
		c.Reason, c.Message, c.LastTransitionTime = string(state), reason, at
		meta.SetStatusCondition(&after.Status.Conditions, c)
	}
	patch := client.MergeFromWithOptions(&before, client.MergeFromWithOptimisticLock{})
	if err := c.Status().Patch(ctx, after, patch, client.FieldOwner(fieldOwner)); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("withdraw AccessRequest %s: %w", key, err)
	}
	return nil
}
