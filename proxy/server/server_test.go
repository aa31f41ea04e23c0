package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocoltest"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// greeter is a protocol that says "hello", and ends when the client does or the
// proxy drains; with stubborn set it ends only when it is cut off.
type greeter struct{ stubborn bool }

func (greeter) Name() string { return "greeter" }

func (g greeter) Accept(_ context.Context, client net.Conn) (session.Conversation, error) {
	return &greeting{greeter: g, client: client}, nil
}

type greeting struct {
	greeter
	client net.Conn
}

func (*greeting) Hello() access.Hello { return access.Hello{} }

func (*greeting) Open(_ context.Context, _ *session.Session, up *session.Upstream) (net.Conn, error) {
	return up.Conn, nil
}

func (g *greeting) Relay(ctx context.Context, s *session.Session) error {
	if _, err := g.client.Write([]byte("hello\n")); err != nil {
		return err
	}
	gone := make(chan error, 1)
	go func() { _, err := io.Copy(io.Discard, g.client); gone <- err }()
	draining := s.Draining()
	if g.stubborn {
		draining = nil
	}
	select {
	case <-draining:
		g.client.Close()
	case <-ctx.Done():
		var d *access.Denial
		if errors.As(context.Cause(ctx), &d) {
			_ = g.Refuse(d)
		}
		g.client.Close()
	case err := <-gone:
		return err
	}
	return ignoreClosed(<-gone)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (g *greeting) Refuse(d *access.Denial) error {
	_, err := g.client.Write([]byte(d.What + "\n"))
	return err
}

type pipes struct{}

func (pipes) Dial(context.Context, access.Identity) (*session.Upstream, error) {
	ours, _ := net.Pipe()
	return &session.Upstream{Conn: ours}, nil
}

// running is a server with an endpoint on a port of its own.
type running struct {
	*Server
	endpoint *Endpoint
	recorder *protocoltest.Recorder
	address  string
	metrics  *Metrics
	stop     context.CancelFunc
	done     chan error
}

func run(t *testing.T, opt Options, g greeter) *running {
	t.Helper()
	before := goleak.IgnoreCurrent()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opt.Log = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{
		Server: New(opt), recorder: &protocoltest.Recorder{}, address: ln.Addr().String(), metrics: NewMetrics(),
		stop: cancel, done: make(chan error, 1),
	}
	r.endpoint = r.Open(r.pipeline(g), ln)
	go func() { r.done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-r.done; err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t, before)
	})
	return r
}

func (r *running) pipeline(p session.Protocol) *session.Pipeline {
	return &session.Pipeline{
		DataSource: "data/test", Protocol: p, Identifier: protocoltest.Identify{}, Dialer: pipes{}, Decider: protocoltest.Decide(protocoltest.Allow),
		Recorder: r.recorder, Observer: r.metrics, Budgets: &session.Budgets{},
	}
}

// greet connects and returns the first line.
func (r *running) greet(t *testing.T) (net.Conn, string) {
	t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return conn, strings.TrimSpace(line)
}

func TestAClientOverTheLimitIsToldSo(t *testing.T) {
	r := run(t, Options{MaxConnections: 2}, greeter{})
	for range 2 {
		if _, line := r.greet(t); line != "hello" {
			t.Fatalf("got %q", line)
		}
	}
	if _, line := r.greet(t); line != "tidewaiter: too many connections (the proxy's limit is 2)" {
		t.Errorf("got %q", line)
	}
}

func TestAProxyOutOfMemoryTakesNoMoreConnections(t *testing.T) {
	runtime.GC() // what is live is known after a collection
	r := run(t, Options{MaxMemory: 1}, greeter{})
	if _, line := r.greet(t); !strings.HasPrefix(line, "tidewaiter: no memory for another connection") {
		t.Errorf("got %q", line)
	}
}

func TestDrainingEndsIdleSessionsAndThenTheServer(t *testing.T) {
	r := run(t, Options{DrainTimeout: time.Hour}, greeter{})
	conn, _ := r.greet(t)
	r.stop()
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("the session did not end: %v", err)
	}
}

func TestSessionsThatDoNotEndAreCutOff(t *testing.T) {
	r := run(t, Options{DrainTimeout: 10 * time.Millisecond}, greeter{stubborn: true})
	conn, _ := r.greet(t)
	r.stop()
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("the session was not cut off: %v", err)
	}
}

func TestHealthAndMetricsTellWhatIs(t *testing.T) {
	r := run(t, Options{}, greeter{})
	r.greet(t)
	r.metrics.Decided("data/test", nil, access.Decision{Policy: "data/p", Rule: "guard Program"})
	r.metrics.Ended("data/test", access.Ended{Outcome: access.OutcomeDenied, Masked: 3})
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, body := get(r, path); code != 200 || body != "ok\n" {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	_, body := get(r, "/metrics")
	for _, want := range []string{
		`tidewaiter_sessions{datasource="data/test"} 1`,
		`tidewaiter_decisions_total{datasource="data/test",effect="Deny",observed="false",rule="data/p/guard Program"} 1`,
		`tidewaiter_masked_values_total{datasource="data/test"} 3`,
		`tidewaiter_statements_ended_total{datasource="data/test",outcome="Denied"} 1`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Fatal(err)
	}
	r.done <- nil
	if code, _ := get(r, "/readyz"); code != 503 {
		t.Errorf("after the stop /readyz says %d", code)
	}
}

func get(r *running, path string) (int, string) {
	w := httptest.NewRecorder()
	r.Handler(r.metrics).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}
