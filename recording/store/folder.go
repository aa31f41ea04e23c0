package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// temporary is what the names of files begin with that are not whole yet. No object has such a name.
const temporary = ".writing-"

// folder is a bucket of files. What put has written survives a power cut: the file is synced, and so is every folder that got
// a new name. gocloud.dev's own folders are not. Links are not followed out of it.
type folder struct {
	root *os.Root

	mu     sync.Mutex
	synced map[string]bool // folders whose own names this process has synced, or seen synced; at most maxSynced
}

const maxSynced = 8192

func openFolder(path string) (*folder, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &folder{root: root, synced: map[string]bool{}}, nil
}

// makeFolder makes a folder if it is not there, so that it survives a power cut.
func makeFolder(path string) error {
	var changed []string
	for dir := path; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		changed = append(changed, filepath.Dir(dir))
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	for _, dir := range changed {
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// checkName refuses what is no name of an object.
func checkName(name string) error {
	if !fs.ValidPath(name) || name == "." || slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool { return strings.HasPrefix(part, temporary) }) {
		return fmt.Errorf("%q is no name of an object", name)
	}
	return nil
}

func (f *folder) put(_ context.Context, name string, data []byte, once bool, lock Lock, _ time.Time) (err error) {
	if err := checkName(name); err != nil {
		return err
	}
	if lock != LockNone {
		return errors.New("a folder cannot lock files")
	}
	dir := path.Dir(name)
	if err := f.mkdir(dir); err != nil {
		return err
	}
	temp := path.Join(dir, temporary+rand.Text())
	if err := f.write(temp, data); err != nil {
		_ = f.root.Remove(temp) // it was not whole
		return err
	}
	if once { // a link, other than a new name, does not replace
		err = errors.Join(f.root.Link(temp, name), f.root.Remove(temp))
	} else if err = f.root.Rename(temp, name); err != nil {
		_ = f.root.Remove(temp)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		// Whoever wrote it may not have come to sync the folder.
		if err := f.sync(dir); err != nil {
			return err
		}
		return ErrExists
	case err != nil:
		return err
	}
	return f.sync(dir)
}

// mkdir makes the folders that are missing, and syncs their names: also those of folders that are there, once, as the process
// that made one may have died before it came to that.
func (f *folder) mkdir(dir string) error {
	if dir == "." {
		return nil
	}
	_, err := f.root.Stat(dir)
	if err == nil && f.isSynced(dir) {
		return nil
	}
	if err := f.mkdir(path.Dir(dir)); err != nil {
		return err
	}
	if err := f.root.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := f.sync(path.Dir(dir)); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.synced) >= maxSynced {
		clear(f.synced)
	}
	f.synced[dir] = true
	return nil
}

func (f *folder) isSynced(dir string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.synced[dir]
}

func (f *folder) write(name string, data []byte) error {
	w, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return errors.Join(err, w.Close())
	}
	return errors.Join(w.Sync(), w.Close())
}

func (f *folder) sync(dir string) error {
	d, err := f.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (f *folder) open(_ context.Context, name string) (io.ReadCloser, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	r, err := f.root.Open(name)
	if err != nil {
		return nil, notFound(err)
	}
	if info, err := r.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(ErrNotFound, err, r.Close())
	}
	return r, nil
}

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotFound
	}
	return err
}

func (f *folder) list(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		dir := "."
		if at := strings.LastIndexByte(prefix, '/'); at >= 0 {
			dir = path.Clean(prefix[:at])
		}
		if !fs.ValidPath(dir) {
			yield(Object{}, fmt.Errorf("%q begins no name of an object", prefix))
			return
		}
		f.walk(ctx, dir, prefix, yield)
	}
}

// walk goes through a folder, and reports whether to go on.
func (f *folder) walk(ctx context.Context, dir, prefix string, yield func(Object, error) bool) bool {
	entries, err := fs.ReadDir(f.root.FS(), dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err = errors.Join(err, ctx.Err()); err != nil {
		yield(Object{}, err)
		return false
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(sortKey(a), sortKey(b)) })
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), temporary):
		case e.IsDir():
			inside := name + "/"
			if (strings.HasPrefix(inside, prefix) || strings.HasPrefix(prefix, inside)) && !f.walk(ctx, name, prefix, yield) {
				return false
			}
		case e.Type().IsRegular() && strings.HasPrefix(name, prefix):
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // deleted meanwhile
			}
			if err != nil {
				yield(Object{}, err)
				return false
			}
			if !yield(Object{Name: name, Size: info.Size(), Time: info.ModTime()}, nil) {
				return false
			}
		}
	}
	return true
}

// sortKey orders a folder's entries as the whole names are ordered: those in a folder go on with a slash.
func sortKey(e fs.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return e.Name()
}

func (f *folder) remove(_ context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := f.root.Remove(name); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	dir := path.Dir(name)
	if err := f.sync(dir); err != nil {
		return err
	}
	for dir != "." && f.removeEmpty(dir) { // of what is empty now nothing is kept
		dir = path.Dir(dir)
	}
	return nil
}

// removeEmpty says whether the folder was empty, and is gone.
func (f *folder) removeEmpty(dir string) bool {
	f.mu.Lock()
	delete(f.synced, dir)
	f.mu.Unlock()
	return f.root.Remove(dir) == nil
}

func (f *folder) locks(context.Context) error {
	return errors.New("it is a folder: give --recordings a bucket with S3 Object Lock, or set --recordings-lock=None")
}

func (f *folder) locked(context.Context, string) (time.Time, error) { return time.Time{}, nil }

// transient is true only where a folder was removed, being empty, while something was to be put into it: what a disk says
// otherwise it says again.
func (f *folder) transient(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func (f *folder) close() error { return f.root.Close() }
