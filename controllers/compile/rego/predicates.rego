# What statements get that compare, sort or group by classified columns: such a
# statement tells something of values that it does not show.
package tidewaiter

predicate_denials(pool, s) := [compared(s, p) |
	some p in data.tidewaiter.bundle.predicates
	p.mode in modes[pool]
	predicate_forbidden(p.allow, s)
]

# Every word that is not one of the milder three is Deny.
predicate_forbidden(allow, _) if not allow in {"Allow", "Flag", "EqualityOnly"}

predicate_forbidden("EqualityOnly", s) if {
	{p | some p in object.get(s, "predicates", [])} != {"Equality"}
}

# flags are remarks for the recording, one for each tag that is compared.
flags := {flag |
	s := input.operation.statements[_]
	tag := s.predicateTags[_]
	p := data.tidewaiter.bundle.predicates[_]
	p.allow != "Allow"
	p.mode in modes[in_force]
	how := concat(", ", {h | h := s.predicates[_]})
	flag := sprintf("predicate on %s (%s)", [tag, how])
}

# probing are the enforced policies that bound distinct probes; an observed bound
# would be one that stops nothing.
probing := [p |
	some p in data.tidewaiter.bundle.predicates
	p.mode == "Enforce"
	p.probes
]

# probes is the part of the answer with the strictest bounds, each with the policy
# that sets it. A proxy that cannot count probes does not know the word, and refuses.
probes := {} if probing == []

else := {"probes": {bound: {"most": most, "policy": policy} |
	some bound in ["perSession", "perHour"]
	most := min({p.probes[bound] | some p in probing})
	policy := min({p.policy | some p in probing; p.probes[bound] == most})
}}
