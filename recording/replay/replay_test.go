package replay_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/replay"
	"github.com/tidewaiter/tidewaiter/recording/stream"
)

var update = flag.Bool("update", false, "write the golden files anew")

// session is the golden recording of the format: everything happens in it once.
func session(t testing.TB) []byte {
	t.Helper()
	raw, err := os.ReadFile("../testdata/session.twr")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func printed(t testing.TB, raw []byte, o replay.Options) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := replay.Play(&out, stream.New(bytes.NewReader(raw), nil), o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestDigestsArePrintedInPlaceOfRows(t *testing.T) {
	events := []access.Event{
		{Kind: access.EventOpened, Opened: &access.Opened{Session: "s"}},
		{Kind: access.EventDecided, Statement: 1, Decided: &access.Decided{Phase: access.PhaseRun, Text: "SELECT 1", Effect: "Allow"}},
		{Kind: access.EventRows, Statement: 1, Rows: &access.Rows{Digest: &access.RowsDigest{Count: 4096, Bytes: 9, SHA256: "aa"}}},
		{Kind: access.EventRows, Statement: 1, Rows: &access.Rows{Digest: &access.RowsDigest{Count: 4, Bytes: 1, SHA256: "b\x1bb"}}},
		{Kind: access.EventEnded, Statement: 1, Ended: &access.Ended{Outcome: access.OutcomeDone, Rows: 4100}},
	}
	for i := range events {
		events[i].Time = time.Unix(1, 0)
	}
	if got := printed(t, encode(events), replay.Options{}); !strings.Contains(got, "rows: 4,100, 10 bytes, sha256 b") || strings.Contains(got, "\x1b") {
		t.Errorf("got\n%s", got)
	}
}

func TestReplay(t *testing.T) {
	for _, test := range []struct {
		name    string
		raw     func(testing.TB) []byte
		options replay.Options
	}{
		{"session", session, replay.Options{}},
		{"narrow", session, replay.Options{Width: 100, Rows: 1}},
		{"full", session, replay.Options{Full: true, Prepares: true, Rows: replay.NoRows}},
		{"chosen", session, replay.Options{Statements: "1-2,4"}},
		{"color", session, replay.Options{Color: true}},
		{"broken", func(t testing.TB) []byte {
			return bytes.Replace(session(t), []byte("delete from orders"), []byte("delete from nothin"), 1)
		}, replay.Options{}},
		{"cut-off", func(t testing.TB) []byte { raw := session(t); return raw[:len(raw)-900] }, replay.Options{}},
		{"pipelined", func(testing.TB) []byte { return encode(pipelined()) }, replay.Options{}},
		{"hostile", func(testing.TB) []byte { return encode(hostile()) }, replay.Options{Color: true}},
		{"hostile-full", func(testing.TB) []byte { return encode(hostile()) }, replay.Options{Full: true}},
		{"refusals", func(testing.TB) []byte { return encode(refusals()) }, replay.Options{}},
		{"tables", func(testing.TB) []byte { return encode(wideTables()) }, replay.Options{Rows: 3}},
		{"empty", func(testing.TB) []byte { return nil }, replay.Options{}},
		{"no-recording", func(testing.TB) []byte { return []byte("%PDF-1.7 and so on and on") }, replay.Options{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			compare(t, filepath.Join("testdata", test.name+".txt"), printed(t, test.raw(t), test.options))
		})
	}
}

func TestSegmentsAreReplayedAsTheJournalThatTheyWereMadeOf(t *testing.T) {
	raw, err := os.ReadFile("../testdata/session-segments.twr")
	if err != nil {
		t.Fatal(err)
	}
	body := func(s string) (string, string) {
		at := strings.LastIndex(strings.TrimSuffix(s, "\n"), "\n") + 1
		return s[:at], s[at:]
	}
	want, _ := body(printed(t, session(t), replay.Options{}))
	got, last := body(printed(t, raw, replay.Options{}))
	if got != want {
		t.Errorf("segments are printed as\n%s\nand their journal as\n%s", got, want)
	}
	if !strings.Contains(last, "3 segments signed, the attestation not verified") {
		t.Errorf("the last line is %q", last)
	}
}

func compare(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got\n%s\nwant\n%s", golden, got, want)
	}
}

func TestNothingInARecordingReachesTheTerminalUnseen(t *testing.T) {
	for _, o := range []replay.Options{{}, {Full: true}, {Prepares: true, Width: 200}} {
		for i, r := range printed(t, encode(hostile()), o) {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("with %+v, character %U stands at byte %d", o, r, i)
			}
		}
	}
}

func TestALineDoesNotPassTheWidthForOrdinaryStatements(t *testing.T) {
	for _, width := range []int{100, 120, 200} {
		for line := range strings.SplitSeq(printed(t, session(t), replay.Options{Width: width, Statements: "1-6"}), "\n") {
			if n := len([]rune(line)); n > width && !strings.Contains(line, "ALARM") && !strings.Contains(line, "head") && !strings.Contains(line, "tidewaiter:") {
				t.Errorf("width %d: a line of %d characters: %s", width, n, line)
			}
		}
	}
}

func TestAChoiceOfStatementsThatIsNoneIsRefused(t *testing.T) {
	for _, s := range []string{"x", "0", "-", "3-2", "1,,2", "1-2-3", "-0", "9999999999999999999", ",", "+", strings.Repeat("1,", 1000) + "1"} {
		var out bytes.Buffer
		_, err := replay.Play(&out, stream.New(bytes.NewReader(session(t)), nil), replay.Options{Statements: s})
		if err == nil || out.Len() > 0 {
			t.Errorf("%q: %v, and %d bytes were printed; want it refused at once", s, err, out.Len())
		}
	}
}

