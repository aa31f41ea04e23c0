package mask_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/mask"
)

const (
	oidJSON        = 114
	oidJSONB       = 3802
	oidRecordArray = 2287
)

func shown() *mask.Shape { return &mask.Shape{Kind: mask.Shown} }

// leafOf is a leaf of a built-in type, under Redact unless a spec is given.
func leafOf(t testing.TB, oid uint32, spec ...mask.Spec) *mask.Shape {
	s := &mask.Shape{Kind: mask.Leaf, Type: builtin(t, oid)}
	if len(spec) > 0 {
		s.Spec = spec[0]
	}
	return s
}

func object(fields ...mask.ShapeField) *mask.Shape {
	return &mask.Shape{Kind: mask.Object, Fields: fields}
}

func at(name string, s *mask.Shape) mask.ShapeField { return mask.ShapeField{Name: name, Shape: s} }

func list(elem *mask.Shape) *mask.Shape { return &mask.Shape{Kind: mask.List, Elem: elem} }

func parts(kind mask.ShapeKind, shapes ...*mask.Shape) *mask.Shape {
	s := &mask.Shape{Kind: kind}
	for _, part := range shapes {
		s.Fields = append(s.Fields, mask.ShapeField{Shape: part})
	}
	return s
}

// customer is the shape of a customer with orders in it.
func customer(t testing.TB) *mask.Shape {
	return object(
		at("id", shown()), at("ssn", leafOf(t, oidText)), at("n", leafOf(t, oidInt4)),
		at("email", leafOf(t, oidText, mask.Spec{Strategy: mask.Partial, KeepDomain: true})),
		at("orders", list(object(at("total", shown()), at("card", leafOf(t, oidText))))),
	)
}

func TestJSONIsMaskedInsideAndEverythingElseStaysByteForByte(t *testing.T) {
	m := mask.Structured(builtin(t, oidJSON), customer(t))
	for value, want := range map[string]string{
		`{"id":1,"ssn":"078-05-1120"}`:                       `{"id":1,"ssn":"*****"}`,
		" {\n \"id\" : 1.50e+3 ,\t\"ssn\":\"078\" } ":        " {\n \"id\" : 1.50e+3 ,\t\"ssn\":\"*****\" } ",
		`{"email":"ada@example.org","id":"\u0041\"\\"}`:      `{"email":"***@example.org","id":"\u0041\"\\"}`,
		`{"orders":[{"total":9,"card":"4111"},{"total":8}]}`: `{"orders":[{"total":9,"card":"*****"},{"total":8}]}`,
		`{"orders":[]}`:                         `{"orders":[]}`,
		`{}`:                                    `{}`,
		`null`:                                  `null`,
		`{"ssn":null,"orders":null}`:            `{"ssn":null,"orders":null}`,
		`{"n":123456789012345678901234567890}`:  `{"n":0}`,
		`{"id":123456789012345678901234567890}`: `{"id":123456789012345678901234567890}`,
		`{"s\u0073n":"078-05-1120"}`:            `{"s\u0073n":"*****"}`,
		`{"ssn":"a","ssn":"b"}`:                 `{"ssn":"*****","ssn":"*****"}`,
		`{"ssn":{"deep":["078"]}}`:              `{"ssn":"*****"}`,
		`{"ssn":["078"],"n":"078","id":{"shown":[true,false,null,1]}}`: `{"ssn":"*****","n":0,"id":{"shown":[true,false,null,1]}}`,
	} {
		expectMask(t, m, value, mask.Text, want)
	}
}

