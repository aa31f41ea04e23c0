package mask_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/mask"
)

// benchRow is the body of a DataRow message with 5 columns and 108 bytes, the second of which is to be masked.
func benchRow(secret string) []byte {
	row := be16(5) + item("12345678") + item(secret) + item("2024-05-06 07:08:09") + item(strings.Repeat("x", 20))
	return []byte(row + item(strings.Repeat("y", 108-len(row)-4)))
}

// rewriteRow masks column 1 of a DataRow body as a relay would do it, into dst.
func rewriteRow(dst, row []byte, m mask.Masker) []byte {
	dst = append(dst, row[:2]...)
	rest := row[2:]
	for i := range binary.BigEndian.Uint16(row) {
		size := int(int32(binary.BigEndian.Uint32(rest)))
		if size < 0 || i != 1 {
			dst = append(dst, rest[:4+max(size, 0)]...)
		} else {
			at := len(dst)
			dst = append(dst, nullItem...)
			var isNull bool
			if dst, isNull = m.Append(dst, rest[4:4+size], mask.Text); !isNull {
				binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
			}
		}
		rest = rest[4+max(size, 0):]
	}
	return dst
}

func BenchmarkRowOfFiveColumnsOneMasked(b *testing.B) {
	text := builtin(b, oidText)
	for _, c := range []struct {
		name string
		spec mask.Spec
	}{
		{"Redact", mask.Spec{}},
		{"PartialDomain", mask.Spec{Strategy: mask.Partial, KeepDomain: true}},
		{"Hash", hashSpec},
	} {
		b.Run(c.name, func(b *testing.B) {
			m := mask.New(text, c.spec)
			row := benchRow("ann.smith@example.org")
			dst := make([]byte, 0, 512)
			b.SetBytes(int64(len(row)))
			b.ReportAllocs()
			for b.Loop() {
				dst = rewriteRow(dst[:0], row, m)
			}
		})
	}
}

func BenchmarkRowOfFiveColumnsOneMaskedInPlace(b *testing.B) {
	o := mask.New(builtin(b, oidText), mask.Spec{}).(mask.Overwriter)
	row := benchRow("12345")
	b.ReportAllocs()
	for b.Loop() {
		rest := row[2:]
		for i := range 5 {
			size := int(binary.BigEndian.Uint32(rest))
			if i == 1 && !o.Overwrite(rest[4:4+size], mask.Text) {
				b.Fatal("the mask does not fit")
			}
			rest = rest[4+size:]
		}
	}
}

func BenchmarkCopyRowOfFiveColumnsOneMasked(b *testing.B) {
	text := mask.New(builtin(b, oidText), mask.Spec{})
	fields := []string{"12345678", "ann.smith@example.org", "2024-05-06 07:08:09", strings.Repeat("x", 20), strings.Repeat("y", 20)}
	var items []string
	for _, field := range fields {
		items = append(items, item(field))
	}
	for _, c := range []struct {
		name      string
		kind      mask.CopyKind
		head, row string
	}{
		{"Text", mask.CopyText, "", strings.Join(fields, "\t") + "\n"},
		{"CSV", mask.CopyCSV, "", strings.Join(fields, ",") + "\n"},
		{"Binary", mask.CopyBinary, copyHeader(0), tuple(items...)},
	} {
		b.Run(c.name, func(b *testing.B) {
			m := mask.NewCopyMasker(mask.DefaultCopyFormat(c.kind), []mask.Masker{nil, text, nil, nil, nil})
			dst, err := m.Append(make([]byte, 0, 512), []byte(c.head))
			if err != nil {
				b.Fatal(err)
			}
			row := []byte(c.row)
			b.SetBytes(int64(len(row)))
			b.ReportAllocs()
			for b.Loop() {
				if dst, err = m.Append(dst[:0], row); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestMaskersAllocateNothing(t *testing.T) {
	partial := mask.Spec{Strategy: mask.Partial, KeepFirst: 2, KeepDomain: true}
	trunc := mask.Spec{Strategy: mask.DateTrunc}
	for _, c := range []struct {
		name  string
		m     mask.Masker
		f     mask.Format
		value string
	}{
		{"redact", mask.New(builtin(t, oidText), mask.Spec{}), mask.Text, "secret"},
		{"partial", mask.New(builtin(t, oidText), partial), mask.Text, "annabel@example.org"},
		{"hash of text", mask.New(builtin(t, oidText), hashSpec), mask.Text, "secret"},
		{"hash of uuid", mask.New(builtin(t, oidUUID), hashSpec), mask.Text, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{"hash of int", mask.New(builtin(t, oidInt4), hashSpec), mask.Binary, be32(42)},
		{"hash of bytea", mask.New(builtin(t, oidBytea), hashSpec), mask.Text, `\x` + strings.Repeat("2a", 1000)},
		{"date in text", mask.New(builtin(t, oidTimestamptz), trunc), mask.Text, "1990-05-06 07:08:09.123+02"},
		{"long text as date", mask.New(builtin(t, oidDate), trunc), mask.Text, strings.Repeat("1990-05-06 ", 100)},
		{"date in binary", mask.New(builtin(t, oidTimestamp), trunc), mask.Binary, be64(42)},
		{"array in text", mask.New(builtin(t, oidTextArray), partial), mask.Text, `{annabel,"b c d"}`},
		{"array in binary", mask.New(builtin(t, oidTextArray), hashSpec), mask.Binary, arrayOf(dim(2, 1), item("ann"), item("bob"))},
		{"composite in text", mask.New(person(t), mask.Spec{}), mask.Text, "(7,ann,1990-05-06)"},
		{"composite in binary", mask.New(person(t), mask.Spec{Strategy: mask.Reveal}), mask.Binary, personOf(item(be32(7)), item("ann"), nullItem)},
	} {
		dst, value := make([]byte, 0, 4096), []byte(c.value)
		if allocs := testing.AllocsPerRun(100, func() { dst, _ = c.m.Append(dst[:0], value, c.f) }); allocs >= 1 {
			t.Errorf("%s: %v allocations per value", c.name, allocs)
		}
	}
}