func TestAChoiceOfStatements(t *testing.T) {
	for choice, want := range map[string]string{"": "12456", "2": "2", "4-": "456", "-2": "12", "1,5-6": "156", " 2 , 4 ": "24", "99": ""} {
		out := printed(t, session(t), replay.Options{Statements: choice})
		got := ""
		for line := range strings.SplitSeq(out, "\n") {
			if len(line) > 6 && line[:3] == "   " && line[3] != ' ' && line[4:6] == "  " {
				got += line[3:4]
			}
		}
		if got != want {
			t.Errorf("%q prints statements %q, want %q:\n%s", choice, got, want, out)
		}
	}
}

func TestErrorsOfReaderAndWriterAreReturned(t *testing.T) {
	failure := errors.New("the disk is gone")
	raw := session(t)
	rep, err := replay.Play(io.Discard, stream.New(io.MultiReader(bytes.NewReader(raw[:3000]), broken{failure}), nil), replay.Options{})
	if !errors.Is(err, failure) || rep.State != recording.Unread {
		t.Errorf("a reader that fails: %v, %v", rep.State, err)
	}
	if _, err := replay.Play(broken{failure}, stream.New(bytes.NewReader(raw), nil), replay.Options{}); !errors.Is(err, failure) {
		t.Errorf("a writer that fails: %v", err)
	}
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error)  { return 0, b.err }
func (b broken) Write([]byte) (int, error) { return 0, b.err }

// A recording as long as it likes is printed in the memory of a short one.
func TestAReplayTakesConstantMemory(t *testing.T) {
	var out lineCounter
	in, write := io.Pipe()
	go func() {
		w := recording.NewWriter(write)
		text := strings.Repeat("x", 60<<10)
		for n := range int64(3000) { // begun and never ended
			if w.Append(run(n+1, text)) != nil {
				break
			}
		}
		_ = write.CloseWithError(w.Close())
	}()
	if _, err := replay.Play(&out, stream.New(in, nil), replay.Options{}); err != nil {
		t.Fatal(err)
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	if out.peak > 48<<20 {
		t.Errorf("the replay of 180 MB held %d bytes", out.peak)
	}
	if out.lines < 3000 {
		t.Errorf("%d lines were printed for 3000 statements", out.lines)
	}
}

// lineCounter counts lines and looks at the heap as they come.
type lineCounter struct {
	lines, writes int
	peak          uint64
}

func (c *lineCounter) Write(p []byte) (int, error) {
	c.lines += bytes.Count(p, []byte("\n"))
	if c.writes++; c.writes%20 == 0 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		c.peak = max(c.peak, m.HeapAlloc)
	}
	return len(p), nil
}

func FuzzReplay(f *testing.F) {
	for i, e := range append(append(hostile(), refusals()...), pipelined()...) {
		if e.Decided != nil {
			f.Add(e.Decided.Text, e.Decided.Rule, e.Decided.Reason, int64(i), uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, text, word, value string, number int64, choice uint8) {
		d := run(number, text)
		d.Decided.Rule, d.Decided.Effect, d.Decided.Flags, d.Decided.Resources = word, word, []string{value}, []string{word}
		d.Decided.Parameters = []access.Value{{Text: value}, {Binary: []byte(text), Size: number}}
		events := []access.Event{
			{Kind: access.EventOpened, Time: start, Opened: &access.Opened{Session: word, Client: value, Hello: access.Hello{Settings: map[string]string{word: text}}}},
			d,
			{Kind: access.EventRows, Time: start, Statement: number, Rows: &access.Rows{
				Columns: []access.Column{{Name: word, Masked: value}},
				Values:  [][]access.Value{{{Text: value}, {Text: text}}, {}, {{Text: word, Size: number}}},
			}},
			{Kind: access.EventDisagreed, Time: start, Statement: number, Note: value},
			{Kind: access.EventKind(word), Time: start, Statement: number},
			{Kind: access.EventEnded, Time: start, Statement: number, Ended: &access.Ended{
				Outcome: access.Outcome(word), Tag: value, Code: word, Message: text, Rows: number, Bytes: number, Masked: number, Duration: time.Duration(number),
			}},
			{Kind: access.EventClosed, Time: start, Closed: &access.Closed{Reason: text}},
		}
		o := replay.Options{Width: int(choice) * 2, Full: choice&1 != 0, Prepares: choice&2 != 0, Rows: int(choice % 5)}
		for i, r := range printed(t, encode(events), o) {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("character %U stands at byte %d", r, i)
			}
		}
	})
}

// encode returns the recording of events.
func encode(events []access.Event) []byte {
	var out bytes.Buffer
	w := recording.NewWriter(&out)
	for _, e := range events {
		if err := w.Append(e); err != nil {
			panic(fmt.Sprintf("%v: %+v", err, e))
		}
	}
	raw := out.Bytes()
	return raw // without an end mark, whose time is now
}

var start = time.Date(2026, 11, 22, 23, 59, 58, 0, time.UTC)

func run(number int64, text string) access.Event {
	return access.Event{Kind: access.EventDecided, Time: start.Add(time.Duration(number) * time.Millisecond), Statement: number, Decided: &access.Decided{
		Phase: access.PhaseRun, Text: text, Effect: "Allow", Policy: "data/reporting", Rule: "read",
	}}
}

func ended(number int64, e access.Ended) access.Event {
	return access.Event{Kind: access.EventEnded, Time: start.Add(time.Duration(number) * time.Millisecond), Statement: number, Ended: &e}
}
