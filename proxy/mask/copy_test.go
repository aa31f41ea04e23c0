package mask_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/mask"
)

// copied returns what a COPY stream of the given chunks becomes.
func copied(m *mask.CopyMasker, chunks ...string) (string, error) {
	var out []byte
	var err error
	for _, chunk := range chunks {
		if out, err = m.Append(out, []byte(chunk)); err != nil {
			return string(out), err
		}
	}
	out, err = m.Finish(out)
	return string(out), err
}

// columns makes maskers: a shown column, a redacted text, a text of which the first characters are kept.
func columns(t testing.TB) []mask.Masker {
	text := builtin(t, oidText)
	return []mask.Masker{nil, mask.New(text, mask.Spec{}), mask.New(text, mask.Spec{Strategy: mask.Partial, KeepFirst: 3})}
}

// copyCase is a COPY stream and what it becomes.
type copyCase struct{ name, in, out string }

// expectCopy runs the cases in one chunk and byte by byte.
func expectCopy(t *testing.T, f mask.CopyFormat, cases []copyCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for name, chunks := range map[string][]string{"in one": {c.in}, "byte by byte": strings.Split(c.in, "")} {
				got, err := copied(mask.NewCopyMasker(f, columns(t)), chunks...)
				if err != nil || got != c.out {
					t.Errorf("%s: %q became %q (%v), want %q", name, c.in, got, err, c.out)
				}
			}
		})
	}
}

func TestCopyTextMasksColumns(t *testing.T) {
	expectCopy(t, mask.DefaultCopyFormat(mask.CopyText), []copyCase{
		{"nothing", "", ""},
		{"a row", "1\tsecret\tabcdef\n", "1\t*****\tabc***\n"},
		{"two rows", "1\ts\tabcdef\n2\ts\tghijkl\n", "1\t*****\tabc***\n2\t*****\tghi***\n"},
		{"NULL", "\\N\t\\N\t\\N\n", "\\N\t\\N\t\\N\n"},
		{"an empty string", "\t\t\n", "\t*****\t*****\n"},
		{"a string that looks like NULL", "\\\\N\t\\\\N\t\\\\N123\n", "\\\\N\t*****\t\\\\N***\n"},
		{"escapes", "a\\tb\\\\\ts\\n\t\\t\\n\\\\456789\n", "a\\tb\\\\\t*****\t\\t\\n\\\\***\n"},
		{"no line end", "1\ts\tabcdef", "1\t*****\tabc***"},
	})
}

func TestCopyTextReadsOptions(t *testing.T) {
	f := mask.CopyFormat{Kind: mask.CopyText, Delimiter: '|', Null: `\0`, Header: true}
	expectCopy(t, f, []copyCase{
		{"header and delimiter in data", "id|secret|na\\|me\n1\\|2|s\\|t|ab\\|def\n", "id|secret|na\\|me\n1\\|2|*****|ab\\|***\n"},
		{"NULL", "id|secret|name\n\\0|\\0|\\0\n", "id|secret|name\n\\0|\\0|\\0\n"},
		{"header alone", "id|secret|name\n", "id|secret|name\n"},
	})
}

func TestCopyTextDoesNotTellWhichValueEqualsTheNullString(t *testing.T) {
	f := mask.DefaultCopyFormat(mask.CopyText)
	f.Null = "078-05-1120"
	expectCopy(t, f, []copyCase{{"a guess", "1\t078-05-1120\tx\n2\t999-99-9999\tx\n", "1\t*****\t*****\n2\t*****\t*****\n"}})
}

