package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
)

// unsigned returns a bundle without its signatures.
func unsigned(t *testing.T, raw []byte) []byte {
	return rewritten(t, raw, func(name string, content []byte) []byte {
		if strings.HasSuffix(name, ".signatures.json") {
			return nil
		}
		return content
	})
}

// altered returns a bundle in which the data allow something else.
func altered(t *testing.T, raw []byte) []byte {
	return rewritten(t, raw, func(name string, content []byte) []byte {
		if !strings.HasSuffix(name, "data.json") {
			return content
		}
		changed := bytes.Replace(content, []byte("Select"), []byte("Delete"), 1)
		if bytes.Equal(changed, content) {
			t.Fatal("nothing was altered")
		}
		return changed
	})
}

// rewritten returns a tar.gz with its files changed; nil leaves one out.
func rewritten(t *testing.T, raw []byte, change func(name string, content []byte) []byte) []byte {
	t.Helper()
	in, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if content = change(h.Name, content); content == nil {
			continue
		}
		h.Size = int64(len(content))
		if err := errors.Join(w.WriteHeader(h), write(w, content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func write(w io.Writer, b []byte) error {
	_, err := w.Write(b)
	return err
}
