package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tidewaiter/tidewaiter/recording/ledger"
)

// What a batch has at most.
const (
	maxBatch      = 4096
	maxBatchBytes = 16 << 20
)

// batch is what a checkpoint has more than the one before it.
type batch struct {
	Size    int64     `json:"size"` // of the log before
	Root    tlog.Hash `json:"root"`
	Entries [][]byte  `json:"entries"`
	Pending []string  `json:"pending"` // the objects whose leaves they are
}

// batchName is made of the content: what two leaders make of different leaves has two names.
func batchName(from, to tlog.Tree) string {
	return fmt.Sprintf("%s%020d-%020d-%x", ledger.BatchPrefix, from.N, to.N, to.Hash[:])
}

// batchSize is the size of the log before the batch of a name.
func batchSize(name string) (int64, bool) {
	from, _, ok := strings.Cut(strings.TrimPrefix(name, ledger.BatchPrefix), "-")
	n, err := strconv.ParseInt(from, 10, 64)
	return n, ok && err == nil && strings.HasPrefix(name, ledger.BatchPrefix)
}

// readBatch returns the batch of a name, and the log that it makes with what is before it, which must be tree.
func readBatch(ctx context.Context, from ledger.Getter, name string, tree tlog.Tree) (*batch, *ledger.Tree, []ledger.Object, error) {
	data, err := from.Get(ctx, name)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	var b batch
	if err := json.Unmarshal(data, &b); err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	before, err := ledger.LoadTree(ctx, from, tlog.Tree{N: b.Size, Hash: b.Root})
	if err != nil {
		return nil, nil, nil, fmt.Errorf("what is before %s: %w", name, err)
	}
	next, objects, err := before.Append(b.Entries)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	if next.Head() != tree {
		return nil, nil, nil, fmt.Errorf("%s is not what the checkpoint was made of: %w", name, ledger.ErrRoot)
	}
	return &b, next, objects, nil
}