func TestCopyCSVMasksColumns(t *testing.T) {
	expectCopy(t, mask.DefaultCopyFormat(mask.CopyCSV), []copyCase{
		{"nothing", "", ""},
		{"a row", "1,secret,abcdef\n", "1,*****,abc***\n"},
		{"NULL is not the empty string", ",,\n\"\",\"\",\"\"\n", ",,\n\"\",*****,*****\n"},
		{"quotes", "\"a,\"\"b\"\"\n\",\"s,\n\"\"\n\",\"\"\"a,bcdef\"\n", "\"a,\"\"b\"\"\n\",*****,\"\"\"a,***\"\n"},
		{"only quotes", "1,\"\"\"\",\"\"\"\"\"\"\"\"\n", "1,*****,\"\"\"***\"\n"},
		{"no line end", "1,s,\"abcdef\"", "1,*****,abc***"},
	})
}

func TestCopyCSVReadsOptions(t *testing.T) {
	f := mask.CopyFormat{Kind: mask.CopyCSV, Delimiter: ';', Quote: '\'', Escape: '\\', Null: "*****", Header: true}
	expectCopy(t, f, []copyCase{
		{"header", "id;'se;cret';name\n1;s;abcdef\n", "id;'se;cret';name\n1;'*****';abc***\n"},
		{"NULL", "a;b;c\n*****;*****;*****\n", "a;b;c\n*****;*****;*****\n"},
		{"escapes in quotes", "a;b;c\n'\\'\\\\;';'\\'';'a\\'\\\\bcde'\n", "a;b;c\n'\\'\\\\;';'*****';'a\\'\\\\***'\n"},
		{"escapes without quotes", "a;b;c\n\\;\\;a\\bcdef\n", "a;b;c\n\\;'*****';a\\b***\n"},
	})
	f.ForceQuoteAll, f.Null = true, ""
	expectCopy(t, f, []copyCase{{"forced quotes", "a;b;c\n'1';'s';'abcdef'\n'2';;\n", "a;b;c\n'1';'*****';'abc***'\n'2';;\n"}})
}

// copyHeader is the head of a binary COPY, with the length of its extension.
func copyHeader(extension int32) string { return "PGCOPY\n\xff\r\n\x00" + be32(0) + be32(extension) }

func tuple(fields ...string) string { return be16(int16(len(fields))) + strings.Join(fields, "") }

const copyTrailer = "\xff\xff"

func TestCopyBinaryMasksColumns(t *testing.T) {
	rows := tuple(item("one"), item("secret"), item("abcdef")) + tuple(nullItem, nullItem, nullItem) + tuple(item(""), item(""), item(""))
	masked := tuple(item("one"), item("*****"), item("abc***")) + tuple(nullItem, nullItem, nullItem) + tuple(item(""), item("*****"), item("*****"))
	expectCopy(t, mask.DefaultCopyFormat(mask.CopyBinary), []copyCase{
		{"no rows", copyHeader(0) + copyTrailer, copyHeader(0) + copyTrailer},
		{"rows", copyHeader(0) + rows + copyTrailer, copyHeader(0) + masked + copyTrailer},
		{"an extension is left out", copyHeader(6) + "secret" + rows + copyTrailer, copyHeader(0) + masked + copyTrailer},
	})
}

func TestAMaskCanMakeCopiedValuesNull(t *testing.T) {
	hidden := []mask.Masker{mask.New(nil, mask.Spec{Strategy: mask.Null})}
	for _, c := range []struct {
		kind    mask.CopyKind
		in, out string
	}{
		{mask.CopyText, "secret\n", "\\N\n"},
		{mask.CopyCSV, "\"sec\nret\"\n", "\n"},
		{mask.CopyBinary, copyHeader(0) + tuple(item("secret")) + copyTrailer, copyHeader(0) + tuple(nullItem) + copyTrailer},
	} {
		if got, err := copied(mask.NewCopyMasker(mask.DefaultCopyFormat(c.kind), hidden), c.in); err != nil || got != c.out {
			t.Errorf("%q became %q (%v), want %q", c.in, got, err, c.out)
		}
	}
}

