package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// Root may read everything, so the command and what runs behind it are somebody else here.
func TestTheCommandCannotReadTheEnvironmentOfTheProxy(t *testing.T) {
	file, _ := shop(t)
	dir, err := os.MkdirTemp("", "tidewaiter-memory-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	binary, manifests := filepath.Join(dir, "kubectl-tidewaiter"), filepath.Join(dir, "shop.yaml")
	copyFile(t, os.Args[0], binary)
	copyFile(t, file, manifests)
	for _, path := range []string{dir, binary, manifests} {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	const read = "cat /proc/$PPID/environ; echo; cat /proc/self/environ | tr '\\0' '\\n' | grep PGHOST; true"
	cmd := exec.Command(binary, "local", "-q", "-f", manifests, "--recordings", dir, "--credentials-from-env", "--", "sh", "-c", read)
	cmd.Env = append(os.Environ(), asCommand+"=1", userVariable+"=u", passwordVariable+"="+password)
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, dir
	process, err := postgrestest.StartProcess(cmd)
	if err != nil {
		t.Fatal(err)
	}
	<-process.Done()
	said, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	if process.Err() != nil || strings.Contains(string(said), password) {
		t.Errorf("%v; the command read: %s", process.Err(), said)
	}
	if !strings.Contains(string(said), "Permission denied") || !strings.Contains(string(said), "PGHOST=127.0.0.1") {
		t.Errorf("want one environment refused and one read, got: %s", said)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
