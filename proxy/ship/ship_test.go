package ship

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/record"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/recording"
)

var errDown = errors.New("the operator is down")

// intake is an operator's end in memory. It can be down, lose what it has, or refuse.
type intake struct {
	mu       sync.Mutex
	files    map[string][]byte
	complete map[string][]byte
	down     bool
	refuse   string
	lie      func(*sidecarv1alpha1.RecordingAck)
	chunks   int
	resumed  []uint64 // offsets that a file was resumed at
	moved    chan struct{}
}

func newIntake() *intake {
	return &intake{files: map[string][]byte{}, complete: map[string][]byte{}, moved: make(chan struct{}, 1)}
}

func (in *intake) SendRecording(_ context.Context, c *sidecarv1alpha1.RecordingChunk) (*sidecarv1alpha1.RecordingAck, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	defer func() {
		select {
		case in.moved <- struct{}{}:
		default:
		}
	}()
	if in.down {
		return nil, errDown
	}
	in.chunks++
	if len(c.GetData()) > maxChunk {
		return nil, fmt.Errorf("a chunk of %d bytes", len(c.GetData()))
	}
	id := c.GetDataSource() + "/" + c.GetId()
	if c.GetOffset() == uint64(len(in.files[id])) {
		in.files[id] = append(in.files[id], c.GetData()...)
	} else {
		in.resumed = append(in.resumed, c.GetOffset())
	}
	ack := &sidecarv1alpha1.RecordingAck{Id: c.GetId(), Size: uint64(len(in.files[id])), Rejected: in.refuse}
	if sum := sha256.Sum256(in.files[id]); c.GetComplete() && bytes.Equal(sum[:], c.GetSha256()) && in.refuse == "" {
		ack.Complete = true
		in.complete[id] = in.files[id]
	}
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
	end := time.After(20 * time.Second)
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
			t.Fatal(what)
		}
	}
}

func spool(t *testing.T, o Options) *Spool {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	o.Every, o.Log = 5*time.Millisecond, slog.New(slog.DiscardHandler)
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shipping ships until the test ends.
func (s *Spool) shipping(t *testing.T, in *intake) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Ship(ctx, in); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
}

func open(t *testing.T, s *Spool, name string) session.Record {
	t.Helper()
	r, err := s.Recorder("data/orders", record.Statement)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := r.Open(access.Opened{Session: name, DataSource: "data/orders"})
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func intent(text string) access.Event {
	return access.Event{Kind: access.EventDecided, Time: time.Now(), Statement: 1, Decided: &access.Decided{Text: text}}
}

func rows(size int) access.Event {
	return access.Event{Kind: access.EventRows, Time: time.Now(), Statement: 1, Rows: &access.Rows{Values: [][]access.Value{{{Text: strings.Repeat("x", size)}}}}}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestARecordingIsShippedWhileItGrowsAndDeletedOnceItHasArrivedWhole(t *testing.T) {
	s, in := spool(t, Options{}), newIntake()
	s.shipping(t, in)
	rec := open(t, s, "one")
	must(t, rec.Append(intent("select 1")))
	in.until(t, "nothing arrived while it grew", func(in *intake) bool { return len(in.files["data/orders/one"]) > 0 })
	if _, err := os.Stat(rec.Location()); err != nil {
		t.Errorf("it is gone before its end: %v", err)
	}
	must(t, rec.Append(rows(600<<10)), rec.Append(intent("select 2")), rec.Close())
	in.until(t, "it did not arrive", func(in *intake) bool { return in.complete["data/orders/one"] != nil })
	report, err := recording.Verify(bytes.NewReader(in.complete["data/orders/one"]))
	if err != nil || report.State != recording.Complete || report.Head.String() != s.Latest("data/orders").Head || s.Latest("data/orders").ID != "one" {
		t.Errorf("%v, %v, latest %+v", report, err, s.Latest("data/orders"))
	}
	must(t, s.WaitEmpty(t.Context()))
	if _, err := os.Stat(rec.Location()); !errors.Is(err, os.ErrNotExist) || s.Used() != 0 {
		t.Errorf("it is still there: %v, %d bytes used", err, s.Used())
	}
}

func TestShippingGoesOnWhereItWasAndBeginsAgainWithAnOperatorThatHasLess(t *testing.T) {
	s, in := spool(t, Options{}), newIntake()
	s.shipping(t, in)
	rec := open(t, s, "one")
	must(t, rec.Append(rows(300<<10)), rec.Append(intent("a")))
	in.until(t, "nothing arrived", func(in *intake) bool { return len(in.files["data/orders/one"]) > 300<<10 })
	in.set(func(in *intake) { in.down = true })
	must(t, rec.Append(intent("b")), rec.Close())
	in.set(func(in *intake) { in.down = false })
	in.until(t, "it did not arrive", func(in *intake) bool { return in.complete["data/orders/one"] != nil && len(in.resumed) == 0 })

	in.set(func(in *intake) { in.down = true })
	rec = open(t, s, "two")
	must(t, rec.Append(rows(300<<10)), rec.Append(intent("a")))
	in.set(func(in *intake) { in.down = false })
	in.until(t, "nothing arrived", func(in *intake) bool { return len(in.files["data/orders/two"]) > 300<<10 })
	in.set(func(in *intake) { delete(in.files, "data/orders/two") }) // another replica, with a folder of its own
	must(t, rec.Append(intent("b")), rec.Close())
	in.until(t, "it did not arrive", func(in *intake) bool { return in.complete["data/orders/two"] != nil && len(in.resumed) == 1 })
	if report, err := recording.Verify(bytes.NewReader(in.complete["data/orders/two"])); err != nil || report.State != recording.Complete {
		t.Errorf("%v, %v", report, err)
	}
}

func TestWhatAnEarlierProcessLeftIsShippedAsItIs(t *testing.T) {
	dir := t.TempDir()
	rec := open(t, spool(t, Options{Dir: dir}), "crashed")
	must(t, rec.Append(intent("select 1")))
	before, err := os.ReadFile(rec.Location())
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "other.txt"), []byte("not a recording"), 0o600))
	s, in := spool(t, Options{Dir: dir}), newIntake() // as after a crash
	if s.Used() < int64(len(before)) {
		t.Errorf("%d bytes are counted", s.Used())
	}
	s.shipping(t, in)
	in.until(t, "it did not arrive", func(in *intake) bool { return bytes.Equal(in.complete["data/orders/crashed"], before) })
	must(t, s.WaitEmpty(t.Context()))
	must(t, rec.Close())
}