func TestCopyRowsAndMaskedValuesAreCounted(t *testing.T) {
	csv := mask.DefaultCopyFormat(mask.CopyCSV)
	csv.Header = true
	for _, c := range []struct {
		f  mask.CopyFormat
		in string
	}{
		{mask.DefaultCopyFormat(mask.CopyText), "1\ts\tabcdef\n2\t\\N\tx\n"},
		{csv, "a,b,c\n1,s,abcdef\n2,,x\n"},
		{mask.DefaultCopyFormat(mask.CopyBinary), copyHeader(0) + tuple(item("1"), item("s"), item("x")) + tuple(item("2"), nullItem, item("x")) + copyTrailer},
	} {
		m := mask.NewCopyMasker(c.f, columns(t))
		if _, err := copied(m, c.in); err != nil || m.Rows() != 2 || m.Masked() != 3 {
			t.Errorf("%q: %d rows, %d masked (%v); want 2 and 3", c.in, m.Rows(), m.Masked(), err)
		}
	}
}

func TestATableWithoutColumnsIsCopied(t *testing.T) {
	for kind, in := range map[mask.CopyKind]string{
		mask.CopyText: "\n\n", mask.CopyCSV: "\n\n", mask.CopyBinary: copyHeader(0) + tuple() + tuple() + copyTrailer,
	} {
		m := mask.NewCopyMasker(mask.DefaultCopyFormat(kind), nil)
		if got, err := copied(m, in); err != nil || got != in || m.Rows() != 2 {
			t.Errorf("%q became %q, %d rows (%v)", in, got, m.Rows(), err)
		}
	}
}

func TestAFaultyCopyIsStopped(t *testing.T) {
	text, csv, bin := mask.DefaultCopyFormat(mask.CopyText), mask.DefaultCopyFormat(mask.CopyCSV), mask.DefaultCopyFormat(mask.CopyBinary)
	header := csv
	header.Header = true
	head := copyHeader(0)
	for _, c := range []struct {
		name string
		f    mask.CopyFormat
		in   string
		want error
	}{
		{"a column too few", text, "1\tsecret\n", mask.ErrCopyColumns},
		{"a column too many", text, "x\t1\tsecret\ty\n", mask.ErrCopyColumns},
		{"a column too many in an unfinished row", text, "x\t1\tsecret\ty", mask.ErrCopyColumns},
		{"an escaped line end", text, "1\ts\tx\\\nsecret", mask.ErrCopyMalformed},
		{"an end behind a backslash", text, "1\ts\tsecret\\", mask.ErrCopyMalformed},
		{"a header with too few columns", header, "a,b\n", mask.ErrCopyColumns},
		{"a quote inside of a field", csv, "1,s,a\"secret\n", mask.ErrCopyMalformed},
		{"something behind a quote", csv, "1,s,\"a\"secret\n", mask.ErrCopyMalformed},
		{"an open quote", csv, "1,s,\"secret\n", mask.ErrCopyMalformed},
		{"another signature", bin, "PGCOPX" + head[6:], mask.ErrCopyMalformed},
		{"a critical flag", bin, head[:11] + be32(1<<16) + be32(0), mask.ErrCopyMalformed},
		{"a negative extension", bin, copyHeader(-5), mask.ErrCopyMalformed},
		{"a row with too few columns", bin, head + tuple(item("secret")), mask.ErrCopyColumns},
		{"a row with a negative number of columns", bin, head + be16(-2), mask.ErrCopyColumns},
		{"a negative length", bin, head + be16(3) + be32(-2), mask.ErrCopyMalformed},
		{"data behind the trailer", bin, head + copyTrailer + "secret", mask.ErrCopyMalformed},
		{"no trailer", bin, head, mask.ErrCopyMalformed},
		{"a value cut short", bin, head + be16(3) + item("1") + be32(99) + "secret", mask.ErrCopyMalformed},
		{"delimiter and quote the same", mask.CopyFormat{Kind: mask.CopyCSV, Delimiter: '"'}, "x", mask.ErrCopyFormat},
		{"a delimiter that escapes", mask.CopyFormat{Kind: mask.CopyText, Delimiter: '\\'}, "x", mask.ErrCopyFormat},
		{"a delimiter that ends lines", mask.CopyFormat{Kind: mask.CopyText, Delimiter: '\n'}, "x", mask.ErrCopyFormat},
		{"a delimiter in NULL", mask.CopyFormat{Kind: mask.CopyCSV, Null: "a,b"}, "x", mask.ErrCopyFormat},
		{"a kind that does not exist", mask.CopyFormat{Kind: 9}, "x", mask.ErrCopyFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, chunks := range [][]string{{c.in}, strings.Split(c.in, "")} {
				m := mask.NewCopyMasker(c.f, columns(t))
				got, err := copied(m, chunks...)
				if !errors.Is(err, c.want) || strings.Contains(got, "secret") {
					t.Errorf("got %q and %v, want the error %v", got, err, c.want)
				}
				if out, again := m.Append(nil, []byte("1\ts\tx\n")); !errors.Is(again, c.want) || len(out) > 0 {
					t.Errorf("after the error Append gives %q and %v", out, again)
				}
			}
		})
	}
}

