package compile

import (
	"errors"
	"strings"
	"testing"
)

func TestAnOwnersRegoIsTakenWhenItCanOnlyDenyOrHold(t *testing.T) {
	for name, body := range map[string]string{
		"a denial":             `deny contains "closed" if input.identity.namespace == "shop"`,
		"a need for approval":  `require_approval contains "ask" if count(input.operation.statements) > 1`,
		"helpers":              "deny contains \"m\" if _bad(input.operation) with input.x as 1\n_bad(o) if o.phase == \"Run\"\n",
		"an import of rego.v1": "import rego.v1\nimport input.operation\ndeny contains \"x\" if operation.protocol == \"web\"",
	} {
		t.Run(name, func(t *testing.T) {
			if err := CheckRego("data/p", "package tidewaiter.custom\n"+body); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnOwnersRegoIsRefusedWithThePlaceOfTheMistake(t *testing.T) {
	for _, tc := range []struct{ name, source, want string }{
		{"another package", "package tidewaiter\ndeny contains 1", "1:1: must begin with"},
		{"a sub-package", "package tidewaiter.custom.more\ndeny contains 1", "1:1: must begin with"},
		{"no syntax", "package tidewaiter.custom\n\ndeny contains {", "3:"},
		{"nothing decided", "package tidewaiter.custom\n_x := 1", "1:1: defines neither deny"},
		{"a name nobody reads", "package tidewaiter.custom\nallow if true", "2:1: allow is read by nobody"},
		{"deny as a value", "package tidewaiter.custom\ndeny := true", "2:1: deny must be a set"},
		{"deny as a function", "package tidewaiter.custom\ndeny(x) := true", "2:1: deny must be a set"},
		{"deny as a default", "package tidewaiter.custom\ndefault deny := false", "2:1: deny must be a set"},
		{"deny as an object", "package tidewaiter.custom\ndeny[x] := 1 if x := 2", "2:1: "},
		{"a deeper deny", "package tidewaiter.custom\ndeny.x contains 1", "2:1: "},
		{"the policies' data", "package tidewaiter.custom\ndeny contains data.tidewaiter.bundle", "2:15: data cannot be used"},
		{"all data", "package tidewaiter.custom\ndeny contains x if x := data", "2:25: data cannot be used"},
		{"an import of data", "package tidewaiter.custom\nimport data.x\ndeny contains 1", "2:1: import data.x"},
		{"a function replaced", "package tidewaiter.custom\ndeny contains 1 if count([]) == 1 with count as 1", "2:"},
		{"the network", `package tidewaiter.custom` + "\n" + `deny contains http.send({"url": "http://x"})`, "2:15: undefined function http.send"},
		{"name resolution", "package tidewaiter.custom\ndeny contains net.lookup_ip_addr(\"x\")", "2:15: undefined function net.lookup_ip_addr"},
		{"the host", "package tidewaiter.custom\ndeny contains opa.runtime()", "2:15: undefined function opa.runtime"},
		{"the clock", "package tidewaiter.custom\ndeny contains time.now_ns()", "2:15: undefined function time.now_ns"},
		{"chance", "package tidewaiter.custom\ndeny contains rand.intn(\"x\", 2)", "2:15: undefined function rand.intn"},
		{"an unsafe variable", "package tidewaiter.custom\ndeny contains x if y == 1", "2:"},
		{"too much of it", "package tidewaiter.custom\n#" + strings.Repeat("x", maxRego), "1:1: is longer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := CheckRego("data/p", tc.source)
			var located *RegoError
			if !errors.As(err, &located) {
				t.Fatalf("got %v, want a *RegoError", err)
			}
			if want := "AccessPolicy data/p: spec.rego:" + tc.want; !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got  %v\nwant %s…", err, want)
			}
		})
	}
}
