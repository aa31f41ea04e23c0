# The sentences that people read, and nothing else.
package tidewaiter

denied_by(s, r) := {
	"effect": "Deny", "policy": r.policy, "rule": r.name,
	"reason": sprintf("Rule %s denies %s.", [r.name, what(s)]),
}

held_by(s, r) := {
	"effect": "RequireApproval", "policy": r.policy, "rule": r.name,
	"reason": sprintf("Rule %s lets %s run only after a person approved it.", [r.name, what(s)]),
	"hint": sprintf("Somebody who may approve for policy %s has to answer.", [r.policy]),
}

guarded(f) := {
	"effect": "Deny", "policy": data.tidewaiter.bundle.policies[0].name, "rule": sprintf("guard %s", [f.name]),
	"reason": effect_of(f),
	"hint": sprintf(
		"Only a rule that names the feature %q for the tables used can allow it; ask the owner of DataSource %s.",
		[f.name, data.tidewaiter.bundle.dataSource],
	),
}

effect_of(f) := f.effect if is_name(f.effect)

else := dangerous[f.name]

uncovered_kind(s) := {
	"effect": "Deny", "policy": "", "rule": "",
	"reason": sprintf("No rule allows %s.", [s.kind]),
	"hint": owner_hint(s.kind),
}

uncovered_resource(s, res) := {
	"effect": "Deny", "policy": "", "rule": "",
	"reason": sprintf("No rule allows %s on %s.", [s.kind, table(res)]),
	"hint": owner_hint(sprintf("%s on %s", [s.kind, table(res)])),
}

owner_hint(subject) := sprintf(
	"Ask the owner of DataSource %s for a rule that allows %s.",
	[data.tidewaiter.bundle.dataSource, subject],
)

compared(s, p) := {
	"effect": "Deny", "policy": p.policy, "rule": "predicates",
	"reason": sprintf("It compares, sorts or groups by classified columns (%s): predicates is %s.", [
		concat(", ", s.predicateTags), p.allow,
	]),
	"hint": predicate_hint(p.allow),
}

predicate_hint("EqualityOnly") := "Compare such a column by = or IN with given values only."

predicate_hint(allow) := "Leave classified columns out of WHERE, JOIN, ORDER BY and GROUP BY." if allow != "EqualityOnly"

# what names a statement by its kind and the first table it uses.
what(s) := sprintf("%s on %s", [s.kind, table(s.resources[0])]) if s.resources[0]

else := s.kind

table(res) := sprintf("%s.%s", [res.schema, res.name]) if res.schema != ""

else := res.name

# would_be words what a policy in mode Observe would have done.
would_be(v) := object.union(v, {
	"effect": "Allow", "observed": true,
	"reason": sprintf("In mode Enforce this would be %s: %s", [refused[v.effect], v.reason]),
})

refused := {"Deny": "denied", "RequireApproval": "held for approval"}
