package record

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
)

func TestARealFullDiskRefusesAndNeverDrops(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("a small filesystem cannot be mounted here (%v); the tests with a failing sink cover the rest", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	for _, mode := range []Durability{Statement, Async} {
		t.Run(mode.String(), func(t *testing.T) {
			f := open(t, Options{Dir: filepath.Join(dir, mode.String()), Durability: mode, Linger: time.Millisecond})
			taken := fillUp(t, f)
			if err := f.Close(); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("Close: %v, want %v", err, syscall.ENOSPC)
			}
			events, rep := read(t, f.Location())
			if rep.State != recording.Unfinished {
				t.Errorf("the recording is %v", rep)
			}
			intents := 0
			for _, e := range events {
				if e.Decided != nil {
					intents++
				}
			}
			if mode == Statement && intents < taken {
				t.Errorf("%d statements were let through, and %d are recorded", taken, intents)
			}
			if _, err := f.r.Open(access.Opened{Session: "another"}); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("opening another session: %v, want %v", err, syscall.ENOSPC)
			}
			if err := os.RemoveAll(f.r.options.Dir); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// fillUp appends until an Append is refused, makes sure that it stays so, and
// returns how many were taken.
func fillUp(t *testing.T, f *file) int {
	t.Helper()
	for n := range 100_000 {
		err := f.Append(decided(int64(n), "select '0123456789'"))
		if err == nil {
			continue
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("Append: %v, want %v", err, syscall.ENOSPC)
		}
		for range 10 {
			if err := f.Append(decided(int64(n), "select")); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("a later Append: %v, want %v", err, syscall.ENOSPC)
			}
		}
		return n
	}
	t.Fatal("the disk does not get full")
	return 0
}
