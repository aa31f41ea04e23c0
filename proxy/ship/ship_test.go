package ship

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/record"
	"github.com/tidewaiter/tidewaiter/recording"
)

func TestARecordingIsShippedWhileItGrowsAndDeletedOnceItHasArrivedWhole(t *testing.T) {
	s, in := spool(t, Options{}), newIntake()
	s.shipping(t, in)
	rec := open(t, s, "one")
	must(t, rec.Append(intent("select 1")))
	in.until(t, "nothing arrived while it grew", func(in *intake) bool { return len(in.Segments()["data/orders/one"]) > 0 })
	if _, err := os.Stat(rec.Location()); err != nil {
		t.Errorf("it is gone before its end: %v", err)
	}
	must(t, rec.Append(rows(600<<10)), rec.Append(intent("select 2")), rec.Close())
	in.until(t, "it did not arrive", arrived("one"))
	report, err := recording.Verify(bytes.NewReader(in.Plain()["data/orders/one"]))
	if err != nil || report.State != recording.Complete || report.Head.String() != s.Latest("data/orders").Head || s.Latest("data/orders").ID != "one" {
		t.Errorf("%v, %v, latest %+v", report, err, s.Latest("data/orders"))
	}
	must(t, s.WaitEmpty(t.Context(), 20*time.Second))
	if files := left(t, s.opt.Dir); len(files) > 0 || s.Used() != 0 {
		t.Errorf("%v are still there, %d bytes used", files, s.Used())
	}
}

func TestASegmentIsSentAgainFromWhereTheOperatorSaysThatItIs(t *testing.T) {
	s, in := spool(t, Options{}), newIntake()
	rec := open(t, s, "one")
	must(t, rec.Append(rows(2<<20)), rec.Append(intent("a")), rec.Close())
	forgot := false
	in.lie = func(a *sidecarv1alpha1.RecordingAck) {
		if !forgot && a.GetSize() > maxChunk { // another replica, that has nothing of it
			forgot, a.Size = true, 0
			in.Recordings.Forget()
		}
	}
	s.shipping(t, in)
	in.until(t, "it did not arrive", arrived("one"))
	begun, twice := map[string]int{}, 0
	for _, c := range in.order {
		if begun[c]++; strings.HasSuffix(c, "@0") && begun[c] == 2 {
			twice++
		}
	}
	if twice != 1 || len(in.Refused()) > 0 {
		t.Errorf("sent %v, refused %v", in.order, in.Refused())
	}
}

// What an operator cannot keep it does not answer for: that may be one recording's trouble, such as a broken object in the store.
func TestARecordingThatIsNeverAnsweredForDoesNotHoldTheOthersUp(t *testing.T) {
	s, in := spool(t, Options{}), newIntake()
	in.silent = "one"
	for _, id := range []string{"one", "two", "three"} { // the first in the line is the one
		rec := open(t, s, id)
		must(t, rec.Append(intent("select 1")), rec.Close())
	}
	s.shipping(t, in)
	in.until(t, "the second did not arrive", arrived("two"))
	in.until(t, "the third did not arrive", arrived("three"))
	in.set(func(in *intake) { in.silent = "" })
	in.until(t, "the first did not arrive once it was answered for", arrived("one"))
	must(t, s.WaitEmpty(t.Context(), 20*time.Second))
}

func TestAFullSpoolRefusesStatementsUntilTheOperatorTakesIt(t *testing.T) {
	s, in := spool(t, Options{Limit: 1 << 20}), newIntake()
	in.down = true
	s.shipping(t, in)
	rec, other := open(t, s, "one"), open(t, s, "two")
	for s.Used() < 1<<20 {
		must(t, rec.Append(rows(64<<10)))
		time.Sleep(time.Millisecond) // the journal is compressed meanwhile
	}
	in.until(t, "it is not full", func(*intake) bool {
		return errors.Is(other.Append(intent("select 1")), ErrFull) || rec.Append(rows(64<<10)) != nil
	})
	must(t, other.Append(ended())) // how it ended is recorded all the same
	must(t, rec.Close())
	in.set(func(in *intake) { in.down = false })
	in.until(t, "it did not arrive", arrived("one"))
	in.until(t, "there is no room again", func(*intake) bool { return s.Used() < 1<<20 })
	must(t, other.Append(intent("select 1")), other.Close())
	in.until(t, "the other did not arrive", arrived("two"))
}

func TestAFullSpoolRefusesSessions(t *testing.T) {
	s := spool(t, Options{Limit: 1 << 20})
	rec := open(t, s, "one")
	must(t, rec.Append(rows(1<<20)), rec.Append(rows(1<<10)), rec.Close())
	r, err := s.Recorder("data/orders", record.Statement, record.Deny)
	must(t, err)
	if _, err := r.Open(access.Opened{Session: "three"}); !errors.Is(err, ErrFull) {
		t.Errorf("a session: %v", err)
	}
}

