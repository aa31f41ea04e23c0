package store

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/tidewaiter/tidewaiter/test/s3test"
)

func openS3(t *testing.T, where string) *Bucket {
	t.Helper()
	b, err := Open(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func TestALockedObjectStaysUntilItsTime(t *testing.T) {
	server := s3test.Start(t)
	b := openS3(t, server.Bucket("locked", true))
	if err := b.SetLock(t.Context(), LockCompliance); err != nil {
		t.Fatal(err)
	}
	const name = "recordings/shop/uid/s-1/00000001.tws"
	until := time.Now().Add(8 * time.Second)
	put := func(content string) error {
		return b.Put(t.Context(), name, []byte(content), PutOptions{Once: true, LockUntil: until})
	}
	for range 2 {
		if err := put("what was recorded"); err != nil {
			t.Fatal(err)
		}
	}
	if err := put("something else"); !errors.Is(err, ErrExists) {
		t.Errorf("it was replaced: %v", err)
	}
	if got, err := b.LockedUntil(t.Context(), name); err != nil || got.Before(until.Truncate(time.Second)) {
		t.Errorf("locked until %v, %v", got, err)
	}
	if err := b.Delete(t.Context(), name); !errors.Is(err, ErrLocked) {
		t.Errorf("it was deleted: %v", err)
	}
	// Who goes around this package, with the administrator's rights, cannot delete it either.
	client, key, bucket := server.Client(), name, "locked"
	versions, err := client.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: &bucket, Prefix: &key})
	if err != nil || len(versions.Versions) != 1 {
		t.Fatalf("%+v, %v", versions, err)
	}
	if l, err := client.GetObjectRetention(t.Context(), &s3.GetObjectRetentionInput{Bucket: &bucket, Key: &key}); err != nil || l.Retention.Mode != types.ObjectLockRetentionModeCompliance {
		t.Errorf("%+v, %v", l, err)
	}
	_, err = client.DeleteObject(t.Context(), &s3.DeleteObjectInput{
		Bucket: &bucket, Key: &key, VersionId: versions.Versions[0].VersionId, BypassGovernanceRetention: aws.Bool(true),
	})
	if err == nil {
		t.Error("the version was deleted")
	}
	if got, err := b.Get(t.Context(), name, 100); err != nil || string(got) != "what was recorded" {
		t.Errorf("%q, %v", got, err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) { // its time comes
		if err = b.Delete(t.Context(), name); err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		t.Errorf("its time has come, and it stays: %v", err)
	}
}

// Buckets with Object Lock keep versions: a key that was deleted could be had again.
func TestWhatIsDeletedIsGoneInAllItsVersions(t *testing.T) {
	server := s3test.Start(t)
	b := openS3(t, server.Bucket("versions", true))
	const name = "keys/shop/uid/s-1.json"
	for _, content := range []string{"first", "second"} {
		if err := b.Put(t.Context(), name, []byte(content), PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Put(t.Context(), name+".other", []byte("stays"), PutOptions{}); err != nil {
		t.Fatal(err)
	}
	client, bucket := server.Client(), "versions"
	count := func() (n int) {
		for _, prefix := range []string{name} {
			page, err := client.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: &bucket, Prefix: &prefix})
			if err != nil {
				t.Fatal(err)
			}
			n += len(page.Versions) + len(page.DeleteMarkers)
		}
		return n
	}
	if got := count(); got != 3 {
		t.Fatalf("the server keeps %d versions: this test shows nothing", got)
	}
	for range 2 {
		if err := b.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if got := count(); got != 1 {
		t.Errorf("%d versions are left", got)
	}
	if got := names(t, b, "keys/"); !slices.Equal(got, []string{name + ".other"}) {
		t.Errorf("%v", got)
	}
}

func TestABucketWithoutObjectLockIsNotTakenForOneWith(t *testing.T) {
	server := s3test.Start(t)
	b := openS3(t, server.Bucket("plain", false))
	for _, lock := range []Lock{LockCompliance, LockGovernance} {
		if err := b.SetLock(t.Context(), lock); err == nil {
			t.Errorf("%s was taken", lock)
		}
	}
	if _, err := b.Get(t.Context(), "x", 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	if err := b.Put(t.Context(), "x", []byte("x"), PutOptions{}); err != nil {
		t.Errorf("%v", err)
	}
	missing := openS3(t, server.Bucket("plain", false)+"&prefix=a/")
	if err := missing.Put(t.Context(), "y", []byte("y"), PutOptions{Once: true}); err != nil {
		t.Error(err)
	}
	if got := names(t, b, "a/"); !slices.Equal(got, []string{"a/y"}) {
		t.Errorf("%v", got)
	}
	if err := missing.Delete(t.Context(), "y"); err != nil {
		t.Error(err)
	}
	if got := names(t, b, ""); !slices.Equal(got, []string{"x"}) {
		t.Errorf("%v", got)
	}
}

// A bucket that is gone is not one in which there is nothing.
func TestABucketThatIsMissingIsAnError(t *testing.T) {
	server := s3test.Start(t)
	where := server.Bucket("soon", false)
	bucket := "soon"
	if _, err := server.Client().DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	b := openS3(t, where)
	b.pauses = nil
	if _, err := b.Get(t.Context(), "x", 1); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
}
