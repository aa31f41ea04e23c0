package tidewaiter_test

allow_all(policy, mode) := {
	"policy": policy, "name": "all", "mode": mode, "action": "Allow",
	"kinds": ["Select"], "features": [], "tables": ["*.*"],
}

one_policy(extra) := object.union(
	{
		"dataSource": "data/orders", "enforcing": true, "observing": false,
		"policies": [{"name": "data/p", "mode": "Enforce", "rego": true}],
		"rules": [allow_all("data/p", "Enforce")],
		"predicates": [],
	},
	extra,
)

# Masks.

masking := one_policy({"masks": {
	"exact": {"pii/email": {"strategy": "Partial", "keepDomain": true, "rule": "data/p masks[1]"}},
	"patterns": [
		{"pattern": "^pii/.*$", "mask": {"strategy": "Hash", "rule": "data/p masks[0]"}},
		{"pattern": "^p.*$", "mask": {"strategy": "Null", "rule": "data/p masks[2]"}},
	],
}})

test_the_tags_own_mask_comes_before_patterns_and_these_come_in_order if {
	s := {"kind": "Select", "tags": ["pii/email"], "resources": [{
		"schema": "public", "name": "customers", "access": "Read", "tags": ["pci/pan", "pii/email", "pii/ssn", "secret/key"],
	}]}
	decide(masking, [s]).masks == {
		"pii/email": {"strategy": "Partial", "keepDomain": true, "rule": "data/p masks[1]"},
		"pii/ssn": {"strategy": "Hash", "rule": "data/p masks[0]"},
		"pci/pan": {"strategy": "Null", "rule": "data/p masks[2]"},
		"secret/key": {"strategy": "Redact"},
	}
}

test_a_denial_carries_no_masks_and_no_limits if {
	d := decide(masking, [{"kind": "Delete", "tags": ["pii/email"]}])
	d.masks == {}
	d.limits == {}
	d.flags == []
}

# Predicates.

comparing(how) := {"kind": "Select", "predicateTags": ["pii/ssn"], "predicates": how}

predicates(modes) := one_policy({"predicates": [{"policy": "data/p", "mode": "Enforce", "allow": m} | some m in modes]})

test_comparisons_are_flagged if {
	d := decide(predicates(["Flag"]), [comparing(["Order", "Range"])])
	d.effect == "Allow"
	d.flags == ["predicate on pii/ssn (Order, Range)"]
	decide(predicates(["Allow"]), [comparing(["Range"])]).flags == []
	decide(predicates(["Flag"]), [{"kind": "Select", "predicates": ["Range"]}]).flags == []
}

probed(list) := one_policy({"predicates": [
	{"policy": x[0], "mode": x[1], "allow": "Flag", "probes": x[2]} | some x in list
]})

test_without_a_bound_the_answer_speaks_of_no_probes if {
	not decide(predicates(["Flag"]), [comparing(["Range"])]).probes
	not decide(probed([["data/seen", "Observe", {"perHour": 1}]]), [comparing(["Range"])]).probes
}

test_each_bound_of_probes_is_the_strictest_and_names_its_policy if {
	d := decide(probed([
		["data/a", "Enforce", {"perSession": 10, "perHour": 500}],
		["data/b", "Enforce", {"perHour": 100}],
		["data/seen", "Observe", {"perSession": 1}],
	]), [comparing(["Range"])])
	d.effect == "Allow"
	d.probes == {"perSession": {"most": 10, "policy": "data/a"}, "perHour": {"most": 100, "policy": "data/b"}}
}

test_equality_only_denies_everything_else if {
	decide(predicates(["EqualityOnly"]), [comparing(["Equality"])]).effect == "Allow"
	d := decide(predicates(["EqualityOnly"]), [comparing(["Equality", "Range"])])
	d.effect == "Deny"
	d.policy == "data/p"
	d.rule == "predicates"
	decide(predicates(["EqualityOnly"]), [comparing(["Unheard"])]).effect == "Deny"
	decide(predicates(["EqualityOnly"]), [comparing([])]).effect == "Deny"
}

test_the_strictest_predicate_mode_holds if {
	decide(predicates(["Allow", "Deny"]), [comparing(["Equality"])]).effect == "Deny"
	decide(predicates(["Allow", "Unheard"]), [comparing(["Equality"])]).effect == "Deny"
	decide(predicates(["Deny"]), [{"kind": "Select"}]).effect == "Allow"
}

# Limits and approvals.

limited := one_policy({
	"rules": [
		object.union(allow_all("data/p", "Enforce"), {
			"limits": {"rowsPerStatement": 100, "rowsPerHour": 5000, "onExceed": "RequireApproval"},
			"approval": {"timeoutSeconds": 900, "transactionTimeoutSeconds": 60, "wait": "Hold", "approvers": 1, "grant": "1h0m0s", "grantRank": 3602},
		}),
		object.union(allow_all("data/p", "Enforce"), {
			"name": "careful",
			"limits": {"rowsPerStatement": 500, "rowsPerHour": 1000, "bytesPerHour": 7, "onExceed": "RequireApproval"},
			"approval": {"timeoutSeconds": 60, "transactionTimeoutSeconds": 30, "wait": "Refuse", "approvers": 2, "grant": "Session", "grantRank": 1},
		}),
	],
})

