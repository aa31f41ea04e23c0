package mask_test

import (
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/mask"
)

func TestRedactionKeepsTheType(t *testing.T) {
	for _, c := range []struct {
		oid          uint32
		value        string
		text, binary string
	}{
		{oidText, "078-05-1120", "*****", "*****"},
		{oidVarchar, "078-05-1120", "*****", "*****"},
		{oidBpchar, "078-05-1120   ", "*****", "*****"},
		{18, "x", "*", "*"},
		{19, "name", "*****", "*****"},
		{oidBool, "t", "f", "\x00"},
		{oidInt2, "7", "0", be16(0)},
		{oidInt4, "7", "0", be32(0)},
		{oidInt8, "7", "0", be64(0)},
		{1700, "7.5", "0", be64(0)},
		{oidUUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000", be64(0) + be64(0)},
		{oidBytea, `\x2a`, `\x`, ""},
		{oidDate, "1990-05-06", "1970-01-01", be32(-10957)},
		{oidTimestamp, "1990-05-06 07:08:09", "1970-01-01 00:00:00", be64(-946684800000000)},
		{oidTimestamptz, "1990-05-06 07:08:09+02", "1970-01-01 00:00:00+00", be64(-946684800000000)},
		{114, `{"a":1}`, `"*****"`, `"*****"`},
		{3802, `{"a":1}`, `"*****"`, "\x01\"*****\""},
		{142, "<a/>", "<masked/>", "<masked/>"},
		{869, "10.1.2.3", "0.0.0.0", "\x02\x20\x00\x04" + be32(0)},
		{2205, "customers", "-", be32(0)},
		{3904, "[1,5)", "empty", "\x01"},
		{4451, "{[1,5)}", "{}", be32(0)},
		{oidInt4Array, "{1,2,3}", "{}", be32(0) + be32(0) + be32(oidInt4)},
		{2278, "", "", ""},
	} {
		typ := builtin(t, c.oid)
		t.Run(typ.Name, func(t *testing.T) {
			m := mask.New(typ, mask.Spec{})
			expectMask(t, m, c.value, mask.Text, c.text)
			expectMask(t, m, c.value, mask.Binary, c.binary)
		})
	}
}

func TestWhatIsUnknownIsHidden(t *testing.T) {
	cycle := &mask.Type{Kind: mask.Domain}
	cycle.Base = cycle
	for name, typ := range map[string]*mask.Type{
		"no type":                      nil,
		"a type of an extension":       {OID: 70000, Name: "vector"},
		"a domain over nothing":        {OID: 70000, Kind: mask.Domain},
		"a domain over itself":         cycle,
		"a kind that does not exist":   {OID: 70000, Kind: 99},
		"statistics":                   builtin(t, 5017),
		"a pseudo-type without values": {OID: 2281, Name: "internal", Kind: mask.Pseudo},
	} {
		t.Run(name, func(t *testing.T) {
			for _, s := range []mask.Strategy{mask.Redact, mask.Partial, mask.Hash, mask.DateTrunc} {
				m := mask.New(typ, mask.Spec{Strategy: s, KeepFirst: 4, KeepDomain: true, Key: []byte("key")})
				expectMask(t, m, "secret@example.org", mask.Text, "*****")
				expectMask(t, m, "secret@example.org", mask.Binary, null)
			}
		})
	}
}

func TestRevealDoesNotShowWhatMightHoldMarkedFields(t *testing.T) {
	reveal := mask.Spec{Strategy: mask.Reveal}
	expectMask(t, mask.New(nil, reveal), "secret", mask.Text, "*****")
	expectMask(t, mask.New(&mask.Type{OID: 70000, Kind: mask.Array}, reveal), "{secret}", mask.Text, "{}")
	expectMask(t, mask.New(&mask.Type{OID: 70000, Kind: mask.Range}, reveal), "[secret,)", mask.Text, "empty")
	expectMask(t, mask.New(&mask.Type{OID: 70000, Kind: mask.Composite}, reveal), "(secret,)", mask.Text, "(*****,)")
	for _, typ := range []*mask.Type{builtin(t, oidText), builtin(t, oidTextArray), builtin(t, 3904), builtin(t, 4451), {OID: 70000, Name: "vector"}} {
		m := mask.New(typ, reveal)
		expectMask(t, m, "shown", mask.Text, "shown")
		expectMask(t, m, "shown", mask.Binary, "shown")
		if !mask.Shows(m) {
			t.Errorf("Shows says that %s is masked under Reveal", typ.Name)
		}
	}
}

func TestAFormatThatDoesNotExistIsNull(t *testing.T) {
	for _, s := range []mask.Strategy{mask.Redact, mask.Null, mask.Partial, mask.Hash, mask.DateTrunc, mask.Reveal} {
		for _, oid := range []uint32{oidText, oidDate, oidTextArray} {
			m := mask.New(builtin(t, oid), mask.Spec{Strategy: s, KeepFirst: 1, Key: []byte("key")})
			if out, isNull := m.Append(nil, []byte("{secret}"), 2); !isNull {
				t.Errorf("%v of type %d in format 2 is %q", s, oid, out)
			}
		}
	}
}

func TestTypesThatExplodeAreMaskedWithoutCompilingThemAll(t *testing.T) {
	typ := builtin(t, oidText)
	for oid := range uint32(30) {
		nested := &mask.Type{OID: 70000 + oid, Kind: mask.Composite}
		for range 10 {
			nested.Fields = append(nested.Fields, mask.Field{Type: typ})
		}
		typ = nested
	}
	expectMask(t, mask.New(typ, mask.Spec{}), "(secret)", mask.Text, "(,,,,,,,,,)")
}

func TestResultTypesAreKnownWhateverTheirKind(t *testing.T) {
	record := &mask.Type{OID: oidRecord, Name: "record", Kind: mask.Pseudo}
	expectMask(t, mask.New(record, mask.Spec{Strategy: mask.Reveal}), "(secret)", mask.Text, "(*****)")
}

func TestNullHidesValuesOfEveryType(t *testing.T) {
	composite := &mask.Type{OID: 70000, Kind: mask.Composite, Fields: []mask.Field{{Name: "a", Type: builtin(t, oidText)}}}
	for _, typ := range []*mask.Type{nil, builtin(t, oidText), builtin(t, oidTextArray), composite} {
		for _, m := range []mask.Masker{mask.New(typ, mask.Spec{Strategy: mask.Null}), mask.Full(typ, mask.Spec{Strategy: mask.Null})} {
			expectMask(t, m, "(secret)", mask.Text, null)
			expectMask(t, m, "(secret)", mask.Binary, null)
		}
	}
}

func TestAnEnumIsItsFirstLabel(t *testing.T) {
	mood := &mask.Type{OID: 70000, Kind: mask.Enum, Labels: []string{"happy", "sad"}}
	expectMask(t, mask.New(mood, mask.Spec{}), "sad", mask.Text, "happy")
	expectMask(t, mask.New(mood, mask.Spec{Strategy: mask.Hash, Key: []byte("key")}), "sad", mask.Binary, "happy")
	expectMask(t, mask.New(mood, mask.Spec{Strategy: mask.Reveal}), "sad", mask.Text, "sad")
	expectMask(t, mask.New(&mask.Type{OID: 70000, Kind: mask.Enum}, mask.Spec{}), "sad", mask.Text, null)
}

func TestADomainIsMaskedAsItsBase(t *testing.T) {
	email := &mask.Type{OID: 70000, Kind: mask.Domain, Base: builtin(t, oidText)}
	expectMask(t, mask.New(email, mask.Spec{Strategy: mask.Partial, KeepDomain: true}), "ann@example.org", mask.Text, "***@example.org")
	tags := &mask.Type{OID: 70001, Kind: mask.Domain, Base: builtin(t, oidTextArray)}
	expectMask(t, mask.New(tags, mask.Spec{}), "{a,b}", mask.Text, "{}")
}

func TestExtensionTypesAreKnownByName(t *testing.T) {
	for name, want := range map[string][2]string{
		"citext": {"*****", "*****"},
		"hstore": {"", be32(0)},
		"ltree":  {"masked", "\x01masked"},
	} {
		m := mask.New(&mask.Type{OID: 70000, Name: name}, mask.Spec{})
		expectMask(t, m, "secret", mask.Text, want[0])
		expectMask(t, m, "secret", mask.Binary, want[1])
	}
}

func TestDerivedValuesAreMaskedInFull(t *testing.T) {
	text := builtin(t, oidText)
	key := []byte("key")
	hashed := apply(t, mask.New(text, mask.Spec{Strategy: mask.Hash, Key: key}), "secret", mask.Text)
	for _, c := range []struct {
		spec mask.Spec
		want string
	}{
		{mask.Spec{}, "*****"},
		{mask.Spec{Strategy: mask.Partial, KeepFirst: 3}, "*****"},
		{mask.Spec{Strategy: mask.DateTrunc}, "*****"},
		{mask.Spec{Strategy: mask.Reveal}, "*****"},
		{mask.Spec{Strategy: mask.Null}, null},
		{mask.Spec{Strategy: mask.Hash, Key: key}, hashed},
	} {
		expectMask(t, mask.Full(text, c.spec), "secret", mask.Text, c.want)
	}
}

func TestTheLengthOfADerivedArrayIsHidden(t *testing.T) {
	m := mask.Full(builtin(t, oidTextArray), mask.Spec{Strategy: mask.Hash, Key: []byte("key")})
	expectMask(t, m, "{a,b,c}", mask.Text, "{}")
}

func TestMasksOfTheSameLengthAreWrittenInPlace(t *testing.T) {
	for _, c := range []struct {
		oid    uint32
		format mask.Format
		value  string
		want   string
		ok     bool
	}{
		{oidInt4, mask.Binary, be32(42), be32(0), true},
		{oidText, mask.Text, "12345", "*****", true},
		{oidText, mask.Text, "1234", "1234", false},
		{oidInt4, mask.Text, "7", "0", true},
		{oidBytea, mask.Binary, "", "", true},
	} {
		value := []byte(c.value)
		o, isOverwriter := mask.New(builtin(t, c.oid), mask.Spec{}).(mask.Overwriter)
		if !isOverwriter {
			t.Fatalf("redaction of type %d cannot be written in place", c.oid)
		}
		if ok := o.Overwrite(value, c.format); ok != c.ok || string(value) != c.want {
			t.Errorf("Overwrite(%q) = %v and %q; want %v and %q", c.value, ok, value, c.ok, c.want)
		}
	}
	if o := mask.New(nil, mask.Spec{}).(mask.Overwriter); o.Overwrite([]byte("12345"), mask.Binary) {
		t.Error("a NULL mask claims to have been written in place")
	}
}
