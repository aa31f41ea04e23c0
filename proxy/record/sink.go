package record

import (
	"io"
	"os"
	"path/filepath"
)

// sink is where a recording goes: a file, or in tests one that fails.
type sink interface {
	io.WriteCloser
	// Sync makes what was written survive a loss of power.
	Sync() error
	// SyncName does the same for the file's entry in its folder.
	SyncName() error
}

type diskFile struct{ *os.File }

// createFile makes the file at path and fails if there is one already: nobody
// else's file or link is ever written to.
func createFile(path string) (sink, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

func (f diskFile) Sync() error { return datasync(f.File) }

func (f diskFile) SyncName() error {
	dir, err := os.Open(filepath.Dir(f.Name()))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
