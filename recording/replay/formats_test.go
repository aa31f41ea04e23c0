package replay_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/replay"
	"github.com/tidewaiter/tidewaiter/recording/stream"
)

type format = func(io.Writer, replay.Recording, string) (recording.Report, error)

func page(w io.Writer, r replay.Recording, s string) (recording.Report, error) {
	return replay.HTML(w, r, s, 10)
}

func formatted(t testing.TB, raw []byte, f format, chosen string) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := f(&out, stream.New(bytes.NewReader(raw), nil), chosen); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestFormats(t *testing.T) {
	for name, f := range map[string]format{"session.json": replay.JSON, "session.csv": replay.CSV, "session.sql": replay.SQL, "session.html": page} {
		t.Run(name, func(t *testing.T) {
			compare(t, filepath.Join("testdata", name), formatted(t, session(t), f, ""))
		})
	}
}

// nasty are texts that mean something to a browser, a terminal, a spreadsheet or psql.
var nasty = []string{
	`</pre><script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `"><svg/onload=alert(1)>`, `' onmouseover='x`, `{{.}}`, `</style><style>*{}`, `javascript:alert(1)`,
	"\x1b[2J\u202e", "=cmd|' /C calc'!A1", "\\! touch /tmp/x", "select 1;\n\\! id", "\u0085\u2028x", "]]>", "<!--", "select '", "/*",
}

// poisoned has every nasty text in every place that a client or a server can fill.
func poisoned() []access.Event {
	events := []access.Event{}
	for i, x := range nasty {
		n := int64(i + 1)
		if i == 0 {
			events = append(events, access.Event{Kind: access.EventOpened, Time: start, Opened: &access.Opened{Session: "s", DataSource: "data/orders", Hello: access.Hello{User: x, Database: x, Application: x}}})
		}
		d := run(n, x)
		d.Decided.Parameters, d.Decided.Reason, d.Decided.Rule, d.Decided.Flags = []access.Value{{Text: x}}, x, x, []string{x}
		d.Decided.Tags, d.Decided.Resources = []string{x}, []string{"Read " + x}
		events = append(events, d,
			access.Event{Kind: access.EventRows, Time: start, Statement: n, Rows: &access.Rows{Columns: []access.Column{{Name: x, Masked: x}}, Values: [][]access.Value{{{Text: x}}}}},
			access.Event{Kind: access.EventDisagreed, Time: start, Statement: n, Note: x},
			ended(n, access.Ended{Outcome: access.OutcomeDone, Tag: x, Message: x, Code: x}))
	}
	return append(events, access.Event{Kind: access.EventClosed, Time: start, Closed: &access.Closed{Reason: nasty[0]}})
}

func TestNothingInARecordingIsMarkupOnThePage(t *testing.T) {
	out := formatted(t, encode(poisoned()), page, "")
	if n := strings.Count(out, "<script"); n != 1 {
		t.Errorf("there are %d scripts on the page, not its own alone", n)
	}
	for _, tag := range regexp.MustCompile(`<[^>]*>`).FindAllString(out, -1) {
		if regexp.MustCompile(`(?i)^<(img|svg|iframe|object|embed|link|a|base)\b|\son\w+\s*=|\ssrc\s*=|\shref\s*=`).MatchString(tag) {
			t.Errorf("a tag that loads or runs something: %s", tag)
		}
	}
	if n := strings.Count(out, "<style"); n != 1 {
		t.Errorf("there are %d styles", n)
	}
	if !strings.Contains(out, "default-src &#39;none&#39;") && !strings.Contains(out, "default-src 'none'") {
		t.Error("the page has no policy of what it may load")
	}
	if strings.Count(out, "<article") != len(nasty) || !strings.Contains(out, "&lt;img src=x onerror=alert(1)&gt;") {
		t.Errorf("not all is shown: %d statements", strings.Count(out, "<article"))
	}
}

