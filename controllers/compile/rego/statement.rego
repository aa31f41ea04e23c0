# One statement against the rules of a pool of policies: "enforced", those in
# mode Enforce, or "all" of them. Rules are known by their place in
# data.tidewaiter.bundle.rules; which rules name a class of statements, and which
# match a table, was indexed when the policies were compiled.
package tidewaiter

verdict(pool, s) := judgement(pool, s, facts(pool, s))

# judgement is {effect, policy, rule, reason, hint} for a statement that is
# understood. The branches are in order of strictness.
judgement(pool, s, f) := denied_by(s, rule(first)) if first := min(f.denials)

else := guarded(unnamed[0]) if {
	unnamed := [x | some x in f.dangers; not named(pool, f, x.name)]
	count(unnamed) > 0
}

else := uncovered_kind(s) if {
	count(f.kind) == 0
	count(f.holds) == 0
}

else := uncovered_resource(s, f.own[uncovered[0]]) if {
	uncovered := [i | some i, on in f.on; not covered(pool, s, f, i)]
	count(uncovered) > 0
}

else := d if d := predicate_denials(pool, s)[0]

else := held_by(s, rule(first)) if first := min(f.holds)

else := {"effect": "Allow", "policy": r.policy, "rule": r.name} if r := rule(min(f.allows))

rule(i) := data.tidewaiter.bundle.rules[i]

# facts are what the rules of the pool are to s: denials and holds are the rules
# that restrict it, allows those that allow it, in all or in part. own are the
# resources that have to be covered, on the rules that match each of them, kind
# the Allow rules that name the statement's kind.
facts(pool, s) := {
	"denials": {i | some c in classes; some i in index[c].Deny} & touching,
	"holds": {i | some c in classes; some i in index[c].RequireApproval} & touching,
	"allows": serving({i | some c in classes; some i in index[c].Allow}, on),
	"kind": object.get(index, [s.kind, "Allow"], []),
	"own": [r | some i in own; r := resources[i]],
	"on": on,
	"dangers": [x | some x in features; dangerous[x.name]],
} if {
	index := object.get(data.tidewaiter.bundle.byClass, pool, {})
	features := object.get(s, "features", [])
	classes := {s.kind} | {x.name | some x in features}
	resources := object.get(s, "resources", [])
	matching := [rules_on(r) | some r in resources]
	own := [i | some i, r in resources; not readable_catalog(classes, r)]
	on := [matching[i] | some i in own]

	# One resource is enough for a rule that restricts; without tables it is
	# about every statement of its classes.
	touching := union({without_tables} | {m | some m in matching})
}

without_tables := {i | some i in data.tidewaiter.bundle.tables.none}

# An Allow rule is about a statement without tables of its own, or about one that
# uses a table of the rule's.
serving(rules, on) := rules if count(on) == 0

serving(rules, on) := rules & union({m | some m in on}) if count(on) > 0

# rules_on are the rules with a pattern that matches the resource. Patterns are
# matched on "schema NUL name", since no name can hold a NUL.
rules_on(r) := {i |
	some i in array.concat(
		data.tidewaiter.bundle.tables.all,
		object.get(data.tidewaiter.bundle.tables.exact, [r.schema, r.name], []),
	)
} | patterns_on(concat("\u0000", [r.schema, r.name]))

patterns_on(name) := {i |
	some p in data.tidewaiter.bundle.tables.patterns
	regex.match(p.match, name)
	some i in p.rules
}

readable_catalog(classes, r) if {
	r.schema in catalogs
	r.access == "Read"
	not "SecretCatalog" in classes
}

# named: a rule names the feature, for each table that the statement uses. A rule
# that holds the statement names it for every table if it has no tables.
named(pool, f, feature) if {
	index := data.tidewaiter.bundle.byClass[pool][feature]
	allowing := {i | some i in index.Allow}
	holding := {i | some i in index.RequireApproval} & f.holds
	count(allowing | holding) > 0
	every on in f.on {
		count((allowing & on) | (holding & (on | without_tables))) > 0
	}
}

covered(_, _, f, i) if {
	some id in f.on[i]
	id in f.kind
}

covered(_, _, f, i) if count(f.holds & (f.on[i] | without_tables)) > 0

# A statement that writes may read what a SELECT of the same caller may read.
covered(pool, s, f, i) if {
	s.kind in {"Insert", "Update", "Delete", "Merge"}
	f.own[i].access == "Read"
	some id in f.on[i]
	id in data.tidewaiter.bundle.byClass[pool].Select.Allow
}
