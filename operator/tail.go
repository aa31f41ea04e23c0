package operator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/tidewaiter/tidewaiter/controllers/ledger"
	format "github.com/tidewaiter/tidewaiter/recording/ledger"
)

const (
	// tailEvery is how often the checkpoint is looked at.
	tailEvery = 2 * time.Second
	// tailKept is how many of the latest segments' places are known.
	tailKept = 1 << 14
)

// tail follows the log, so that every replica can say where in it a segment is. It is for people who look at Sessions; nothing
// depends on it.
type tail struct {
	from format.Getter
	keys *ledger.Keys
	log  logr.Logger

	mu     sync.Mutex
	next   int64 // the first leaf that was not seen; -1 before the first look
	places map[string]int64
	order  []string // of places, a ring
	at     int
}

func newTail(from format.Getter, keys *ledger.Keys, log logr.Logger) *tail {
	return &tail{from: from, keys: keys, log: log, next: -1, places: make(map[string]int64), order: make([]string, tailKept)}
}

// NeedLeaderElection is false: sidecars speak to any replica.
func (t *tail) NeedLeaderElection() bool { return false }

// Start follows the log until ctx ends.
func (t *tail) Start(ctx context.Context) error {
	every := time.NewTicker(tailEvery)
	defer every.Stop()
	for {
		if err := t.look(ctx); err != nil && ctx.Err() == nil {
			t.log.V(1).Info("the log cannot be followed", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

// look reads what is new.
func (t *tail) look(ctx context.Context) error {
	signed, err := t.from.Get(ctx, format.CheckpointName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	point, err := format.ParseCheckpoint(signed, t.keys.Verifier.Name(), t.keys.Verifier)
	if err != nil {
		return fmt.Errorf("the checkpoint: %w", err)
	}
	reader := format.NewReader(t.from, &point)
	if t.next < 0 {
		t.next = max(0, reader.Size()-tailKept)
	}
	for entry, err := range reader.Leaves(ctx, t.next, max(t.next, reader.Size())) {
		if err != nil {
			return err
		}
		t.see(&entry)
	}
	return nil
}

func (t *tail) see(e *format.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next = e.Index + 1
	if e.Leaf.Sealed == nil {
		return
	}
	delete(t.places, t.order[t.at])
	t.order[t.at], t.places[e.Leaf.Sealed.Object] = e.Leaf.Sealed.Object, e.Index
	t.at = (t.at + 1) % len(t.order)
}

// Find returns the index of the leaf of a segment, by its object, and whether it is among the latest in the log.
func (t *tail) Find(object string) (index int64, there bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	index, there = t.places[object]
	return index, there
}
