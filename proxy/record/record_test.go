package record

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		recordUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

func open(t testing.TB, o Options) *file {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return openIn(t, r)
}

func openIn(t testing.TB, r *Recorder) *file {
	t.Helper()
	f, err := r.Open(access.Opened{Session: "s1", DataSource: "data/orders"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f.(*file)
}

func decided(n int64, text string) access.Event {
	return access.Event{Kind: access.EventDecided, Time: time.Now(), Statement: n, Decided: &access.Decided{Phase: access.PhaseRun, Text: text, Effect: "Allow"}}
}

func rows(n int64, text string) access.Event {
	return access.Event{Kind: access.EventRows, Time: time.Now(), Statement: n, Rows: &access.Rows{Values: [][]access.Value{{{Text: text}}}}}
}

// read returns the events of a recording and its condition.
func read(t testing.TB, path string) ([]access.Event, recording.Report) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var events []access.Event
	r := recording.NewReader(f)
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return events, r.Report()
		}
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, rec.Event)
	}
}

func TestASessionIsRecordedInOrderAndWhole(t *testing.T) {
	for _, mode := range []Durability{Statement, Async} {
		t.Run(mode.String(), func(t *testing.T) {
			f := open(t, Options{Dir: filepath.Join(t.TempDir(), "a", "b"), Durability: mode})
			const statements = 200
			for n := range int64(statements) {
				for _, e := range []access.Event{decided(n, "select"), rows(n, "row")} {
					if err := f.Append(e); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			events, rep := read(t, f.Location())
			if rep.State != recording.Complete || len(events) != 1+2*statements || events[0].Opened == nil {
				t.Fatalf("%d events: %v", len(events), rep)
			}
			for i, e := range events[1:] {
				if e.Statement != int64(i/2) || (e.Rows != nil) != (i%2 == 1) {
					t.Fatalf("event %d is %+v", i+1, e)
				}
			}
		})
	}
}

func TestRecordingsArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "recordings")
	f := open(t, Options{Dir: dir})
	for path, want := range map[string]os.FileMode{dir: 0o700 | os.ModeDir, f.Location(): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s has mode %v (%v), want %v", path, info.Mode(), err, want)
		}
	}
	if want := filepath.Join(dir, "s1.twr"); f.Location() != want {
		t.Errorf("the recording is %s, want %s", f.Location(), want)
	}
}