func TestJSONOfAnotherStructureIsMasked(t *testing.T) {
	m := mask.Structured(builtin(t, oidJSON), customer(t))
	for value, want := range map[string]string{
		`{"id":1,"unknown":"078"}`:          `"*****"`,
		`{"id":1,"078-05-1120":1}`:          `"*****"`,
		`["078"]`:                           `"*****"`,
		`"078"`:                             `"*****"`,
		`78`:                                `"*****"`,
		`{"id":1,"orders":{"card":"4111"}}`: `{"id":1,"orders":"*****"}`,
		`{"orders":[{"total":1},{"x":"4111"},4111]}`: `{"orders":[{"total":1},"*****","*****"]}`,
		`{"\ud800":"078"}`:                           `"*****"`,
		`{"ssn":"078"`:                               `"*****"`,
		`{"ssn":"078"}}`:                             `"*****"`,
		`{"id":01}`:                                  `"*****"`,
		`{"id":1,}`:                                  `"*****"`,
		`{'id':1}`:                                   `"*****"`,
		"{\"id\":\"\n\"}":                            `"*****"`,
		``:                                           `"*****"`,
		`{"id":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`: `"*****"`,
		`{"id":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`: `{"id":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`,
	} {
		expectMask(t, m, value, mask.Text, want)
	}
}

func TestABinaryJSONBKeepsItsVersion(t *testing.T) {
	m := mask.Structured(builtin(t, oidJSONB), object(at("a", leafOf(t, oidText))))
	expectMask(t, m, "\x01{\"a\": \"078\"}", mask.Binary, "\x01{\"a\": \"*****\"}")
	expectMask(t, m, "\x02{\"a\": \"078\"}", mask.Binary, "\x01\"*****\"")
	expectMask(t, m, "", mask.Binary, "\x01\"*****\"")
	expectMask(t, m, `{"a": "078"}`, mask.Text, `{"a": "*****"}`)
	expectMask(t, mask.Structured(builtin(t, oidJSON), object(at("a", leafOf(t, oidText)))), `{"a":"078"}`, mask.Binary, `{"a":"*****"}`)
}

// The form of a derived value must not tell of it: (CASE WHEN … THEN '1' ELSE '""' END)::json would be an oracle.
func TestTheFormOfAMaskedLeafIsThatOfItsTypeNotOfItsValue(t *testing.T) {
	derived := func(typ *mask.Type) mask.Masker {
		return mask.Structured(builtin(t, oidJSON), object(at("x", &mask.Shape{Kind: mask.Leaf, Derived: true, Type: typ})))
	}
	for _, c := range []struct {
		typ  *mask.Type
		want string
	}{
		{nil, `"*****"`},
		{builtin(t, oidText), `"*****"`},
		{builtin(t, oidJSON), `"*****"`},
		{builtin(t, oidInt8), `0`},
		{builtin(t, oidBool), `false`},
		{builtin(t, oidTextArray), `[]`},
		{builtin(t, oidDate), `"1970-01-01"`},
		{builtin(t, oidTimestamptz), `"1970-01-01T00:00:00+00:00"`},
		{builtin(t, oidUUID), `"00000000-0000-0000-0000-000000000000"`},
		{person(t), `"*****"`},
	} {
		for _, value := range []string{`1`, `"a"`, `true`, `[1]`, `{"a":1}`} {
			expectMask(t, derived(c.typ), `{"x":`+value+`}`, mask.Text, `{"x":`+c.want+`}`)
		}
		expectMask(t, derived(c.typ), `{"x":null}`, mask.Text, `{"x":null}`)
	}
}

func TestEveryStrategyWorksOnTheContentOfALeaf(t *testing.T) {
	one := func(oid uint32, spec mask.Spec) mask.Masker {
		return mask.Structured(builtin(t, oidJSON), list(leafOf(t, oid, spec)))
	}
	expectMask(t, one(oidText, mask.Spec{Strategy: mask.Partial, KeepFirst: 1, KeepLast: 1}), `["\"\u00e9xy\\"]`, mask.Text, `["\"***\\"]`)
	expectMask(t, one(oidText, mask.Spec{Strategy: mask.Null}), `["a",1]`, mask.Text, `[null,null]`)
	expectMask(t, one(oidText, mask.Spec{Strategy: mask.Reveal}), `["a"]`, mask.Text, `["a"]`)
	expectMask(t, one(oidTimestamptz, mask.Spec{Strategy: mask.DateTrunc, TruncateTo: "Month"}), `["2024-05-06T07:08:09.5+00:00"]`, mask.Text, `["2024-05-01T00:00:00+00:00"]`)
	expectMask(t, one(oidDate, mask.Spec{Strategy: mask.DateTrunc, TruncateTo: "Year"}), `["2024-05-06"]`, mask.Text, `["2024-01-01"]`)
	plain := apply(t, mask.New(builtin(t, oidText), hashSpec), "a\"b", mask.Text)
	expectMask(t, one(oidText, hashSpec), `["a\"b"]`, mask.Text, `["`+plain+`"]`)
	number := apply(t, mask.New(builtin(t, oidInt4), hashSpec), "17", mask.Text)
	expectMask(t, one(oidInt4, hashSpec), `[17]`, mask.Text, `[`+number+`]`)
	expectMask(t, one(oidInt4, hashSpec), `[1.5e3]`, mask.Text, `[0]`)
}

