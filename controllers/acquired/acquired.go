package acquired

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// FieldOwner owns what this package writes into a DataSource's status.
const FieldOwner = "tidewaiter-acquired"

// Bounds of what is kept, those of the API.
const (
	// Most columns of a DataSource.
	Most    = 1000
	maxTags = 32
	maxName = 63
)

// Errors of Keep beside those of the API server.
var (
	// ErrTooMany means that the DataSource has as many as it may.
	ErrTooMany = fmt.Errorf("the DataSource has %d columns with acquired tags, and may have no more: classify them in its spec, and remove them from its status", Most)
	// ErrInvalid means that the tags are not what a column can have.
	ErrInvalid = errors.New("the tags are not understood")
)

// Keeper writes acquired tags. It is safe for concurrent use, also by several replicas.
type Keeper struct {
	// Reader reads from the API server itself, and Writer writes.
	Reader client.Reader
	Writer client.Client
	Now    func() time.Time
}

// Keep adds tags to a DataSource's status and returns what is kept then. What is kept already is not written again.
func (k *Keeper) Keep(ctx context.Context, name types.NamespacedName, more []v1alpha1.AcquiredTags) (kept []v1alpha1.AcquiredTags, err error) {
	if err := Check(more); err != nil {
		return nil, err
	}
	err = retry.OnError(retry.DefaultBackoff, apierrors.IsConflict, func() error {
		ds := &v1alpha1.DataSource{}
		if err := k.Reader.Get(ctx, name, ds); err != nil {
			return err
		}
		before := ds.DeepCopy()
		var changed bool
		if kept, changed = Merge(ds.Status.Acquired, more, metav1.NewTime(k.Now())); !changed {
			return nil
		}
		if len(kept) > Most {
			return ErrTooMany
		}
		ds.Status.Acquired = kept
		// The resource version is in the patch: two replicas must not overwrite what the other has kept.
		return k.Writer.Status().Patch(ctx, ds, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), client.FieldOwner(FieldOwner))
	})
	return kept, err
}

// Check says whether tags are such as a sidecar may send.
func Check(more []v1alpha1.AcquiredTags) error {
	if len(more) == 0 || len(more) > Most {
		return fmt.Errorf("%w: %d columns", ErrInvalid, len(more))
	}
	for _, q := range more {
		switch {
		case (q.Name != "") == (q.Relation > 0), q.Relation < 0, q.Relation > 1<<32-1, q.Column < 0, q.Column > 1<<15-1:
			return fmt.Errorf("%w: neither a column nor a name", ErrInvalid)
		case len(q.Tags) == 0 || len(q.Tags) > maxTags, len(q.Schema) > maxName, len(q.Name) > maxName:
			return fmt.Errorf("%w: too long or empty", ErrInvalid)
		}
		for _, tag := range q.Tags {
			if tag == "" || len(tag) > maxName {
				return fmt.Errorf("%w: a tag of %d bytes", ErrInvalid, len(tag))
			}
		}
	}
	return nil
}

// Merge adds tags to those that are there, and reports whether that changes anything. Tags are never taken away.
func Merge(have, more []v1alpha1.AcquiredTags, now metav1.Time) (all []v1alpha1.AcquiredTags, changed bool) {
	all = slices.Clone(have)
	for _, q := range more {
		i := slices.IndexFunc(all, func(h v1alpha1.AcquiredTags) bool {
			return h.Relation == q.Relation && h.Column == q.Column && h.Schema == q.Schema && h.Name == q.Name
		})
		if i < 0 {
			q.Since = now
			q.Tags = sorted(q.Tags)
			all, changed = append(all, q), true
			continue
		}
		if tags := sorted(append(slices.Clone(all[i].Tags), q.Tags...)); len(tags) > len(all[i].Tags) {
			all[i].Tags, changed = tags, true
		}
	}
	return all, changed
}

func sorted(tags []string) []string {
	out := slices.Clone(tags)
	slices.Sort(out)
	return slices.Compact(out)
}
