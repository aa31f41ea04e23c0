package local_test

import (
	"errors"
	"io"
	"os"
	"testing"

	"github.com/tidewaiter/tidewaiter/local"
	"github.com/tidewaiter/tidewaiter/recording"
)

func TestTheRecordingSaysWhoEndedTheSession(t *testing.T) {
	p := start(t, local.Options{})
	target := p.Endpoints()[0].ConnectionString()
	const each = 5
	for range each {
		connect(t, target) // and stay
		gone := connect(t, target)
		if err := gone.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	reasons := map[string]int{}
	for _, path := range p.Summary().Recordings {
		reasons[closedBecause(t, path)]++
	}
	if reasons["the client ended the session"] != each || reasons["the proxy stopped"] != each {
		t.Errorf("sessions ended because: %v", reasons)
	}
}

// closedBecause returns the reason in a recording's last event.
func closedBecause(t *testing.T, path string) (reason string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for r := recording.NewReader(f); ; {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return reason
		}
		if err != nil {
			t.Fatal(err)
		}
		if rec.Event.Closed != nil {
			reason = rec.Event.Closed.Reason
		}
	}
}
