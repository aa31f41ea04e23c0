# One statement against the rules of a pool of policies: "enforced", those in
# mode Enforce, or "all" of them. Rules are known by their place in
# data.tidewaiter.bundle.rules; which rules name a class of statements, and which
# match a table, was indexed when the policies were compiled.
package tidewaiter

verdict(pool, s) := judgement(pool, s, facts(pool, s))

# judgement is {effect, policy, rule, reason, hint} for a statement that is
# understood. The branches are in order of strictness.
judgement(pool, s, f) := denied_by(s, rule(first)) if first := min(f.denials)

else := guarded(unnamed[0]) if unnamed := [x | x := s.features[_]; dangerous[x.name]; not named(pool, f, x.name)]

else := uncovered_kind(s) if {
	count(f.kind) == 0
	count(f.holds) == 0
}

else := uncovered_resource(s, r) if {
	count({k | some k, on in f.on; on[_] in f.kind}) < count(f.on)
	r := uncovered(pool, s, f)[0]
}

else := predicate_denials(pool, s)[0] if s.predicateTags != []

else := held_by(s, rule(first)) if first := min(f.holds)

else := {"effect": "Allow", "policy": r.policy, "rule": r.name} if r := rule(min(f.allows))

rule(i) := data.tidewaiter.bundle.rules[i]

# facts are what the rules of the pool are to s: denials and holds are the rules
# that restrict it, allows those that allow it, in all or in part, kind the Allow
# rules that name the statement's kind. own are the resources that have to be
# covered, on the rules that match each of them.
facts(pool, s) := {
	"denials": {i | l := of[r.classes[_]].Deny; i := r.touching[_]; i in l},
	"holds": {i | l := of[r.classes[_]].RequireApproval; i := r.touching[_]; i in l},
	"allows": allowing(of, r),
	"kind": object.get(of, [s.kind, "Allow"], []),
	"own": r.own,
	"on": r.on,
} if {
	r := reach(s)
	of := object.get(data.tidewaiter.bundle.byClass, pool, {})
}

# An Allow rule is about a statement without tables of its own, or about one that
# uses a table of the rule's.
allowing(of, r) := {i | i := of[r.classes[_]].Allow[_]} if r.on == []

else := {i | l := of[r.classes[_]].Allow; i := r.on[_][_]; i in l}

# reach is the part of facts that is the same for every pool. One resource is
# enough for a rule that restricts; without tables it is about every statement of
# its classes.
reach(s) := {
	"classes": array.concat([s.kind], [x.name | x := s.features[_]]),
	"own": own,
	"on": [rules_on(r) | r := own[_]],
	"touching": array.flatten(array.concat([without_tables], matching)),
} if {
	matching := [rules_on(r) | r := s.resources[_]]
	catalogs := readable_by(s)
	own := [r | r := s.resources[_]; not [r.schema, r.access] in catalogs]
}

# without_tables are the rules that name no tables.
without_tables := data.tidewaiter.bundle.tables.none

# rules_on are the rules with a pattern that matches the table. Of a table that is
# named in a rule all of them are known. Patterns are matched on "schema NUL name",
# since no name can hold a NUL.
rules_on(r) := known if known := data.tidewaiter.bundle.tables.exact[r.schema][r.name]

else := array.concat(data.tidewaiter.bundle.tables.all, [i |
	p := data.tidewaiter.bundle.tables.patterns[_]
	regex.match(p.match, full)
	i := p.rules[_]
]) if {
	full := concat("\u0000", [r.schema, r.name])
}

# readable_by are, for a statement, the schema and the access of what needs no rule.
readable_by(s) := set() if s.features[_].name == "SecretCatalog"

else := readable_catalogs

# named: a rule names the feature, for each table that the statement uses. A rule
# that holds the statement names it for every table if it has no tables.
named(pool, f, feature) if {
	index := data.tidewaiter.bundle.byClass[pool][feature]
	naming := {i | some i in index.Allow}
	holding := {i | some i in index.RequireApproval} & f.holds
	none := {i | some i in without_tables}
	count(naming | holding) > 0
	every list in f.on {
		on := {i | some i in list}
		count((naming & on) | (holding & (on | none))) > 0
	}
}

# uncovered are the resources that no rule covers: neither an Allow rule for the
# statement's kind nor a rule that holds the statement. A statement that writes may
# read what a SELECT of the same caller may read.
uncovered(pool, s, f) := [r |
	some k, r in f.own
	covering := array.flatten([f.kind, [i | some i in f.holds], reading(pool, s, r)])
	count([i | i := f.on[k][_]; i in covering]) == 0
] if {
	count([i | i := f.holds[_]; i in without_tables]) == 0
}

reading(pool, s, r) := object.get(data.tidewaiter.bundle.byClass, [pool, "Select", "Allow"], []) if {
	s.kind in {"Insert", "Update", "Delete", "Merge"}
	r.access == "Read"
}

else := []
