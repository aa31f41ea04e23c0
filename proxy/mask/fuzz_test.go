package mask_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/mask"
)

// canary marks what must not come through. None of its parts of four bytes is in any mask.
const canary = "Q~ZW^XK@VJ~QH"

// leaks reports whether four bytes in a row of the canary are in out.
func leaks(out []byte) bool {
	for i := range len(canary) - 3 {
		if bytes.Contains(out, []byte(canary[i:i+4])) {
			return true
		}
	}
	return false
}

// fuzzTypes are types of every kind, behind the built-in ones.
func fuzzTypes(t testing.TB) []*mask.Type {
	types := []*mask.Type{nil}
	for oid := range uint32(8192) {
		if typ, ok := mask.Builtin(oid); ok {
			types = append(types, typ)
		}
	}
	composite := person(t)
	nested := &mask.Type{OID: 70002, Kind: mask.Composite, Fields: []mask.Field{
		{Type: composite}, {Type: builtin(t, oidTextArray)}, {Type: nil}, {Type: &mask.Type{OID: 70001, Kind: mask.Array, Elem: composite}},
	}}
	return append(types, composite, nested, &mask.Type{OID: 70001, Kind: mask.Array, Elem: composite},
		&mask.Type{OID: 70003, Kind: mask.Array, Elem: nested},
		&mask.Type{OID: 70004, Kind: mask.Domain, Base: builtin(t, oidTextArray)},
		&mask.Type{OID: 70005, Kind: mask.Enum, Labels: []string{"a"}},
		&mask.Type{OID: 70006, Name: "hstore"}, &mask.Type{OID: 70007, Name: "citext"})
}

func FuzzMaskers(f *testing.F) {
	types := fuzzTypes(f)
	for i := range types {
		f.Add(uint16(i), uint8(i), uint8(i/4), []byte("{"), []byte("}"))
		f.Add(uint16(i), uint8(i), uint8(i/4), []byte("{{a,\""), []byte("\\\\\",NULL},{b,c}}"))
		f.Add(uint16(i), uint8(i), uint8(i/4), []byte("(7,"), []byte(",1990-05-06)"))
		f.Add(uint16(i), uint8(i), uint8(1), []byte(arrayOf(dim(2, 1))+nullItem+be32(int32(len(canary)))), []byte{})
		f.Add(uint16(i), uint8(i), uint8(1), []byte(be32(3)+be32(oidInt4)+item(be32(7))+be32(oidText)+be32(int32(len(canary)))), []byte(be32(oidDate)+nullItem))
	}
	f.Fuzz(func(t *testing.T, which uint16, strategy, format uint8, before, after []byte) {
		typ := types[int(which)%len(types)]
		spec := mask.Spec{Strategy: mask.Strategy(strategy % 7), KeepDomain: true, KeepFirst: 2, KeepLast: 1, TruncateTo: "Month", Key: []byte("key")}
		value := append(append(bytes.Clone(before), canary...), after...)
		if leaks(before) || leaks(after) {
			t.Skip()
		}
		given := bytes.Clone(value)
		dst := []byte("kept")
		out, isNull := mask.New(typ, spec).Append(dst, value, mask.Format(format%3))
		full, fullNull := mask.Full(typ, spec).Append(dst, value, mask.Format(format%3))
		if !bytes.Equal(value, given) {
			t.Fatal("Append changed the value")
		}
		if !bytes.HasPrefix(out, dst) || isNull && len(out) != len(dst) || !bytes.HasPrefix(full, dst) || fullNull && len(full) != len(dst) {
			t.Fatalf("Append did not leave dst in order: %q, %q", out, full)
		}
		if leaks(full) {
			t.Errorf("Full shows the canary: %q", full)
		}
		switch spec.Strategy {
		case mask.Partial, mask.Reveal, mask.DateTrunc:
		default:
			if leaks(out) {
				t.Errorf("%v shows the canary: %q", spec.Strategy, out)
			}
		}
	})
}

