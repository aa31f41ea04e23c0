package mask_test

import (
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/mask"
)

var keepOne = mask.Spec{Strategy: mask.Partial, KeepFirst: 1}

func TestElementsOfATextArrayAreMaskedOneByOne(t *testing.T) {
	m := mask.New(builtin(t, oidTextArray), keepOne)
	for value, want := range map[string]string{
		"{}":                             "{}",
		"{ann,bob,x}":                    "{a***,b***,*****}",
		"{NULL,null,\"NULL\"}":           "{NULL,NULL,N***}",
		`{"",","}`:                       "{*****,*****}",
		`{"\"quoted\"","back\\slash"}`:   `{"\"***",b***}`,
		`{{ann,bob},{"c, d","{e}"}}`:     `{{a***,b***},{c***,"{***"}}`,
		"[5:6]={ann,bob}":                "{a***,b***}",
		"[-1:0][2:3]={{aa,b},{cc,\"\"}}": "{{a***,*****},{c***,*****}}",
	} {
		expectMask(t, m, value, mask.Text, want)
	}
}

func TestAMalformedTextArrayIsEmptied(t *testing.T) {
	m := mask.New(builtin(t, oidTextArray), keepOne)
	for _, value := range []string{
		"", "secret", "{", "{secret", "{secret}}", "{secret}x", "{secret,}", "{,secret}", "{{a}b}", `{"secret}`, `{"secret"x}`, `{secret\`,
		`{a"secret"}`, "{a{secret}}", "[1:2]{secret}", "[secret]={a}", "[1:2]=", "{{{{{{{secret}}}}}}}", "}", "{a}{b}", "{{a}{b}}",
	} {
		expectMask(t, m, value, mask.Text, "{}")
	}
}

func TestArraysOfBoxesAreEmptied(t *testing.T) {
	expectMask(t, mask.New(builtin(t, oidBoxArray), keepOne), "{(1,1),(0,0);(2,2),(1,1)}", mask.Text, "{}")
}

// arrayOf is a binary text array.
func arrayOf(dims string, items ...string) string {
	return be32(int32(len(dims)/8)) + be32(0) + be32(oidText) + dims + strings.Join(items, "")
}

func dim(length, lower int32) string { return be32(length) + be32(lower) }

func TestElementsOfABinaryArrayAreMaskedOneByOne(t *testing.T) {
	m := mask.New(builtin(t, oidTextArray), keepOne)
	for _, c := range []struct{ value, want string }{
		{arrayOf(""), arrayOf("")},
		{arrayOf(dim(2, 1), item("ann"), item("bob")), arrayOf(dim(2, 1), item("a***"), item("b***"))},
		{arrayOf(dim(1, 7), item("ann")), arrayOf(dim(1, 1), item("a***"))},
		{arrayOf(dim(2, 1)+dim(1, 1), item("ann"), item("")), arrayOf(dim(2, 1)+dim(1, 1), item("a***"), item("*****"))},
	} {
		expectMask(t, m, c.value, mask.Binary, c.want)
	}
	withNull := arrayOf(dim(2, 1), item("a***"), nullItem)
	withNull = withNull[:4] + be32(1) + withNull[8:]
	expectMask(t, m, arrayOf(dim(2, 1), item("ann"), nullItem), mask.Binary, withNull)
}

func TestAMalformedBinaryArrayIsEmptied(t *testing.T) {
	m := mask.New(builtin(t, oidTextArray), keepOne)
	for name, value := range map[string]string{
		"nothing":                  "",
		"a short header":           be32(1) + be32(0),
		"another element type":     be32(1) + be32(0) + be32(oidInt4) + dim(1, 1) + item("secret"),
		"too many dimensions":      arrayOf(strings.Repeat(dim(1, 1), 7), item("secret")),
		"missing dimensions":       be32(3) + be32(0) + be32(oidText) + dim(1, 1),
		"more elements than bytes": arrayOf(dim(1<<30, 1), item("secret")),
		"a product that overflows": arrayOf(strings.Repeat(dim(1<<30, 1), 6), item("secret")),
		"a negative length":        arrayOf(dim(-1, 1), item("secret")),
		"fewer elements":           arrayOf(dim(2, 1), item("secret")),
		"more elements":            arrayOf(dim(1, 1), item("secret"), item("secret")),
		"an element cut short":     arrayOf(dim(1, 1), be32(100)+"secret"),
		"a negative element":       arrayOf(dim(1, 1), be32(-2)+"secret"),
	} {
		t.Run(name, func(t *testing.T) { expectMask(t, m, value, mask.Binary, arrayOf("")) })
	}
}

// person is a composite type with one marked field.
func person(t testing.TB) *mask.Type {
	return &mask.Type{OID: 70000, Name: "person", Kind: mask.Composite, Fields: []mask.Field{
		{Name: "id", Type: builtin(t, oidInt4)},
		{Name: "name", Type: builtin(t, oidText), Mask: &keepOne},
		{Name: "born", Type: builtin(t, oidDate)},
	}}
}

// personOf is a person in binary form.
func personOf(id, name, born string) string {
	return be32(3) + be32(oidInt4) + id + be32(oidText) + name + be32(oidDate) + born
}

func TestAShownCompositeMasksItsMarkedFields(t *testing.T) {
	m := mask.New(person(t), mask.Spec{Strategy: mask.Reveal})
	for value, want := range map[string]string{
		"(7,ann,1990-05-06)":        "(7,a***,1990-05-06)",
		"(7,,)":                     "(7,,)",
		`(7,"",1990-05-06)`:         "(7,*****,1990-05-06)",
		`(7,"a, ""b"" \\c",)`:       "(7,a***,)",
		`(7,"""quoted""",)`:         `(7,"""***",)`,
		"(7,\"two words\",\"x y\")": "(7,t***,\"x y\")",
	} {
		expectMask(t, m, value, mask.Text, want)
	}
	expectMask(t, m, personOf(item(be32(7)), item("ann"), nullItem), mask.Binary, personOf(item(be32(7)), item("a***"), nullItem))
}

func TestAMaskedCompositeMasksEveryField(t *testing.T) {
	m := mask.New(person(t), mask.Spec{})
	expectMask(t, m, "(7,ann,1990-05-06)", mask.Text, "(0,*****,1970-01-01)")
	expectMask(t, m, "(7,,)", mask.Text, "(0,,)")
	expectMask(t, m, personOf(item(be32(7)), item("ann"), nullItem), mask.Binary, personOf(item(be32(0)), item("*****"), nullItem))
	expectMask(t, mask.Full(person(t), mask.Spec{Strategy: mask.Reveal}), "(7,ann,1990-05-06)", mask.Text, "(0,*****,1970-01-01)")
}

func TestAFieldTakesTheStricterMask(t *testing.T) {
	strict := mask.Spec{Strategy: mask.Null}
	composite := person(t)
	composite.Fields[0].Mask = &strict
	m := mask.New(composite, mask.Spec{Strategy: mask.DateTrunc})
	expectMask(t, m, "(7,ann,1990-05-06)", mask.Text, "(,*****,1990-01-01)")
}

func TestAMalformedCompositeHasOnlyNulls(t *testing.T) {
	m := mask.New(person(t), mask.Spec{Strategy: mask.Reveal})
	for _, value := range []string{
		"", "secret", "(", "()", "(7)", "(7,secret)", "(7,secret,,)", "(7,secret,", "(7,secret,)x", `(7,"secret,)`, `(7,secret,\`, "(7,(secret,)",
	} {
		expectMask(t, m, value, mask.Text, "(,,)")
	}
	for name, value := range map[string]string{
		"nothing":            "",
		"fewer fields":       be32(1) + be32(oidInt4) + item(be32(7)),
		"another field type": be32(3) + be32(oidText) + item("secret") + be32(oidText) + item("x") + be32(oidDate) + item(be32(0)),
		"a field cut short":  personOf(item(be32(7)), be32(99)+"secret", ""),
		"more bytes":         personOf(item(be32(7)), item("ann"), nullItem) + "secret",
		"a claim of 2 GB":    be32(3) + be32(oidInt4) + be32(1<<31-1) + "secret",
	} {
		t.Run(name, func(t *testing.T) {
			expectMask(t, m, value, mask.Binary, personOf(nullItem, nullItem, nullItem))
		})
	}
}

func TestArraysOfCompositesAreMaskedWithin(t *testing.T) {
	persons := &mask.Type{OID: 70001, Kind: mask.Array, Elem: person(t)}
	m := mask.New(persons, mask.Spec{Strategy: mask.Reveal})
	expectMask(t, m, `{"(7,\"ann b\",1990-05-06)",NULL}`, mask.Text, `{"(7,a***,1990-05-06)",NULL}`)
	expectMask(t, mask.New(persons, mask.Spec{}), `{"(7,ann,1990-05-06)"}`, mask.Text, "{}")
}

func TestRecordsWithoutATypeAreRedactedFieldByField(t *testing.T) {
	m := mask.New(builtin(t, oidRecord), mask.Spec{Strategy: mask.Hash, Key: []byte("key")})
	expectMask(t, m, `(7,"a b",,"")`, mask.Text, "(*****,*****,,*****)")
	expectMask(t, m, "()", mask.Text, "()")
	expectMask(t, m, "(secret", mask.Text, "()")
	expectMask(t, m, "(secret)secret", mask.Text, "()")
	value := be32(4) + be32(oidInt4) + item(be32(7)) + be32(oidText) + item("ann") + be32(70000) + item("secret") + be32(oidDate) + nullItem
	want := be32(4) + be32(oidInt4) + item(be32(0)) + be32(oidText) + item("*****") + be32(oidText) + nullItem + be32(oidDate) + nullItem
	expectMask(t, m, value, mask.Binary, want)
	for _, malformed := range []string{"", be32(1), be32(-1) + "secret", be32(1) + be32(oidText) + be32(99) + "secret", be32(0) + "secret"} {
		expectMask(t, m, malformed, mask.Binary, be32(0))
	}
}
