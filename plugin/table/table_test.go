package table

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestWhatATerminalWouldObeyIsSpelledOut(t *testing.T) {
	for _, c := range []struct{ text, line, block string }{
		{"select 1", "select 1", "select 1"},
		{"a\nb\tc\r", "a b c ", "a\nb    c\\x0d"},
		{"\x1b[2J\x07\x7f", `\x1b[2J\x07\x7f`, `\x1b[2J\x07\x7f`},
		{"\u202etxet\u2066\u200b", `\u202etxet\u2066\u200b`, `\u202etxet\u2066\u200b`},
		{"\u009b31m", `\u009b31m`, `\u009b31m`},
		{"\u00a0\u2028\u3164", `\u00a0\u2028\u3164`, `\u00a0\u2028\u3164`},
		{"\xff\xfe", `\xff\xfe`, `\xff\xfe`},
		{"Grüße, 数据 \ufffd", "Grüße, 数据 \ufffd", "Grüße, 数据 \ufffd"},
	} {
		if got := Line(c.text); got != c.line {
			t.Errorf("Line(%q) = %q", c.text, got)
		}
		if got := Block(c.text); got != c.block {
			t.Errorf("Block(%q) = %q", c.text, got)
		}
	}
}

func FuzzLineIsOnePrintableLine(f *testing.F) {
	f.Add("a\x1b\n\u202e\xff")
	f.Fuzz(func(t *testing.T, text string) {
		for _, r := range Line(text) {
			if r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
				t.Errorf("%q holds %q", Line(text), r)
			}
		}
	})
}

func TestColumnsAlignAndANarrowTerminalShrinksWhatMay(t *testing.T) {
	table := &Table{
		Columns: []Column{{Name: "NAME"}, {Name: "WHAT", Shrink: true}, {Name: "ROWS", Right: true}, {Name: "AGE"}},
		Rows: [][]Cell{
			{{Text: "a"}, {Text: "数据 is wide, and this is long"}, {Text: "~12k"}, {Text: "1s"}},
			{{Text: "longer"}, {Text: "x\ny"}, {Text: "-", Style: Bad}, {Text: "2m"}},
		},
	}
	for _, c := range []struct {
		width int
		color bool
		want  string
	}{
		{0, false, "NAME     WHAT                             ROWS   AGE\na        数据 is wide, and this is long   ~12k   1s\nlonger   x y                                 -   2m"},
		{40, false, "NAME     WHAT                 ROWS   AGE\na        数据 is wide, and…   ~12k   1s\nlonger   x y                     -   2m"},
		{24, false, ""},
		{0, true, "\x1b[1mNAME\x1b[0m "},
	} {
		got := strings.Join(table.Lines(c.width, c.color), "\n")
		if c.color && !strings.Contains(got, "\x1b[31m-\x1b[0m") || !c.color && got != c.want && c.width != 24 {
			t.Errorf("width %d:\n%s\nwant:\n%s", c.width, got, c.want)
		}
		for _, line := range table.Lines(c.width, false) {
			if c.width > 0 && Width(line) > c.width {
				t.Errorf("a line is %d wide on a terminal of %d: %q", Width(line), c.width, line)
			}
		}
	}
}

func TestNumbersAndTimesAreWrittenForPeople(t *testing.T) {
	now := time.Date(2026, 11, 26, 14, 17, 3, 0, time.FixedZone("CET", 3600))
	for got, want := range map[string]string{
		Number(1234567): "1,234,567", Number(-1234): "-1,234", Number(999): "999", Count(1, "row"): "1 row", Count(1204, "row"): "1,204 rows",
		About(999): "~999", About(1500): "~1.5k", About(2000): "~2k", About(12345): "~12k", About(2_500_000): "~2.5M", About(3_000_000_000_000): "~3,000G",
		Bytes(512): "512 B", Bytes(1024): "1.0 KiB", Bytes(5 << 20): "5.0 MiB", Bytes(1<<20 - 1): "1.0 MiB", Bytes(1<<63 - 1): "8.0 EiB",
		Span(42 * time.Second): "42s", Span(14*time.Minute + 50*time.Second): "14m", Span(125 * time.Minute): "2h5m", Span(3 * time.Hour): "3h", Span(75 * time.Hour): "3d", Span(-time.Second): "0s",
		Clock(now, now): "13:17:03 UTC", Clock(now.AddDate(0, 0, 1), now): "2026-11-27 13:17:03 UTC",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestWhatIsDrawnAgainCoversWhatWasThere(t *testing.T) {
	var b bytes.Buffer
	live := NewLive(&b, 4)
	for _, lines := range [][]string{{"one", "two"}, {"one"}, {"1", "2", "3", "4", "5"}} {
		if err := live.Draw(lines); err != nil {
			t.Fatal(err)
		}
	}
	const want = "\rone\x1b[K\n\rtwo\x1b[K\n\x1b[J" + "\x1b[2A\rone\x1b[K\n\x1b[J" + "\x1b[1A\r1\x1b[K\n\r2\x1b[K\n\r… and 3 more; make the window higher, or use -n\x1b[K\n\x1b[J"
	if b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
}