func TestNoFormatWritesWhatATerminalObeys(t *testing.T) {
	for name, f := range map[string]format{"json": replay.JSON, "csv": replay.CSV, "sql": replay.SQL, "html": page} {
		for i, r := range formatted(t, encode(poisoned()), f, "") {
			if r != '\n' && !unicode.IsPrint(r) && !(name == "json" && r > 0xa0) { // JSON keeps letters that show nothing; it is for programs
				t.Errorf("%s: character %U at byte %d", name, r, i)
			}
		}
	}
}

func TestEveryLineOfCSVHasTheColumnsAndNoFormula(t *testing.T) {
	all, err := csv.NewReader(strings.NewReader(formatted(t, encode(poisoned()), replay.CSV, ""))).ReadAll()
	if err != nil || len(all) != len(nasty)+1 {
		t.Fatalf("%d lines, %v", len(all), err)
	}
	for _, line := range all {
		for _, field := range line {
			if field != "" && strings.ContainsRune("=+-@", rune(field[0])) {
				t.Errorf("a spreadsheet computes %q", field)
			}
		}
	}
}

func TestEveryLineOfJSONIsAnEvent(t *testing.T) {
	events := poisoned()
	lines := strings.Split(strings.TrimSpace(formatted(t, encode(events), replay.JSON, "")), "\n")
	if len(lines) != len(events) {
		t.Fatalf("%d lines for %d events", len(lines), len(events))
	}
	for i, line := range lines {
		var e struct {
			Seq uint64 `json:"seq"`
			access.Event
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Seq != uint64(i+1) || e.Kind != events[i].Kind {
			t.Errorf("line %d: %v, %+v", i+1, err, e)
		}
	}
}

func TestAScriptHoldsOnlyWhatCanBeRunAndCommentsTheRest(t *testing.T) {
	denied := run(2, "drop table customers;\nselect 2")
	denied.Decided.Effect = "Deny"
	param := func(n int64, v access.Value) access.Event {
		e := run(n, "select $1::text")
		e.Decided.Parameters = []access.Value{v}
		return e
	}
	events := []access.Event{
		run(1, "select '"), ended(1, access.Ended{Outcome: access.OutcomeFailed, Code: "42601"}),
		denied, ended(2, access.Ended{Outcome: access.OutcomeDenied}),
		param(3, access.Value{Masked: true}), ended(3, access.Ended{Outcome: access.OutcomeDone}),
		param(4, access.Value{Text: `it's \! id`}), ended(4, access.Ended{Outcome: access.OutcomeDone}),
		run(5, "select 1;\n\\! id"), ended(5, access.Ended{Outcome: access.OutcomeDone}),
		run(6, "select 6;"), ended(6, access.Ended{Outcome: access.OutcomeDone}),
	}
	out := formatted(t, encode(events), replay.SQL, "")
	var runs []string
	for line := range strings.SplitSeq(out, "\n") {
		if line != "" && !strings.HasPrefix(line, "-- ") {
			runs = append(runs, line)
		}
	}
	want := "select $1::text\n" + `\bind 'it\'s \\! id' \g` + "\nselect 6\n;"
	if got := strings.Join(runs, "\n"); got != want {
		t.Errorf("what runs is\n%s\nwant\n%s", got, want)
	}
	for _, says := range []string{"-- drop table customers;", "-- not to be run: parameter $1 is masked", "-- not to be run: it was denied"} {
		if !strings.Contains(out, says) {
			t.Errorf("there is no %q in\n%s", says, out)
		}
	}
}

func TestAReplayInItsOwnTimeWaitsAsTheSessionDid(t *testing.T) {
	var waited time.Duration
	var out bytes.Buffer
	events := []access.Event{run(1, "select 1"), ended(1, access.Ended{Outcome: access.OutcomeDone})}
	events[1].Time = events[0].Time.Add(10 * time.Second)
	_, err := replay.Play(&out, stream.New(bytes.NewReader(encode(events)), nil), replay.Options{Speed: 4, Wait: func(d time.Duration) bool { waited += d; return true }})
	if err != nil || waited != 2500*time.Millisecond {
		t.Errorf("waited %v, %v", waited, err)
	}
}
