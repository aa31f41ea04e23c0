package recordings

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sync"
)

// Limits of a Store, in bytes. What is left out has a default.
type Limits struct {
	File  int64 // 1 GiB
	Pod   int64 // 4 GiB
	Total int64 // 64 GiB
	// Files a pod may have: 10,000.
	Files int
}

// MaxChunk is the most data that one chunk may have.
const MaxChunk = 256 << 10

// Reasons why a file is not taken. The sidecar keeps it then.
const (
	RejectedName      = "BadName"
	RejectedChunk     = "ChunkTooLarge"
	RejectedFileSize  = "FileTooLarge"
	RejectedPodFull   = "PodFull"
	RejectedStoreFull = "StoreFull"
	RejectedDigest    = "DigestMismatch"
	RejectedExists    = "ExistsAlready"
)

const (
	partial   = ".partial"
	extension = ".twr" // by which people and the plugin know a recording
)

// Pod whose recordings they are, as the operator knows it.
type Pod struct{ Namespace, UID string }

// Chunk is a part of a recording.
type Chunk struct {
	ID       string
	Offset   uint64
	Data     []byte
	Complete bool
	SHA256   []byte
}

// Ack says how much is on stable storage.
type Ack struct {
	Size     uint64
	Complete bool
	Rejected string
}

// Store keeps recordings. It is safe for concurrent use.
type Store struct {
	root   *os.Root
	folder string
	limits Limits
	locks  [64]sync.Mutex // by pod

	mu    sync.Mutex
	total int64
	pods  map[Pod]*usage
}

type usage struct {
	bytes int64
	files int
}

var (
	idPattern  = regexp.MustCompile(`^[a-z0-9-][a-z0-9.-]{0,127}$`)
	dirPattern = regexp.MustCompile(`^[a-zA-Z0-9-]{1,64}$`)
)

// Open opens the folder, makes it if need be, and counts what is in it.
func Open(folder string, limits Limits) (*Store, error) {
	limits.File, limits.Pod = cmp.Or(limits.File, 1<<30), cmp.Or(limits.Pod, 4<<30)
	limits.Total, limits.Files = cmp.Or(limits.Total, 64<<30), cmp.Or(limits.Files, 10000)
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, fmt.Errorf("recordings: %w", err)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("recordings: %w", err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("recordings: %w", err)
	}
	s := &Store{root: root, folder: folder, limits: limits, pods: map[Pod]*usage{}}
	if err := s.count(); err != nil {
		_ = root.Close() // nothing was written
		return nil, fmt.Errorf("recordings: counting %s: %w", folder, err)
	}
	return s, nil
}

// Close closes the folder.
func (s *Store) Close() error { return s.root.Close() }

func (s *Store) count() error {
	return fs.WalkDir(s.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		uid := path.Dir(name)
		if path.Base(uid) == partial {
			uid = path.Dir(uid)
		}
		pod := Pod{Namespace: path.Dir(uid), UID: path.Base(uid)}
		if s.pods[pod] == nil {
			s.pods[pod] = &usage{}
		}
		s.pods[pod].bytes += info.Size()
		s.pods[pod].files++
		s.total += info.Size()
		return nil
	})
}

// URI of a complete recording.
func (s *Store) URI(pod Pod, id string) string {
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(s.folder, pod.Namespace, pod.UID, id+extension))}
	return u.String()
}

// Has reports whether the recording is complete.
func (s *Store) Has(pod Pod, id string) bool {
	if !valid(pod, id) {
		return false
	}
	_, err := s.root.Stat(path.Join(pod.Namespace, pod.UID, id+extension))
	return err == nil
}

func valid(pod Pod, id string) bool {
	return dirPattern.MatchString(pod.Namespace) && dirPattern.MatchString(pod.UID) && idPattern.MatchString(id)
}

