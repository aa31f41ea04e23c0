package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	tmtypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// objects is a bucket of an object store.
type objects struct {
	bucket       *blob.Bucket
	name, prefix string
}

func (o *objects) put(ctx context.Context, name string, data []byte, once bool, lock Lock, until time.Time) error {
	// A writer that is closed after its context has ended writes nothing.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	opts := &blob.WriterOptions{IfNotExist: once, DisableContentTypeDetection: true, ContentType: "application/octet-stream"}
	if lock != LockNone {
		opts.BeforeWrite = func(as func(any) bool) error { return lockInput(as, lock, until) }
	}
	w, err := o.bucket.NewWriter(ctx, name, opts)
	if err != nil {
		return o.known(err)
	}
	if _, err := w.Write(data); err != nil {
		cancel()
		return o.known(errors.Join(err, ignoreClose(w)))
	}
	return o.known(w.Close())
}

// ignoreClose ends a writer that has failed: what Close says is that it was given up.
func ignoreClose(w io.Closer) error {
	_ = w.Close()
	return nil
}

// lockInput asks for the lock in the upload itself: an object is at no time there without it.
func lockInput(as func(any) bool, lock Lock, until time.Time) error {
	var in *transfermanager.UploadObjectInput
	if !as(&in) {
		return errors.New("the store does not take a lock")
	}
	in.ObjectLockMode = tmtypes.ObjectLockModeCompliance
	if lock == LockGovernance {
		in.ObjectLockMode = tmtypes.ObjectLockModeGovernance
	}
	in.ObjectLockRetainUntilDate = aws.Time(until.UTC().Truncate(time.Second).Add(time.Second))
	return nil
}

func (o *objects) open(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := o.bucket.NewReader(ctx, name, nil)
	if err != nil {
		return nil, o.known(err)
	}
	return r, nil
}

func (o *objects) list(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for it := o.bucket.List(&blob.ListOptions{Prefix: prefix}); ; {
			found, err := it.Next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Object{}, o.known(err))
				return
			}
			if !yield(Object{Name: found.Key, Size: found.Size, Time: found.ModTime}, nil) {
				return
			}
		}
	}
}

func (o *objects) remove(ctx context.Context, name string) error {
	var client *s3.Client
	if o.bucket.As(&client) {
		return o.removeVersions(ctx, client, name)
	}
	if err := o.known(o.bucket.Delete(ctx, name)); !errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}

// removeVersions deletes an object for good. Buckets with Object Lock keep versions, and there a plain deletion only hides
// the object: a key that was deleted like that could be had again.
func (o *objects) removeVersions(ctx context.Context, client *s3.Client, name string) error {
	key := o.prefix + name
	in := &s3.ListObjectVersionsInput{Bucket: &o.name, Prefix: &key}
	for {
		page, err := client.ListObjectVersions(ctx, in)
		var api smithy.APIError
		if errors.As(err, &api) && api.ErrorCode() == "NotImplemented" { // a store without versions
			return o.removeVersion(ctx, client, key, nil)
		}
		if err != nil {
			return err
		}
		for _, v := range page.Versions {
			if aws.ToString(v.Key) == key {
				if err := o.removeVersion(ctx, client, key, v.VersionId); err != nil {
					return err
				}
			}
		}
		for _, m := range page.DeleteMarkers {
			if aws.ToString(m.Key) == key {
				if err := o.removeVersion(ctx, client, key, m.VersionId); err != nil {
					return err
				}
			}
		}
		if !aws.ToBool(page.IsTruncated) {
			return nil
		}
		in.KeyMarker, in.VersionIdMarker = page.NextKeyMarker, page.NextVersionIdMarker
	}
}

func (o *objects) removeVersion(ctx context.Context, client *s3.Client, key string, version *string) error {
	if aws.ToString(version) == "" {
		version = nil
	}
	_, err := client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &o.name, Key: &key, VersionId: version})
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "NoSuchKey", "NoSuchVersion":
			return nil
		case "AccessDenied", "ObjectLocked", "InvalidRequest":
			return fmt.Errorf("%w: %w", ErrLocked, err)
		}
	}
	return err
}

func (o *objects) locks(ctx context.Context) error {
	var client *s3.Client
	if !o.bucket.As(&client) {
		return errors.New("only S3 Object Lock is known here: lock the bucket by a policy of its own, and set --recordings-lock=None")
	}
	found, err := client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &o.name})
	if err != nil {
		return fmt.Errorf("its Object Lock configuration cannot be read: %w", err)
	}
	if c := found.ObjectLockConfiguration; c == nil || c.ObjectLockEnabled != types.ObjectLockEnabledEnabled {
		return errors.New("Object Lock is not enabled for the bucket: make one with it, or set --recordings-lock=None")
	}
	return nil
}

func (o *objects) locked(ctx context.Context, name string) (time.Time, error) {
	attributes, err := o.bucket.Attributes(ctx, name)
	if err != nil {
		return time.Time{}, o.known(err)
	}
	var head s3.HeadObjectOutput
	if !attributes.As(&head) {
		return time.Time{}, nil
	}
	return aws.ToTime(head.ObjectLockRetainUntilDate), nil
}

// known gives errors the names of this package.
func (o *objects) known(err error) error {
	var api smithy.APIError
	switch code := gcerrors.Code(err); {
	case err == nil:
		return nil
	case code == gcerrors.NotFound && !bucketMissing(err):
		return ErrNotFound
	case code == gcerrors.FailedPrecondition, code == gcerrors.AlreadyExists:
		return ErrExists
	case errors.As(err, &api) && api.ErrorCode() == "PreconditionFailed":
		return ErrExists
	}
	return err
}

// bucketMissing keeps a bucket that is gone from passing for one in which there is nothing.
func bucketMissing(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == "NoSuchBucket"
}

func (o *objects) transient(err error) bool {
	switch gcerrors.Code(err) {
	case gcerrors.InvalidArgument, gcerrors.PermissionDenied, gcerrors.Unimplemented, gcerrors.Canceled:
		return false
	}
	return true
}

func (o *objects) close() error { return o.bucket.Close() }
