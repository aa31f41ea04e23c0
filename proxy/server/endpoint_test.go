package server

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocoltest"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// rest returns what else a connection hears until it ends.
func rest(t *testing.T, conn net.Conn) string {
	t.Helper()
	heard, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("the connection did not end: %v", err)
	}
	return string(heard)
}

func TestSessionsThatAreCutAreToldWhyAndNewOnesBegin(t *testing.T) {
	r := run(t, Options{DrainTimeout: time.Hour}, greeter{stubborn: true})
	conn, _ := r.greet(t)
	r.endpoint.Cut(&access.Denial{What: "access was revoked"})
	if heard := rest(t, conn); heard != "access was revoked\n" {
		t.Errorf("the client heard %q", heard)
	}
	if closed := closes(t, r.recorder, 1); closed[0] != "access was revoked" {
		t.Errorf("the record says %q", closed)
	}
	conn, line := r.greet(t)
	if line != "hello" {
		t.Errorf("got %q", line)
	}
	conn.Close()
}

// closes waits for n sessions to end and returns why they did.
func closes(t *testing.T, recorder *protocoltest.Recorder, n int) (reasons []string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		reasons = nil
		for _, e := range recorder.Events() {
			if e.Closed != nil {
				reasons = append(reasons, e.Closed.Reason)
			}
		}
		if len(reasons) >= n {
			return reasons
		}
	}
	t.Fatalf("%d sessions ended, of %d", len(reasons), n)
	return nil
}

func TestAnEndpointRefusesNewConnectionsAndKeepsTheOpenOnes(t *testing.T) {
	r := run(t, Options{}, greeter{})
	conn, _ := r.greet(t)
	r.endpoint.Refuse(&access.Denial{What: "the lease is over"})
	if _, line := r.greet(t); line != "the lease is over" {
		t.Errorf("got %q", line)
	}
	r.endpoint.Refuse(nil)
	if _, line := r.greet(t); line != "hello" {
		t.Errorf("got %q", line)
	}
	conn.SetDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the open connection did not go on: %v", err)
	}
}

func TestAReplacedPipelineIsDrainedAndTheNextOneServes(t *testing.T) {
	r := run(t, Options{DrainTimeout: time.Hour}, greeter{})
	conn, _ := r.greet(t)
	ended := make(chan struct{})
	next := &protocoltest.Recorder{}
	p := r.pipeline(greeter{})
	p.Recorder = next
	r.endpoint.Replace(p, func() { close(ended) })
	if heard := rest(t, conn); heard != "" {
		t.Errorf("the client heard %q", heard)
	}
	<-ended
	if _, line := r.greet(t); line != "hello" || len(next.Events()) == 0 {
		t.Errorf("got %q, and %d events in the new pipeline", line, len(next.Events()))
	}
}

func TestAReplacedPipelineThatDoesNotDrainIsCutOff(t *testing.T) {
	r := run(t, Options{DrainTimeout: 10 * time.Millisecond}, greeter{stubborn: true})
	conn, _ := r.greet(t)
	ended := make(chan struct{})
	r.endpoint.Replace(r.pipeline(greeter{}), func() { close(ended) })
	<-ended
	rest(t, conn)
}

func TestAnEndpointMovesToAnotherPortAndItsSessionsGoOn(t *testing.T) {
	r := run(t, Options{}, greeter{})
	conn, _ := r.greet(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	old := r.address
	r.endpoint.Move(ln)
	r.address = ln.Addr().String()
	if _, line := r.greet(t); line != "hello" {
		t.Errorf("got %q", line)
	}
	if c, err := net.Dial("tcp", old); err == nil {
		c.Close()
		t.Error("the old port is still open")
	}
	if n := r.Active(); n != 2 {
		t.Errorf("%d sessions are open", n)
	}
	conn.Close()
}

func TestAnEndpointComesAndGoesWhileTheServerRuns(t *testing.T) {
	r := run(t, Options{DrainTimeout: time.Hour}, greeter{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := r.address
	other := r.Open(r.pipeline(greeter{}), ln)
	r.address = ln.Addr().String()
	conn, line := r.greet(t)
	if line != "hello" {
		t.Fatalf("got %q", line)
	}
	ended := make(chan struct{})
	other.Close(func() { close(ended) })
	rest(t, conn)
	<-ended
	if c, err := net.Dial("tcp", r.address); err == nil {
		c.Close()
		t.Error("its port is still open")
	}
	other.Close(nil) // once more is none too many
	r.address = first
	if _, line := r.greet(t); line != "hello" {
		t.Errorf("the other endpoint says %q", line)
	}
}

func TestAnEndpointOfAServerThatHasEndedServesNothing(t *testing.T) {
	s := New(Options{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := s.Open(&session.Pipeline{}, ln)
	if c, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		c.Close()
		t.Error("its port is open")
	}
	e.Replace(&session.Pipeline{}, nil)
	e.Cut(&access.Denial{})
	e.Close(nil)
}

func TestChangesUnderLoadLoseNoSession(t *testing.T) {
	r := run(t, Options{DrainTimeout: time.Hour}, greeter{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 50 {
				conn, line := r.greet(t)
				if line != "hello" && line != "cut" && line != "" { // it may have been cut before its greeting
					t.Errorf("got %q", line)
				}
				conn.Close()
			}
		})
	}
	for range 100 {
		r.endpoint.Replace(r.pipeline(greeter{}), nil)
		r.endpoint.Cut(&access.Denial{What: "cut"})
	}
	clients.Wait()
}

func TestWhatElseIsMissingIsToldByReadiness(t *testing.T) {
	missing := io.ErrUnexpectedEOF
	r := run(t, Options{Ready: func() error { return missing }}, greeter{})
	r.greet(t)
	if code, body := get(r, "/readyz"); code != 503 || body != "unexpected EOF\n" {
		t.Errorf("got %d %q", code, body)
	}
	missing = nil
	if code, _ := get(r, "/readyz"); code != 200 {
		t.Errorf("got %d", code)
	}
}