// Append takes a chunk. A chunk that does not begin where the file ends is not
// written; the Ack says where to go on. An error is the store's own trouble: the
// sidecar may try again.
func (s *Store) Append(pod Pod, c Chunk) (Ack, error) {
	if !valid(pod, c.ID) {
		return Ack{Rejected: RejectedName}, nil
	}
	if len(c.Data) > MaxChunk {
		return Ack{Rejected: RejectedChunk}, nil
	}
	lock := s.lock(pod)
	lock.Lock()
	defer lock.Unlock()
	dir := path.Join(pod.Namespace, pod.UID)
	final, part := path.Join(dir, c.ID+extension), path.Join(dir, partial, c.ID)
	if info, err := s.root.Stat(final); err == nil {
		return s.repeated(final, info.Size(), c)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return Ack{}, err
	}
	if err := s.root.MkdirAll(path.Dir(part), 0o700); err != nil {
		return Ack{}, err
	}
	size, rejected, err := s.write(pod, part, c)
	if err != nil || rejected != "" {
		return Ack{Size: size, Rejected: rejected}, err
	}
	if !c.Complete || c.Offset+uint64(len(c.Data)) != size {
		return Ack{Size: size}, nil
	}
	return s.complete(pod, part, final, size, c.SHA256)
}

func (s *Store) lock(pod Pod) *sync.Mutex {
	h := fnv.New32a()
	h.Write([]byte(pod.Namespace + "/" + pod.UID))
	return &s.locks[h.Sum32()%uint32(len(s.locks))]
}

// repeated answers for a file that is complete: the sidecar may not have heard.
func (s *Store) repeated(final string, size int64, c Chunk) (Ack, error) {
	if !c.Complete {
		return Ack{Size: uint64(size)}, nil
	}
	sum, err := s.digest(final)
	if err != nil {
		return Ack{}, err
	}
	if !bytes.Equal(sum, c.SHA256) {
		return Ack{Size: uint64(size), Rejected: RejectedExists}, nil
	}
	return Ack{Size: uint64(size), Complete: true}, nil
}

// write appends to the file if the chunk fits, and returns how much is stored.
func (s *Store) write(pod Pod, part string, c Chunk) (size uint64, rejected string, err error) {
	created := false
	info, err := s.root.Stat(part)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		created = true
	case err != nil:
		return 0, "", err
	default:
		size = uint64(info.Size())
	}
	if c.Offset != size {
		return size, "", nil
	}
	if rejected := s.reserve(pod, size, int64(len(c.Data)), created); rejected != "" {
		return size, rejected, nil
	}
	f, err := s.root.OpenFile(part, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		s.release(pod, int64(len(c.Data)), created)
		return size, "", err
	}
	n, err := f.Write(c.Data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	s.release(pod, int64(len(c.Data)-n), false)
	return size + uint64(n), "", err
}

// reserve counts what is about to be written, or says why it may not be.
func (s *Store) reserve(pod Pod, size uint64, n int64, created bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.pods[pod]
	if u == nil {
		u = &usage{}
		s.pods[pod] = u
	}
	switch {
	case size+uint64(n) > uint64(s.limits.File):
		return RejectedFileSize
	case u.bytes+n > s.limits.Pod || (created && u.files >= s.limits.Files):
		return RejectedPodFull
	case s.total+n > s.limits.Total:
		return RejectedStoreFull
	}
	u.bytes += n
	s.total += n
	if created {
		u.files++
	}
	return ""
}

func (s *Store) release(pod Pod, n int64, file bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total -= n
	if u := s.pods[pod]; u != nil {
		u.bytes -= n
		if file {
			u.files--
		}
	}
}

// complete checks the digest and gives the file its name.
func (s *Store) complete(pod Pod, part, final string, size uint64, want []byte) (Ack, error) {
	sum, err := s.digest(part)
	if err != nil {
		return Ack{}, err
	}
	if !bytes.Equal(sum, want) {
		if err := s.root.Remove(part); err != nil {
			return Ack{}, err
		}
		s.release(pod, int64(size), true)
		return Ack{Rejected: RejectedDigest}, nil
	}
	if err := s.root.Rename(part, final); err != nil {
		return Ack{}, err
	}
	for _, dir := range []string{path.Dir(final), path.Dir(path.Dir(final)), "."} { // the names, too, are stored
		if err := s.sync(dir); err != nil {
			return Ack{}, err
		}
	}
	return Ack{Size: size, Complete: true}, nil
}

func (s *Store) sync(dir string) error {
	d, err := s.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (s *Store) digest(name string) ([]byte, error) {
	f, err := s.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}