func TestTheZeroCopyMaskerLetsNothingThrough(t *testing.T) {
	var m mask.CopyMasker
	if got, err := copied(&m, "secret\n"); !errors.Is(err, mask.ErrCopyFormat) || got != "" || m.Rows() != 0 || m.Masked() != 0 {
		t.Errorf("got %q and %v", got, err)
	}
}

const tooLong = 17 << 20

func TestALongRowIsRefusedUnlessItsValuesAreMasked(t *testing.T) {
	big := strings.Repeat("x", tooLong)
	text := mask.DefaultCopyFormat(mask.CopyText)
	for _, chunks := range [][]string{{big + "\ts\tx\n"}, {big[:tooLong/2], big[tooLong/2:], "\ts\tx\n"}} {
		if got, err := copied(mask.NewCopyMasker(text, columns(t)), chunks...); !errors.Is(err, mask.ErrCopyRowTooLong) || got != "" {
			t.Errorf("a shown value of %d bytes gives %d bytes and %v", len(big), len(got), err)
		}
	}
	for _, chunks := range [][]string{{"1\t" + big + "\t" + big + "\n"}, {"1\t" + big, big + "\t" + big, big + "\n"}} {
		if got, err := copied(mask.NewCopyMasker(text, columns(t)), chunks...); err != nil || got != "1\t*****\t*****\n" {
			t.Errorf("masked values of %d bytes give %.50q and %v", len(big), got, err)
		}
	}
	head, tail := copyHeader(0)+be16(3)+be32(tooLong), item(big)+item(big)+copyTrailer
	want := head + big + item("*****") + item("*****") + copyTrailer
	for _, chunks := range [][]string{{head, big, tail}, {head + big + tail}, {head, big + tail[:tooLong], tail[tooLong:]}} {
		if got, err := copied(mask.NewCopyMasker(mask.DefaultCopyFormat(mask.CopyBinary), columns(t)), chunks...); err != nil || got != want {
			t.Errorf("binary values of %d bytes give %d bytes, want %d, and %v", len(big), len(got), len(want), err)
		}
	}
}

func TestSkippedValuesTakeNoMemory(t *testing.T) {
	chunk := []byte(strings.Repeat("x", 64<<10))
	for kind, start := range map[mask.CopyKind]string{
		mask.CopyText: "1\t", mask.CopyCSV: "1,\"", mask.CopyBinary: copyHeader(0) + be16(3) + item("1") + be32(1<<30),
	} {
		m := mask.NewCopyMasker(mask.DefaultCopyFormat(kind), columns(t))
		out := make([]byte, 0, 1<<10)
		out, err := m.Append(out, []byte(start))
		if err != nil {
			t.Fatal(err)
		}
		allocs := testing.AllocsPerRun(1000, func() {
			if out, err = m.Append(out[:0], chunk); err != nil {
				t.Fatal(err)
			}
		})
		if allocs > 0 {
			t.Errorf("kind %d: skipping a masked value allocates %v times per chunk", kind, allocs)
		}
	}
}
