package audit

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tidewaiter/tidewaiter/recording/store"
)

// tileWidth is how many hashes a tile has, and entries a bundle (C2SP tlog-tiles).
const tileWidth = 256

// maxBundle is the largest bundle of entries, in bytes.
const maxBundle = tileWidth * (2 + 1<<16)

// tree computes roots from entries as they come, and the tiles that should be stored. It keeps one hash for each complete subtree and
// one unfinished tile for each level.
type tree struct {
	size  int64
	peaks []tlog.Hash // of the complete subtrees, largest first
	tiles [][]byte    // by level: the hashes of the unfinished tile
	full  func(level int, n int64, hashes []byte)
}

// add takes the next entry.
func (t *tree) add(entry []byte) {
	h := tlog.RecordHash(entry)
	t.tile(0, t.size, h)
	t.peaks = append(t.peaks, h)
	t.size++
	for n := t.size; n%2 == 0; n /= 2 {
		last := len(t.peaks) - 1
		t.peaks[last-1] = tlog.NodeHash(t.peaks[last-1], t.peaks[last])
		t.peaks = t.peaks[:last]
	}
}

// tile puts hash number i into its tile of a level.
func (t *tree) tile(level int, i int64, h tlog.Hash) {
	if len(t.tiles) == level {
		t.tiles = append(t.tiles, nil)
	}
	t.tiles[level] = append(t.tiles[level], h[:]...)
	if len(t.tiles[level]) < tileWidth*tlog.HashSize {
		return
	}
	t.full(level, i/tileWidth, t.tiles[level])
	root := tileRoot(t.tiles[level])
	t.tiles[level] = t.tiles[level][:0]
	t.tile(level+1, i/tileWidth, root)
}

func tileRoot(hashes []byte) tlog.Hash {
	var all [tileWidth]tlog.Hash
	n := len(hashes) / tlog.HashSize
	for i := range n {
		copy(all[i][:], hashes[i*tlog.HashSize:])
	}
	for ; n > 1; n /= 2 {
		for i := range n / 2 {
			all[i] = tlog.NodeHash(all[2*i], all[2*i+1])
		}
	}
	return all[0]
}

// root is that of the entries so far (RFC 6962).
func (t *tree) root() tlog.Hash {
	if len(t.peaks) == 0 {
		h, _ := tlog.TreeHash(0, nil)
		return h
	}
	h := t.peaks[len(t.peaks)-1]
	for i := len(t.peaks) - 2; i >= 0; i-- {
		h = tlog.NodeHash(t.peaks[i], h)
	}
	return h
}

// tileName is the name of a tile: level is "0", "1" … or "entries"; width is less than tileWidth for one that is not full.
func tileName(level string, n int64, width int) string {
	name := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		name = fmt.Sprintf("x%03d/%s", n%1000, name)
	}
	if width < tileWidth {
		name += fmt.Sprintf(".p/%d", width)
	}
	return store.Log + "tile/" + level + "/" + name
}

// object reads a whole object of at most limit bytes.
func object(ctx context.Context, src store.Source, name string, limit int64) ([]byte, error) {
	r, err := src.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	return b, err
}

// tileObject reads a tile; a partial one may have been replaced by the full one since.
func tileObject(ctx context.Context, src store.Source, level string, n int64, width int) (b []byte, name string, err error) {
	name = tileName(level, n, width)
	b, err = object(ctx, src, name, maxBundle)
	if errors.Is(err, store.ErrNotFound) && width < tileWidth {
		full := tileName(level, n, tileWidth)
		if whole, ferr := object(ctx, src, full, maxBundle); ferr == nil {
			return whole, full, nil
		}
	}
	return b, name, err
}

var errBundle = errors.New("it is no bundle of entries: its lengths do not fit")

// bundle cuts a bundle into its first width entries. Nothing may follow where the bundle should be so wide.
func bundle(b []byte, width int, whole bool) ([][]byte, error) {
	entries := make([][]byte, 0, width)
	for len(entries) < width {
		if len(b) < 2 {
			return entries, errBundle
		}
		n := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+n {
			return entries, errBundle
		}
		entries, b = append(entries, b[2:2+n:2+n]), b[2+n:]
	}
	if whole && len(b) > 0 {
		return entries, errBundle
	}
	return entries, nil
}

// compareTile says what is wrong with a stored tile, or nothing.
func compareTile(ctx context.Context, src store.Source, level int, n int64, want []byte) (name, what string, err error) {
	b, name, err := tileObject(ctx, src, fmt.Sprint(level), n, len(want)/tlog.HashSize)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return name, "the tile is not in the store", nil
	case err != nil:
		return name, "", err
	case len(b) < len(want) || !bytes.Equal(b[:len(want)], want), len(b) > len(want) && !strings.Contains(name, ".p/") && len(want) == tileWidth*tlog.HashSize,
		len(b) > len(want) && strings.Contains(name, ".p/"):
		return name, "the hashes in the tile are not those of the log's entries", nil
	}
	return name, "", nil
}
