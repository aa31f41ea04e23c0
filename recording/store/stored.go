package store

import (
	"context"
	"io"
)

// Stored is what a Source has beside, where its Open does not give segments as they are stored: the operator decrypts them for
// who reads through it. Digests of what is stored, as leaves of the log have them, are of what OpenStored gives. A Source without it
// gives that by Open.
type Stored interface {
	// OpenStored reads the very bytes of an object. The error is ErrNotFound where there is none.
	OpenStored(ctx context.Context, name string) (io.ReadCloser, error)
}
