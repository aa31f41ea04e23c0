package postgrestest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// startPatience bounds the start of the shared server, on a machine that is busy compiling.
const startPatience = time.Minute

var (
	shared = sync.OnceValues(func() (*Server, error) {
		ctx, cancel := context.WithTimeout(context.Background(), startPatience)
		defer cancel()
		server, err := Start(ctx, Options{})
		started.Store(server)
		return server, err
	})
	started   atomic.Pointer[Server]
	databases atomic.Int64
)

// Shared is the server that all tests of a test binary use, started when first asked for. It fails the test where PostgreSQL
// is missing. Tests that stop or change the server itself start their own. The server dies with the test binary; [Main]
// removes its files as well, which otherwise the next server does.
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

// NewDatabase makes a database for one test on a server, runs SQL text in it ("" for none), and drops it after the test. It
// returns the database's name.
func (s *Server) NewDatabase(t testing.TB, sql string) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	if err := s.CreateDatabase(context.Background(), name, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.DropDatabase(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	if sql != "" {
		if err := s.Exec(context.Background(), name, sql); err != nil {
			t.Fatal(err)
		}
	}
	return name
}
