package mask_test

import (
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/mask"
)

func TestWhatAMaskMakesIsRecognized(t *testing.T) {
	partial := mask.Spec{Strategy: mask.Partial, KeepFirst: 1, KeepLast: 4}
	domain := mask.Spec{Strategy: mask.Partial, KeepDomain: true}
	citext := &mask.Type{OID: 70000, Name: "citext"}
	over := &mask.Type{OID: 70001, Name: "ssn", Kind: mask.Domain, Base: builtin(t, oidText)}
	for _, c := range []struct {
		name  string
		typ   *mask.Type
		spec  mask.Spec
		value string
	}{
		{"a redacted text", builtin(t, oidText), mask.Spec{}, "078-05-1120"},
		{"a redacted domain", over, mask.Spec{}, "078-05-1120"},
		{"a redacted json", builtin(t, 114), mask.Spec{}, `{"a": 1}`},
		{"a partial text", builtin(t, oidText), partial, "078-05-1120"},
		{"a partial short text", builtin(t, oidText), partial, "07"},
		{"a partial text too short", builtin(t, oidText), partial, "0"},
		{"a partial text of other letters", builtin(t, oidVarchar), partial, "Ünïcödé, längér"},
		{"a partial address", citext, domain, "ada@example.org"},
		{"a partial address that is none", citext, domain, "ada at example.org"},
		{"a partial json", builtin(t, 114), partial, `{"a": 1}`},
		{"a hashed text", builtin(t, oidText), hashSpec, "078-05-1120"},
		{"a hashed char(n)", builtin(t, oidBpchar), hashSpec, "078-05-1120   "},
		{"a hashed uuid", builtin(t, oidUUID), hashSpec, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{"a hashed bytea", builtin(t, oidBytea), hashSpec, `\x0102`},
	} {
		r := mask.Placeholders(c.typ, c.spec)
		if masked := apply(t, mask.New(c.typ, c.spec), c.value, mask.Text); !r.Is([]byte(masked), mask.Text) {
			t.Errorf("%s: %q is not recognized", c.name, masked)
		}
		if r.Is([]byte(c.value), mask.Text) {
			t.Errorf("%s: %q is a value", c.name, c.value)
		}
	}
	uuid := builtin(t, oidUUID)
	if masked := apply(t, mask.New(uuid, hashSpec), strings.Repeat("u", 16), mask.Binary); !mask.Placeholders(uuid, hashSpec).Is([]byte(masked), mask.Binary) {
		t.Errorf("a hashed uuid in binary: %x is not recognized", masked)
	}
	jsonb := builtin(t, 3802)
	if !mask.Placeholders(jsonb, mask.Spec{}).Is([]byte("\x01\"*****\""), mask.Binary) {
		t.Error("a redacted jsonb in binary is not recognized")
	}
}

func TestOrdinaryValuesAreNoPlaceholders(t *testing.T) {
	partial := mask.Spec{Strategy: mask.Partial, KeepFirst: 1, KeepLast: 4}
	for _, c := range []struct {
		oid   uint32
		spec  mask.Spec
		value string
	}{
		{oidInt4, mask.Spec{}, "0"},
		{16, mask.Spec{}, "f"},
		{1082, mask.Spec{}, "1970-01-01"},
		{oidUUID, mask.Spec{}, "00000000-0000-0000-0000-000000000000"},
		{oidBytea, mask.Spec{}, `\x`},
		{oidInt8, hashSpec, "42"},
		{oidText, mask.Spec{Strategy: mask.Reveal}, "*****"},
		{oidText, mask.Spec{Strategy: mask.Null}, "*****"},
		{oidText, mask.Spec{}, "***** is what I typed"},
		{oidText, mask.Spec{}, "***"},
		{oidText, partial, "rated *** by 12345 people"},
		{oidText, partial, "**"},
		{oidText, partial, ""},
		{oidText, hashSpec, "d41d8cd98f00b204e9800998ecf8427e"}, // an MD5
		{oidUUID, hashSpec, "a0eebc99-9c0b-8ef8-bb6d-6bb9bd380a11"},
		{oidBytea, hashSpec, `\x` + strings.Repeat("ab", 32)},
	} {
		if mask.Placeholders(builtin(t, c.oid), c.spec).Is([]byte(c.value), mask.Text) {
			t.Errorf("type %d under %v: %q was taken for a placeholder", c.oid, c.spec.Strategy, c.value)
		}
	}
	if mask.Placeholders(nil, mask.Spec{}).Is([]byte("*****"), mask.Text) {
		t.Error("of a type that is not known nothing is known")
	}
}
