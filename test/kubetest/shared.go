package kubetest

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	shared = sync.OnceValues(func() (*Server, error) {
		server, err := Start(Options{})
		started.Store(server)
		return server, err
	})
	started atomic.Pointer[Server]
)

// Shared is the server that all tests of a test binary use, started when first asked for. It fails the test where the programs
// are missing. A package that uses it has a TestMain that calls [Main]. Tests that install webhooks or admission policies, or
// stop the server, start their own.
func Shared(t testing.TB) *Server {
	t.Helper()
	server, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// Main is for a package's TestMain: it runs the tests, stops the shared server if one was started, and exits.
func Main(m *testing.M) {
	code := m.Run()
	if err := StopShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// StopShared stops the shared server if one was started, for a TestMain that has more to do than [Main].
func StopShared() error {
	if server := started.Load(); server != nil {
		return server.Stop()
	}
	return nil
}
