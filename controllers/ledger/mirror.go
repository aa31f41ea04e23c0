package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tidewaiter/tidewaiter/recording/ledger"
)

// MirrorPrefix is what the names of a mirror's checkpoints begin with, beside the last one, which is where it is in every log.
// The size follows, in 20 digits.
const MirrorPrefix = ledger.Prefix + "checkpoints/"

// mirrorPause is how long a mirror that fails is left alone.
const mirrorPause = 15 * time.Second

// mirror copies what is published to a second place. The log never waits for it, and it is never made to agree with a log that
// does not continue what it has.
type mirror struct {
	from, to ledger.Objects
	all      bool
	keys     *Keys
	metrics  *metrics
	log      logr.Logger

	latest chan *ledger.Checkpoint // at most one
	has    *ledger.Checkpoint      // what is in the mirror
	known  bool                    // has was read
	copied int                     // tiles, on the way to the size wanted
	wanted int64
}

func newMirror(o *Options, m *metrics) *mirror {
	return &mirror{from: o.Objects, to: o.Mirror, all: o.MirrorAll, keys: o.Keys, metrics: m, log: o.Log, latest: make(chan *ledger.Checkpoint, 1)}
}

// offer gives it a checkpoint, instead of one that it has not begun with.
func (m *mirror) offer(c *ledger.Checkpoint) {
	select {
	case <-m.latest:
	default:
	}
	select {
	case m.latest <- c:
	default: // there is one goroutine that offers
	}
}

func (m *mirror) run(ctx context.Context) {
	told := ""
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-m.latest:
			err := m.sync(ctx, c)
			if err == nil || ctx.Err() != nil {
				told = ""
				continue
			}
			m.metrics.failed(at("mirror", err))
			if told != err.Error() {
				told = err.Error()
				m.log.Error(err, "the log's mirror is behind")
			}
			select {
			case m.latest <- c: // again, unless there is a newer one
			default:
			}
			select {
			case <-ctx.Done():
			case <-time.After(mirrorPause):
			}
		}
	}
}

// sync brings the mirror up to a checkpoint.
func (m *mirror) sync(ctx context.Context, c *ledger.Checkpoint) error {
	if err := m.look(ctx); err != nil {
		return err
	}
	from := int64(0)
	if m.has != nil {
		if err := ledger.NewReader(m.from, c).Continues(ctx, m.has); err != nil {
			return at("fork", fmt.Errorf("mirror and store show two logs: %w", err))
		}
		from = m.has.Tree.N
	}
	if m.all {
		if err := m.copyTiles(ctx, from, c.Tree.N); err != nil {
			return err
		}
	}
	// The one with the size in its name is written first and never again: where the mirror cannot change objects, it shows
	// what was before.
	if m.has == nil || m.has.Tree != c.Tree {
		if err := m.to.Put(ctx, fmt.Sprintf("%s%020d", MirrorPrefix, c.Tree.N), c.Signed); err != nil {
			return err
		}
	}
	if err := m.to.Put(ctx, ledger.CheckpointName, c.Signed); err != nil {
		return err
	}
	m.has, m.copied = c, 0
	return nil
}

// look reads what the mirror has.
func (m *mirror) look(ctx context.Context) error {
	if m.known {
		return nil
	}
	signed, err := m.to.Get(ctx, ledger.CheckpointName)
	if errors.Is(err, fs.ErrNotExist) {
		m.known = true
		return nil
	}
	if err != nil {
		return err
	}
	c, err := ledger.ParseCheckpoint(signed, m.keys.Verifier.Name(), m.keys.Verifier)
	if err != nil {
		return at("fork", fmt.Errorf("the mirror has another log: %w: give this cluster a mirror of its own", err))
	}
	m.has, m.known = &c, true
	return nil
}

// copyTiles copies what a log of one size has more than one of another. After a failure it goes on where it was.
func (m *mirror) copyTiles(ctx context.Context, from, to int64) error {
	if m.wanted != to {
		m.wanted, m.copied = to, 0
	}
	const few = 256
	tiles := withEntries(tlog.NewTiles(8, from, to))
	for m.copied < len(tiles) {
		some := tiles[m.copied:min(len(tiles), m.copied+few)]
		if err := each(ctx, len(some), func(i int) error { return m.copy(ctx, some[i]) }); err != nil {
			return err
		}
		m.copied += len(some)
	}
	return nil
}

// withEntries adds to tiles of hashes the bundles of entries.
func withEntries(tiles []tlog.Tile) []tlog.Tile {
	for _, t := range tiles {
		if t.L == 0 {
			t.L = -1
			tiles = append(tiles, t)
		}
	}
	return tiles
}

// copy copies a tile, or what it has become meanwhile.
func (m *mirror) copy(ctx context.Context, t tlog.Tile) error {
	data, err := m.from.Get(ctx, ledger.Tile(t))
	if errors.Is(err, fs.ErrNotExist) && t.W < 256 {
		t.W = 256
		data, err = m.from.Get(ctx, ledger.Tile(t))
	}
	if err != nil {
		return err
	}
	return m.to.Put(ctx, ledger.Tile(t), data)
}
