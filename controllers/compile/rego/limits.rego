# Limits and approvals: where several rules set them, the strictest holds.
package tidewaiter

# limiting are the enforced rules that are about one of the statements and set a
# limit; an observed limit would be one that stops nothing.
limiting := [r |
	f := facts("enforced", input.operation.statements[_])
	some i in f.allows | f.holds
	r := data.tidewaiter.bundle.rules[i]
	r.limits
]

# limits name the rule that sets the strictest bound by the hour, if there is
# one, since hours are counted under that name.
limits := {} if limiting == []

else := limits_of(limiting[0], limiting[0].limits) if count(limiting) == 1

else := object.union(limits_of(r, object.union(lowest_of, {"onExceed": on_exceed})), other_bytes(r, lowest_of)) if {
	lowest_of := {bound: lowest | some bound in bounds; lowest := min({r.limits[bound] | some r in limiting})}
	first := [bound | some bound in bounds; lowest_of[bound]][0]
	r := [r | some r in limiting; r.limits[first] == lowest_of[first]][0]
}

limits_of(r, bounds_of_r) := object.union(bounds_of_r, {"policy": r.policy, "rule": r.name})

# other_bytes name the rule that sets the strictest bound of bytes by the hour, where
# that is not r: they are counted under its name.
other_bytes(r, lowest_of) := {"bytesPolicy": first.policy, "bytesRule": first.name} if {
	lowest_of.bytesPerHour
	object.get(r.limits, "bytesPerHour", 0) != lowest_of.bytesPerHour
	first := [o | some o in limiting; o.limits.bytesPerHour == lowest_of.bytesPerHour][0]
}

else := {}

bounds := ["rowsPerHour", "bytesPerHour", "rowsPerStatement", "bytesPerStatement"]

on_exceed := "RequireApproval" if {
	every r in limiting {
		r.limits.onExceed == "RequireApproval"
	}
}

else := "Deny"

# approval is what the rules that hold the operation ask for together; for an
# operation that runs, what its limits ask for when they are reached.
approval("RequireApproval") := together(rules, asking) if {
	rules := [r |
		some s in input.operation.statements
		some i in facts("enforced", s).holds
		r := rule(i)
	]
	asking := {[r.policy, r.name] | some r in rules} | {[v.policy, v.rule] |
		some v in custom_verdicts("enforced")
		v.effect == "RequireApproval"
	}
}

approval("Allow") := together(limiting, {[r.policy, r.name] | some r in limiting}) if limits.onExceed == "RequireApproval"

else := {}

# together is the strictest of the rules' approvals, with the names of all that
# ask, sorted: each of them has to be satisfied.
together(rules, asking) := object.union(
	strictest_approval(rules),
	{"rules": [{"policy": name[0], "rule": name[1]} | some name in asking]},
)

# strictest_approval has the defaults where only an owner's Rego holds the
# operation.
strictest_approval(rules) := object.remove(rules[0].approval, ["grantRank"]) if count(rules) == 1

else := {
	"timeoutSeconds": min({r.approval.timeoutSeconds | some r in rules}),
	"transactionTimeoutSeconds": min({r.approval.transactionTimeoutSeconds | some r in rules}),
	"wait": max({r.approval.wait | some r in rules}), # "Refuse" comes after "Hold"
	"approvers": max({r.approval.approvers | some r in rules}),
	"grant": min({[r.approval.grantRank, r.approval.grant] | some r in rules})[1],
} if {
	count(rules) > 1
}

else := {
	"timeoutSeconds": 900, "transactionTimeoutSeconds": 60, "wait": "Hold",
	"approvers": 1, "grant": "Statement",
}