func TestAFullSpoolRefusesStatementsUntilTheOperatorTakesIt(t *testing.T) {
	s, in := spool(t, Options{Limit: 1 << 20}), newIntake()
	in.down = true
	s.shipping(t, in)
	rec, other := open(t, s, "one"), open(t, s, "two")
	must(t, rec.Append(rows(1<<20)), rec.Append(rows(1)))
	in.until(t, "it is not full", func(*intake) bool { return s.Used() >= 1<<20 })
	if err := other.Append(intent("select 1")); !errors.Is(err, ErrFull) {
		t.Errorf("a statement: %v", err)
	}
	r, err := s.Recorder("data/orders", record.Statement)
	must(t, err)
	if _, err := r.Open(access.Opened{Session: "three"}); !errors.Is(err, ErrFull) {
		t.Errorf("a session: %v", err)
	}
	must(t, other.Append(access.Event{Kind: access.EventEnded, Time: time.Now(), Statement: 1, Ended: &access.Ended{Outcome: access.OutcomeDenied}})) // how it ended is recorded all the same
	must(t, rec.Close())
	in.set(func(in *intake) { in.down = false })
	in.until(t, "it did not arrive", func(in *intake) bool { return in.complete["data/orders/one"] != nil })
	in.until(t, "there is no room again", func(*intake) bool { return s.Used() < 1<<20 })
	must(t, other.Append(intent("select 1")), other.Close())
}

