package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	// readAhead is how many bundles are fetched at once: a bucket is far away.
	readAhead = 8
	// tilesKept is how many tiles of hashes, of 8 KiB, a Reader keeps.
	tilesKept = 256
)

// Reader reads a log up to a checkpoint. Nothing that it returns is anything but what the checkpoint's root is of: what was
// changed, cut off or taken away is an error. It is safe for concurrent use.
type Reader struct {
	from Getter
	tree tlog.Tree

	mu    sync.Mutex
	tiles map[tlog.Tile][]byte // all verified
}

// Entry is a leaf of the log and its place.
type Entry struct {
	Index int64
	Leaf  Leaf
	Raw   []byte // the entry's very bytes, of which the tree has the hash
}

// NewReader reads the log that a checkpoint is of, as objects have it.
func NewReader(from Getter, c *Checkpoint) *Reader {
	return &Reader{from: from, tree: c.Tree, tiles: make(map[tlog.Tile][]byte)}
}

// Size is the number of leaves.
func (r *Reader) Size() int64 { return r.tree.N }

// Inclusion proves that the leaf at index is in the tree of the first size leaves.
func (r *Reader) Inclusion(ctx context.Context, index, size int64) (tlog.RecordProof, error) {
	if size > r.tree.N || index < 0 || index >= size {
		return nil, fmt.Errorf("ledger: leaf %d of %d: the log has %d", index, size, r.tree.N)
	}
	return tlog.ProveRecord(size, index, r.hashes(ctx))
}

// Consistency proves that the tree of the first older leaves is what that of the first newer began with. It is empty for
// none.
func (r *Reader) Consistency(ctx context.Context, older, newer int64) (tlog.TreeProof, error) {
	if newer > r.tree.N || older < 0 || older > newer {
		return nil, fmt.Errorf("ledger: consistency of %d and %d: the log has %d leaves", older, newer, r.tree.N)
	}
	if older == 0 || older == newer {
		return nil, nil
	}
	return tlog.ProveTree(newer, older, r.hashes(ctx))
}

// Root is the hash of the first size leaves.
func (r *Reader) Root(ctx context.Context, size int64) (tlog.Hash, error) {
	switch {
	case size < 0 || size > r.tree.N:
		return tlog.Hash{}, fmt.Errorf("ledger: the root at %d: the log has %d leaves", size, r.tree.N)
	case size == r.tree.N:
		return r.tree.Hash, nil
	}
	return tlog.TreeHash(size, r.hashes(ctx))
}

// Continues checks that the log began as an older checkpoint of it says. The error is ErrRoot where it shows two faces.
func (r *Reader) Continues(ctx context.Context, older *Checkpoint) error {
	if older.Tree.N > r.tree.N {
		return fmt.Errorf("%w: it had %d leaves once and has %d now", ErrRoot, older.Tree.N, r.tree.N)
	}
	root, err := r.Root(ctx, older.Tree.N)
	if err == nil && root != older.Tree.Hash {
		err = fmt.Errorf("%w: its first %d leaves are others than they were", ErrRoot, older.Tree.N)
	}
	return err
}

// Leaves goes through the leaves from one index up to, and without, another. It needs the memory of some bundles, however
// many there are. It ends with the first error.
func (r *Reader) Leaves(ctx context.Context, from, to int64) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if from < 0 || from > to || to > r.tree.N {
			yield(Entry{}, fmt.Errorf("ledger: leaves %d to %d: the log has %d", from, to, r.tree.N))
			return
		}
		if from == to {
			return
		}
		for b := range r.bundles(ctx, from/tileWidth, (to-1)/tileWidth+1) {
			if b.err == nil {
				b.err = r.check(ctx, &b)
			}
			for i := range b.entries {
				index := b.n*tileWidth + int64(i)
				if b.err != nil || index < from || index >= to {
					continue
				}
				e, err := parseEntry(index, b.entries[i])
				if !yield(e, err) || err != nil {
					return
				}
			}
			if b.err != nil {
				yield(Entry{}, b.err)
				return
			}
		}
	}
}

func parseEntry(index int64, raw []byte) (Entry, error) {
	e := Entry{Index: index, Raw: raw}
	if err := json.Unmarshal(raw, &e.Leaf); err != nil {
		return e, fmt.Errorf("ledger: leaf %d: %w", index, err)
	}
	return e, nil
}

