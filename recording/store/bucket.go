package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"gocloud.dev/blob"
)

// ErrExists is returned by Put for an object that is there already with other content.
var ErrExists = errors.New("store: there is another object of the name")

// ErrLocked is returned by Delete for an object whose retention has not ended.
var ErrLocked = errors.New("store: the object is locked: its retention has not ended")

// ErrTooLarge is returned by Get for an object with more bytes than were asked for.
var ErrTooLarge = errors.New("store: the object is larger than it may be")

// Lock is how the store is asked to keep objects until their time (S3 Object Lock).
type Lock string

// The ways to lock.
const (
	LockNone       Lock = "None"       // whoever may write may also delete
	LockGovernance Lock = "Governance" // who has a permission of its own may delete
	LockCompliance Lock = "Compliance" // nobody may delete
)

// PutOptions say how an object is written. The zero value replaces what is there.
type PutOptions struct {
	// Once writes an object that is never changed: the same bytes again are no error, others are ErrExists.
	Once bool
	// LockUntil is when the object's retention ends, where the bucket locks; zero, it is not locked.
	LockUntil time.Time
}

// backend is what a bucket is asked of a kind of store. Each call is one attempt.
type backend interface {
	// put writes an object whole or not at all, and durably. With once, the error is ErrExists where there is one of the name.
	put(ctx context.Context, name string, data []byte, once bool, lock Lock, until time.Time) error
	open(ctx context.Context, name string) (io.ReadCloser, error)
	list(ctx context.Context, prefix string) iter.Seq2[Object, error]
	// remove deletes an object with all its versions. One that is not there is no error.
	remove(ctx context.Context, name string) error
	// locks returns an error that says why the store cannot lock.
	locks(ctx context.Context) error
	// locked is until when an object is locked; zero, it is not.
	locked(ctx context.Context, name string) (time.Time, error)
	// transient reports whether an error may be gone at the next attempt.
	transient(err error) bool
	close() error
}

// Bucket is a store of objects: a folder, or one of gocloud.dev/blob. It is safe for concurrent use.
type Bucket struct {
	backend   backend
	uri       string // without parameters, ending in /
	lock      Lock
	unwrapper Unwrapper
	attempt   time.Duration   // the most that one attempt takes
	pauses    []time.Duration // between attempts
}

// Each operation is tried again after these pauses, and an attempt may take as long as a large segment over a slow line.
const attemptTime = 30 * time.Second

var pauses = []time.Duration{200 * time.Millisecond, time.Second, 3 * time.Second}

// Create opens a bucket as Open does, and makes the folder if it names one that is not there.
func Create(ctx context.Context, where string) (*Bucket, error) {
	if folder, is, err := folderOf(where); err != nil {
		return nil, err
	} else if is {
		if err := makeFolder(folder); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
	}
	return Open(ctx, where)
}

// folderOf returns the folder that a path or a file URL names.
func folderOf(where string) (folder string, is bool, err error) {
	u, err := url.Parse(where)
	switch {
	case where == "":
		return "", false, errors.New("store: no bucket is named: give a folder or a URL such as s3://name?region=eu-central-1")
	case err != nil:
		return "", false, errors.New("store: the URL of the bucket cannot be read: write it as s3://name?region=eu-central-1") // err quotes it
	case u.Scheme != "" && u.Scheme != "file":
		return "", false, nil
	case u.Scheme == "":
		folder = where
	case u.Host != "" && u.Host != "localhost":
		return "", false, fmt.Errorf("store: file://%s names a host: write file:///path", u.Host)
	default:
		folder = filepath.FromSlash(u.Path)
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return "", false, fmt.Errorf("store: %w", err)
	}
	return folder, true, nil
}

// Open opens a bucket by its URL: a folder's path or file:///path; s3://bucket?region=…, gs://bucket, azblob://container with the
// parameters that gocloud.dev/blob documents, or mem:// for tests.
func Open(ctx context.Context, where string) (*Bucket, error) {
	b := &Bucket{lock: LockNone, attempt: attemptTime, pauses: pauses}
	if folder, is, err := folderOf(where); err != nil || is {
		if err != nil {
			return nil, err
		}
		return b, b.openFolder(folder)
	}
	u, err := url.Parse(where)
	if err != nil {
		return nil, errors.New("store: the URL of the bucket cannot be read")
	}
	cloud, err := blob.OpenBucket(ctx, where)
	if err != nil {
		return nil, fmt.Errorf("store: opening the bucket %s://%s: %w", u.Scheme, u.Host, err)
	}
	b.backend = &objects{bucket: cloud, name: u.Host, prefix: u.Query().Get("prefix")}
	bare := url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/" + u.Query().Get("prefix")}
	b.uri = strings.TrimSuffix(bare.String(), "/") + "/"
	return b, nil
}