// A session may last for weeks: what has arrived of it must not fill the spool.
func TestALongSessionDoesNotFillTheSpoolWithWhatHasArrived(t *testing.T) {
	dir := t.TempDir()
	s, in := spool(t, Options{Dir: dir, Limit: 1 << 20}), newIntake()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Ship(ctx, in); close(done) }()
	rec := open(t, s, "one")
	for range 40 { // almost 8 MiB
		must(t, rec.Append(rows(200<<10)))
		in.until(t, "there is no room", func(*intake) bool { return rec.Append(intent("select 1")) == nil })
	}
	stop()
	<-done // as in a crash: the recording goes on in the folder, and another process finds it
	before := s.Used()
	next := spool(t, Options{Dir: dir, Limit: 1 << 20})
	if next.Used() > before+1<<10 || next.Used() > 1<<20+1<<18 {
		t.Errorf("%d bytes are counted, and were %d", next.Used(), before)
	}
	must(t, rec.Close())
	next = spool(t, Options{Dir: dir, Limit: 1 << 20})
	next.shipping(t, in)
	in.until(t, "it did not arrive", func(in *intake) bool { return in.complete["data/orders/one"] != nil })
	if report, err := recording.Verify(bytes.NewReader(in.complete["data/orders/one"])); err != nil || report.State != recording.Complete || report.Bytes < 7<<20 {
		t.Errorf("%v, %v", report, err)
	}
	must(t, next.WaitEmpty(t.Context()))
	if left, err := filepath.Glob(filepath.Join(dir, "*", "*", "*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestAnOperatorThatHasLostWhatItAcknowledgedDoesNotGetZeros(t *testing.T) {
	s, in := spool(t, Options{Limit: 1 << 20}), newIntake()
	s.shipping(t, in)
	rec := open(t, s, "one")
	must(t, rec.Append(rows(700<<10)), rec.Append(intent("a")))
	in.until(t, "no room was given back", func(*intake) bool { return s.Used() < 1<<19 })
	in.set(func(in *intake) { delete(in.files, "data/orders/one") })
	must(t, rec.Append(intent("b")), rec.Close())
	in.until(t, "it was not offered", func(in *intake) bool { return len(in.resumed) > 0 })
	other := open(t, s, "two")
	must(t, other.Close())
	in.until(t, "the others are not shipped any more", func(in *intake) bool { return in.complete["data/orders/two"] != nil })
	if len(in.files["data/orders/one"]) > 0 {
		t.Error("it was sent from its beginning, which is not there")
	}
}

func TestRowsWaitForRoomRatherThanFillTheDisk(t *testing.T) {
	s, in := spool(t, Options{Limit: 1 << 20}), newIntake()
	in.down = true
	s.shipping(t, in)
	first, second := open(t, s, "one"), open(t, s, "two")
	must(t, first.Append(rows(1<<20)), first.Append(rows(256<<10)), first.Append(intentless()), first.Close())
	in.until(t, "it is not full", func(*intake) bool { return s.Used() >= 1<<20+1<<17 })
	done := make(chan error, 1)
	go func() { done <- second.Append(rows(1)) }()
	select {
	case err := <-done:
		t.Errorf("rows did not wait: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	in.set(func(in *intake) { in.down = false })
	if err := <-done; err != nil {
		t.Errorf("with room again: %v", err)
	}
	must(t, second.Close())
}

// intentless is an event that is always taken.
func intentless() access.Event {
	return access.Event{Kind: access.EventEnded, Time: time.Now(), Statement: 1, Ended: &access.Ended{Outcome: access.OutcomeDone}}
}

func TestARecordingThatTheOperatorRejectsStaysAndIsOfferedAgainLater(t *testing.T) {
	var later atomic.Int64
	s, in := spool(t, Options{Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }}), newIntake()
	in.refuse = "DigestMismatch"
	s.shipping(t, in)
	rec := open(t, s, "one")
	must(t, rec.Append(intent("a")), rec.Close())
	in.until(t, "it was not offered", func(in *intake) bool { return in.chunks > 0 })
	in.set(func(in *intake) { in.refuse = "" })
	next := open(t, s, "two")
	must(t, next.Append(intent("a")), next.Close())
	in.until(t, "the other did not arrive", func(in *intake) bool { return in.complete["data/orders/two"] != nil })
	if _, err := os.Stat(rec.Location()); err != nil {
		t.Errorf("it is gone: %v", err)
	}
	later.Store(int64(2 * rejectedPause))
	in.until(t, "it was not offered again", func(in *intake) bool { return in.complete["data/orders/one"] != nil })
}

func TestNothingIsDeletedForAnAcknowledgementThatDoesNotFit(t *testing.T) {
	s, in := spool(t, Options{}), newIntake()
	rec := open(t, s, "one")
	must(t, rec.Append(intent("a")))
	in.lie = func(a *sidecarv1alpha1.RecordingAck) { a.Complete = true } // of a file that still grows
	s.shipping(t, in)
	in.until(t, "it was not offered", func(in *intake) bool { return in.chunks > 0 })
	must(t, rec.Append(intent("b")))
	in.set(func(in *intake) { in.lie = func(a *sidecarv1alpha1.RecordingAck) { a.Size, a.Complete = 1<<40, true } })
	must(t, rec.Close())
	n := 0
	in.set(func(in *intake) { n = in.chunks })
	in.until(t, "it was not offered again", func(in *intake) bool { return in.chunks > n+2 })
	if _, err := os.Stat(rec.Location()); err != nil {
		t.Fatalf("it is gone: %v", err)
	}
	in.set(func(in *intake) { in.lie = nil })
	in.until(t, "it did not arrive", func(in *intake) bool { return in.complete["data/orders/one"] != nil })
}
