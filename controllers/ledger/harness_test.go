package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/tidewaiter/tidewaiter/recording/ledger"
)

const origin = "tidewaiter.dev/log/test"

// memory is a bucket.
type memory struct {
	mu sync.Mutex
	m  map[string][]byte
}

func newMemory() *memory { return &memory{m: make(map[string][]byte)} }

func (m *memory) Get(_ context.Context, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b, ok := m.m[name]; ok {
		return b, nil
	}
	return nil, &fs.PathError{Op: "get", Path: name, Err: fs.ErrNotExist}
}

func (m *memory) Put(_ context.Context, name string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	// What is below log/tile/ is a function of the log: two leaders that write one tile differently have forked it.
	if old, ok := m.m[name]; ok && strings.HasPrefix(name, ledger.TilePrefix) && string(old) != string(data) {
		panic("tile " + name + " was written with two contents")
	}
	m.m[name] = slices.Clone(data)
	return nil
}

func (m *memory) List(_ context.Context, prefix string) iter.Seq2[string, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := slices.Sorted(maps.Keys(m.m))
	return func(yield func(string, error) bool) {
		for _, n := range names {
			if strings.HasPrefix(n, prefix) && !yield(n, nil) {
				return
			}
		}
	}
}

func (m *memory) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.m, name)
	return nil
}

func (m *memory) names(prefix string) (names []string) {
	for n := range m.List(context.Background(), prefix) {
		names = append(names, n)
	}
	return names
}

// register is a Register in memory.
type register struct {
	mu    sync.Mutex
	state State
	n     int
}

func (r *register) Load(context.Context) (State, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.clone(), nil
}

func (r *register) Swap(_ context.Context, old, next State) (State, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old.version != r.state.version {
		return State{}, ErrConflict
	}
	r.n++
	r.state = next.clone()
	r.state.version = fmt.Sprint(r.n)
	return r.state.clone(), nil
}

var testKeys = sync.OnceValue(func() *Keys {
	data, err := newKeys(origin)
	if err != nil {
		panic(err)
	}
	k, err := parseKeys(data)
	if err != nil {
		panic(err)
	}
	return k
})

func newSequencer(t testing.TB, objects ledger.Objects, r Register, change ...func(*Options)) *Sequencer {
	t.Helper()
	o := Options{Objects: objects, Register: r, Keys: testKeys(), Log: logr.Discard()}
	for _, c := range change {
		c(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// leaf is the nth one.
func leaf(n int) *ledger.Leaf {
	sum := sha256.Sum256(fmt.Append(nil, "leaf", n))
	return &ledger.Leaf{Kind: ledger.KindGone, ID: hex.EncodeToString(sum[:16]), Pod: ledger.Pod{Namespace: "data", Name: "agent", UID: fmt.Sprint("uid-", n)}, Gone: "Deleted"}
}

func appendLeaf(t testing.TB, o ledger.Objects, n int) {
	t.Helper()
	if err := (&Appender{Objects: o}).Append(t.Context(), leaf(n)); err != nil {
		t.Fatal(err)
	}
}

// drain ticks until nothing is pending.
func drain(t testing.TB, s *Sequencer, m *memory) {
	t.Helper()
	for range 100 {
		if _, err := s.Tick(t.Context()); err != nil && !errors.Is(err, ErrConflict) {
			t.Fatal(err)
		}
		if len(m.names(ledger.PendingPrefix)) == 0 && s.tree != nil {
			return
		}
	}
	t.Fatal("it does not come to an end")
}

func published(t testing.TB, o ledger.Objects) *ledger.Checkpoint {
	t.Helper()
	signed, err := o.Get(t.Context(), ledger.CheckpointName)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ledger.ParseCheckpoint(signed, origin, testKeys().Verifier)
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

// inLog verifies the whole log, by its entries and by its tiles, and that each leaf of n is in it exactly once and in the
// order of time.
func inLog(t testing.TB, o ledger.Objects, r Register, n int) {
	t.Helper()
	c := published(t, o)
	if r != nil {
		state, err := r.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		agreed, err := ledger.ParseCheckpoint(state.Checkpoint, origin, testKeys().Verifier)
		if err != nil || agreed.Tree != c.Tree {
			t.Fatalf("the register has a log of %d, the bucket one of %d: %v", agreed.Tree.N, c.Tree.N, err)
		}
	}
	found, last := make(map[string]int), time.Time{}
	reader := ledger.NewReader(o, c)
	err := reader.Verify(t.Context(), func(e ledger.Entry) error {
		found[e.Leaf.ID]++
		if e.Leaf.Time.Before(last) {
			t.Errorf("leaf %d is before the one before it", e.Index)
		}
		last = e.Leaf.Time
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range reader.Leaves(t.Context(), 0, c.Tree.N) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if found[leaf(i).ID] != 1 {
			t.Errorf("leaf %d is %d times in the log", i, found[leaf(i).ID])
		}
	}
	if len(found) != n || c.Tree.N != int64(n) {
		t.Errorf("%d leaves in a log of %d, want %d", len(found), c.Tree.N, n)
	}
}