func (b *Bucket) openFolder(path string) error {
	f, err := openFolder(path)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	bare := url.URL{Scheme: "file", Path: filepath.ToSlash(path)}
	b.backend, b.uri = f, strings.TrimSuffix(bare.String(), "/")+"/"
	return nil
}

// Close ends the use of the bucket.
func (b *Bucket) Close() error { return b.backend.close() }

// URI names an object or a folder of the bucket, without the parameters by which it was opened.
func (b *Bucket) URI(name string) string { return b.uri + name }

// IsFolder reports whether the bucket is a folder of files.
func (b *Bucket) IsFolder() bool { _, is := b.backend.(*folder); return is }

// SetLock sets how objects with a LockUntil are locked. The error says why this store cannot. It is called before the bucket is
// used.
func (b *Bucket) SetLock(ctx context.Context, lock Lock) error {
	switch lock {
	case LockNone:
	case LockGovernance, LockCompliance:
		ctx, cancel := context.WithTimeout(ctx, b.attempt)
		defer cancel()
		if err := b.backend.locks(ctx); err != nil {
			return fmt.Errorf("store: %s cannot lock objects: %w", b.uri, err)
		}
	default:
		return fmt.Errorf("store: the lock %q is unknown: it is %s, %s or %s", lock, LockNone, LockGovernance, LockCompliance)
	}
	b.lock = lock
	return nil
}

// Put writes an object, whole or not at all. When it returns nil the object is on stable storage.
func (b *Bucket) Put(ctx context.Context, name string, data []byte, o PutOptions) error {
	lock := b.lock
	if o.LockUntil.IsZero() {
		lock = LockNone
	}
	err := b.try(ctx, func(ctx context.Context) error {
		return b.backend.put(ctx, name, data, o.Once, lock, o.LockUntil)
	})
	if !errors.Is(err, ErrExists) {
		return wrap("writing", name, err)
	}
	there, err := b.Get(ctx, name, int64(len(data)))
	switch {
	case errors.Is(err, ErrTooLarge), err == nil && !bytes.Equal(there, data):
		return wrap("writing", name, ErrExists)
	default:
		return err // nil: it is what an earlier attempt has written
	}
}

// Get reads an object of at most limit bytes. The error is ErrNotFound where there is none, ErrTooLarge where there is more.
func (b *Bucket) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	var data []byte
	err := b.try(ctx, func(ctx context.Context) error {
		r, err := b.backend.open(ctx, name)
		if err != nil {
			return err
		}
		data, err = io.ReadAll(io.LimitReader(r, limit+1))
		if err = errors.Join(err, r.Close()); err == nil && int64(len(data)) > limit {
			err = ErrTooLarge
		}
		return err
	})
	if err != nil {
		return nil, wrap("reading", name, err)
	}
	return data, nil
}

// Open reads an object from its beginning. The error is ErrNotFound where there is none.
func (b *Bucket) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := b.backend.open(ctx, name)
	return r, wrap("reading", name, err)
}

// List goes through the objects whose names begin with prefix, in the order of their names.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for o, err := range b.backend.list(ctx, prefix) {
			if !yield(o, wrap("listing", prefix, err)) || err != nil {
				return
			}
		}
	}
}

// Delete deletes an object, with its earlier versions where the store keeps some. The error is ErrLocked where its retention has
// not ended. One that is not there is no error.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	until, err := b.LockedUntil(ctx, name)
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return err
	case until.After(time.Now()):
		return wrap("deleting", name, ErrLocked)
	}
	return wrap("deleting", name, b.try(ctx, func(ctx context.Context) error { return b.backend.remove(ctx, name) }))
}

// LockedUntil is until when an object cannot be deleted; zero, it can.
func (b *Bucket) LockedUntil(ctx context.Context, name string) (until time.Time, err error) {
	err = b.try(ctx, func(ctx context.Context) error {
		until, err = b.backend.locked(ctx, name)
		return err
	})
	return until, wrap("reading", name, err)
}

// try makes attempts until one does not fail for what may pass.
func (b *Bucket) try(ctx context.Context, f func(context.Context) error) error {
	for n := 0; ; n++ {
		attempt, cancel := context.WithTimeout(ctx, b.attempt)
		err := f(attempt)
		cancel()
		if err == nil || ctx.Err() != nil || n == len(b.pauses) || final(err) || !b.backend.transient(err) {
			return err
		}
		timer := time.NewTimer(b.pauses[n])
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

func final(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrExists) || errors.Is(err, ErrLocked) || errors.Is(err, ErrTooLarge)
}

func wrap(doing, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store: %s %s: %w", doing, name, err)
}
