package policy_test

import (
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/policy"
)

// As docs/policy.md has it.
const bySize = `
    require_approval contains "more rows than anybody reads" if {
    	some s in input.operation.statements
    	_size(s) > 100000
    }

    _size(s) := object.get(s, "estimatedRows", 1000000000) if _bulk(s)

    _bulk(s) if s.kind == "CopyOut"

    _bulk(s) if {
    	some f in s.features
    	f.name == "BulkSelect"
    }`

func TestTheOwnersRegoMayDecideByHowManyRowsAreExpected(t *testing.T) {
	if loaded(t).Estimates() {
		t.Error("a policy that does not look at rows wants them")
	}
	e, err := policy.Load(madeOf(t, strings.Replace(strings.Replace(reporting, "exports, action: RequireApproval", "exports, action: Allow", 1), `
    deny contains "reports are not made by process 13" if input.identity.process.pid == 13`, bySize, 1)), trusting())
	if err != nil {
		t.Fatal(err)
	}
	if !e.Estimates() {
		t.Error("a policy that looks at rows is not given them")
	}
	few, many := int64(10), int64(100_001)
	bulk := []access.Feature{{Name: "BulkSelect"}}
	for _, c := range []struct {
		rows     *int64
		features []access.Feature
		want     access.Effect
	}{
		{&few, bulk, access.Allow},
		{&many, bulk, access.RequireApproval},
		{nil, bulk, access.RequireApproval},
		{nil, nil, access.Allow}, // a look-up is not estimated
	} {
		st := read("orders")
		st.EstimatedRows, st.Features = c.rows, c.features
		d, err := e.Decide(t.Context(), caller, operation(st))
		if err != nil || d.Effect != c.want {
			t.Errorf("%v rows: %v, %v", c.rows, d.Effect, err)
		}
	}
}
