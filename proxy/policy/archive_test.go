package policy_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
)

// What somebody on the way could do to a bundle.

func replaced(t *testing.T, bundle []byte, name, old, by string) []byte {
	t.Helper()
	return rewritten(t, bundle, func(file string, content []byte) ([]byte, bool) {
		if file == name {
			changed := bytes.ReplaceAll(content, []byte(old), []byte(by))
			if bytes.Equal(changed, content) {
				t.Fatalf("%s holds no %q", name, old)
			}
			content = changed
		}
		return content, true
	})
}

func withoutFile(t *testing.T, bundle []byte, suffix string) []byte {
	t.Helper()
	return rewritten(t, bundle, func(file string, content []byte) ([]byte, bool) {
		return content, !strings.HasSuffix(file, suffix)
	})
}

func withFile(t *testing.T, bundle []byte, name, content string) []byte {
	t.Helper()
	return rewritten(t, bundle, func(_ string, c []byte) ([]byte, bool) { return c, true }, name, content)
}

func rewritten(t *testing.T, bundle []byte, change func(string, []byte) ([]byte, bool), add ...string) []byte {
	t.Helper()
	unzip, err := gzip.NewReader(bytes.NewReader(bundle))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	to := tar.NewWriter(zip)
	put := func(name string, content []byte) {
		header := &tar.Header{Name: name, Mode: 0o600, Typeflag: tar.TypeReg, Size: int64(len(content))}
		if err := to.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := to.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	for from := tar.NewReader(unzip); ; {
		header, err := from.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(from)
		if err != nil {
			t.Fatal(err)
		}
		if content, keep := change(header.Name, content); keep {
			put(header.Name, content)
		}
	}
	if len(add) == 2 {
		put(add[0], []byte(add[1]))
	}
	if err := errors.Join(to.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
