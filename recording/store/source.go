package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"time"

	"filippo.io/age"
)

// ErrNotFound is returned for an object that is not there.
var ErrNotFound = fmt.Errorf("store: there is no such object: %w", fs.ErrNotExist)

// ErrErased is returned for the key of a session that was erased: it was there once, or is not any more.
var ErrErased = errors.New("store: the session was erased: its key is gone, and its content cannot be read any more")

// Object is one that a Source lists.
type Object struct {
	Name string
	Size int64
	Time time.Time // of its last change
}

// Source is a bucket as auditors read it: the bucket itself, a folder of files from one, or the operator that answers for it.
// It is safe for concurrent use.
type Source interface {
	// Open reads an object from its beginning. The error is ErrNotFound where there is none.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// List goes through the objects whose names begin with prefix, in the order of their names.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]
	// Identity returns the key that the session's segments are encrypted to; nil where they are not. The error is ErrErased
	// where it was deleted.
	Identity(ctx context.Context, s Session) (age.Identity, error)
}
