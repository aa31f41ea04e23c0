package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// memory holds objects.
type memory struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (m *memory) Get(_ context.Context, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b, ok := m.m[name]; ok {
		return b, nil
	}
	return nil, &fs.PathError{Op: "get", Path: name, Err: fs.ErrNotExist}
}

func (m *memory) put(objects []Object) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range objects {
		m.m[o.Name] = o.Data
	}
}

// entry is a leaf as the log has them.
func entry(i int) []byte {
	return fmt.Appendf(nil, `{"kind":"Gone","id":"%032x","gone":"deleted"}`, i)
}

// grow makes a log in steps, as a sequencer does, and returns it with the hashes that tlog keeps of the same entries.
func grow(t testing.TB, steps ...int) (*memory, *Tree, []tlog.Hash) {
	t.Helper()
	m, tree, n := &memory{m: map[string][]byte{}}, &Tree{}, 0
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = stored[x]
		}
		return out, nil
	})
	for _, step := range steps {
		var entries [][]byte
		for range step {
			entries = append(entries, entry(n))
			hashes, err := tlog.StoredHashes(int64(n), entry(n), reader)
			if err != nil {
				t.Fatal(err)
			}
			stored = append(stored, hashes...)
			n++
		}
		next, objects, err := tree.Append(entries)
		if err != nil {
			t.Fatal(err)
		}
		m.put(objects)
		tree = next
		if want, _ := tlog.TreeHash(int64(n), reader); want != tree.Head().Hash {
			t.Fatalf("at %d leaves the root differs from tlog's", n)
		}
	}
	return m, tree, stored
}

func reading(m *memory, tree *Tree) *Reader { return NewReader(m, &Checkpoint{Tree: tree.Head()}) }

func TestTheRootIsThatOfTlogAtEverySize(t *testing.T) {
	steps := slices.Repeat([]int{1}, 600)
	grow(t, steps...)
	grow(t, 1, 255, 256, 257, 70_000)
}

func TestALogIsTakenUpAgainFromItsTiles(t *testing.T) {
	for _, size := range []int{0, 1, 255, 256, 257, 65_535, 65_536, 65_537, 66_000} {
		m, tree, _ := grow(t, size)
		loaded, err := LoadTree(t.Context(), m, tree.Head())
		if err != nil {
			t.Fatalf("%d: %v", size, err)
		}
		a, ao, _ := tree.Append([][]byte{entry(size)})
		b, bo, err := loaded.Append([][]byte{entry(size)})
		if err != nil || a.Head() != b.Head() || len(ao) != len(bo) {
			t.Fatalf("%d: the log goes on otherwise (%v)", size, err)
		}
		for i := range ao {
			if ao[i].Name != bo[i].Name || string(ao[i].Data) != string(bo[i].Data) {
				t.Errorf("%d: object %s is another", size, ao[i].Name)
			}
		}
	}
}

