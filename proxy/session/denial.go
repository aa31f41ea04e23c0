package session

import (
	"fmt"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// DenialFor words the refusal of op by d: what was refused and by which rule,
// why, and what to do next.
func DenialFor(op *access.Operation, d access.Decision) *access.Denial {
	what, effect := describe(op, d)
	verb := "is denied"
	if d.Effect == access.RequireApproval {
		verb = "needs approval"
	}
	den := &access.Denial{What: fmt.Sprintf("tidewaiter: %s %s (%s)", what, verb, source(d)), Detail: d.Reason, Hint: d.Hint}
	if effect != "" {
		den.Detail = effect + " Nothing was sent to the server."
	}
	if den.Hint == "" {
		den.Hint = fmt.Sprintf("Ask the owner of DataSource %s for a rule that allows it.", op.DataSource)
	}
	return den
}

// source names who decided, in words: "policy data/reporting, rule read".
func source(d access.Decision) string {
	switch {
	case d.Policy != "" && d.Rule != "":
		return fmt.Sprintf("policy %s, %s", d.Policy, ruleWord(d.Rule))
	case d.Policy != "":
		return "policy " + d.Policy
	case d.Rule != "":
		return ruleWord(d.Rule)
	default:
		return "no rule allows it"
	}
}

func ruleWord(rule string) string {
	if len(rule) > 6 && rule[:6] == "guard " {
		return rule
	}
	return "rule " + rule
}

// describe says what op is in a person's words, and what it would do where a
// dangerous feature is the reason.
func describe(op *access.Operation, d access.Decision) (what, effect string) {
	for i := range op.Statements {
		for _, f := range op.Statements[i].Features {
			if f.Construct != "" && d.Rule == "guard "+f.Name {
				return f.Construct, f.Effect
			}
		}
	}
	for i := range op.Statements {
		if op.Statements[i].Kind == "" {
			return "a statement that is not understood", ""
		}
	}
	if len(op.Statements) == 1 {
		return describeOne(&op.Statements[0]), ""
	}
	if len(op.Statements) > 1 {
		return fmt.Sprintf("one of %d statements", len(op.Statements)), ""
	}
	return "the statement", ""
}

func describeOne(st *access.Statement) string {
	if len(st.Resources) == 0 {
		return st.Kind
	}
	r := st.Resources[0]
	name := r.Name
	if r.Schema != "" {
		name = r.Schema + "." + r.Name
	}
	return st.Kind + " on " + name
}

func recorderDown(err error) *access.Denial {
	return &access.Denial{
		Code: access.CodeUnavailable, Cause: err,
		What:   "tidewaiter: the statement could not be recorded, so it was refused",
		Detail: "Every statement is recorded before it is sent. Nothing was sent to the server.",
		Hint:   "Ask the operator of Tidewaiter to look at the recorder's storage.",
	}
}

func policyDown(err error) *access.Denial {
	return &access.Denial{
		Code: access.CodeForbidden, Cause: err,
		What:   "tidewaiter: the policy could not be evaluated, so the statement was refused",
		Detail: "What cannot be decided is denied. Nothing was sent to the server.",
		Hint:   "Ask the owner of the DataSource to check the AccessPolicy's conditions.",
	}
}