func TestAKeyThatTwoPartsClaimIsMasked(t *testing.T) {
	m := mask.Structured(builtin(t, oidJSON), object(at("a", shown()), at("a", leafOf(t, oidText)), at("b", shown())))
	expectMask(t, m, `{"a":"078","a":1,"b":2}`, mask.Text, `{"a":"*****","a":"*****","b":2}`)
}

func TestOtherKeysHaveTheShapeThatIsSaid(t *testing.T) {
	s := object(at("a", shown()))
	s.Elem = leafOf(t, oidText)
	expectMask(t, mask.Structured(builtin(t, oidJSON), s), `{"a":1,"b":"078","c":null}`, mask.Text, `{"a":1,"b":"*****","c":null}`)
}

func TestATupleHasExactlyItsElements(t *testing.T) {
	m := mask.Structured(builtin(t, oidJSON), parts(mask.Tuple, shown(), leafOf(t, oidText)))
	expectMask(t, m, `[1,"078"]`, mask.Text, `[1,"*****"]`)
	for _, value := range []string{`[1]`, `[1,"078",3]`, `[]`, `{"a":1}`} {
		expectMask(t, m, value, mask.Text, `"*****"`)
	}
}

func TestArraysAndCompositesAreMaskedInside(t *testing.T) {
	texts := mask.Structured(builtin(t, oidTextArray), list(list(leafOf(t, oidText))))
	expectMask(t, texts, `{{078,NULL},{"a,b",""}}`, mask.Text, `{{*****,NULL},{*****,*****}}`)
	jsons := mask.Structured(&mask.Type{OID: 199, Kind: mask.Array, Elem: builtin(t, oidJSON)}, list(object(at("a", leafOf(t, oidText)), at("b", shown()))))
	expectMask(t, jsons, `{"{\"a\":\"078\",\"b\":1}"}`, mask.Text, `{"{\"a\":\"*****\",\"b\":1}"}`)
	row := mask.Structured(builtin(t, oidRecord), parts(mask.Row, shown(), leafOf(t, oidText), parts(mask.Row, leafOf(t, oidInt4), shown())))
	expectMask(t, row, `(1,"078 05","(7,""a b"")")`, mask.Text, `(1,*****,"(0,""a b"")")`)
	expectMask(t, row, `(1,078)`, mask.Text, `(,,)`)
	rows := mask.Structured(builtin(t, oidRecordArray), list(parts(mask.Row, shown(), leafOf(t, oidText))))
	expectMask(t, rows, `{"(1,078)","(2,)"}`, mask.Text, `{"(1,*****)","(2,)"}`)
	named := mask.Structured(person(t), parts(mask.Row, shown(), leafOf(t, oidText), shown()))
	if len(person(t).Fields) != 3 {
		t.Fatal("a person has other fields")
	}
	expectMask(t, named, `(7,Ada,1815-12-10)`, mask.Text, `(7,*****,1815-12-10)`)
}

