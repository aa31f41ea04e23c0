package recordings

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var pod = Pod{Namespace: "shop", UID: "6d1c0a52-0000-4000-8000-000000000001"}

func open(t *testing.T, folder string, limits Limits) *Store {
	t.Helper()
	s, err := Open(folder, limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func ship(t *testing.T, s *Store, c Chunk) Ack {
	t.Helper()
	ack, err := s.Append(pod, c)
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

func sum(data string) []byte {
	h := sha256.Sum256([]byte(data))
	return h[:]
}

func TestAFileIsThereWhenItsDigestIsAsTold(t *testing.T) {
	folder := t.TempDir()
	s := open(t, folder, Limits{})
	if ack := ship(t, s, Chunk{ID: "a.twr", Data: []byte("one ")}); ack != (Ack{Size: 4}) {
		t.Errorf("first: %+v", ack)
	}
	if s.Has(pod, "a.twr") {
		t.Error("it counts as complete already")
	}
	if ack := ship(t, s, Chunk{ID: "a.twr", Offset: 4, Data: []byte("two"), Complete: true, SHA256: sum("one two")}); ack != (Ack{Size: 7, Complete: true}) {
		t.Errorf("last: %+v", ack)
	}
	name, ok := strings.CutPrefix(s.URI(pod, "a.twr"), "file://")
	got, err := os.ReadFile(name)
	if !ok || err != nil || string(got) != "one two" {
		t.Errorf("%q, %v", got, err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
	// The sidecar did not hear the answer, and says it again.
	if ack := ship(t, s, Chunk{ID: "a.twr", Offset: 4, Data: []byte("two"), Complete: true, SHA256: sum("one two")}); !ack.Complete {
		t.Errorf("repeated: %+v", ack)
	}
	if ack := ship(t, s, Chunk{ID: "a.twr", Data: []byte("x"), Complete: true, SHA256: sum("x")}); ack.Rejected != RejectedExists {
		t.Errorf("another file of the name: %+v", ack)
	}
}

func TestShippingGoesOnWhereItStopped(t *testing.T) {
	folder := t.TempDir()
	s := open(t, folder, Limits{})
	ship(t, s, Chunk{ID: "a", Data: []byte("0123")})
	s.Close()
	s = open(t, folder, Limits{}) // the operator was restarted
	if ack := ship(t, s, Chunk{ID: "a", Offset: 8, Data: []byte("89")}); ack != (Ack{Size: 4}) {
		t.Errorf("a gap: %+v", ack)
	}
	if ack := ship(t, s, Chunk{ID: "a", Offset: 0, Data: []byte("01")}); ack != (Ack{Size: 4}) {
		t.Errorf("again: %+v", ack)
	}
	// The last chunk counts as the end only where it fits.
	if ack := ship(t, s, Chunk{ID: "a", Offset: 2, Data: []byte("2345"), Complete: true, SHA256: sum("012345")}); ack != (Ack{Size: 4}) {
		t.Errorf("an overlap: %+v", ack)
	}
	if ack := ship(t, s, Chunk{ID: "a", Offset: 4, Data: []byte("45"), Complete: true, SHA256: sum("012345")}); !ack.Complete {
		t.Errorf("the rest: %+v", ack)
	}
}

func TestAnAlteredFileIsNotTaken(t *testing.T) {
	s := open(t, t.TempDir(), Limits{Pod: 8})
	if ack := ship(t, s, Chunk{ID: "a", Data: []byte("altered!"), Complete: true, SHA256: sum("original")}); ack.Rejected != RejectedDigest || ack.Complete {
		t.Errorf("%+v", ack)
	}
	if s.Has(pod, "a") {
		t.Error("it is there")
	}
	// Its room is free again.
	if ack := ship(t, s, Chunk{ID: "a", Data: []byte("original"), Complete: true, SHA256: sum("original")}); !ack.Complete {
		t.Errorf("%+v", ack)
	}
}

func TestNoNameLeadsOutOfTheFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "recordings")
	s := open(t, folder, Limits{})
	for _, id := range []string{"", ".", "..", "../x", "a/b", "/etc/x", ".partial", ".hidden", "A", "a\x00", `a\b`, "é", strings.Repeat("a", 129)} {
		if ack := ship(t, s, Chunk{ID: id, Data: []byte("x")}); ack.Rejected != RejectedName {
			t.Errorf("%q: %+v", id, ack)
		}
	}
	for _, p := range []Pod{{"..", "x"}, {"shop", ".."}, {"shop", ""}, {"a/b", "x"}, {"shop", ".partial"}} {
		ack, err := s.Append(p, Chunk{ID: "a", Data: []byte("x")})
		if err != nil || ack.Rejected != RejectedName {
			t.Errorf("%+v: %+v, %v", p, ack, err)
		}
	}
	// A link that somebody put there is not followed out of it.
	outside := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, "shop"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(folder, "shop", "linked")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(Pod{"shop", "linked"}, Chunk{ID: "a", Data: []byte("x")}); err == nil {
		t.Error("a link was followed")
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("written outside: %v", left)
	}
}

func TestNobodyFillsTheDisk(t *testing.T) {
	folder := t.TempDir()
	limits := Limits{File: 10, Pod: 15, Total: 20, Files: 3}
	s := open(t, folder, limits)
	ten := bytes.Repeat([]byte("x"), 10)
	if ack := ship(t, s, Chunk{ID: "big", Data: append(ten, 'x')}); ack.Rejected != RejectedFileSize {
		t.Errorf("a large file: %+v", ack)
	}
	ship(t, s, Chunk{ID: "a", Data: ten})
	if ack := ship(t, s, Chunk{ID: "a", Offset: 10, Data: []byte("x")}); ack.Rejected != RejectedFileSize || ack.Size != 10 {
		t.Errorf("a file that grows: %+v", ack)
	}
	if ack := ship(t, s, Chunk{ID: "b", Data: ten}); ack.Rejected != RejectedPodFull {
		t.Errorf("a pod with much: %+v", ack)
	}
	s.Close()
	s = open(t, folder, limits) // what is there counts after a restart, too
	other := Pod{"shop", "other"}
	if ack, err := s.Append(other, Chunk{ID: "a", Data: ten}); err != nil || ack.Size != 10 {
		t.Errorf("another pod: %+v, %v", ack, err)
	}
	if ack, _ := s.Append(Pod{"shop", "third"}, Chunk{ID: "a", Data: []byte("x")}); ack.Rejected != RejectedStoreFull {
		t.Errorf("a full store: %+v", ack)
	}
	ship(t, s, Chunk{ID: "c"})
	ship(t, s, Chunk{ID: "d"})
	if ack := ship(t, s, Chunk{ID: "e"}); ack.Rejected != RejectedPodFull {
		t.Errorf("many empty files: %+v", ack)
	}
	if ack := ship(t, s, Chunk{ID: "f", Data: make([]byte, MaxChunk+1)}); ack.Rejected != RejectedChunk {
		t.Errorf("a large chunk: %+v", ack)
	}
}
