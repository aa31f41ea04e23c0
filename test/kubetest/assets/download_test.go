package assets

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The index and the archive are ours; setup-envtest is the real one.
func TestWhatSetupEnvtestDeliversIsFound(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	c := clone(t)
	name := fmt.Sprintf("envtest-v1.37.0-%s-%s.tar.gz", runtime.GOOS, runtime.GOARCH)
	archive := archiveOf(t, Programs...)
	server := httptest.NewServer(nil)
	defer server.Close()
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/index" {
			_, _ = w.Write(archive)
			return
		}
		fmt.Fprintf(w, "releases:\n  v1.37.0:\n    %s:\n      hash: %x\n      selfLink: %s/%s\n", name, sha512.Sum512(archive), server.URL, name)
	})
	c.root, c.index = root, server.URL+"/index" // the tools are those of the real clone
	var told strings.Builder
	dir, err := c.download(t.Context(), &told)
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(c.downloads(), "k8s", "1.37.0-"+runtime.GOOS+"-"+runtime.GOARCH)
	if dir != want || c.find() != want || !strings.Contains(told.String(), "downloading") {
		t.Errorf("got %q, found is %q, want %q; told %q", dir, c.find(), want, told.String())
	}
}

func TestWhatIsNotOfferedIsBuilt(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	c := clone(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "releases: {}\n")
	}))
	defer server.Close()
	c.root, c.index = root, server.URL
	if dir, err := c.download(t.Context(), io.Discard); err == nil || dir != "" || c.find() != "" {
		t.Errorf("got %q, %v", dir, err)
	}
}

func archiveOf(t *testing.T, programs ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	files := tar.NewWriter(zip)
	for _, name := range programs {
		const content = "#!/bin/sh\n"
		header := &tar.Header{Name: "controller-tools/envtest/" + name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}
		if err := files.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(files, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
