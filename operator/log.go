package operator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/tidewaiter/tidewaiter/controllers/ledger"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// LogOptions say how the log over all sessions is kept. Nothing of it is required.
type LogOptions struct {
	// Origin of a log that is begun; one that there is keeps its own.
	Origin string
	// Mirror is a second store, which gets every checkpoint, and with MirrorAll the whole log: a folder or a bucket's URL.
	Mirror    string
	MirrorAll bool
	// Witnesses are to cosign, Quorum of them at least: keys and URLs, see ledger.ParseWitness.
	Witnesses []string
	Quorum    int
}

// check says what cannot be meant.
func (l *LogOptions) check(recordings string) error {
	switch {
	case recordings == "" && (l.Origin != "" || l.Mirror != "" || l.MirrorAll || len(l.Witnesses) > 0 || l.Quorum != 0):
		return errors.New("--log-origin, --log-mirror and --log-witness are of the log of recordings: set --recordings")
	case l.MirrorAll && l.Mirror == "":
		return errors.New("--log-mirror-all: set --log-mirror")
	}
	return nil
}

// journal is the log as the store of recordings has it: every replica appends and looks, the leader sequences.
type journal struct {
	*ledger.Log
	*tail
}

// addLog adds the log over all sessions, below log/ in the bucket of recordings.
func addLog(ctx context.Context, mgr manager.Manager, o *Options, bucket *store.Bucket) (*journal, error) {
	l := &o.LogOfRecordings
	options := &ledger.SetUpOptions{
		Namespace: o.Namespace, Objects: objects{bucket}, Origin: l.Origin, MirrorAll: l.MirrorAll,
		Witnesses: l.Witnesses, Quorum: l.Quorum, Registerer: o.Registerer,
	}
	if l.Mirror != "" {
		mirror, err := store.Create(ctx, l.Mirror)
		if err != nil {
			return nil, fmt.Errorf("--log-mirror: %w", err)
		}
		options.Mirror = objects{mirror} // open until the process ends
	}
	log, err := ledger.SetUp(ctx, mgr, options)
	if err != nil {
		return nil, err
	}
	follow := newTail(objects{bucket}, log.Keys, o.Log.WithName("log-of-recordings"))
	return &journal{Log: log, tail: follow}, mgr.Add(follow)
}

// objects is a bucket as the log needs it.
type objects struct{ *store.Bucket }

// maxObject is the largest object of the log that is read: a batch, in base64.
const maxObject = 64 << 20

// Get returns an object's bytes.
func (b objects) Get(ctx context.Context, name string) ([]byte, error) {
	data, err := b.Bucket.Get(ctx, name, maxObject)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return data, err
}

// Put writes an object, or replaces one.
func (b objects) Put(ctx context.Context, name string, data []byte) error {
	return b.Bucket.Put(ctx, name, data, store.PutOptions{})
}

// List goes through names.
func (b objects) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for o, err := range b.Bucket.List(ctx, prefix) {
			if !yield(o.Name, err) || err != nil {
				return
			}
		}
	}
}