test_the_strictest_limits_hold_under_the_name_that_counts_hours if {
	d := decide(limited, [select_from(["orders"])])
	d.limits == {
		"rowsPerStatement": 100, "rowsPerHour": 1000, "bytesPerHour": 7,
		"onExceed": "RequireApproval", "policy": "data/p", "rule": "careful",
	}
	d.approval == {
		"timeoutSeconds": 60, "transactionTimeoutSeconds": 30, "wait": "Refuse", "approvers": 2, "grant": "Session",
		"rules": [{"policy": "data/p", "rule": "all"}, {"policy": "data/p", "rule": "careful"}],
	}
}

test_bytes_are_counted_under_the_name_of_the_rule_that_bounds_them if {
	rules := [
		object.union(limited.rules[0], {"name": "small", "limits": {"bytesPerHour": 3}}),
		limited.rules[1],
	]
	d := decide(object.union(limited, {"rules": rules}), [select_from(["orders"])])
	d.limits == {
		"rowsPerStatement": 100, "rowsPerHour": 1000, "bytesPerHour": 3, "onExceed": "RequireApproval",
		"policy": "data/p", "rule": "careful", "bytesPolicy": "data/p", "bytesRule": "small",
	}
}

test_one_limit_that_denies_is_enough_to_deny if {
	rules := [limited.rules[0], exceeding(limited.rules[1], "Deny")]
	d := decide(object.union(limited, {"rules": rules}), [select_from(["orders"])])
	d.limits.onExceed == "Deny"
	d.approval == {}
}

exceeding(rule, on_exceed) := object.union(rule, {"limits": {"onExceed": on_exceed}})

# Mode Observe.

observing(enforced) := {
	"dataSource": "data/orders", "enforcing": count(enforced) > 0, "observing": true,
	"policies": array.concat(enforced, [{"name": "data/new", "mode": "Observe", "rego": true}]),
	"rules": array.concat(
		[allow_all(p.name, "Enforce") | some p in enforced],
		[{
			"policy": "data/new", "name": "no-keys", "mode": "Observe", "action": "Deny",
			"kinds": ["Select"], "features": [], "tables": ["public.api_keys"],
		}],
	),
	"predicates": [],
}

test_an_observed_denial_is_let_through_and_told if {
	d := decide(observing([{"name": "data/p", "mode": "Enforce"}]), [select_from(["api_keys"])])
	d.effect == "Allow"
	d.observed == true
	d.policy == "data/new"
	d.rule == "no-keys"
	d.reason == "In mode Enforce this would be denied: Rule no-keys denies Select on public.api_keys."
}

test_an_observed_policy_takes_nothing_from_an_enforced_one if {
	both := observing([{"name": "data/p", "mode": "Enforce"}])
	d := decide(both, [select_from(["orders"])])
	d.effect == "Allow"
	d.observed == false
	d.policy == "data/p"
	decide(both, [{"kind": "Delete"}]).effect == "Deny"
}

test_observed_policies_alone_let_everything_through_that_is_understood if {
	alone := observing([])
	d := decide(alone, [{"kind": "CopyOut", "features": [feature("Program")], "tags": ["pii/ssn"]}])
	d.effect == "Allow"
	d.observed == true
	d.rule == "guard Program"
	d.masks == {"pii/ssn": {"strategy": "Redact"}}
	d.limits == {}
	decide(alone, [{"kind": ""}]).effect == "Deny"
	decide(alone, [{"kind": "Select", "features": [feature("Unheard")]}]).effect == "Deny"
}

# The owner's own Rego.

test_an_owners_rego_makes_decisions_stricter if {
	d := decide(one_policy({}), [select_from(["orders"])])
		with data.tidewaiter.custom as {"data/p": {"deny": {"not on Sundays"}}}
	d.effect == "Deny"
	d.policy == "data/p"
	d.rule == "rego"
	d.reason == "not on Sundays"
}

test_an_owners_rego_can_ask_a_person if {
	d := decide(one_policy({}), [select_from(["orders"])])
		with data.tidewaiter.custom as {"data/p": {"require_approval": {{"a": 1}}}}
	d.effect == "RequireApproval"
	d.reason == "The policy's Rego asks for a person's approval."
	d.approval == {
		"timeoutSeconds": 900, "transactionTimeoutSeconds": 60, "wait": "Hold", "approvers": 1, "grant": "Statement",
		"rules": [{"policy": "data/p", "rule": "rego"}],
	}
}

test_an_owners_rego_never_makes_decisions_milder if {
	d := decide(one_policy({}), [{"kind": "Delete"}])
		with data.tidewaiter.custom as {"data/p": {"require_approval": {"ask"}, "allow": {"yes"}}}
	d.effect == "Deny"
	d.reason == "No rule allows Delete."
}

test_the_rego_of_an_observed_policy_is_observed if {
	both := observing([{"name": "data/p", "mode": "Enforce"}])
	d := decide(both, [select_from(["orders"])])
		with data.tidewaiter.custom as {"data/new": {"deny": {"not on Sundays"}}}
	d.effect == "Allow"
	d.observed == true
	d.reason == "In mode Enforce this would be denied: not on Sundays"
}

test_limits_of_observed_policies_are_not_kept if {
	observed := {
		"dataSource": "data/orders", "enforcing": false, "observing": true,
		"policies": [{"name": "data/new", "mode": "Observe"}],
		"rules": [object.union(allow_all("data/new", "Observe"), {"limits": {"rowsPerHour": 1, "onExceed": "Deny"}})],
	}
	d := decide(observed, [select_from(["orders"])])
	d.effect == "Allow"
	d.limits == {}
}
