# What happens to values: masks by tag, limits by rule.
package tidewaiter

# tags of everything that the operation's statements use.
tags := ({tag | tag := input.operation.statements[_].tags[_]} |
	{tag | tag := input.operation.statements[_].predicateTags[_]}) |
	{tag | tag := input.operation.statements[_].resources[_].tags[_]}

# masks says for each tag what happens to its values. The patterns in the bundle
# are sorted: the most specific first, among equals the stricter strategy.
masks := {tag: mask(tag) | some tag in tags}

mask(tag) := m if m := data.tidewaiter.bundle.masks.exact[tag]

else := matching[0] if {
	matching := [m.mask | some m in data.tidewaiter.bundle.masks.patterns; regex.match(m.pattern, tag)]
	count(matching) > 0
}

# A classified value that no mask speaks of is redacted.
else := {"strategy": "Redact"}
