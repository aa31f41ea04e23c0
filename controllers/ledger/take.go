package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/tidewaiter/tidewaiter/recording/ledger"
)

// atOnce is how many objects are read, written or deleted at the same time.
const atOnce = 16

// each calls f for 0 to n-1, some at a time.
func each(ctx context.Context, n int, f func(i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return f(i) })
	}
	return errors.Join(g.Wait())
}

// taken is what becomes a batch.
type taken struct {
	entries [][]byte
	leaves  []*ledger.Leaf
	names   []string // of all that is done with when the batch is in the log
	more    bool     // is pending
}

// take reads what is pending, the oldest first.
func (s *Sequencer) take(ctx context.Context) (*taken, error) {
	t := &taken{}
	var names []string
	for name, err := range s.o.Objects.List(ctx, ledger.PendingPrefix) {
		if err != nil {
			return nil, at("pending", err)
		}
		if !strings.HasSuffix(name, pendingSuffix) {
			continue // a folder's file that is still being written
		}
		if len(names) == maxBatch {
			t.more = true
			break
		}
		names = append(names, name)
	}
	s.metrics.pending.Set(float64(len(names)))
	size, ids := 0, make(map[string]bool)
	const chunk = 256 // so that no more is read than goes into the batch, or not much
	for len(names) > 0 && size < maxBatchBytes {
		n := min(chunk, len(names))
		data, err := s.read(ctx, names[:n])
		if err != nil {
			return nil, at("pending", err)
		}
		for i, b := range data {
			if err := s.sort(ctx, t, ids, names[i], b); err != nil {
				return nil, err
			}
			size += len(b)
		}
		names = names[n:]
	}
	t.more = t.more || len(names) > 0
	return t, nil
}

// read returns the bytes of objects: nil of one that is gone, as another leader has taken it.
func (s *Sequencer) read(ctx context.Context, names []string) ([][]byte, error) {
	data := make([][]byte, len(names))
	err := each(ctx, len(names), func(i int) error {
		b, err := s.o.Objects.Get(ctx, names[i])
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		data[i] = b
		return err
	})
	return data, err
}

// sort decides what becomes of one pending object.
func (s *Sequencer) sort(ctx context.Context, t *taken, ids map[string]bool, name string, data []byte) error {
	if data == nil {
		return nil
	}
	var l ledger.Leaf
	err := json.Unmarshal(data, &l)
	if err == nil {
		_, err = l.Encode()
	}
	if err != nil {
		return s.reject(ctx, name, data, err)
	}
	if _, known := s.where(l.ID); known {
		s.metrics.dropped.Inc()
		if err := s.o.Objects.Delete(ctx, name); err != nil {
			return at("pending", err)
		}
		return nil
	}
	t.names = append(t.names, name)
	if ids[l.ID] {
		s.metrics.dropped.Inc()
		return nil
	}
	ids[l.ID] = true
	s.setTime(t, &l)
	entry, err := json.Marshal(&l)
	if err != nil {
		return at("pending", err)
	}
	t.entries, t.leaves = append(t.entries, entry), append(t.leaves, &l)
	return nil
}

// setTime keeps times from going back along the log, and a replica whose clock is ahead from moving all that comes after.
func (s *Sequencer) setTime(t *taken, l *ledger.Leaf) {
	last := s.seen.last // only this goroutine writes it
	if n := len(t.leaves); n > 0 {
		last = t.leaves[n-1].Time
	}
	if now := s.o.Now().UTC(); l.Time.After(now) {
		l.Time = now
	}
	if l.Time.Before(last) {
		l.Time = last
	}
}

// reject puts aside what is no leaf: nothing that comes after may wait for it.
func (s *Sequencer) reject(ctx context.Context, name string, data []byte, why error) error {
	s.o.Log.Error(why, "a pending leaf cannot be logged and is put aside", "object", name)
	s.metrics.rejected.Inc()
	if err := s.o.Objects.Put(ctx, ledger.RejectedPrefix+strings.TrimPrefix(name, ledger.PendingPrefix), data); err != nil {
		return at("pending", err)
	}
	if err := s.o.Objects.Delete(ctx, name); err != nil {
		return at("pending", err)
	}
	return nil
}

func putJSON(ctx context.Context, to ledger.Objects, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return to.Put(ctx, name, data)
}
