package gather

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"
)

// clocked returns a Gatherer and what lets time pass.
func clocked(l Limits) (*Gatherer, func(time.Duration)) {
	now := time.Unix(0, 0)
	return New(l, func() time.Time { return now }), func(d time.Duration) { now = now.Add(d) }
}

func add(t *testing.T, g *Gatherer, k Key, n, offset uint64, data string, complete bool) Result {
	t.Helper()
	r, err := g.Add(k, n, offset, []byte(data), complete)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestASegmentIsPutTogetherInItsOrder(t *testing.T) {
	g, _ := clocked(Limits{Segment: 10, Pod: 2, Parts: 4, Memory: 100})
	k := Key{"pod", "s"}
	for _, c := range []struct {
		number, offset uint64
		data           string
		complete       bool
		size           uint64
		whole          string
	}{
		{1, 3, "gap", false, 0, ""}, // what the operator forgot begins anew
		{1, 0, "one ", false, 4, ""},
		{1, 8, "gap", true, 4, ""}, // the end counts only where it fits
		{1, 4, "two", true, 7, "one two"},
		{2, 0, "lost", false, 4, ""},
		{2, 0, "again", false, 5, ""}, // from the beginning
		{3, 0, "next", true, 4, "next"},
	} {
		r := add(t, g, k, c.number, c.offset, c.data, c.complete)
		if r.Size != c.size || string(r.Whole) != c.whole || r.TooLarge {
			t.Errorf("%d at %d: %+v", c.number, c.offset, r)
		}
		if r.Whole != nil {
			g.Release(len(r.Whole))
		}
	}
	if r := add(t, g, k, 4, 0, "more than ten", false); !r.TooLarge {
		t.Errorf("%+v", r)
	}
	if g.Used() != 0 {
		t.Errorf("%d bytes are held", g.Used())
	}
}

func TestMemoryIsBoundedAndWhatIsOldMakesRoom(t *testing.T) {
	g, pass := clocked(Limits{Segment: 100, Pod: 8, Parts: 50, Memory: 1000})
	chunk := string(bytes.Repeat([]byte("x"), 100))
	for n := range 10 {
		add(t, g, Key{fmt.Sprint("pod", n), "s"}, 1, 0, chunk, false)
		pass(time.Millisecond)
	}
	if _, err := g.Add(Key{"late", "s"}, 1, 0, []byte("x"), false); !errors.Is(err, ErrBusy) {
		t.Fatalf("more than there is room for: %v", err)
	}
	pass(patience)
	add(t, g, Key{"late", "s"}, 1, 0, chunk, false) // in the place of the oldest
	if r := add(t, g, Key{"pod0", "s"}, 1, 100, "", false); r.Size != 0 {
		t.Errorf("the oldest is still there: %+v", r)
	}
	if r := add(t, g, Key{"pod1", "s"}, 1, 100, "", false); r.Size != 100 {
		t.Errorf("more than that was forgotten: %+v", r)
	}
	if g.Used() > 1000 {
		t.Errorf("%d bytes", g.Used())
	}
}

// What was taken and is being stored counts, and does not make room: while the store is slow, no more is taken in.
func TestWhatIsBeingStoredCounts(t *testing.T) {
	g, pass := clocked(Limits{Segment: 100, Pod: 8, Parts: 50, Memory: 100})
	whole := add(t, g, Key{"a", "s"}, 1, 0, string(make([]byte, 100)), true).Whole
	pass(time.Hour)
	if _, err := g.Add(Key{"b", "s"}, 1, 0, []byte("x"), false); !errors.Is(err, ErrBusy) {
		t.Fatalf("%v", err)
	}
	g.Release(len(whole))
	add(t, g, Key{"b", "s"}, 1, 0, "x", false)
}

func TestOnePodDoesNotTakeAllPlaces(t *testing.T) {
	g, pass := clocked(Limits{Segment: 100, Pod: 2, Parts: 3, Memory: 1000})
	add(t, g, Key{"greedy", "a"}, 1, 0, "x", false)
	add(t, g, Key{"greedy", "b"}, 1, 0, "x", false)
	if _, err := g.Add(Key{"greedy", "c"}, 1, 0, []byte("x"), false); !errors.Is(err, ErrBusy) {
		t.Errorf("a third: %v", err)
	}
	add(t, g, Key{"other", "a"}, 1, 0, "x", false)
	pass(2 * patience)
	add(t, g, Key{"greedy", "c"}, 1, 0, "x", false) // in the place of its own
	if r := add(t, g, Key{"other", "a"}, 1, 1, "", false); r.Size != 1 {
		t.Errorf("another's was taken: %+v", r)
	}
	g.Leave("greedy")
	if g.Used() != 1 || len(g.parts) != 1 || len(g.pods) != 1 {
		t.Errorf("%d bytes, %d segments, %d pods", g.Used(), len(g.parts), len(g.pods))
	}
}
