package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Objects is where a log is kept: a bucket. It is safe for concurrent use.
type Objects interface {
	Getter
	// Put writes an object as a whole, or replaces one. When it returns nil the object is durable.
	Put(ctx context.Context, name string, data []byte) error
	// List goes through the names that begin with prefix, in their order.
	List(ctx context.Context, prefix string) iter.Seq2[string, error]
	// Delete removes an object. One that is not there is no error.
	Delete(ctx context.Context, name string) error
}

// Getter is what reading a log needs. It is safe for concurrent use.
type Getter interface {
	// Get returns an object's bytes. The error is fs.ErrNotExist, wrapped or not, where there is none.
	Get(ctx context.Context, name string) ([]byte, error)
}

// The names of a log's objects. What stands below CheckpointName and TilePrefix is as C2SP tlog-tiles has it; the rest is
// the business of whoever writes the log.
const (
	Prefix         = "log/"
	CheckpointName = Prefix + "checkpoint"
	TilePrefix     = Prefix + "tile/"
	PendingPrefix  = Prefix + "pending/"
	BatchPrefix    = Prefix + "batch/"
	RejectedPrefix = Prefix + "rejected/"
)

// tileHeight and tileWidth are those of C2SP tlog-tiles: 256 hashes in a tile.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

// Tile names a tile as C2SP tlog-tiles does: the hashes of a level, or the entries themselves.
func Tile(t tlog.Tile) string {
	path := strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/", t.H))
	if rest, ok := strings.CutPrefix(path, "data/"); ok {
		path = "entries/" + rest
	}
	return TilePrefix + path
}

// entriesTile is the bundle of entries beside tile n of level 0.
func entriesTile(n int64, width int) tlog.Tile {
	return tlog.Tile{H: tileHeight, L: -1, N: n, W: width}
}

// whole is the tile that a partial one has become.
func whole(t tlog.Tile) tlog.Tile {
	t.W = tileWidth
	return t
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// getTile reads a tile, or the beginning of what it has grown to: partial tiles may be removed once the whole one is there.
func getTile(ctx context.Context, from Getter, t tlog.Tile) ([]byte, error) {
	data, err := from.Get(ctx, Tile(t))
	if missing(err) && t.W < tileWidth {
		if data, full := from.Get(ctx, Tile(whole(t))); full == nil {
			return data, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("ledger: %s: %w", Tile(t), err)
	}
	return data, nil
}
