package tidewaiter_test

# compiled makes the indexes of a bundle out of its rules, as the compiler does:
# only the patterns that these tests use.
compiled(bundle) := object.union(
	{
		"enforcing": true, "observing": false,
		"policies": [{"name": "data/p", "mode": "Enforce", "rego": true}],
		"predicates": [], "masks": {"exact": {}, "patterns": []},
		"byClass": {"enforced": by_class(bundle.rules, {"Enforce"}), "all": by_class(bundle.rules, {"Enforce", "Observe"})},
		"tables": {
			"none": [i | some i, r in bundle.rules; not r.tables],
			"all": [i | some i, r in bundle.rules; "*.*" in r.tables],
			"exact": {schema: {name: [i |
				some i, r in bundle.rules
				some t in ["*.*", concat(".", [schema, name])]
				t in r.tables
			] |
				some name in table_names
			} |
				some schema in {"public"}
			},
			"patterns": [{"match": "^app_.*$", "rules": [i]} | some i, r in bundle.rules; "app_*.*" in r.tables],
		},
	},
	bundle,
)

table_names := ["orders", "customers", "payroll", "staging", "audit", "api_keys"]

by_class(rules, modes) := {c: {a: [i |
	some i, r in rules
	r.mode in modes
	r.action == a
	c in array.concat(r.kinds, r.features)
] |
	some a in {"Allow", "RequireApproval", "Deny"}
} |
	some r in rules
	some c in array.concat(r.kinds, r.features)
}
