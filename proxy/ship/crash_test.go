package ship

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
)

// stages are what a crash may come between when a batch of segments is made durable.
var stages = []struct {
	name string
	do   func(t *testing.T, s *Spool)
}{
	{"before anything is sealed", func(*testing.T, *Spool) {}},
	{"after the segments have their names", func(t *testing.T, s *Spool) {
		var all []*journal
		for _, j := range s.active {
			j.since = time.Now().Add(-time.Hour)
			all = append(all, j)
		}
		_, err := s.sealer.gather(&all)
		must(t, err)
		if len(s.sealer.batch) != 2 {
			t.Fatalf("%d segments", len(s.sealer.batch))
		}
	}},
	{"after one journal is settled", func(t *testing.T, s *Spool) { must(t, s.sealer.batch[0].settle()) }},
	{"after both are", func(t *testing.T, s *Spool) { must(t, s.sealer.batch[1].settle()) }},
	{"after they are handed over", func(t *testing.T, s *Spool) { must(t, s.sealer.commit()) }},
}

func TestACrashAtAnyPointNeitherLosesNorSealsTwice(t *testing.T) {
	s := spool(t, Options{Age: time.Millisecond})
	must(t, s.Attested(nil))
	grows, over := open(t, s, "grows"), open(t, s, "over")
	for i := range 3 {
		must(t, grows.Append(intent(fmt.Sprint("g", i))), over.Append(intent(fmt.Sprint("o", i))), grows.Append(rows(100<<10)))
	}
	want := written(t, grows.Location())
	must(t, over.Close())
	for n, stage := range stages {
		stage.do(t, s)
		dir := copied(t, s.opt.Dir)
		t.Run(stage.name, func(t *testing.T) {
			in := newIntake()
			next := spool(t, Options{Dir: dir})
			hello(in, s) // the operator knows the key of the process that crashed
			next.shipping(t, in)
			must(t, next.WaitEmpty(t.Context()))
			if len(in.Refused()) > 0 {
				t.Errorf("refused: %v", in.Refused())
			}
			if got := in.Plain()["data/orders/grows"]; !bytes.HasPrefix(got, want) {
				t.Errorf("of what grew %d bytes arrived, of %d", len(got), len(want))
			}
			segments := in.Segments()["data/orders/grows"]
			if last := segments[len(segments)-1].Head; last.End != recording.EndCutOff || !last.Recovered || last.Key != recording.IDOf(next.publicKey()) {
				t.Errorf("it ends with %+v", last)
			}
			if in.Complete()["data/orders/over"] == nil {
				t.Error("what was over did not arrive to its end mark")
			}
			if over := in.Segments()["data/orders/over"]; over[0].Head.Recovered != (n == 0) || len(over) != 1 {
				t.Errorf("what was over is %d segments, recovered: %v", len(over), over[0].Head.Recovered)
			}
			if files := left(t, dir); len(files) > 0 {
				t.Errorf("left: %v", files)
			}
		})
	}
	must(t, grows.Close())
}

// written is what stands in a journal, once all of it does.
func written(t *testing.T, path string) (b []byte) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(60 * time.Millisecond) {
		now, err := os.ReadFile(path)
		must(t, err)
		if len(now) > recording.HeaderSize && len(now) == len(b) {
			return b
		}
		b = now
	}
	t.Fatal("the journal does not come to rest")
	return nil
}

// journalOf is a folder in which an earlier process has left a journal, that is changed.
func journalOf(t *testing.T, change func([]byte) []byte) string {
	t.Helper()
	s := spool(t, Options{})
	rec := open(t, s, "one")
	must(t, rec.Append(intent("a")), rec.Append(intent("b")))
	dir := copied(t, s.opt.Dir)
	path := strings.Replace(rec.Location(), s.opt.Dir, dir, 1)
	b, err := os.ReadFile(path)
	must(t, err, os.WriteFile(path, change(b), 0o600), rec.Close())
	return dir
}

func TestWhatACrashLeavesOfARecordIsLeftOut(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"cut in the last record's header": func(b []byte) []byte { return b[:bytes.LastIndex(b, []byte(`{"time"`))-40] },
		"cut in its event":                func(b []byte) []byte { return b[:len(b)-50] },
		"with zeros in its place":         func(b []byte) []byte { return append(b[:len(b)-50], make([]byte, 5000)...) },
		"zeros behind it":                 func(b []byte) []byte { return append(b, make([]byte, 5000)...) },
		"nothing at all":                  func(b []byte) []byte { return b },
	} {
		t.Run(name, func(t *testing.T) {
			dir := journalOf(t, func(b []byte) []byte {
				if at := bytes.LastIndex(b, []byte(`{"time"`)); at < 0 && strings.Contains(name, "header") {
					return b[:len(b)-len(b)/4]
				}
				return change(b)
			})
			s, in := spool(t, Options{Dir: dir}), newIntake()
			s.shipping(t, in)
			must(t, s.WaitEmpty(t.Context()))
			events, err := in.Events("data/orders/one")
			if err != nil || len(events) < 2 || !cut("one")(in) || len(in.Refused()) > 0 || len(left(t, dir)) > 0 {
				t.Errorf("%d events, %v, refused %v, left %v", len(events), err, in.Refused(), left(t, dir))
			}
		})
	}
}

