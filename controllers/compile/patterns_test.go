package compile

import (
	"maps"
	"slices"
	"testing"
)

func TestATableThatIsNamedIsFoundByEveryPatternThatMatchesIt(t *testing.T) {
	index := newTables()
	for rule, patterns := range [][]string{
		{"public.payroll", "public.orders"}, {"*.payroll"}, {"*.*"}, {"audit.*"}, {"public.pay*", "public.payroll"}, nil,
	} {
		if err := index.add(patterns, rule); err != nil {
			t.Fatal(err)
		}
	}
	if err := index.complete(); err != nil {
		t.Fatal(err)
	}
	want := map[string][]int{"payroll": {0, 1, 2, 4}, "orders": {0, 2}}
	if got := index.Exact["public"]; !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %v, want %v", got, want)
	}
}
