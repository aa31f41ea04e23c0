package recordings

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tidewaiter/tidewaiter/recording/ledger"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// Pending is where leaves wait for the log, in the bucket: log/pending/<ID>.json.
const Pending = store.Log + "pending/"

// Inbox is a Log that leaves each leaf as an object below Pending, from where whoever keeps the log takes it.
type Inbox struct{ Bucket *store.Bucket }

// Append writes the leaf. One with its ID that is there already stays: its time is the earlier one.
func (in Inbox) Append(ctx context.Context, leaf *ledger.Leaf) error {
	raw, err := json.Marshal(leaf)
	if err != nil {
		return fmt.Errorf("recordings: %w", err)
	}
	if len(raw) > ledger.MaxLeaf {
		return fmt.Errorf("recordings: a leaf of %d bytes is larger than %d", len(raw), ledger.MaxLeaf)
	}
	err = in.Bucket.Put(ctx, Pending+leaf.ID+".json", raw, store.PutOptions{Once: true})
	if errors.Is(err, store.ErrExists) {
		return nil
	}
	return err
}
