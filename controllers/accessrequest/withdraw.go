package accessrequest

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/approval"
	"github.com/tidewaiter/tidewaiter/controllers/phase"
)

// behind is how long a cache may lag behind what others have written: 10 tries in about 2 s.
var behind = wait.Backoff{Steps: 10, Duration: 10 * time.Millisecond, Factor: 1.8, Jitter: 0.2, Cap: 500 * time.Millisecond}

// Withdraw ends a request that nobody waits for any longer, with why. Any replica may call it. One that is gone, or over, or
// approved, is left as it is: no error. The reader behind c may be a cache.
func Withdraw(ctx context.Context, c client.Client, key types.NamespacedName, reason string) error {
	err := retry.RetryOnConflict(behind, func() error {
		var request v1alpha1.AccessRequest
		if err := c.Get(ctx, key, &request); err != nil {
			return client.IgnoreNotFound(err)
		}
		after := request.DeepCopy()
		if !approval.Withdraw(&after.Status, v1alpha1.ReasonWithdrawn, reason, time.Now()) {
			return nil
		}
		return put(ctx, c, &request, after)
	})
	if err != nil {
		return fmt.Errorf("withdraw AccessRequest %s: %w", key, err)
	}
	return nil
}

// put writes the status of after, if nobody has written the object since before was read. Several write: the leader what
// people decided, any replica that nobody waits. Neither may undo what the other has just ended.
func put(ctx context.Context, c client.StatusClient, before, after *v1alpha1.AccessRequest) error {
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	err := c.Status().Patch(ctx, after.DeepCopy(), patch, client.FieldOwner(phase.FieldOwner))
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
