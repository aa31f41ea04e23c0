package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// ErrRoot is returned where what is stored does not have the hash that a checkpoint says.
var ErrRoot = errors.New("ledger: the log is not what its checkpoint says")

// Edge is the right edge of a tree: what is needed to append to it and to know its root, which is at most 255 hashes for
// each level of tiles. The zero value is the empty tree.
type Edge struct {
	size int64
	// levels holds, for each level of tiles, the hashes of the last tile, as long as it is not whole.
	levels [][]tlog.Hash
}

// Size is the number of leaves.
func (e *Edge) Size() int64 { return e.size }

func (e *Edge) clone() Edge {
	c := Edge{size: e.size, levels: make([][]tlog.Hash, len(e.levels))}
	for i, l := range e.levels {
		c.levels[i] = slices.Clone(l)
	}
	return c
}

// add appends a leaf. What tiles become whole by it are given to full, if that is not nil; it may keep them.
func (e *Edge) add(leaf tlog.Hash, full func(t tlog.Tile, hashes []tlog.Hash)) {
	e.size++
	h := leaf
	for level := 0; ; level++ {
		if level == len(e.levels) {
			e.levels = append(e.levels, make([]tlog.Hash, 0, tileWidth))
		}
		e.levels[level] = append(e.levels[level], h)
		hashes := e.levels[level]
		if len(hashes) < tileWidth {
			return
		}
		if full != nil {
			n := e.size>>(tileHeight*(level+1)) - 1
			full(tlog.Tile{H: tileHeight, L: level, N: n, W: tileWidth}, hashes)
			e.levels[level] = make([]tlog.Hash, 0, tileWidth)
		} else {
			e.levels[level] = hashes[:0]
		}
		h = perfect(hashes)
	}
}

// perfect is the root of a tree whose leaves, of which there are a power of two, have the hashes.
func perfect(hashes []tlog.Hash) tlog.Hash {
	var row [tileWidth]tlog.Hash
	n := copy(row[:], hashes)
	for ; n > 1; n /= 2 {
		for i := range n / 2 {
			row[i] = tlog.NodeHash(row[2*i], row[2*i+1])
		}
	}
	return row[0]
}

// Root is the tree's hash (RFC 6962, section 2.1).
func (e *Edge) Root() tlog.Hash {
	if e.size == 0 {
		h, _ := tlog.TreeHash(0, nil) // it reads nothing
		return h
	}
	var trees []tlog.Hash // whole ones, from left to right
	for level := len(e.levels) - 1; level >= 0; level-- {
		hashes := e.levels[level]
		for width := tileWidth / 2; width > 0; width /= 2 {
			if len(hashes) >= width {
				trees = append(trees, perfect(hashes[:width]))
				hashes = hashes[width:]
			}
		}
	}
	h := trees[len(trees)-1]
	for i := len(trees) - 2; i >= 0; i-- {
		h = tlog.NodeHash(trees[i], h)
	}
	return h
}

// LoadEdge reads the edge of the tree that a checkpoint is of. The error is ErrRoot where what is stored is not that tree.
func LoadEdge(ctx context.Context, from Getter, tree tlog.Tree) (*Edge, error) {
	e := &Edge{size: tree.N}
	for level := 0; tree.N>>(tileHeight*level) > 0; level++ {
		count := tree.N >> (tileHeight * level)
		hashes := make([]tlog.Hash, 0, tileWidth)
		if width := int(count % tileWidth); width > 0 {
			data, err := getTile(ctx, from, tlog.Tile{H: tileHeight, L: level, N: count / tileWidth, W: width})
			if err != nil {
				return nil, err
			}
			if len(data) < width*tlog.HashSize {
				return nil, fmt.Errorf("%w: a tile of level %d is too short", ErrRoot, level)
			}
			for i := range width {
				hashes = append(hashes, tlog.Hash(data[i*tlog.HashSize:(i+1)*tlog.HashSize]))
			}
		}
		e.levels = append(e.levels, hashes)
	}
	if e.Root() != tree.Hash {
		return nil, fmt.Errorf("%w: the tiles at its right edge, at size %d, have another root", ErrRoot, tree.N)
	}
	return e, nil
}
