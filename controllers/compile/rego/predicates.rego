# What statements get that compare, sort or group by classified columns: such a
# statement tells something of values that it does not show.
package tidewaiter

predicate_denials(pool, s) := [compared(s, p) |
	some p in data.tidewaiter.bundle.predicates
	p.mode in modes[pool]
	predicate_forbidden(p.allow, s)
]

# Every word that is not one of the milder three is Deny.
predicate_forbidden(allow, s) if {
	not allow in {"Allow", "Flag", "EqualityOnly"}
	count(object.get(s, "predicateTags", [])) > 0
}

predicate_forbidden("EqualityOnly", s) if {
	count(object.get(s, "predicateTags", [])) > 0
	{p | some p in object.get(s, "predicates", [])} != {"Equality"}
}

# flags are remarks for the recording, one for each tag that is compared.
flags := {flag |
	some s in input.operation.statements
	some tag in object.get(s, "predicateTags", [])
	some p in data.tidewaiter.bundle.predicates
	p.mode in modes[in_force]
	p.allow != "Allow"
	how := concat(", ", {h | some h in object.get(s, "predicates", [])})
	flag := sprintf("predicate on %s (%s)", [tag, how])
}
