package record

import (
	"bytes"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
)

// memorySink keeps what is written, and can be slow, fail, or be gone.
type memorySink struct {
	mu       sync.Mutex
	written  bytes.Buffer
	durable  int           // bytes at the last Sync
	syncs    int           // how often
	named    bool          // SyncName was called
	room     int           // fail beyond that many bytes; 0: never
	syncErr  error         // what Sync returns
	gate     chan struct{} // if set, every Write waits for it
	syncGate chan struct{} // if set, every Sync waits for it
	closed   bool
}

var errNoRoom = errors.New("no room")

func (s *memorySink) Write(p []byte) (int, error) {
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room > 0 && s.written.Len()+len(p) > s.room {
		n, _ := s.written.Write(p[:max(0, s.room-s.written.Len())]) // as a full disk does
		return n, errNoRoom
	}
	return s.written.Write(p)
}

func (s *memorySink) Sync() error {
	if s.syncGate != nil {
		<-s.syncGate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.syncs++
	if s.syncErr == nil {
		s.durable = s.written.Len()
	}
	return s.syncErr
}

func (s *memorySink) SyncName() error { s.named = true; return nil }
func (s *memorySink) Close() error    { s.closed = true; return nil }

func (s *memorySink) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written.Len()
}

// safe returns what would be left after a loss of power.
func (s *memorySink) safe() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.written.Bytes()[:s.durable])
}

// with returns a Recorder whose sessions go to out, one after the other.
func with(t testing.TB, o Options, out ...*memorySink) *Recorder {
	t.Helper()
	o.Dir = t.TempDir()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.create = func(string) (sink, error) {
		s := out[0]
		out = out[1:]
		return s, nil
	}
	return r
}

func TestAnIntentRecordIsDurableWhenAppendReturns(t *testing.T) {
	out := &memorySink{}
	f := openIn(t, with(t, Options{}, out))
	if !out.named {
		t.Error("the file's name was not made durable")
	}
	for n := range int64(20) {
		for _, e := range []access.Event{rows(n, "of the statement before"), decided(n, "select")} {
			if err := f.Append(e); err != nil {
				t.Fatal(err)
			}
		}
		rep, err := recording.Verify(bytes.NewReader(out.safe()))
		if err != nil || rep.Events != 1+2*(n+1) || rep.Torn != 0 {
			t.Fatalf("after statement %d a loss of power would leave %+v (%v)", n, rep, err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if rep, err := recording.Verify(bytes.NewReader(out.safe())); err != nil || rep.State != recording.Complete || !out.closed {
		t.Errorf("after Close a loss of power would leave %v (%v)", rep, err)
	}
}

func TestAsyncWaitsForNoDisk(t *testing.T) {
	out := &memorySink{}
	f := openIn(t, with(t, Options{Durability: Async}, out))
	out.gate = make(chan struct{})
	for n := range int64(100) {
		if err := f.Append(decided(n, "select")); err != nil {
			t.Fatal(err)
		}
	}
	close(out.gate)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if rep, err := recording.Verify(bytes.NewReader(out.safe())); err != nil || rep.Events != 101 || out.syncs != 1 {
		t.Errorf("after Close: %+v, %v, and %d syncs; want all events, and one sync", rep, err, out.syncs)
	}
}

func TestEverythingThatWaitsDuringASyncGoesWithTheNextOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &memorySink{}
		f := openIn(t, with(t, Options{}, out))
		opened := out.syncs
		out.syncGate = make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() { appendOne(t, f, 0) })
		synctest.Wait() // until the first is in its sync
		for n := range int64(50) {
			all.Go(func() { appendOne(t, f, n+1) })
		}
		synctest.Wait()
		close(out.syncGate)
		all.Wait()
		if got := out.syncs - opened; got != 2 {
			t.Errorf("%d syncs for one statement and then 50 at the same time, want 2", got)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
}

func appendOne(t *testing.T, f *file, n int64) {
	if err := f.Append(decided(n, "select")); err != nil {
		t.Error(err)
	}
}

func TestASlowDiskMakesAppendWaitInBoundedMemory(t *testing.T) {
	for name, o := range map[string]Options{
		"one session's queue":     {Durability: Async, Queue: 10_000},
		"all sessions' memory":    {Durability: Async, Memory: 10_000},
		"a queue below one event": {Durability: Async, Queue: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := &memorySink{}
				r := with(t, o, out)
				f := openIn(t, r)
				out.gate = make(chan struct{})
				const events = 1000
				var taken int
				var all sync.WaitGroup
				all.Go(func() {
					for n := range int64(events) {
						appendOne(t, f, n)
						taken++
					}
				})
				time.Sleep(time.Hour) // of synctest's clock: whatever can happen has happened
				synctest.Wait()
				if used := r.memory.used.Load(); taken == 0 || taken > 100 || used > 11_000 {
					t.Errorf("with a disk that stands still, %d events were taken and %d bytes are held", taken, used)
				}
				close(out.gate)
				all.Wait()
				if err := f.Close(); err != nil {
					t.Error(err)
				}
				if rep, err := recording.Verify(bytes.NewReader(out.safe())); err != nil || rep.Events != 1+events || rep.State != recording.Complete {
					t.Errorf("%+v, %v; want every event", rep, err)
				}
				if used := r.memory.used.Load(); used != 0 {
					t.Errorf("%d bytes are still accounted for", used)
				}
			})
		})
	}
}

