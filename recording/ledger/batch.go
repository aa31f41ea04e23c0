package ledger

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// Tree is a log as whoever appends to it needs it: its edge, and the entries of its last bundle. The zero value is the
// empty log. It is not safe for concurrent use.
type Tree struct {
	edge    Edge
	entries []byte // the last bundle, as long as it is not whole
}

// Object is one that is to be written.
type Object struct {
	Name string
	Data []byte
}

// LoadTree reads what is needed to append to the log that a checkpoint is of. The error is ErrRoot where what is stored is
// not that log.
func LoadTree(ctx context.Context, from Getter, tree tlog.Tree) (*Tree, error) {
	edge, err := LoadEdge(ctx, from, tree)
	if err != nil {
		return nil, err
	}
	t := &Tree{edge: *edge}
	width := int(tree.N % tileWidth)
	if width == 0 {
		return t, nil
	}
	data, err := getTile(ctx, from, entriesTile(tree.N/tileWidth, width))
	if err != nil {
		return nil, err
	}
	entries, err := parseBundle(data, width)
	if err != nil {
		return nil, err
	}
	for i, entry := range entries {
		if tlog.RecordHash(entry) != edge.levels[0][i] {
			return nil, fmt.Errorf("%w: entry %d has another hash", ErrRoot, tree.N-int64(width)+int64(i))
		}
		if t.entries, err = appendEntry(t.entries, entry); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Size is the number of leaves.
func (t *Tree) Size() int64 { return t.edge.size }

// Head is the size and the root hash.
func (t *Tree) Head() tlog.Tree { return tlog.Tree{N: t.edge.size, Hash: t.edge.Root()} }

// Append returns the log with more entries, and the objects that have to be written before a checkpoint of it is shown:
// whole tiles first. The receiver stays as it is.
func (t *Tree) Append(entries [][]byte) (*Tree, []Object, error) {
	next := &Tree{edge: t.edge.clone(), entries: slices.Clone(t.entries)}
	var objects []Object
	whole := func(tile tlog.Tile, hashes []tlog.Hash) {
		if tile.L == 0 {
			objects = append(objects, Object{Tile(entriesTile(tile.N, tileWidth)), next.entries})
			next.entries = nil
		}
		objects = append(objects, Object{Tile(tile), flat(hashes)})
	}
	for _, entry := range entries {
		var err error
		if next.entries, err = appendEntry(next.entries, entry); err != nil {
			return nil, nil, err
		}
		next.edge.add(tlog.RecordHash(entry), whole)
	}
	// Those at the right edge that have changed.
	for _, tile := range tlog.NewTiles(tileHeight, t.edge.size, next.edge.size) {
		if tile.W == tileWidth {
			continue
		}
		if tile.L == 0 {
			objects = append(objects, Object{Tile(entriesTile(tile.N, tile.W)), next.entries})
		}
		objects = append(objects, Object{Tile(tile), flat(next.edge.levels[tile.L])})
	}
	return next, objects, nil
}

func flat(hashes []tlog.Hash) []byte {
	out := make([]byte, 0, len(hashes)*tlog.HashSize)
	for _, h := range hashes {
		out = append(out, h[:]...)
	}
	return out
}