// A session may last for weeks: what has arrived of it must not fill the spool.
func TestALongSessionDoesNotFillTheSpoolWithWhatHasArrived(t *testing.T) {
	dir := t.TempDir()
	s, in := spool(t, Options{Dir: dir, Limit: 1 << 20}), newIntake()
	stop := s.shipping(t, in)
	rec := open(t, s, "one")
	for range 40 { // almost 8 MiB
		must(t, rec.Append(rows(200<<10)))
		in.until(t, "there is no room", func(*intake) bool { return rec.Append(intent("select 1")) == nil })
	}
	stop() // as in a crash: another process finds the folder
	next := spool(t, Options{Dir: copied(t, dir), Limit: 1 << 20})
	if next.Used() > s.Used()+1<<10 || next.Used() > 1<<20+1<<18 {
		t.Errorf("%d bytes are counted, and were %d", next.Used(), s.Used())
	}
	next.shipping(t, in)
	in.until(t, "it did not arrive", cut("one"))
	report, err := recording.Verify(bytes.NewReader(in.Plain()["data/orders/one"]))
	if err != nil || report.State != recording.Unfinished || report.Bytes < 7<<20 || len(in.Refused()) > 0 {
		t.Errorf("%v, %v, refused %v", report, err, in.Refused())
	}
	must(t, next.WaitEmpty(t.Context(), 20*time.Second))
	if files := left(t, next.opt.Dir); len(files) > 0 {
		t.Errorf("left: %v", files)
	}
}

func TestRowsWaitForRoomRatherThanFillTheDisk(t *testing.T) {
	s, in := spool(t, Options{Limit: 1 << 20}), newIntake()
	first, second := open(t, s, "one"), open(t, s, "two")
	must(t, first.Append(rows(1<<20)), first.Append(rows(256<<10)), first.Append(ended()), first.Close())
	if s.Used() < 1<<20+1<<17 {
		t.Fatalf("it is not full: %d", s.Used())
	}
	done := make(chan error, 1)
	go func() { done <- second.Append(rows(2)) }()
	select {
	case err := <-done:
		t.Errorf("rows did not wait: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	s.shipping(t, in)
	if err := <-done; err != nil {
		t.Errorf("with room again: %v", err)
	}
	must(t, second.Close())
}

func TestASegmentThatTheOperatorRejectsStaysWithThoseThatFollow(t *testing.T) {
	var on atomic.Int64
	s, in := spool(t, Options{Now: func() time.Time { return time.Now().Add(time.Duration(on.Load())) }}), newIntake()
	in.refuse = "BadSignature"
	s.shipping(t, in)
	rec := open(t, s, "one")
	must(t, rec.Append(intent("a")))
	in.until(t, "it was not offered", func(in *intake) bool { return in.chunks > 0 })
	must(t, rec.Append(intent("b")), rec.Close())
	in.set(func(in *intake) { in.refuse = "" })
	next := open(t, s, "two")
	must(t, next.Append(intent("a")), next.Close())
	in.until(t, "the other did not arrive", arrived("two"))
	if files := left(t, s.opt.Dir); len(files) == 0 {
		t.Error("it is gone")
	}
	on.Store(int64(2 * rejectedPause))
	in.until(t, "it was not offered again", arrived("one"))
	if len(in.Refused()) > 0 {
		t.Errorf("refused: %v", in.Refused())
	}
}

func TestNothingIsDeletedForAnAcknowledgementThatDoesNotFit(t *testing.T) {
	s, in := spool(t, Options{}), newIntake()
	rec := open(t, s, "one")
	must(t, rec.Append(rows(1<<20)), rec.Close())
	in.lie = func(a *sidecarv1alpha1.RecordingAck) { a.Complete = a.GetSize() <= maxChunk } // before its end
	s.shipping(t, in)
	in.until(t, "it was not offered", func(in *intake) bool { return in.chunks > 3 })
	in.set(func(in *intake) { in.lie = func(a *sidecarv1alpha1.RecordingAck) { a.Size, a.Complete = 1<<40, true } })
	n := 0
	in.set(func(in *intake) { n = in.chunks })
	in.until(t, "it was not offered again", func(in *intake) bool { return in.chunks > n+2 })
	if files := left(t, s.opt.Dir); len(files) != 1 || !strings.HasSuffix(files[0], recording.SegmentExtension) {
		t.Fatalf("left: %v", files)
	}
	in.set(func(in *intake) { in.lie = nil })
	must(t, s.WaitEmpty(t.Context(), 20*time.Second))
	in.until(t, "it did not arrive", arrived("one"))
}

func TestWhatIsNoRecordingIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "other.txt"), []byte("not a recording"), 0o600))
	if s := spool(t, Options{Dir: dir}); s.Used() != 0 {
		t.Errorf("%d bytes are counted", s.Used())
	}
	if _, err := os.Stat(filepath.Join(dir, "other.txt")); err != nil {
		t.Error(err)
	}
}
