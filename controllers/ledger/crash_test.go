package ledger

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/recording/ledger"
)

var errCrash = errors.New("the process has died")

// dying makes the process die at its nth change of bucket or register, before or after it took effect. From then on, nothing
// works any more.
type dying struct {
	*memory
	*register
	left  atomic.Int64 // changes until it dies
	after bool
}

func (d *dying) die(change func() error) error {
	switch left := d.left.Add(-1); {
	case left < 0:
		return errCrash
	case left == 0 && !d.after:
		return errCrash
	case left == 0:
		_ = change()
		return errCrash
	}
	return change()
}

func (d *dying) Put(ctx context.Context, name string, data []byte) error {
	return d.die(func() error { return d.memory.Put(ctx, name, data) })
}

func (d *dying) Delete(ctx context.Context, name string) error {
	return d.die(func() error { return d.memory.Delete(ctx, name) })
}

func (d *dying) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return d.memory.List(ctx, prefix)
}

func (d *dying) Swap(ctx context.Context, old, next State) (s State, err error) {
	err = d.die(func() error { s, err = d.register.Swap(ctx, old, next); return err })
	return s, err
}

// Wherever a leader dies, its successor makes of it one log in which every leaf is once.
func TestALeaderMayDieAtEveryStep(t *testing.T) {
	const first, then, more = 250, 300, 5 // over the ends of tiles
	for _, after := range []bool{false, true} {
		for step := int64(1); ; step++ {
			m, r := newMemory(), &register{}
			for i := range first {
				appendLeaf(t, m, i)
			}
			drain(t, newSequencer(t, m, r), m)
			for i := range then {
				appendLeaf(t, m, first+i)
			}
			d := &dying{memory: m, register: r, after: after}
			d.left.Store(step)
			victim := newSequencer(t, d, d)
			_, err := victim.Tick(t.Context())
			died := d.left.Load() <= 0
			if died && err == nil && len(m.names(ledger.PendingPrefix)) > then {
				t.Errorf("step %d: nothing was said of the failure", step)
			}
			// One that was appended twice, as whoever did it did not know whether it had worked.
			if err := (&Appender{Objects: m}).Append(t.Context(), leaf(first)); err != nil {
				t.Fatal(err)
			}
			for i := range more {
				appendLeaf(t, m, first+then+i)
			}
			drain(t, newSequencer(t, m, r), m)
			inLog(t, m, r, first+then+more)
			if t.Failed() {
				t.Fatalf("died at change %d, after it took effect: %v", step, after)
			}
			if !died {
				if step < 10 {
					t.Fatalf("there were %d changes only", step)
				}
				break
			}
			// The deletions of what was pending are all alike.
			if step > 12 && step < then {
				step = then
			}
		}
	}
}

// slow makes a leader pause between what it does, so that another comes in between.
type slow struct {
	*memory
	*register
	random func() int
}

func (s *slow) pause() {
	if n := s.random(); n > 0 {
		time.Sleep(time.Duration(n) * time.Microsecond)
	}
}

func (s *slow) Put(ctx context.Context, name string, data []byte) error {
	s.pause()
	return s.memory.Put(ctx, name, data)
}

func (s *slow) Get(ctx context.Context, name string) ([]byte, error) {
	s.pause()
	return s.memory.Get(ctx, name)
}

func (s *slow) Delete(ctx context.Context, name string) error {
	s.pause()
	return s.memory.Delete(ctx, name)
}

func (s *slow) Swap(ctx context.Context, old, next State) (State, error) {
	s.pause()
	return s.register.Swap(ctx, old, next)
}

func TestTwoLeadersMakeOneLog(t *testing.T) {
	for race := range uint64(200) {
		m, r := newMemory(), &register{}
		const leaves = 40
		var leaders sync.WaitGroup
		for l := range uint64(2) {
			random, mu := rand.New(rand.NewPCG(race, l)), sync.Mutex{}
			s := &slow{memory: m, register: r, random: func() int {
				mu.Lock()
				defer mu.Unlock()
				return max(0, random.IntN(240)-200) * 5
			}}
			leader := newSequencer(t, s, s)
			leaders.Go(func() {
				for i := range leaves / 2 {
					_ = (&Appender{Objects: m}).Append(t.Context(), leaf(int(l)*leaves/2+i))
					if i%4 == 0 {
						_, _ = leader.Tick(t.Context()) // a conflict is what is tested
					}
				}
			})
		}
		leaders.Wait()
		drain(t, newSequencer(t, m, r), m)
		last := newSequencer(t, m, r)
		last.idles = checkEvery - 1 // a leader that was late may have shown an older checkpoint: that is put right in time
		if _, err := last.Tick(t.Context()); err != nil {
			t.Fatal(err)
		}
		inLog(t, m, r, leaves)
		if t.Failed() {
			t.Fatalf("race %d", race)
		}
	}
}

// A leader that sleeps after it has read the state, and wakes when another has gone on, must change nothing of the log.
func TestALeaderThatWakesUpTooLateCannotFork(t *testing.T) {
	m, r := newMemory(), &register{}
	for i := range 300 {
		appendLeaf(t, m, i)
	}
	stale := newSequencer(t, m, r)
	drain(t, stale, m)
	appendLeaf(t, m, 300)
	taken, err := stale.take(t.Context())
	if err != nil || len(taken.entries) != 1 {
		t.Fatal(err)
	}
	appendLeaf(t, m, 301)
	other := newSequencer(t, m, r)
	drain(t, other, m)
	if err := stale.commit(t.Context(), taken); !errors.Is(err, ErrConflict) {
		t.Fatalf("the stale leader was let through: %v", err)
	}
	stale.tree = nil
	drain(t, stale, m)
	inLog(t, m, r, 302)
}

func TestThatABatchIsGoneBeforeItIsFinishedStopsTheLog(t *testing.T) {
	m, r := newMemory(), &register{}
	appendLeaf(t, m, 0)
	d := &dying{memory: m, register: r}
	d.left.Store(1000)
	victim := newSequencer(t, d, d)
	drain(t, victim, m)
	appendLeaf(t, m, 1)
	d.left.Store(3) // batch and register are changed, tiles are not
	if _, err := victim.Tick(t.Context()); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	if state, _ := r.Load(t.Context()); state.Batch == "" || m.m[state.Batch] == nil {
		t.Fatal("there is no batch to finish from")
	} else {
		delete(m.m, state.Batch)
	}
	if _, err := newSequencer(t, m, r).Tick(t.Context()); err == nil {
		t.Error("a log goes on without the leaves that its checkpoint speaks of")
	} else if want := ledger.BatchPrefix; !strings.Contains(err.Error(), want) {
		t.Errorf("it does not say what is missing: %v", err)
	}
}
