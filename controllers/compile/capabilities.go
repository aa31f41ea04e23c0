package compile

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Capabilities are the builtin functions that policies may call: those that
// compute an answer from their arguments alone, and nothing that reaches the
// network, the host, the clock or a source of randomness. It is a list of what is
// allowed, so that a function that a new version of OPA brings is not. The sidecar
// keeps a list of its own, so that it need not trust this one.
func Capabilities() *ast.Capabilities {
	all := ast.CapabilitiesForThisVersion()
	c := &ast.Capabilities{
		FutureKeywords: all.FutureKeywords,
		Features:       all.Features,
		AllowNet:       []string{},
	}
	for _, b := range all.Builtins {
		if !b.Nondeterministic && allowed(b.Name) {
			c.Builtins = append(c.Builtins, b)
		}
	}
	return c
}

func allowed(builtin string) bool {
	if slices.Contains(pureFunctions, builtin) {
		return true
	}
	return slices.ContainsFunc(pureFamilies, func(prefix string) bool { return strings.HasPrefix(builtin, prefix) })
}

// pureFamilies are whole families of functions, by prefix.
var pureFamilies = []string{"array.", "base64", "bits.", "glob.", "hex.", "is_", "object.", "regex.", "strings.", "units.", "internal.member_"}

// pureFunctions are operators and functions by name.
var pureFunctions = []string{
	"abs", "and", "assign", "ceil", "concat", "contains", "count", "div", "endswith", "eq", "equal", "floor",
	"format_int", "gt", "gte", "indexof", "indexof_n", "intersection", "lower", "lt", "lte", "max", "min", "minus",
	"mul", "neq", "or", "plus", "product", "rem", "replace", "round", "sort", "split", "sprintf", "startswith",
	"substring", "sum", "to_number", "trim", "trim_left", "trim_prefix", "trim_right", "trim_space", "trim_suffix",
	"type_name", "union", "upper",
	"json.filter", "json.is_valid", "json.marshal", "json.remove", "json.unmarshal",
	"time.add_date", "time.clock", "time.date", "time.diff", "time.format", "time.parse_duration_ns",
	"time.parse_ns", "time.parse_rfc3339_ns", "time.weekday",
}