func TestTheFieldsOfARecordAreMaskedByTheTypesThatTheySay(t *testing.T) {
	jsonShape := object(at("a", leafOf(t, oidText)), at("b", shown()))
	jsonShape.Type = builtin(t, oidJSON)
	m := mask.Structured(builtin(t, oidRecord), parts(mask.Row, shown(), leafOf(t, oidText), jsonShape, jsonShape, leafOf(t, oidInt4)))
	value := be32(5) + be32(99999) + item("any") + be32(oidText) + item("078") + be32(oidJSON) + item(`{"a":"078","b":1}`) +
		be32(oidJSONB) + item("\x01{\"a\":\"078\",\"b\":1}") + be32(99999) + item("078")
	want := be32(5) + be32(99999) + item("any") + be32(oidText) + item("*****") + be32(oidJSON) + item(`{"a":"*****","b":1}`) +
		be32(oidJSONB) + item("\x01{\"a\":\"*****\",\"b\":1}") + be32(oidText) + nullItem
	expectMask(t, m, value, mask.Binary, want)
	expectMask(t, m, value[:len(value)-1], mask.Binary, be32(5)+strings.Repeat(be32(oidText)+nullItem, 5))
}

func TestAShapeThatDoesNotFitItsTypeMasksEverything(t *testing.T) {
	for name, m := range map[string]mask.Masker{
		"no shape":             mask.Structured(builtin(t, oidText), nil),
		"opaque":               mask.Structured(builtin(t, oidText), &mask.Shape{}),
		"an object in text":    mask.Structured(builtin(t, oidText), object(at("a", shown()))),
		"a list in text":       mask.Structured(builtin(t, oidText), list(shown())),
		"an unknown kind":      mask.Structured(builtin(t, oidText), &mask.Shape{Kind: 99}),
		"a type not known":     mask.Structured(nil, object(at("a", shown()))),
		"another field count":  mask.Structured(person(t), parts(mask.Row, shown())),
		"a row in JSON":        mask.Structured(builtin(t, oidJSON), parts(mask.Row, shown())),
		"an object in a array": mask.Structured(builtin(t, oidTextArray), object(at("a", shown()))),
	} {
		if out := apply(t, m, `{"a":"078"}`, mask.Text); strings.Contains(out, "078") {
			t.Errorf("%s: shows %q", name, out)
		}
	}
}

// fuzzShapes are shapes in which every leaf under "x" or in a list is masked.
func fuzzShapes(t testing.TB) []*mask.Shape {
	rest := object(at("a", shown()))
	rest.Elem = leafOf(t, oidText)
	deep := leafOf(t, oidText)
	for range 70 {
		deep = object(at("x", deep))
	}
	return []*mask.Shape{
		object(at("a", shown()), at("x", leafOf(t, oidText))), list(leafOf(t, oidText, hashSpec)), rest, deep, customer(t),
		parts(mask.Tuple, leafOf(t, oidInt4), list(object(at("x", leafOf(t, oidTimestamptz))))), nil,
	}
}

func FuzzJSON(f *testing.F) {
	shapes := fuzzShapes(f)
	for i := range shapes {
		f.Add(uint8(i), false, []byte(`{"a":[1,{"b":null}],"x":"`), []byte(`"}`))
		f.Add(uint8(i), true, []byte(`[1, ["`), []byte(`",{"x":"2024-05-06T07:08:09"}]]`))
		f.Add(uint8(i), true, []byte(`{"\u0061":-1.5e7,"orders":[{"card":"`), []byte(`"}]}`))
		f.Add(uint8(i), false, []byte(`{"ssn":{"`), []byte(`":{}}}`))
		f.Add(uint8(i), false, []byte(strings.Repeat(`{"x":`, 70)+`"`), []byte(`"`+strings.Repeat(`}`, 70)))
	}
	f.Fuzz(func(t *testing.T, which uint8, binary bool, before, after []byte) {
		if leaks(before) || leaks(after) {
			t.Skip()
		}
		shape := shapes[int(which)%len(shapes)]
		typ, format := builtin(t, oidJSON), mask.Text
		if binary {
			format = mask.Binary
		}
		value := append(append(bytes.Clone(before), canary...), after...)
		given := bytes.Clone(value)
		out, isNull := mask.Structured(typ, shape).Append([]byte("kept"), value, format)
		if !bytes.HasPrefix(out, []byte("kept")) || isNull || !bytes.Equal(value, given) {
			t.Fatalf("%q (%v), and the value is %q", out, isNull, value)
		}
		out = out[len("kept"):]
		if !json.Valid(out) {
			t.Fatalf("%q became %q, which is no JSON", value, out)
		}
		if canaryIsShown(shape, value) != leaks(out) {
			t.Errorf("%q became %q", value, out)
		}
	})
}