func TestTilesAreNamedAsTheSpecificationSays(t *testing.T) {
	m, _, _ := grow(t, 70_000)
	for _, name := range []string{
		"log/tile/0/000", "log/tile/0/272", "log/tile/0/273.p/112", "log/tile/1/000", "log/tile/1/001.p/17", "log/tile/2/000.p/1",
		"log/tile/entries/272", "log/tile/entries/273.p/112",
	} {
		if _, err := m.Get(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	if got := Tile(tlog.Tile{H: 8, L: 0, N: 1234067, W: 256}); got != "log/tile/0/x001/x234/067" {
		t.Error(got)
	}
	if got := len(m.m["log/tile/1/001.p/17"]); got != 17*32 {
		t.Errorf("%d bytes in a tile of 17 hashes", got)
	}
}

func TestEveryLeafIsReadBackAndProven(t *testing.T) {
	const size = 1000
	m, tree, _ := grow(t, 300, 300, 400)
	r := reading(m, tree)
	for _, span := range [][2]int64{{0, size}, {0, 0}, {size, size}, {5, 6}, {255, 257}, {700, size}} {
		at := span[0]
		for e, err := range r.Leaves(t.Context(), span[0], span[1]) {
			if err != nil || e.Index != at || string(e.Raw) != string(entry(int(at))) || e.Leaf.ID != fmt.Sprintf("%032x", at) {
				t.Fatalf("%v: %d: %+v %v", span, at, e, err)
			}
			at++
		}
		if at != span[1] {
			t.Errorf("%v: ended at %d", span, at)
		}
	}
	for _, s := range []int64{1, 256, 600, size} {
		root, err := r.Root(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := r.Inclusion(t.Context(), s-1, s)
		if err != nil || tlog.CheckRecord(proof, s, root, s-1, tlog.RecordHash(entry(int(s-1)))) != nil {
			t.Errorf("leaf %d of %d is not proven: %v", s-1, s, err)
		}
		consistency, err := r.Consistency(t.Context(), s, size)
		if err != nil || s < size && tlog.CheckTree(consistency, size, tree.Head().Hash, s, root) != nil {
			t.Errorf("%d and %d are not proven consistent: %v", s, size, err)
		}
	}
	seen := int64(0)
	if err := r.Verify(t.Context(), func(e Entry) error { seen++; return nil }); err != nil || seen != size {
		t.Errorf("%d seen: %v", seen, err)
	}
	for e, err := range r.Leaves(t.Context(), 0, size+1) {
		if err == nil {
			t.Errorf("a leaf beyond the checkpoint: %d", e.Index)
		}
	}
}

// Whoever can write to the bucket can change any object, take any away, or cut one off. A reader must see each.
func TestWhateverIsChangedInTheBucketShows(t *testing.T) {
	m, tree, _ := grow(t, 66_000)
	read := func(m *memory) (full, stream error) {
		r := reading(m, tree)
		full = r.Verify(t.Context(), nil)
		for _, err := range r.Leaves(t.Context(), 0, r.Size()) {
			stream = errors.Join(stream, err)
		}
		return full, stream
	}
	if full, stream := read(m); full != nil || stream != nil {
		t.Fatal(full, stream)
	}
	random := rand.New(rand.NewPCG(1, 2))
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(m.m)), func(n string) bool { return !strings.Contains(n, "entries") || random.IntN(40) > 0 })
	names = append(names, "log/tile/entries/257.p/208", "log/tile/1/000", "log/tile/1/001.p/1", "log/tile/2/000.p/1", "log/tile/0/257.p/208")
	for _, name := range names {
		old := m.m[name]
		if old == nil {
			t.Fatalf("there is no %s", name)
		}
		flipped := slices.Clone(old)
		flipped[2+random.IntN(len(old)-2)] ^= 1
		for how, data := range map[string][]byte{"one bit changed": flipped, "cut off": old[:len(old)-1], "empty": {}, "gone": nil} {
			m.m[name] = data
			if data == nil {
				delete(m.m, name)
			}
			full, stream := read(m)
			if stream == nil {
				t.Errorf("%s %s: leaves are read all the same", name, how)
			}
			if entries := strings.Contains(name, "entries"); entries != (full != nil) {
				t.Errorf("%s %s: full verification, which trusts no tile of hashes: %v", name, how, full)
			}
		}
		m.m[name] = old
	}
}

func TestALogWithTwoFacesIsFoundByAnOlderCheckpoint(t *testing.T) {
	m, tree, _ := grow(t, 500)
	older := &Checkpoint{Tree: tree.Head()}
	longer, objects, err := tree.Append([][]byte{entry(500), entry(501)})
	if err != nil {
		t.Fatal(err)
	}
	m.put(objects)
	if err := reading(m, longer).Continues(t.Context(), older); err != nil {
		t.Error(err)
	}
	other, otherTree, _ := grow(t, 499)
	otherTree, objects, _ = otherTree.Append([][]byte{entry(7), entry(500), entry(501)})
	other.put(objects)
	for name, r := range map[string]*Reader{"another leaf": reading(other, otherTree), "shorter": NewReader(m, &Checkpoint{Tree: tlog.Tree{N: 400}})} {
		if err := r.Continues(t.Context(), older); !errors.Is(err, ErrRoot) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAPartialTileMayHaveBecomeAWholeOne(t *testing.T) {
	m, tree, _ := grow(t, 300)
	older := tree
	tree, objects, _ := tree.Append([][]byte{entry(300)})
	m.put(objects)
	var rest [][]byte
	for i := 301; i < 600; i++ {
		rest = append(rest, entry(i))
	}
	_, objects, _ = tree.Append(rest)
	m.put(objects)
	for name := range m.m {
		if strings.Contains(name, "001.p/") {
			delete(m.m, name)
		}
	}
	if err := reading(m, older).Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
	for _, err := range reading(m, older).Leaves(t.Context(), 0, 300) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := LoadTree(t.Context(), m, older.Head()); err != nil {
		t.Error(err)
	}
}