// fuzzCopy checks that cutting a stream into chunks makes no difference, and that the canary, when it is in a masked column of a well-formed
// stream, is not in the output.
func fuzzCopy(t *testing.T, f mask.CopyFormat, stream []byte, cuts []byte) {
	t.Helper()
	cols := append(columns(t), mask.New(builtin(t, oidTextArray), hashSpec))
	cols[2] = mask.New(builtin(t, oidText), hashSpec)
	whole := mask.NewCopyMasker(f, cols)
	want, wantErr := copied(whole, string(stream))

	pieces := mask.NewCopyMasker(f, cols)
	var chunks []string
	rest := string(stream)
	for _, cut := range cuts {
		n := min(int(cut), len(rest))
		chunks, rest = append(chunks, rest[:n]), rest[n:]
	}
	got, err := copied(pieces, append(chunks, rest)...)
	if got != want || !errors.Is(err, wantErr) || pieces.Rows() != whole.Rows() || pieces.Masked() != whole.Masked() {
		t.Fatalf("%q: in one: %q, %v, %d, %d; cut as %v: %q, %v, %d, %d",
			stream, want, wantErr, whole.Rows(), whole.Masked(), cuts, got, err, pieces.Rows(), pieces.Masked())
	}
	if len(stream) > 0 && wantErr == nil && whole.Rows() > 0 && !f.Header {
		hidden := mask.NewCopyMasker(f, []mask.Masker{cols[1], cols[1], cols[2], cols[3]})
		if out, err := copied(hidden, string(stream)); err != nil || leaks([]byte(out)) {
			t.Fatalf("with all columns masked %q becomes %q (%v)", stream, out, err)
		}
	}
}

func FuzzCopyText(f *testing.F) {
	f.Add([]byte("1\t"+canary+"\tx\\ty\t{a,b}\n\\N\t\\N\t\\N\t\\N\n"), byte('\t'), `\N`, false, []byte{1, 2, 3})
	f.Add([]byte("a|b|c|d\n1|s\\||\\\\"+canary+"|{\""+canary+"\"}\n"), byte('|'), "", true, []byte{5, 0, 9})
	f.Fuzz(func(t *testing.T, stream []byte, delim byte, nullString string, header bool, cuts []byte) {
		if leaks([]byte(nullString)) {
			t.Skip()
		}
		fuzzCopy(t, mask.CopyFormat{Kind: mask.CopyText, Delimiter: delim, Null: nullString, Header: header}, stream, cuts)
	})
}

func FuzzCopyCSV(f *testing.F) {
	f.Add([]byte("1,"+canary+",\"x\"\"\ny\",\"{a,b}\"\n,,,\n"), byte(','), byte('"'), byte('"'), "", false, []byte{1, 2, 3})
	f.Add([]byte("a;b;c;d\n1;'s\\'\\\\';'"+canary+"';'{"+canary+"}'\n"), byte(';'), byte('\''), byte('\\'), "NULL", true, []byte{5, 0, 9})
	f.Fuzz(func(t *testing.T, stream []byte, delim, quote, escape byte, nullString string, header bool, cuts []byte) {
		if leaks([]byte(nullString)) {
			t.Skip()
		}
		format := mask.CopyFormat{Kind: mask.CopyCSV, Delimiter: delim, Quote: quote, Escape: escape, Null: nullString, Header: header, ForceQuoteAll: delim%2 == 0}
		fuzzCopy(t, format, stream, cuts)
	})
}

func FuzzCopyBinary(f *testing.F) {
	array := arrayOf(dim(1, 1), item(canary))
	f.Add([]byte(copyHeader(0)+tuple(item("1"), item(canary), item(canary), item(array))+tuple(nullItem, nullItem, nullItem, nullItem)+copyTrailer), []byte{1, 2, 3})
	f.Add([]byte(copyHeader(3)+canary[:3]+tuple(item(""), item(""), item(""), item(""))+copyTrailer), []byte{30, 0, 9})
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		fuzzCopy(t, mask.DefaultCopyFormat(mask.CopyBinary), stream, cuts)
	})
}