// canaryIsShown says by encoding/json, another reader than ours, whether the canary stands where the shape shows it.
func canaryIsShown(s *mask.Shape, value []byte) bool {
	if !json.Valid(value) || !fits(s, value, 0) {
		return false
	}
	return shownIn(s, value)
}

// fits reports whether nothing nests deeper than is looked into.
func fits(_ *mask.Shape, value []byte, _ int) bool {
	depth, inString := 0, false
	for i := 0; i < len(value); i++ {
		switch b := value[i]; {
		case inString && b == '\\':
			i++
		case b == '"':
			inString = !inString
		case inString:
		case b == '{' || b == '[':
			if depth++; depth > 64 {
				return false
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return true
}

func shownIn(s *mask.Shape, value []byte) bool {
	value = bytes.TrimSpace(value)
	switch {
	case s == nil:
		return false
	case s.Kind == mask.Shown:
		return leaks(value)
	case s.Kind == mask.Object && value[0] == '{':
		keys, values, ok := members(value)
		if !ok {
			return false
		}
		any := false
		for i, key := range keys {
			part := s.Elem
			for _, f := range s.Fields {
				if f.Name == key {
					part = f.Shape
				}
			}
			if part == nil {
				return false
			}
			any = any || shownIn(part, values[i]) || leaks([]byte(key))
		}
		return any
	case (s.Kind == mask.List || s.Kind == mask.Tuple) && value[0] == '[':
		var items []json.RawMessage
		if json.Unmarshal(value, &items) != nil || s.Kind == mask.Tuple && len(items) != len(s.Fields) {
			return false
		}
		any := false
		for i, item := range items {
			part := s.Elem
			if s.Kind == mask.Tuple {
				part = s.Fields[i].Shape
			}
			any = any || shownIn(part, item)
		}
		return any
	}
	return false
}

// members returns an object's keys and values in order, duplicates included.
func members(value []byte) (keys []string, values []json.RawMessage, ok bool) {
	if bytes.Contains(bytes.ToLower(value), []byte(`\ud`)) {
		return nil, nil, false // encoding/json repairs half pairs; the fuzzer's canary is not in one
	}
	d := json.NewDecoder(bytes.NewReader(value))
	if _, err := d.Token(); err != nil {
		return nil, nil, false
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, nil, false
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, nil, false
		}
		keys, values = append(keys, key.(string)), append(values, raw)
	}
	return keys, values, true
}

func BenchmarkJSONOfAKilobyte(b *testing.B) {
	m := mask.Structured(builtin(b, oidJSON), customer(b))
	value := []byte(`{"id":1,"ssn":"078-05-1120","n":17,"email":"ada@example.org","orders":[` + strings.Repeat(`{"total":9.50,"card":"4111111100000001"},`, 23) + `{"total":1,"card":null}]}`)
	dst := make([]byte, 0, 4096)
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = m.Append(dst[:0], value, mask.Text)
	}
}

func TestMaskingJSONAllocatesNothing(t *testing.T) {
	m := mask.Structured(builtin(t, oidJSON), customer(t))
	value := []byte(`{"id":1,"ssn":"078-05-1120","\u0065mail":"ada@example.org","orders":[{"total":9.50,"card":"4111"}]}`)
	dst := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { dst, _ = m.Append(dst[:0], value, mask.Text) }); n != 0 {
		t.Errorf("%v allocations for each value", n)
	}
}
