package recording

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// fill sets every field of v, however deep, to something that is not zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 11, 26, 12, 0, 0, 1e6, time.UTC)))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("json") != "-" { // that is not recorded on purpose
				fill(v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key"), reflect.ValueOf("value"))
	case reflect.String:
		v.SetString("é \"quoted\" \\ \x1b[2K\u009b \u2028 " + v.Type().Name())
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(-7)
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(200)
	default:
		panic("a kind of field that fill does not know: " + v.Kind().String())
	}
}

func TestEveryFieldOfAnEventIsRecorded(t *testing.T) {
	var want access.Event
	for i := range reflect.TypeOf(want).NumField() {
		if f := reflect.ValueOf(&want).Elem().Field(i); f.Type() != reflect.TypeFor[time.Time]() {
			fill(f)
		}
	}
	b, err := appendEvent(nil, &want)
	if err != nil {
		t.Fatal(err)
	}
	var got access.Event
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("an event with every field set is read back as\n%s\nthe encoder in json.go has to learn the new field", b)
	}
}

func TestAnEmptyEventIsEncodedAsEncodingJSONWould(t *testing.T) {
	for _, e := range []access.Event{
		{},
		{Decided: &access.Decided{}},
		{Ended: &access.Ended{}},
		{Rows: &access.Rows{Values: [][]access.Value{{}, {{}, {Text: ""}, {Null: true}}}}},
		{Opened: &access.Opened{}, Closed: &access.Closed{}},
	} {
		want, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		want = bytes.Replace(want, []byte(`"time":"0001-01-01T00:00:00Z",`), nil, 1)
		want = bytes.Replace(want, []byte(`,"time":"0001-01-01T00:00:00Z"`), nil, 1)
		if got, err := appendEvent(nil, &e); err != nil || string(got) != string(want) {
			t.Errorf("got  %s (%v)\nwant %s", got, err, want)
		}
	}
}

func FuzzStringsSurvive(f *testing.F) {
	for _, s := range []string{"", "plain", "\x00\x1f\x7f\u009b", "é\xff\xfeé", `"\`, "\u2028\U0010ffff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := appendString(nil, s)
		var got string
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%q is encoded as %s: %v", s, b, err)
		}
		if want := string([]rune(s)); got != want {
			t.Errorf("%q is read back as %q, want %q", s, got, want)
		}
		if i := bytes.IndexFunc(b, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }); i >= 0 {
			t.Errorf("%q is encoded with a raw control character: %q", s, b)
		}
	})
}

func TestAnEventThatCannotBeRecordedLeavesTheChainAlone(t *testing.T) {
	now := time.Unix(1, 0)
	enc, b := Begin(nil)
	b, err := enc.Event(b, &access.Event{Kind: access.EventClosed, Time: now})
	if err != nil {
		t.Fatal(err)
	}
	same, err := enc.Event(b, &access.Event{Time: now, Note: strings.Repeat("\x00", MaxPayload/6+1)})
	if !errors.Is(err, ErrTooLarge) || len(same) != len(b) {
		t.Fatalf("too large an event: %v and %d bytes, want ErrTooLarge and %d", err, len(same), len(b))
	}
	if same, err = enc.Event(b, &access.Event{}); err == nil || len(same) != len(b) {
		t.Fatalf("an event without a time: %v and %d bytes, want an error and %d", err, len(same), len(b))
	}
	rep, err := Verify(bytes.NewReader(enc.End(same, now)))
	if err != nil || rep.State != Complete || rep.Events != 1 {
		t.Errorf("Verify: %+v, %v; want a complete recording of one event", rep, err)
	}
}

func TestTheEventsOfAStatementAreEncodedWithoutAllocating(t *testing.T) {
	var e access.Event
	fill(reflect.ValueOf(&e.Decided).Elem())
	fill(reflect.ValueOf(&e.Rows).Elem())
	fill(reflect.ValueOf(&e.Ended).Elem())
	e.Time = time.Unix(1, 0)
	enc, buf := Begin(make([]byte, 0, 1<<20))
	if n := testing.AllocsPerRun(100, func() { buf, _ = enc.Event(buf[:0], &e) }); n != 0 {
		t.Errorf("an event takes %v allocations", n)
	}
}

// A later version will sign recordings; readers of this one must still be able to
// say whether such a recording holds.
func TestASignatureIsChainedAndCountedButNotUnderstood(t *testing.T) {
	now := time.Unix(1, 0)
	build := func(counted int) []byte {
		enc, b := Begin(nil)
		b, _ = enc.Event(b, &access.Event{Kind: access.EventClosed, Time: now})
		start := len(b)
		b = append(enc.reserve(b), "anything at all"...)
		b = enc.seal(b, start, typeSignature, now)
		start = len(b)
		b, _ = appendAny(enc.reserve(b), ending{Events: 1, Signatures: int64(counted)})
		return enc.seal(b, start, typeEnd, now)
	}
	rep, err := Verify(bytes.NewReader(build(1)))
	if err != nil || rep.State != Complete || rep.Events != 1 || rep.Signatures != 1 || rep.Records != 3 {
		t.Errorf("Verify: %+v, %v", rep, err)
	}
	if _, err := Verify(bytes.NewReader(build(0))); err == nil || !strings.Contains(err.Error(), "counts 1 events and 0 signatures, but 1 and 1 are there") {
		t.Errorf("a signature that the end mark does not count: %v", err)
	}
}

func TestARecordOfAnUnknownTypeBreaksTheRecording(t *testing.T) {
	enc, b := Begin(nil)
	start := len(b)
	b = enc.seal(enc.reserve(b), start, 'X', time.Unix(1, 0))
	if _, err := Verify(bytes.NewReader(b)); err == nil || !strings.Contains(err.Error(), `its type 'X' is unknown`) {
		t.Errorf("Verify: %v", err)
	}
}

func TestAPayloadThatIsNoEventBreaksTheRecording(t *testing.T) {
	enc, b := Begin(nil)
	start := len(b)
	b = enc.seal(append(enc.reserve(b), `{"kind":7}`...), start, typeEvent, time.Unix(1, 0))
	if _, err := Verify(bytes.NewReader(b)); err == nil || !strings.Contains(err.Error(), "it is no event") {
		t.Errorf("Verify: %v", err)
	}
}

// FuzzPayload gets past the checksums that stop FuzzReader: the recording is well
// formed, and what it holds is not.
func FuzzPayload(f *testing.F) {
	f.Add(byte(typeEvent), []byte(`{"kind":"Rows","rows":{"values":[[{"null":true},{"binary":"AA=="}],null]}}`))
	f.Add(byte(typeEvent), []byte(`{"statement":1e99}`))
	f.Add(byte(typeEnd), []byte(`{"events":-1,"signatures":0}`))
	f.Add(byte(typeSignature), []byte{0})
	f.Fuzz(func(t *testing.T, kind byte, payload []byte) {
		enc, b := Begin(nil)
		start := len(b)
		b = enc.seal(append(enc.reserve(b), payload...), start, kind, time.Unix(1, 0))
		rep, err := Verify(bytes.NewReader(b))
		if (err == nil) != (rep.State != Broken) || rep.State == Unread {
			t.Errorf("%v and %v", rep, err)
		}
		if rep.State == Complete && kind != typeEnd {
			t.Error("complete without an end mark")
		}
	})
}
