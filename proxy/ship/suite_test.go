package ship

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/record"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/test/operatortest"
)

var (
	errDown   = errors.New("the operator is down")
	errSilent = errors.New("the operator does not answer")
)

// intake is an operator's end in memory, which checks what it gets. It can be down, refuse, or lie.
type intake struct {
	operatortest.Recordings

	mu     sync.Mutex
	down   bool
	refuse string
	silent string // the recording that is not answered for
	lie    func(*sidecarv1alpha1.RecordingAck)
	chunks int
	order  []string // recording and segment, of every chunk
	moved  chan struct{}
}

func newIntake() *intake { return &intake{moved: make(chan struct{}, 1)} }

func (in *intake) SendRecording(_ context.Context, c *sidecarv1alpha1.RecordingChunk) (*sidecarv1alpha1.RecordingAck, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	defer ask(in.moved)
	if in.down {
		return nil, errDown
	}
	if in.silent != "" && in.silent == c.GetId() {
		return nil, errSilent
	}
	in.chunks++
	in.order = append(in.order, fmt.Sprintf("%s/%d@%d", c.GetId(), c.GetSegment(), c.GetOffset()))
	if len(c.GetData()) > maxChunk {
		return nil, fmt.Errorf("a chunk of %d bytes", len(c.GetData()))
	}
	if in.refuse != "" {
		return &sidecarv1alpha1.RecordingAck{Id: c.GetId(), Segment: c.GetSegment(), Rejected: in.refuse}, nil
	}
	ack := in.Take(c)
	if in.lie != nil {
		in.lie(ack)
	}
	return ack, nil
}

func (in *intake) set(f func(*intake)) {
	in.mu.Lock()
	defer in.mu.Unlock()
	f(in)
}

// until waits until something holds of the intake.
func (in *intake) until(t *testing.T, what string, holds func(*intake) bool) {
	t.Helper()
	end := time.After(5 * time.Second)
	for {
		in.mu.Lock()
		ok := holds(in)
		in.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-in.moved:
		case <-time.After(5 * time.Millisecond):
		case <-end:
			t.Fatalf("%s; refused: %v", what, in.Refused())
		}
	}
}

// arrived reports whether a recording has, to its end mark.
func arrived(id string) func(*intake) bool {
	return func(in *intake) bool { return in.Complete()["data/orders/"+id] != nil }
}

// cut reports whether a recording has arrived that ends without an end mark.
func cut(id string) func(*intake) bool {
	return func(in *intake) bool {
		s := in.Segments()["data/orders/"+id]
		return len(s) > 0 && s[len(s)-1].Head.End == recording.EndCutOff
	}
}

func spool(t *testing.T, o Options) *Spool {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Age == 0 {
		o.Age = 10 * time.Millisecond
	}
	o.Every, o.Log = 5*time.Millisecond, slog.New(slog.DiscardHandler)
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shipping ships until the test ends, or stop is called.
func (s *Spool) shipping(t *testing.T, in *intake) (stop func()) {
	t.Helper()
	key, proof := s.Key("one")
	in.Hello(&sidecarv1alpha1.Hello{Instance: "one", RecordingKey: key, RecordingProof: proof})
	must(t, s.Attested(nil))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Ship(ctx, in); close(done) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func open(t *testing.T, s *Spool, name string) session.Record {
	return openWith(t, s, name, record.Deny)
}

func openWith(t *testing.T, s *Spool, name string, l record.Loss) session.Record {
	t.Helper()
	r, err := s.Recorder("data/orders", record.Statement, l)
	must(t, err)
	rec, err := r.Open(access.Opened{Session: name, DataSource: "data/orders"})
	must(t, err)
	return rec
}

func intent(text string) access.Event {
	return access.Event{Kind: access.EventDecided, Time: time.Now(), Statement: 1, Decided: &access.Decided{Text: text}}
}

// rows take about as many bytes in a segment as in a journal: half.
func rows(size int) access.Event {
	b := make([]byte, size/2)
	_, _ = rand.Read(b) // never fails
	return access.Event{Kind: access.EventRows, Time: time.Now(), Statement: 1, Rows: &access.Rows{Values: [][]access.Value{{{Text: hex.EncodeToString(b)}}}}}
}

// ended is an event that is always taken.
func ended() access.Event {
	return access.Event{Kind: access.EventEnded, Time: time.Now(), Statement: 1, Ended: &access.Ended{Outcome: access.OutcomeDone}}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// left are the files in a spool.
func left(t *testing.T, dir string) []string {
	t.Helper()
	out, err := filepath.Glob(filepath.Join(dir, "*", "*", "*"))
	must(t, err)
	return out
}

// copied is a spool's folder as a crash would leave it now.
func copied(t *testing.T, dir string) string {
	t.Helper()
	out := t.TempDir()
	must(t, os.CopyFS(out, os.DirFS(dir)))
	return out
}
