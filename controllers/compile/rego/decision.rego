# Package tidewaiter decides one operation of one caller. The input is
# {"identity": …, "operation": …} (docs/policy-input.schema.json), the policies
# are data.tidewaiter.bundle, the answer is `decision`. docs/policy.md says in
# words what these files say in Rego.
package tidewaiter

# What cannot be decided is denied.
default decision := {
	"effect": "Deny", "policy": "", "rule": "", "observed": false,
	"reason": "The policy could not be evaluated.", "hint": "",
	"flags": [], "masks": {}, "limits": {}, "approval": {},
}

decision := refusal({"reason": misunderstanding}) if not fit

else := refusal(outcome) if outcome.effect == "Deny"

else := permission(outcome) if outcome.effect == "RequireApproval"

else := permission(would_be(would)) if {
	data.tidewaiter.bundle.observing
	would.effect != "Allow"
}

else := permission(outcome) if outcome.effect == "Allow"

# outcome is what happens. Policies in mode Observe have no part in it, unless
# there are no others; then everything is let through that is understood.
outcome := strictest("enforced") if data.tidewaiter.bundle.enforcing

else := {"effect": "Allow"} if data.tidewaiter.bundle.observing

# would is what happened if every policy were in mode Enforce.
would := strictest("all") if data.tidewaiter.bundle.observing

else := outcome

modes := {"enforced": {"Enforce"}, "all": {"Enforce", "Observe"}}

# in_force is the pool whose flags take effect.
in_force := "enforced" if data.tidewaiter.bundle.enforcing

else := "all"

rank := {"Deny": 0, "RequireApproval": 1, "Allow": 2}

# strictest is the first of the strictest verdicts on the operation's statements
# and on the operation as a whole.
strictest(pool) := v if {
	count(input.operation.statements) == 1
	count(custom_verdicts(pool)) == 0
	v := verdict(pool, input.operation.statements[0])
}

else := verdicts[best[1]] if {
	by_statement := [v | some s in input.operation.statements; v := verdict(pool, s)]
	count(by_statement) == count(input.operation.statements)
	verdicts := array.concat(by_statement, custom_verdicts(pool))
	best := min({[rank[v.effect], i] | some i, v in verdicts})
}

refusal(v) := object.union(
	{
		"effect": "Deny", "policy": "", "rule": "", "observed": false, "reason": "", "hint": "",
		"flags": [], "masks": {}, "limits": {}, "approval": {},
	},
	v,
)

permission(v) := object.union(
	object.union(
		{
			"policy": "", "rule": "", "observed": false, "reason": "", "hint": "",
			"flags": [f | some f in flags], "masks": masks,
			"limits": limits, "approval": approval(v.effect),
		},
		probes,
	),
	v,
)
