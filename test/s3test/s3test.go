// Package s3test starts a real S3 server for tests, with Object Lock: versitygw over a folder, built from hack/tools/versitygw by the
// Go toolchain into the user's cache.
//
// It must not know what is tested.
package s3test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	region = "us-east-1"
	access = "tidewaiter"
	secret = "of-the-test-alone" //nolint:gosec // it opens a server that lives as long as the test
	gate   = "github.com/versity/versitygw"
)

// Server is an S3 server over a folder.
type Server struct {
	t               testing.TB
	address, folder string
	binary          string
	versions        string
	process         *exec.Cmd
}

// Start builds the server if need be and starts it; the test's end stops it. The environment of the test then has its credentials.
func Start(t testing.TB) *Server {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, address: address, folder: t.TempDir(), versions: t.TempDir(), binary: binary}
	t.Setenv("AWS_ACCESS_KEY_ID", access)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Cleanup(s.Stop)
	s.Resume()
	return s
}

// build returns the server's executable.
var build = sync.OnceValues(func() (string, error) {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("s3test: go env GOMOD: %w", err)
	}
	module := filepath.Join(filepath.Dir(strings.TrimSpace(string(mod))), "hack", "tools", "versitygw")
	list := exec.Command("go", "list", "-m", "-f", "{{.Version}}", gate)
	list.Dir = module
	version, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("s3test: which version %s pins: %w", module, err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("s3test: %w", err)
	}
	dir := filepath.Join(cache, "tidewaiter", "versitygw-"+strings.TrimSpace(string(version)))
	binary := filepath.Join(dir, "versitygw")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("s3test: %w", err)
	}
	temp := fmt.Sprintf("%s.%d", binary, os.Getpid()) // another test may build it at the same time
	cmd := exec.Command("go", "build", "-o", temp, gate+"/cmd/versitygw")
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("s3test: building versitygw: %w: %s", err, out)
	}
	return binary, os.Rename(temp, binary)
})

// Stop kills the server, as a power cut does. What it has acknowledged stays in its folder.
func (s *Server) Stop() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Signal(syscall.SIGKILL)
	_ = s.process.Wait() // it was killed
	s.process = nil
}

// Resume starts the server again, at the same address and with what it had.
func (s *Server) Resume() {
	s.t.Helper()
	s.process = exec.Command(s.binary, "--port", s.address, "--access", access, "--secret", secret, "--region", region, "--quiet",
		"posix", "--versioning-dir", s.versions, s.folder)
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	client := s.Client()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		_, err := client.ListBuckets(context.Background(), &s3.ListBucketsInput{})
		if err == nil {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("s3test: versitygw does not answer: %v", err)
		}
	}
}

// Client speaks to the server as its administrator.
func (s *Server) Client() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String("http://" + s.address), Region: region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(access, secret, ""),
	})
}

// Bucket makes a bucket, with Object Lock if asked for, and returns its URL as gocloud.dev/blob takes it.
func (s *Server) Bucket(name string, lock bool) string {
	s.t.Helper()
	_, err := s.Client().CreateBucket(s.t.Context(), &s3.CreateBucketInput{Bucket: &name, ObjectLockEnabledForBucket: &lock})
	var there *types.BucketAlreadyOwnedByYou
	if err != nil && !errors.As(err, &there) {
		s.t.Fatal(err)
	}
	u := url.URL{Scheme: "s3", Host: name, RawQuery: url.Values{
		"endpoint": {"http://" + s.address}, "region": {region}, "use_path_style": {"true"},
	}.Encode()}
	return u.String()
}
