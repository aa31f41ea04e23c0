package policy

import (
	"bytes"
	"encoding/json"
	"math/rand"
	"reflect"
	"testing"
	"testing/quick"

	"github.com/open-policy-agent/opa/v1/ast"
)

// TestTheInputIsWhatItsJSONSays fills every field of an Input by chance, so that a
// field that is new in access and forgotten here is found as well.
func TestTheInputIsWhatItsJSONSays(t *testing.T) {
	random := rand.New(rand.NewSource(1)) // the same inputs at every run
	same := func(in Input) bool {
		raw, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		want, err := ast.ValueFromReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		got := inputOf(&in.Identity, in.Operation)
		if ast.Compare(got, want) != 0 {
			t.Logf("got  %v\nwant %v", got, want)
			return false
		}
		return true
	}
	values := func(args []reflect.Value, r *rand.Rand) {
		for { // an operation may be nil by chance; Decide refuses those
			v, ok := quick.Value(reflect.TypeFor[Input](), r)
			if !ok {
				t.Fatal("an Input cannot be made by chance")
			}
			if !v.FieldByName("Operation").IsNil() {
				args[0] = v
				return
			}
		}
	}
	if err := quick.Check(same, &quick.Config{MaxCount: 300, Rand: random, Values: values}); err != nil {
		t.Error(err)
	}
	var in Input
	in.Identity.Labels = map[string]string{}
	if err := json.Unmarshal([]byte(`{"operation": {"statements": null}}`), &in); err != nil || !same(in) {
		t.Error("an empty input differs", err)
	}
	in.Identity.ServiceAccount = "a\xff\xfeb"
	if !same(in) {
		t.Error("text that is not UTF-8 differs")
	}
}