// Verify makes the tree anew of all entries, trusting no tile, and says whether it has the checkpoint's root. Each leaf is
// given to see, if that is not nil, before the root is known: conclude nothing before Verify has returned nil.
func (r *Reader) Verify(ctx context.Context, see func(Entry) error) error {
	var e Edge
	for b := range r.bundles(ctx, 0, (r.tree.N+tileWidth-1)/tileWidth) {
		if b.err != nil {
			return b.err
		}
		for _, raw := range b.entries {
			e.add(tlog.RecordHash(raw), nil)
			if see == nil {
				continue
			}
			entry, err := parseEntry(e.size-1, raw)
			if err == nil {
				err = see(entry)
			}
			if err != nil {
				return err
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.size != r.tree.N || e.Root() != r.tree.Hash {
		return fmt.Errorf("%w: its %d entries have another root", ErrRoot, e.size)
	}
	return nil
}

type bundle struct {
	n       int64
	entries [][]byte
	err     error
}

// bundles fetches those from one number up to, and without, another, in their order and some of them ahead.
func (r *Reader) bundles(ctx context.Context, from, to int64) iter.Seq[bundle] {
	return func(yield func(bundle) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var ahead []chan bundle
		for next := from; len(ahead) > 0 || next < to; {
			for ; next < to && len(ahead) < readAhead; next++ {
				c := make(chan bundle, 1)
				ahead = append(ahead, c)
				go func(n int64) { c <- r.bundle(ctx, n) }(next)
			}
			b := <-ahead[0]
			if ahead = ahead[1:]; !yield(b) {
				return
			}
		}
	}
}

// bundle reads one as it was at the checkpoint.
func (r *Reader) bundle(ctx context.Context, n int64) (b bundle) {
	b.n = n
	width := int(min(tileWidth, r.tree.N-n*tileWidth))
	data, err := getTile(ctx, r.from, entriesTile(n, width))
	if err == nil {
		b.entries, err = parseBundle(data, width)
	}
	b.err = err
	return b
}

// check compares a bundle with the tree: a whole one by one hash of the level above.
func (r *Reader) check(ctx context.Context, b *bundle) error {
	hashes := make([]tlog.Hash, len(b.entries))
	for i, entry := range b.entries {
		hashes[i] = tlog.RecordHash(entry)
	}
	var indexes []int64
	if len(hashes) == tileWidth {
		hashes = []tlog.Hash{perfect(hashes)}
		indexes = []int64{tlog.StoredHashIndex(tileHeight, b.n)}
	} else {
		for i := range hashes {
			indexes = append(indexes, tlog.StoredHashIndex(0, b.n*tileWidth+int64(i)))
		}
	}
	want, err := r.hashes(ctx).ReadHashes(indexes)
	if err != nil {
		return err
	}
	for i := range want {
		if want[i] != hashes[i] {
			return fmt.Errorf("%w: the entries from %d on are others", ErrRoot, b.n*tileWidth)
		}
	}
	return nil
}

// hashes reads those of the tree, each verified against its root (tlog.TileHashReader).
func (r *Reader) hashes(ctx context.Context) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		t := &tiles{r: r, ctx: ctx}
		hashes, err := tlog.TileHashReader(r.tree, t).ReadHashes(indexes)
		switch {
		case err != nil && t.err != nil:
			return nil, t.err
		case err != nil: // tiles were read, and are not those of the tree
			return nil, fmt.Errorf("%w: %w", ErrRoot, err)
		}
		return hashes, nil
	})
}

// tiles is a tlog.TileReader. The interface has no place for a context.
type tiles struct {
	r   *Reader
	ctx context.Context
	err error // of reading
}

func (t *tiles) Height() int { return tileHeight }

func (t *tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(wanted))
	for i, tile := range wanted {
		t.r.mu.Lock()
		out[i] = t.r.tiles[tile]
		t.r.mu.Unlock()
		if out[i] != nil {
			continue
		}
		data, err := getTile(t.ctx, t.r.from, tile)
		if err != nil {
			t.err = err
			return nil, err
		}
		if len(data) < tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%w: %s is too short", ErrRoot, Tile(tile))
		}
		out[i] = data[:tile.W*tlog.HashSize]
	}
	return out, nil
}

func (t *tiles) SaveTiles(verified []tlog.Tile, data [][]byte) {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	for i, tile := range verified {
		if len(t.r.tiles) >= tilesKept {
			clear(t.r.tiles) // what is needed most comes back at once
		}
		t.r.tiles[tile] = data[i]
	}
}
