package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"path/filepath"

	"gocloud.dev/blob"
	// The stores that --log-mirror may name.
	_ "gocloud.dev/blob/azureblob"
	_ "gocloud.dev/blob/fileblob"
	_ "gocloud.dev/blob/gcsblob"
	_ "gocloud.dev/blob/s3blob"
	"gocloud.dev/gcerrors"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/tidewaiter/tidewaiter/controllers/ledger"
)

// LogOptions say how the log over all sessions is kept. Nothing of it is required.
type LogOptions struct {
	// Origin of a log that is begun; one that there is keeps its own.
	Origin string
	// Mirror is the URL of a second bucket, which gets every checkpoint, and with MirrorAll the whole log.
	Mirror    string
	MirrorAll bool
	// Witnesses are to cosign, Quorum of them at least: keys and URLs, see ledger.ParseWitness.
	Witnesses []string
	Quorum    int
}

// set reports whether anything is asked for.
func (l *LogOptions) set() bool {
	return l.Origin != "" || l.Mirror != "" || l.MirrorAll || len(l.Witnesses) > 0 || l.Quorum != 0
}

// addLog adds the log over all sessions, where recordings are taken: below log/ in their folder.
func addLog(ctx context.Context, mgr manager.Manager, o *Options) error {
	l := &o.LogOfRecordings
	if o.Recordings == "" {
		if l.set() {
			return errors.New("--log-origin, --log-mirror and --log-witness are of the log of recordings: set --recordings")
		}
		return nil
	}
	folder, err := filepath.Abs(o.Recordings)
	if err != nil {
		return fmt.Errorf("--recordings: %w", err)
	}
	at := url.URL{Scheme: "file", Path: filepath.ToSlash(folder), RawQuery: "create_dir=1&metadata=skip&no_tmp_dir=1"}
	objects, err := openBucket(ctx, at.String())
	if err != nil {
		return fmt.Errorf("--recordings: %w", err)
	}
	options := &ledger.SetUpOptions{
		Namespace: o.Namespace, Objects: objects, Origin: l.Origin, MirrorAll: l.MirrorAll,
		Witnesses: l.Witnesses, Quorum: l.Quorum, Registerer: o.Registerer,
	}
	switch {
	case l.Mirror != "":
		mirror, err := openBucket(ctx, l.Mirror)
		if err != nil {
			return fmt.Errorf("--log-mirror: %w", err)
		}
		options.Mirror = mirror
	case l.MirrorAll:
		return errors.New("--log-mirror-all: set --log-mirror")
	}
	_, err = ledger.SetUp(ctx, mgr, options)
	return err
}

// bucket is one as the log needs it.
type bucket struct{ b *blob.Bucket }

// maxObject is the largest object that is read: a batch, in base64.
const maxObject = 64 << 20

func openBucket(ctx context.Context, address string) (*bucket, error) {
	b, err := blob.OpenBucket(ctx, address)
	if err != nil {
		return nil, err
	}
	return &bucket{b}, nil // open until the process ends
}

func (b *bucket) Get(ctx context.Context, name string) ([]byte, error) {
	r, err := b.b.NewReader(ctx, name, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if r.Size() > maxObject {
		return nil, fmt.Errorf("%s: %d bytes are more than %d", name, r.Size(), maxObject)
	}
	return io.ReadAll(io.LimitReader(r, maxObject))
}

func (b *bucket) Put(ctx context.Context, name string, data []byte) error {
	return b.b.WriteAll(ctx, name, data, nil)
}

func (b *bucket) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for all := b.b.List(&blob.ListOptions{Prefix: prefix}); ; {
			o, err := all.Next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield("", err)
				return
			}
			if !yield(o.Key, nil) {
				return
			}
		}
	}
}

func (b *bucket) Delete(ctx context.Context, name string) error {
	if err := b.b.Delete(ctx, name); gcerrors.Code(err) != gcerrors.NotFound {
		return err
	}
	return nil
}