func TestAFailedWriteRefusesEverythingAfterIt(t *testing.T) {
	for _, mode := range []Durability{Statement, Async} {
		t.Run(mode.String(), func(t *testing.T) {
			out := &memorySink{room: 2000}
			r := with(t, Options{Durability: mode, Linger: time.Microsecond, Queue: 1000}, out)
			f := openIn(t, r)
			var err error
			for n := int64(0); err == nil && n < 100; n++ {
				err = f.Append(decided(n, "select"))
			}
			if !errors.Is(err, errNoRoom) {
				t.Fatalf("Append: %v, want %v", err, errNoRoom)
			}
			out.mu.Lock()
			out.room = 0 // room again: too late, for there is a hole
			out.mu.Unlock()
			for _, err := range []error{f.Append(rows(1, "")), f.Append(decided(2, "")), f.Close(), f.Close()} {
				if !errors.Is(err, errNoRoom) {
					t.Errorf("a later call: %v, want %v", err, errNoRoom)
				}
			}
			rep, err := recording.Verify(bytes.NewReader(out.written.Bytes()))
			if err != nil || rep.State != recording.Unfinished || out.written.Len() != 2000 || !out.closed {
				t.Errorf("the recording is %v (%v), %d bytes; want it unfinished, and nothing after the hole", rep, err, out.written.Len())
			}
			if used := r.memory.used.Load(); used != 0 {
				t.Errorf("%d bytes are still accounted for", used)
			}
		})
	}
}

func TestAFailedSyncRefusesTheStatementAndAllAfterIt(t *testing.T) {
	out := &memorySink{}
	f := openIn(t, with(t, Options{}, out))
	out.syncErr = errNoRoom
	for range 3 {
		if err := f.Append(decided(1, "select")); !errors.Is(err, errNoRoom) {
			t.Errorf("Append: %v, want %v", err, errNoRoom)
		}
		out.syncErr = nil // what a kernel says after it has lost pages
	}
	if err := f.Close(); !errors.Is(err, errNoRoom) {
		t.Errorf("Close: %v, want %v", err, errNoRoom)
	}
}

func TestASessionThatCannotBeginToBeRecordedIsRefused(t *testing.T) {
	for name, out := range map[string]*memorySink{"no room": {room: 1}, "no sync": {syncErr: errNoRoom}} {
		r := with(t, Options{}, out)
		if _, err := r.Open(access.Opened{Session: "s"}); !errors.Is(err, errNoRoom) || !out.closed {
			t.Errorf("%s: Open returned %v, want %v and the file closed", name, err, errNoRoom)
		}
	}
}

func TestAnAppendThatWaitsIsFreedWhenTheDiskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad, good := &memorySink{}, &memorySink{}
		r := with(t, Options{Durability: Async, Memory: 2000}, bad, good)
		one, two := openIn(t, r), openIn(t, r)
		bad.gate, bad.room = make(chan struct{}), 1
		for r.memory.used.Load() < 2000 {
			appendOne(t, one, 1)
		}
		var all sync.WaitGroup
		all.Go(func() {
			if err := one.Append(decided(2, "select")); !errors.Is(err, errNoRoom) {
				t.Errorf("Append of the session whose disk fails: %v, want %v", err, errNoRoom)
			}
		})
		all.Go(func() { appendOne(t, two, 1) }) // waits for the other's memory
		synctest.Wait()
		close(bad.gate)
		all.Wait()
		if err := two.Close(); err != nil {
			t.Error(err)
		}
		_ = one.Close()
	})
}
