package assets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// clone makes a folder that looks like a clone of the repository, with an empty cache, and works in it.
func clone(t *testing.T) *cache {
	t.Helper()
	for _, name := range []string{"GOCACHE", "GOMODCACHE"} { // which would go with HOME
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv(name, strings.TrimSpace(string(value)))
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), module+"\ngo 1.26.0\n")
	write(t, filepath.Join(dir, "hack/kube/go.mod"), "module somewhere\n\nrequire (\n\tk8s.io/kubernetes v1.37.2\n)\n")
	write(t, filepath.Join(dir, "hack/kube/go.sum"), "")
	write(t, filepath.Join(dir, "hack/kube/main.go"), "package main\n")
	t.Chdir(dir)
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	t.Setenv(Variable, "")
	return newest(t)
}

func newest(t *testing.T) *cache {
	t.Helper()
	c, err := newCache()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

func fill(t *testing.T, dir string, programs ...string) {
	t.Helper()
	for _, name := range programs {
		write(t, filepath.Join(dir, name), "#!/bin/sh\n")
	}
}

func TestWhereNothingIsThereTheErrorSaysHowToGetIt(t *testing.T) {
	clone(t)
	if dir, err := Find(); !errors.Is(err, ErrMissing) || dir != "" || !strings.Contains(err.Error(), "make kube-assets") {
		t.Errorf("got %q, %v", dir, err)
	}
}

func TestTheVariableIsStrongerThanWhatWasBuilt(t *testing.T) {
	c := clone(t)
	fill(t, c.built, Programs...)
	dir := t.TempDir()
	fill(t, dir, Programs...)
	t.Setenv(Variable, dir)
	if got, err := Find(); got != dir || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAVariableForAnIncompleteFolderIsAnErrorForTestsAndToldWhenGetting(t *testing.T) {
	c := clone(t)
	fill(t, c.built, Programs...)
	dir := t.TempDir()
	fill(t, dir, "etcd")
	write(t, filepath.Join(dir, "kubectl"), "")
	if err := os.Chmod(filepath.Join(dir, "kubectl"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv(Variable, dir)
	want := "KUBEBUILDER_ASSETS is " + dir + ", which lacks kube-apiserver, kubectl: unset it, or set it to what this prints: make -s kube-assets"
	if got, err := Find(); err == nil || err.Error() != want || got != "" {
		t.Errorf("got %q, %v, want %s", got, err, want)
	}
	var told strings.Builder
	got, err := Get(t.Context(), &told)
	if err != nil || got != c.built || !strings.Contains(told.String(), want) {
		t.Errorf("got %q, %v; told %q", got, err, told.String())
	}
}

func TestABuildIsFoundUntilItsSourceChanges(t *testing.T) {
	c := clone(t)
	fill(t, c.built, Programs...)
	if got, err := Find(); got != c.built || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	write(t, "hack/kube/main.go", "package main // changed\n")
	if got, err := Find(); !errors.Is(err, ErrMissing) {
		t.Errorf("after a change: got %q, %v", got, err)
	}
}

func TestADownloadOfTheSameMinorVersionIsFound(t *testing.T) {
	c := clone(t)
	platform := "-" + runtime.GOOS + "-" + runtime.GOARCH
	fill(t, filepath.Join(c.downloads(), "k8s", "1.36.9"+platform), Programs...)
	if got, err := Find(); !errors.Is(err, ErrMissing) {
		t.Errorf("an older one: got %q, %v", got, err)
	}
	want := filepath.Join(c.downloads(), "k8s", "1.37.0"+platform)
	fill(t, want, Programs...)
	if got, err := Find(); got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestTheRootIsFoundFromAnyFolderBelowIt(t *testing.T) {
	c := clone(t)
	t.Chdir("hack/kube") // which has a go.mod of its own
	root, err := Root()
	if err != nil || !sameFile(t, root, c.root) {
		t.Errorf("got %q, %v, want %q", root, err, c.root)
	}
	t.Chdir(t.TempDir())
	if root, err := Root(); err == nil {
		t.Errorf("outside of a clone: %q", root)
	}
}

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	first, errA := os.Stat(a)
	second, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(first, second)
}

func TestWhoComesSecondWaitsAndTakesWhatTheFirstMade(t *testing.T) {
	c := clone(t)
	unlock, err := c.lock(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	reader, told := io.Pipe()
	type answer struct {
		dir string
		err error
	}
	second := make(chan answer)
	go func() {
		dir, err := Get(t.Context(), told)
		second <- answer{dir, err}
	}()
	line := make([]byte, 200)
	n, err := reader.Read(line)
	if err != nil || !strings.Contains(string(line[:n]), "waiting for it") {
		t.Errorf("the second is told %q, %v", line[:n], err)
	}
	fill(t, c.built, Programs...)
	unlock()
	if got := <-second; got.dir != c.built || got.err != nil {
		t.Errorf("the second gets %+v", got)
	}
}

func TestWhoWaitsCanBeInterrupted(t *testing.T) {
	c := clone(t)
	unlock, err := c.lock(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := c.lock(ctx, io.Discard); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestABuildThatFailsSaysWhyAndLeavesNothingHalf(t *testing.T) {
	c := clone(t)
	write(t, "hack/kube/go.mod", "module somewhere\n\ngo 1.26.0\n") // with nothing to fetch
	write(t, "hack/kube/main.go", "package main\n\nfunc main() { undefined() }\n")
	abandoned := filepath.Join(c.dir, "new-1")
	fill(t, abandoned, "etcd")
	dir, err := c.build(t.Context(), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "undefined: undefined") || dir != "" {
		t.Errorf("got %q, %v", dir, err)
	}
	if left, _ := filepath.Glob(filepath.Join(c.dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestABuildIsOneProgramByItsThreeNames(t *testing.T) {
	c := clone(t)
	write(t, "hack/kube/go.mod", "module somewhere\n\ngo 1.26.0\n")
	write(t, "hack/kube/main.go", "package main\n\nfunc main() {}\n")
	var told strings.Builder
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := c.build(t.Context(), &told)
	if err != nil || dir != c.built || c.find() != dir {
		t.Fatalf("got %q, %v; found is %q", dir, err, c.find())
	}
	old := filepath.Join(c.dir, "v1.30.0-0")
	for i := range maxBuilds {
		other := filepath.Join(c.dir, fmt.Sprintf("v1.30.0-%d", i))
		fill(t, other, "etcd")
		if err := os.Chtimes(other, time.Time{}, time.Now().Add(time.Duration(i-100)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.removeOld(); err != nil || c.find() != dir {
		t.Errorf("removing the oldest: %v; found is %q", err, c.find())
	}
	if left, _ := filepath.Glob(filepath.Join(c.dir, "v*")); len(left) != maxBuilds || slices.Contains(left, old) {
		t.Errorf("left are %q", left)
	}
	if text := told.String(); !strings.Contains(text, "building etcd, kube-apiserver and kubectl v1.37.2") || !strings.Contains(text, "packages compiled") {
		t.Errorf("told: %s", text)
	}
}

func TestTheSameVersionIsBuiltTheSameWay(t *testing.T) {
	want := strings.Join(buildArguments("v1.37.2"), " ")
	for range 20 {
		if got := strings.Join(buildArguments("v1.37.2"), " "); got != want {
			t.Fatalf("got %s, before %s", got, want)
		}
	}
	if !strings.Contains(want, "version.gitVersion=v1.37.2 ") || !strings.Contains(want, "version.gitMinor=37 ") {
		t.Error(want)
	}
}
