package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"gocloud.dev/secrets/localsecrets"
)

// buckets are those that need no server.
func buckets(t *testing.T) map[string]*Bucket {
	t.Helper()
	all := map[string]*Bucket{}
	for kind, where := range map[string]string{"a folder": filepath.Join(t.TempDir(), "a", "b"), "memory": "mem://"} {
		b, err := Create(t.Context(), where)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		all[kind] = b
	}
	return all
}

func names(t *testing.T, b *Bucket, prefix string) (all []string) {
	t.Helper()
	for o, err := range b.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o.Name)
	}
	return all
}

func TestAnObjectIsReadAsItWasWritten(t *testing.T) {
	for kind, b := range buckets(t) {
		t.Run(kind, func(t *testing.T) {
			ctx := t.Context()
			if _, err := b.Get(ctx, "index/x", 10); !errors.Is(err, ErrNotFound) {
				t.Errorf("nothing is there yet: %v", err)
			}
			for _, content := range []string{"one", "another"} { // the second replaces
				if err := b.Put(ctx, "index/x", []byte(content), PutOptions{}); err != nil {
					t.Fatal(err)
				}
				if got, err := b.Get(ctx, "index/x", 10); err != nil || string(got) != content {
					t.Errorf("%q, %v", got, err)
				}
			}
			if _, err := b.Get(ctx, "index/x", 3); !errors.Is(err, ErrTooLarge) {
				t.Errorf("more was read than asked for: %v", err)
			}
			for range 2 { // what is gone already is no error
				if err := b.Delete(ctx, "index/x"); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := b.Get(ctx, "index/x", 10); !errors.Is(err, ErrNotFound) {
				t.Errorf("it is still there: %v", err)
			}
		})
	}
}

func TestWhatIsWrittenOnceIsNotReplaced(t *testing.T) {
	for kind, b := range buckets(t) {
		t.Run(kind, func(t *testing.T) {
			ctx, once := t.Context(), PutOptions{Once: true}
			for range 2 { // the same again is what a retry does
				if err := b.Put(ctx, "a/b", []byte("first"), once); err != nil {
					t.Fatal(err)
				}
			}
			for _, other := range []string{"other", "f", "first and more"} {
				if err := b.Put(ctx, "a/b", []byte(other), once); !errors.Is(err, ErrExists) {
					t.Errorf("%q: %v", other, err)
				}
			}
			if got, err := b.Get(ctx, "a/b", 100); err != nil || string(got) != "first" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestObjectsAreListedInTheOrderOfTheirWholeNames(t *testing.T) {
	for kind, b := range buckets(t) {
		t.Run(kind, func(t *testing.T) {
			all := []string{"r/a-b/1", "r/a.b/1", "r/a/1", "r/a/2", "r/a0/1", "r/b", "s/x"}
			for _, n := range slices.Backward(all) {
				if err := b.Put(t.Context(), n, []byte(n), PutOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			for prefix, want := range map[string][]string{"": all, "r/": all[:6], "r/a": all[:5], "r/a/": all[2:4], "r/a/2": all[3:4], "x/": nil} {
				if got := names(t, b, prefix); !slices.Equal(got, want) {
					t.Errorf("%q: %v", prefix, got)
				}
			}
		})
	}
}

func TestAFolderShowsNothingToOthersAndNothingHalfWritten(t *testing.T) {
	where := filepath.Join(t.TempDir(), "store")
	b, err := Create(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Put(t.Context(), "recordings/x/1", []byte("x"), PutOptions{Once: true}); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(where, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others may read %s: %v", name, info.Mode())
		}
		if strings.HasPrefix(d.Name(), temporary) {
			t.Errorf("%s was left", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// What a crash left is no object.
	if err := os.WriteFile(filepath.Join(where, "recordings/x", temporary+"1"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := names(t, b, ""); !slices.Equal(got, []string{"recordings/x/1"}) {
		t.Errorf("%v", got)
	}
	// Of what was deleted no empty folders stay.
	if err := errors.Join(os.Remove(filepath.Join(where, "recordings/x", temporary+"1")), b.Delete(t.Context(), "recordings/x/1")); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(where); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestNoNameLeadsOutOfAFolder(t *testing.T) {
	where, outside := filepath.Join(t.TempDir(), "store"), t.TempDir()
	b, err := Create(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(where, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", ".", "../x", "a/../../x", "/etc/x", "a//b", "link/x", "a/" + temporary + "x"} {
		if err := b.Put(t.Context(), name, []byte("x"), PutOptions{}); err == nil {
			t.Errorf("%q was written", name)
		}
		if _, err := b.Get(t.Context(), name, 10); err == nil {
			t.Errorf("%q was read", name)
		}
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("written outside: %v", left)
	}
}

func TestAFolderThatIsNotThereIsOnlyMadeByCreate(t *testing.T) {
	where := filepath.Join(t.TempDir(), "typo")
	if _, err := Open(t.Context(), where); err == nil {
		t.Error("it was opened")
	}
	if _, err := os.Stat(where); err == nil {
		t.Error("it was made")
	}
}

func TestALockThatTheStoreCannotKeepIsRefused(t *testing.T) {
	for kind, b := range buckets(t) {
		for _, lock := range []Lock{LockCompliance, LockGovernance, "Often"} {
			if err := b.SetLock(t.Context(), lock); err == nil {
				t.Errorf("%s takes the lock %s", kind, lock)
			}
		}
		if err := b.SetLock(t.Context(), LockNone); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// keeper wraps by a key that was made for the test.
func keeper(t *testing.T) Wrapper {
	t.Helper()
	key, err := localsecrets.NewRandomKey()
	if err != nil {
		t.Fatal(err)
	}
	k := localsecrets.NewKeeper(key)
	t.Cleanup(func() { _ = k.Close() })
	return k
}

func TestTheKeyOfOneSessionIsNotTakenForAnothers(t *testing.T) {
	ctx := t.Context()
	b, err := Open(ctx, "mem://")
	if err != nil {
		t.Fatal(err)
	}
	k := keeper(t)
	b.SetUnwrapper(k)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	one, two := Session{"shop", "uid", "one"}, Session{"shop", "uid", "two"}
	put := func(s Session, data []byte, err error) {
		t.Helper()
		if err = errors.Join(err, b.Put(ctx, s.Key(), data, PutOptions{})); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := WrapKey(ctx, k, one, id)
	put(one, raw, err)
	if strings.Contains(string(raw), id.String()) {
		t.Error("the key is stored in clear text")
	}
	got, err := b.SessionIdentity(ctx, one)
	if err != nil || got.String() != id.String() {
		t.Fatalf("not the key that was stored: %v", err)
	}
	if _, err := b.Identity(ctx, two); !errors.Is(err, ErrErased) || !errors.Is(err, ErrNotFound) {
		t.Errorf("there is none: %v", err)
	}
	put(two, raw, nil)
	if _, err := b.Identity(ctx, two); err == nil {
		t.Error("the key of another session was taken")
	}
	raw, err = WrapErased(ctx, k, one)
	put(one, raw, err)
	if id, err := b.Identity(ctx, one); !errors.Is(err, ErrErased) || errors.Is(err, ErrNotFound) || id != nil {
		t.Errorf("erased: %v, %v", id, err)
	}
	b.SetUnwrapper(keeper(t))
	if _, err := b.Identity(ctx, one); err == nil || errors.Is(err, ErrErased) {
		t.Errorf("with another wrapping key: %v", err)
	}
}

func TestAnAttemptThatFailsForNowIsMadeAgain(t *testing.T) {
	b, err := Open(t.Context(), "mem://")
	if err != nil {
		t.Fatal(err)
	}
	b.pauses = []time.Duration{time.Millisecond, time.Millisecond}
	for name, c := range map[string]struct {
		fails, want int
		err         error
	}{
		"twice":            {fails: 2, want: 3, err: errors.New("connection refused")},
		"always":           {fails: 9, want: 3, err: errors.New("connection refused")},
		"it is not there":  {fails: 9, want: 1, err: ErrNotFound},
		"another is there": {fails: 9, want: 1, err: ErrExists},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			err := b.try(t.Context(), func(context.Context) error {
				if calls++; calls <= c.fails {
					return c.err
				}
				return nil
			})
			if calls != c.want || (err == nil) != (c.fails < c.want) {
				t.Errorf("%d attempts, %v", calls, err)
			}
		})
	}
}
