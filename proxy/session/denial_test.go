package session

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

func TestARefusalNamesWhatTheRuleAndTheCure(t *testing.T) {
	program := access.Statement{
		Kind:     "CopyOut",
		Features: []access.Feature{{Name: "Program", Construct: "COPY … TO PROGRAM", Effect: "It would run a program on the database server."}},
	}
	read := access.Statement{Kind: "Select", Resources: []access.Resource{{Schema: "public", Name: "orders", Access: access.AccessRead}}}
	for _, c := range []struct {
		name string
		st   []access.Statement
		d    access.Decision
		want string
	}{
		{
			"a dangerous feature",
			[]access.Statement{program},
			access.Decision{Policy: "data/reporting", Rule: "guard Program"},
			"tidewaiter: COPY … TO PROGRAM is denied (policy data/reporting, guard Program)",
		},
		{
			"a rule",
			[]access.Statement{read},
			access.Decision{Policy: "data/reporting", Rule: "no-orders"},
			"tidewaiter: Select on public.orders is denied (policy data/reporting, rule no-orders)",
		},
		{"no rule", []access.Statement{read}, access.Decision{}, "tidewaiter: Select on public.orders is denied (no rule allows it)"},
		{
			"approval",
			[]access.Statement{read},
			access.Decision{Effect: access.RequireApproval, Policy: "data/reporting", Rule: "exports"},
			"tidewaiter: Select on public.orders needs approval (policy data/reporting, rule exports)",
		},
		{"not understood", []access.Statement{{}}, access.Decision{}, "tidewaiter: a statement that is not understood is denied (no rule allows it)"},
	} {
		den := DenialFor(&access.Operation{DataSource: "data/orders", Statements: c.st}, c.d)
		if den.What != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, den.What, c.want)
		}
		if !strings.Contains(den.Hint, "data/orders") {
			t.Errorf("%s: the hint %q does not say whom to ask", c.name, den.Hint)
		}
	}
}

func TestCredentialsPrintAsNothing(t *testing.T) {
	c := Credential{User: "owner", Password: "hunter2"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if out := fmt.Sprintf(verb, c) + fmt.Sprintf(verb, &Upstream{Credential: c}); strings.Contains(out, "hunter2") || strings.Contains(out, "owner") {
			t.Errorf("%s printed the credential: %s", verb, out)
		}
	}
}
