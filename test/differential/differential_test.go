package differential

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tidewaiter/tidewaiter/test/conformance/localproxy"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// Further or other seeds: go test ./test/differential -conversations 5000 -first 1000.
var (
	conversations = flag.Uint64("conversations", 150, "how many random conversations to compare")
	first         = flag.Uint64("first", 0, "the first conversation's seed")
)

func target(t *testing.T) (*postgrestest.Server, Target) {
	t.Helper()
	server := postgrestest.Shared(t)
	database := server.NewDatabase(t, Schema)
	return server, Target{Address: server.Address(), User: server.Superuser, Password: server.Password, Database: database}
}

func compareAll(t *testing.T, direct, through Target) {
	t.Helper()
	const enough = 5  // differences: more of them say no more, and each takes time to reduce
	const workers = 3 // conversations are mostly waiting
	var next, found atomic.Uint64
	next.Store(*first)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for seed := next.Add(1) - 1; seed < *first+*conversations && found.Load() < enough; seed = next.Add(1) - 1 {
				if err := Compare(t.Context(), direct, through, seed); err != nil {
					found.Add(1)
					t.Errorf("%v", err)
				}
			}
		})
	}
	all.Wait()
}

func TestThroughTheProxyEveryConversationGoesAsItDoesDirectly(t *testing.T) {
	server, direct := target(t)
	binary, err := localproxy.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := localproxy.Start(t.Context(), binary, localproxy.AllowAll(server, server.Superuser, direct.Database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Stop(); err != nil {
			t.Error(err)
		}
	})
	compareAll(t, direct, Target{Address: proxy.Address, User: direct.User, Database: direct.Database})
}

func TestThroughABareRelayEveryConversationGoesAsItDoesDirectly(t *testing.T) {
	_, direct := target(t)
	through := direct
	through.Address = relay(t, direct.Address, func(p []byte) []byte { return p })
	compareAll(t, direct, through)
}

func TestARelayThatChangesAByteIsFoundOut(t *testing.T) {
	_, direct := target(t)
	through := direct
	through.Address = relay(t, direct.Address, func(p []byte) []byte {
		return bytes.ReplaceAll(p, []byte("ROLLBACK\x00"), []byte("ROLLBACX\x00"))
	})
	err := Compare(t.Context(), direct, through, 1)
	var difference *Difference
	if !errors.As(err, &difference) || difference.Seed != 1 || len(difference.Steps) == 0 {
		t.Errorf("got %v; want a difference with its seed and steps", err)
	}
}

func TestASeedAlwaysMakesTheSameConversation(t *testing.T) {
	for seed := range uint64(50) {
		first, second := converse(seed), converse(seed)
		if len(first) != len(second) {
			t.Fatalf("seed %d: %d and %d steps", seed, len(first), len(second))
		}
		for i := range first {
			if string(first[i].data) != string(second[i].data) {
				t.Errorf("seed %d: step %d differs", seed, i)
			}
		}
	}
}

// relay passes bytes on in both directions, those to the client through a function.
func relay(t *testing.T, to string, change func([]byte) []byte) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { relayOne(ctx, client, to, change) })
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		running.Wait()
	})
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
}

func relayOne(ctx context.Context, client net.Conn, to string, change func([]byte) []byte) {
	server, err := net.Dial("tcp", to)
	if err != nil {
		_ = client.Close()
		return
	}
	closeBoth := func() { _, _ = client.Close(), server.Close() }
	stop := context.AfterFunc(ctx, closeBoth)
	defer stop()
	defer closeBoth()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := server.Read(buffer)
		if n > 0 {
			if _, err := client.Write(change(buffer[:n])); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
