package assets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// lock makes this process the only one that fills the cache, and waits while another one is. The lock ends with the process
// that holds it, however that ends.
func (c *cache) lock(ctx context.Context, progress io.Writer) (unlock func(), err error) {
	if err := os.MkdirAll(c.dir, 0o755); err != nil { //nolint:gosec // programs that anybody could build
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(c.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	locked := func() { _ = file.Close() } // closing unlocks
	switch err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case err == nil:
		return locked, nil
	case !errors.Is(err, syscall.EWOULDBLOCK):
		_ = file.Close()
		return nil, fmt.Errorf("locking %s: %w", file.Name(), err)
	}
	_, _ = fmt.Fprintln(progress, "kube-assets: another process is getting etcd, kube-apiserver and kubectl; waiting for it")
	done := make(chan error, 1)
	go func() {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		for errors.Is(err, syscall.EINTR) {
			err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			_ = file.Close()
			return nil, fmt.Errorf("locking %s: %w", file.Name(), err)
		}
		return locked, nil
	case <-ctx.Done():
		// The goroutine keeps the file until the process ends, which is what a canceled context is about here.
		return nil, ctx.Err()
	}
}
