package ledger

import (
	"context"
	"errors"
	"strings"

	"github.com/tidewaiter/tidewaiter/recording/ledger"
)

// sweepEvery is after how many batches those are looked for that leaders have left who lost a race.
const sweepEvery = 256

// clean deletes what a published batch has made needless. What fails is only counted: it is met again, and known.
//
// The batch itself stays until the next one: who comes after may have to finish from it.
func (s *Sequencer) clean(ctx context.Context, b *batch, before string, objects []ledger.Object) {
	err := s.deleteAll(ctx, b.Pending)
	if before != "" {
		err = errors.Join(err, s.o.Objects.Delete(ctx, before))
	}
	if s.commits%sweepEvery == 0 {
		err = errors.Join(err, s.sweepBatches(ctx, b.Size), s.keepPods(ctx))
	}
	s.commits++
	for _, o := range objects {
		if strings.Contains(o.Name, ".p/") {
			continue
		}
		// The parts of a tile that has become whole, as C2SP tlog-tiles allows.
		names, listed := s.list(ctx, o.Name+".p/")
		err = errors.Join(err, listed, s.deleteAll(ctx, names))
	}
	if err != nil {
		s.metrics.failed(at("clean", err))
	}
}

// sweepBatches deletes batches that can never be needed: others that begin where the current one began, or before, cannot become
// the log any more, as their leader's compare-and-swap would be of a state that has passed.
func (s *Sequencer) sweepBatches(ctx context.Context, size int64) error {
	all, err := s.list(ctx, ledger.BatchPrefix)
	var names []string
	for _, name := range all {
		if from, ok := batchSize(name); ok && from <= size && name != s.state.Batch {
			names = append(names, name)
		}
	}
	return errors.Join(err, s.deleteAll(ctx, names))
}

func (s *Sequencer) deleteAll(ctx context.Context, names []string) error {
	return each(ctx, len(names), func(i int) error { return s.o.Objects.Delete(ctx, names[i]) })
}

// list returns names, not more than can be dealt with at once.
func (s *Sequencer) list(ctx context.Context, prefix string) ([]string, error) {
	var names []string
	for name, err := range s.o.Objects.List(ctx, prefix) {
		if err != nil {
			return names, err
		}
		if names = append(names, name); len(names) == maxBatch {
			break
		}
	}
	return names, nil
}