func TestAJournalThatWasChangedIsShippedUpToThereAndSetAside(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"in its header":       func(b []byte) []byte { b[9] ^= 1; return b },
		"in its first record": func(b []byte) []byte { b[recording.HeaderSize+70] ^= 1; return b },
		"in its last record":  func(b []byte) []byte { b[len(b)-40] ^= 1; return b },
		"behind it":           func(b []byte) []byte { return append(b, bytes.Repeat([]byte("x"), 100)...) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := journalOf(t, change)
			s, in := spool(t, Options{Dir: dir}), newIntake()
			s.shipping(t, in)
			in.until(t, "it was not set aside", func(*intake) bool {
				files := left(t, dir)
				return len(files) == 1 && strings.HasSuffix(files[0], asideExtension)
			})
			if got := len(in.Segments()["data/orders/one"]) > 0; got != (name == "in its last record" || name == "behind it") {
				t.Errorf("something was shipped: %v", got)
			}
			if s.Used() == 0 {
				t.Error("it takes no room")
			}
			if again := spool(t, Options{Dir: dir}); again.Used() == 0 {
				t.Error("it takes no room after another start")
			}
		})
	}
}

func TestWhatIsCutOffAndSealedAlreadySaysSo(t *testing.T) {
	s, in := spool(t, Options{}), newIntake()
	stop := s.shipping(t, in)
	rec := open(t, s, "one")
	must(t, rec.Append(intent("a")))
	want := written(t, rec.Location())
	in.until(t, "it did not arrive", func(in *intake) bool { return bytes.Equal(in.Plain()["data/orders/one"], want) })
	stop()
	next := spool(t, Options{Dir: copied(t, s.opt.Dir)})
	next.shipping(t, in)
	in.until(t, "its end was not said", cut("one"))
	events, err := in.Events("data/orders/one")
	must(t, err)
	if last := events[len(events)-1].Event; len(events) != 3 || last.Kind != access.EventClosed || last.Closed.Reason != cutOff || last.Time.Before(events[1].Event.Time) {
		t.Errorf("%d events, the last is %+v", len(events), last)
	}
}

// The serial of a segment is spent when it is sealed: with another one in its place, it would look as if a session had vanished.
func TestASegmentThatCannotBeWrittenIsWrittenLaterAsItWas(t *testing.T) {
	s, in := spool(t, Options{}), newIntake()
	one, two := open(t, s, "one"), open(t, s, "two")
	blocked := s.segmentPath(name{"data/orders", "one"}, 1)
	must(t, os.Mkdir(blocked, 0o700), one.Append(intent("a")), one.Close())
	must(t, s.Attested(nil))
	if err := s.sealer.round(t.Context(), true); err == nil {
		t.Fatal("a file took a folder's place")
	}
	made := bytes.Clone(s.sealer.batch[0].bytes)
	must(t, two.Append(intent("a")), two.Close())
	if err := s.sealer.round(t.Context(), true); err == nil || !bytes.Equal(s.sealer.batch[0].bytes, made) || len(s.sealer.batch) != 1 {
		t.Errorf("%v: it was sealed again, or another beside it", err)
	}
	if beat, err := s.Beat(false); err != nil || !bytes.Contains(beat.Statement, []byte(`"sealed":0`)) {
		t.Errorf("a heartbeat claims what is not on disk: %s, %v", beat.Statement, err)
	}
	must(t, os.Remove(blocked))
	s.shipping(t, in)
	must(t, s.WaitEmpty(t.Context()))
	serials := map[uint64]bool{}
	for _, segments := range in.Segments() {
		for _, g := range segments {
			serials[g.Head.Serial] = true
		}
	}
	if len(serials) != 2 || !serials[1] || !serials[2] || len(in.Refused()) > 0 {
		t.Errorf("serials %v, refused %v", serials, in.Refused())
	}
	if _, err := os.Stat(blocked); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestASessionThatEndsWhileItIsSealedIsNotSealedTwice(t *testing.T) {
	s, in := spool(t, Options{}), newIntake()
	rec := open(t, s, "one")
	must(t, rec.Append(intent("a")))
	var all []*journal
	for _, j := range s.active {
		j.since = time.Now().Add(-time.Hour)
		all = append(all, j)
	}
	made, err := s.sealer.make(all[0], false)
	must(t, err)
	made.j.batched, s.sealer.batch = true, append(s.sealer.batch, made)
	must(t, s.sealer.write(made), rec.Append(intent("b")), rec.Close())
	if _, err := s.sealer.gather(&all); err != nil || len(s.sealer.batch) != 1 {
		t.Errorf("%d segments of one journal at once, %v", len(s.sealer.batch), err)
	}
	s.shipping(t, in)
	in.until(t, "it did not arrive", arrived("one"))
	if n := len(in.Segments()["data/orders/one"]); n != 2 || len(in.Refused()) > 0 {
		t.Errorf("%d segments, refused %v", n, in.Refused())
	}
}
