package verify

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/tidewaiter/tidewaiter/recording/audit"
)

// Memory is where this machine keeps the last checkpoint that it has seen of each log: a log that is rolled back or forked later
// shows against it, whoever did it.
type Memory struct{ Folder string }

// file is that of a log's key: the name of the log is the operator's to choose.
func (m Memory) file(logKey string) string {
	origin, _, _ := strings.Cut(logKey, "+")
	sum := sha256.Sum256([]byte(logKey))
	name := url.PathEscape(origin)
	return filepath.Join(m.Folder, name[:min(len(name), 100)]+"-"+hex.EncodeToString(sum[:6]))
}

// View returns the checkpoint that was seen last; nil where none was.
func (m Memory) View(logKey string) (*audit.View, error) {
	f, err := os.Open(m.file(logKey))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the checkpoint that was seen last: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, audit.MaxCheckpoint+1))
	if err != nil {
		return nil, fmt.Errorf("the checkpoint that was seen last: %w", err)
	}
	return &audit.View{Name: "this machine's memory (" + f.Name() + ")", Note: b}, nil
}

// Keep remembers a checkpoint that was verified. It never goes back to a smaller one, which another run may have replaced.
func (m Memory) Keep(logKey string, checkpoint []byte) error {
	next, err := audit.OpenCheckpoint(logKey, checkpoint)
	if err != nil {
		return err
	}
	if last, err := m.View(logKey); err != nil {
		return err
	} else if last != nil {
		was, err := audit.OpenCheckpoint(logKey, last.Note)
		if err != nil || was.Size >= next.Size {
			return err
		}
	}
	if err := os.MkdirAll(m.Folder, 0o700); err != nil {
		return fmt.Errorf("remembering the checkpoint: %w", err)
	}
	f, err := os.CreateTemp(m.Folder, ".new-*")
	if err != nil {
		return fmt.Errorf("remembering the checkpoint: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // where it was not renamed; a file that stays is no checkpoint
	_, err = f.Write(checkpoint)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), m.file(logKey))
	}
	if err != nil {
		return fmt.Errorf("remembering the checkpoint: %w", err)
	}
	return nil
}
