package audit

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/recording/store"
)

// CheckpointObject is the name of the log's checkpoint in the store.
const CheckpointObject = store.Log + "checkpoint"

// prefetch is how many bundles are read ahead.
const prefetch = 4

// other is a view whose signature is good.
type other struct {
	Checkpoint
	name string
}

// walk goes through the whole log. It returns the checkpoint where nothing was wrong with the log itself.
func (v *verifier) walk(ctx context.Context) ([]byte, error) {
	others, bad := v.views()
	raw, head, forged, err := v.head(ctx, others)
	if errors.Is(err, store.ErrNotFound) {
		v.add(Finding{Code: LogMissing, Object: CheckpointObject, What: "the store has no log: nothing in it is vouched for"})
		v.partial = true
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", CheckpointObject, err)
	}
	if forged != nil {
		v.add(Finding{Code: LogSignature, Object: CheckpointObject, What: fmt.Sprintf("the store's checkpoint: %v", forged)})
		v.partial = true
		return nil, nil
	}
	v.count(func(s *Summary) { s.Origin, s.Leaves, s.Views = head.Origin, head.Size, len(others) })
	v.count(func(s *Summary) { s.Root = base64.StdEncoding.EncodeToString(head.Root[:]) })
	good, err := v.entries(ctx, head, others)
	if err != nil || bad || !good {
		return nil, err
	}
	return raw, nil
}

// head reads the store's checkpoint, again for a while if it is behind another view. Forged says what is wrong with it.
func (v *verifier) head(ctx context.Context, others []other) (raw []byte, head Checkpoint, forged, err error) {
	for until := time.Now().Add(v.Wait); ; {
		raw, err = object(ctx, v.Source, CheckpointObject, MaxCheckpoint)
		behind := errors.Is(err, store.ErrNotFound) // of a cluster that has just begun
		if err != nil && !behind {
			return nil, head, nil, err
		}
		if !behind {
			head, forged = OpenCheckpoint(v.LogKey, raw)
			n := len(others)
			behind = forged == nil && n > 0 && others[n-1].Size > head.Size
		}
		if !behind || !time.Now().Before(until) {
			return raw, head, forged, err
		}
		select {
		case <-ctx.Done():
			return nil, head, nil, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// views opens the other checkpoints, in the order of their sizes.
func (v *verifier) views() (others []other, bad bool) {
	for _, view := range v.Views {
		c, err := OpenCheckpoint(v.LogKey, view.Note)
		if err != nil {
			v.add(Finding{Code: LogSignature, Object: view.Name, What: fmt.Sprintf("the checkpoint of %s: %v", view.Name, err)})
			bad = true
			continue
		}
		others = append(others, other{c, view.Name})
	}
	slices.SortStableFunc(others, func(a, b other) int { return cmp.Compare(a.Size, b.Size) })
	return others, bad
}

// entries reads all entries: it computes the root, compares tiles and views with it, and hands on the leaves.
func (v *verifier) entries(ctx context.Context, head Checkpoint, others []other) (good bool, err error) {
	good = true
	wrong := func(f Finding) { good = false; v.add(f) }
	t := &tree{full: func(level int, n int64, hashes []byte) { v.checkTile(ctx, level, n, slices.Clone(hashes)) }}
	compare := func() {
		for len(others) > 0 && others[0].Size == t.size {
			if o := others[0]; o.Root != t.root() {
				wrong(Finding{Code: LogForked, Object: o.name, What: fmt.Sprintf("the first %d entries in the store have another root than the checkpoint of %s", o.Size, o.name)})
			}
			others = others[1:]
		}
	}
	for _, o := range others {
		if o.Size > head.Size {
			wrong(Finding{Code: LogRolledBack, Object: o.name, What: fmt.Sprintf("the log in the store has %d entries, and the checkpoint of %s says %d", head.Size, o.name, o.Size)})
		}
	}
	compare()
	for b := range v.bundles(ctx, head.Size) {
		if b.err != nil {
			return false, b.err
		}
		if b.what != "" {
			wrong(Finding{Code: LogMissing, Object: b.name, What: b.what})
			v.partial = true
			return false, nil // no root can be had without it
		}
		for _, e := range b.entries {
			v.leaf(ctx, t.size, e)
			t.add(e)
			compare()
		}
		if v.Progress != nil {
			v.count(func(s *Summary) { v.Progress(t.size, head.Size, s.Segments) })
		}
	}
	for level, hashes := range t.tiles {
		if len(hashes) > 0 {
			v.checkTile(ctx, level, t.size>>(8*(level+1)), hashes)
		}
	}
	if t.root() != head.Root {
		wrong(Finding{Code: LogRoot, Object: CheckpointObject, What: fmt.Sprintf("the %d entries in the store do not give the root that the log's key has signed", head.Size)})
	}
	return good, nil
}

// checkTile has a stored tile of hashes compared.
func (v *verifier) checkTile(ctx context.Context, level int, n int64, want []byte) {
	v.jobs <- func() {
		name, what, err := compareTile(ctx, v.Source, level, n, want)
		switch {
		case err != nil:
			v.fail(fmt.Errorf("%s: %w", name, err))
		case what != "":
			v.add(Finding{Code: LogTile, Object: name, What: what})
		}
	}
}

// read is a bundle that was read.
type read struct {
	entries [][]byte
	name    string
	what    string // what is wrong with it
	err     error
}

// bundles reads bundles ahead, and yields them in their order.
func (v *verifier) bundles(ctx context.Context, size int64) func(func(read) bool) {
	return func(yield func(read) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		futures := make(chan chan read, prefetch)
		go func() {
			defer close(futures)
			for n := int64(0); n*tileWidth < size; n++ {
				one := make(chan read, 1)
				select {
				case futures <- one:
				case <-ctx.Done():
					return
				}
				go func() { one <- v.bundle(ctx, n, int(min(size-n*tileWidth, tileWidth))) }()
			}
		}()
		for one := range futures {
			if !yield(<-one) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(read{err: err})
		}
	}
}

func (v *verifier) bundle(ctx context.Context, n int64, width int) read {
	b, name, err := tileObject(ctx, v.Source, "entries", n, width)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return read{name: name, what: "entries of the log are not in the store"}
	case err != nil:
		return read{name: name, err: fmt.Errorf("%s: %w", name, err)}
	}
	entries, err := bundle(b, width, name == tileName("entries", n, width))
	if err != nil {
		return read{name: name, what: err.Error()}
	}
	return read{name: name, entries: entries}
}

// leafTime checks that times do not go back along the log.
func (v *verifier) leafTime(w where) {
	f := Finding{LogIndex: w.index}
	switch {
	case w.at.Before(v.last):
		f.Code, f.What = LogTime, fmt.Sprintf("the leaf is of %s, and one before it of %s", utc(w.at), utc(v.last))
		v.add(f)
	case w.at.After(v.Now.Add(Skew)):
		f.Code, f.What = LogTime, fmt.Sprintf("the leaf is of %s, and it is %s here", utc(w.at), utc(v.Now))
		v.add(f)
	}
	if w.at.After(v.last) && !w.at.After(v.Now.Add(Skew)) {
		v.last = w.at
	}
}
