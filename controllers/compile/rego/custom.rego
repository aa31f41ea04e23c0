# The owners' own Rego. Of each policy's package two sets are read, `deny` and
# `require_approval`, and each of their members is one more verdict: since the
# strictest verdict wins, such a package can never make a decision milder.
package tidewaiter

custom_verdicts(pool) := [own_verdict(p, effect, msg) |
	p := data.tidewaiter.bundle.policies[_]
	p.rego
	p.mode in modes[pool]
	some set, effect in {"deny": "Deny", "require_approval": "RequireApproval"}
	msg := data.tidewaiter.custom[p.name][set][_]
]

own_verdict(p, effect, msg) := {
	"effect": effect, "policy": p.name, "rule": "rego",
	"reason": sentence(effect, msg),
}

sentence(effect, msg) := msg if is_name(msg)

else := "The policy's Rego asks for a person's approval." if effect == "RequireApproval"

else := "The policy's Rego denies it."