func TestNothingThatExistsIsWrittenTo(t *testing.T) {
	dir := t.TempDir()
	for name, plant := range map[string]func(path string) error{
		"file": func(path string) error { return os.WriteFile(path, []byte("mine"), 0o600) },
		"link": func(path string) error { return os.Symlink(filepath.Join(dir, "file.twr"), path) },
	} {
		if err := plant(filepath.Join(dir, name+".twr")); err != nil {
			t.Fatal(err)
		}
	}
	r, err := New(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "link"} {
		if _, err := r.Open(access.Opened{Session: name}); !errors.Is(err, os.ErrExist) {
			t.Errorf("%s: %v, want it refused", name, err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "file.twr")); string(b) != "mine" {
		t.Errorf("the file holds %q (%v)", b, err)
	}
}

func TestASessionNameThatIsNoFileNameIsRefused(t *testing.T) {
	r, err := New(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", ".", "..", ".hidden", "../up", "a/b", "/etc/x", "a\x00b", "a b", "ä", string(make([]byte, 300))} {
		if f, err := r.Open(access.Opened{Session: name}); err == nil {
			t.Errorf("%q was taken: %s", name, f.Location())
		}
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{}, {Dir: file}, {Dir: t.TempDir(), Queue: -1}, {Dir: t.TempDir(), Memory: -1}, {Dir: t.TempDir(), Linger: -1}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestAnUnknownDurabilityIsTheStricterOne(t *testing.T) {
	for s, want := range map[string]Durability{"Async": Async, "Statement": Statement, "": Statement, "async": Statement, "None": Statement} {
		if got := ParseDurability(s); got != want {
			t.Errorf("%q is %v, want %v", s, got, want)
		}
	}
	if r, err := New(Options{Dir: t.TempDir()}); err != nil || r.options.Durability != Statement {
		t.Errorf("the zero Options record with %v (%v), want Statement", r.options.Durability, err)
	}
}

func TestNothingIsTakenAfterClose(t *testing.T) {
	f := open(t, Options{Dir: t.TempDir()})
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	if err := f.Append(rows(1, "late")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Append: %v, want %v", err, os.ErrClosed)
	}
	if _, rep := read(t, f.Location()); rep.State != recording.Complete || rep.Events != 1 {
		t.Errorf("the recording is %+v", rep)
	}
}

func TestAnEventTooLargeEndsTheRecordingButKeepsWhatCameBefore(t *testing.T) {
	f := open(t, Options{Dir: t.TempDir(), Durability: Async})
	if err := f.Append(rows(1, "before")); err != nil {
		t.Fatal(err)
	}
	if err := f.Append(rows(1, string(make([]byte, recording.MaxPayload)))); !errors.Is(err, recording.ErrTooLarge) {
		t.Fatalf("Append: %v, want %v", err, recording.ErrTooLarge)
	}
	if err := errors.Join(f.Append(rows(1, "after")), f.Close()); !errors.Is(err, recording.ErrTooLarge) {
		t.Errorf("later calls: %v, want %v", err, recording.ErrTooLarge)
	}
	if events, rep := read(t, f.Location()); rep.State != recording.Unfinished || len(events) != 2 || events[1].Rows.Values[0][0].Text != "before" {
		t.Errorf("the recording is %v with %d events, want the two before, and no end mark", rep, len(events))
	}
}

func TestAnEventIsWrittenOnceItHasLingered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &memorySink{}
		f := openIn(t, with(t, Options{Durability: Async, Linger: time.Second}, out))
		opened := out.len()
		if err := f.Append(rows(1, "one")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(999 * time.Millisecond) // of synctest's clock
		synctest.Wait()
		if got := out.len(); got != opened {
			t.Errorf("%d bytes were written before the linger was over", got-opened)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if out.len() == opened {
			t.Error("nothing was written after the linger was over")
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestConcurrentSessionsAndAppendsKeepEveryEvent(t *testing.T) {
	for _, mode := range []Durability{Statement, Async} {
		t.Run(mode.String(), func(t *testing.T) {
			r, err := New(Options{Dir: t.TempDir(), Durability: mode, Queue: 2 << 10, Memory: 16 << 10})
			if err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			for i := range 12 {
				all.Go(func() { useSession(t, r, fmt.Sprintf("s%d", i)) })
			}
			all.Wait()
			if used := r.memory.used.Load(); used != 0 {
				t.Errorf("%d bytes are still accounted for", used)
			}
		})
	}
}

// useSession appends to one session from two goroutines, as the two directions of
// a connection do.
func useSession(t *testing.T, r *Recorder, name string) {
	f, err := r.Open(access.Opened{Session: name})
	if err != nil {
		t.Error(err)
		return
	}
	const events = 100
	var both sync.WaitGroup
	for g := range int64(2) {
		both.Go(func() {
			for n := range int64(events) {
				e := rows(n*2+g, "some text that takes room in the queue")
				if g == 0 && n%10 == 0 {
					e = decided(n*2+g, "select")
				}
				if err := f.Append(e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	both.Wait()
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	got, rep := read(t, f.Location())
	if rep.State != recording.Complete || len(got) != 1+2*events {
		t.Errorf("%s: %d events, %v", name, len(got), rep)
	}
	next := [2]int64{0, 1}
	for _, e := range got[1:] {
		if g := e.Statement % 2; e.Statement != next[g] {
			t.Errorf("%s: event %d of one goroutine stands where %d should", name, e.Statement, next[g])
		} else {
			next[g] += 2
		}
	}
}

func TestTheTimeOfARecordIsNeverBeforeThatOfTheOneBeforeIt(t *testing.T) {
	clock := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	f := open(t, Options{Dir: t.TempDir(), Now: func() time.Time { return clock }})
	early := decided(1, "select 1")
	early.Time = clock.Add(-time.Hour) // the clock was turned back
	late := decided(2, "select 2")
	late.Time = clock.Add(time.Hour)
	for _, e := range []access.Event{early, late, early} {
		if err := f.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	events, rep := read(t, f.Location())
	for i, want := range []time.Duration{0, 0, time.Hour, time.Hour} {
		if !events[i].Time.Equal(clock.Add(want)) {
			t.Errorf("event %d is of %v, want %v later than the first", i, events[i].Time, want)
		}
	}
	if rep.State != recording.Complete || !rep.Last.Equal(clock.Add(time.Hour)) {
		t.Errorf("%v, which ends at %v", rep, rep.Last)
	}
}

func TestARecordingThatIsGivenUpKeepsWhatItTookAndHasNoEndMark(t *testing.T) {
	f := open(t, Options{Dir: t.TempDir(), Durability: Async})
	if err := f.Append(decided(1, "select 1")); err != nil {
		t.Fatal(err)
	}
	full := errors.New("no room")
	f.Cut(full)
	if err := f.Append(decided(2, "select 2")); !errors.Is(err, full) {
		t.Errorf("Append: %v", err)
	}
	if err := f.Close(); !errors.Is(err, full) {
		t.Errorf("Close: %v", err)
	}
	if events, rep := read(t, f.Location()); rep.State != recording.Unfinished || rep.Torn != 0 || len(events) != 2 {
		t.Errorf("%d events, %v", len(events), rep)
	}
}
