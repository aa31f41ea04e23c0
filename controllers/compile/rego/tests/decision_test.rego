package tidewaiter_test

# The policy of the documentation: what `read`, `exports` and `no-payroll` do to
# statements.
shop := {
	"dataSource": "data/orders", "enforcing": true, "observing": false,
	"policies": [{"name": "data/reporting", "mode": "Enforce"}],
	"rules": [
		{
			"policy": "data/reporting", "name": "read", "mode": "Enforce", "action": "Allow",
			"kinds": ["Select"], "features": [],
			"tables": ["public.customers", "public.orders", "public.payroll", "app_*.*"],
			"limits": {"rowsPerStatement": 1000, "rowsPerHour": 50000, "onExceed": "Deny"},
		},
		{
			"policy": "data/reporting", "name": "exports", "mode": "Enforce", "action": "RequireApproval",
			"kinds": ["CopyOut"], "features": ["BulkSelect"],
			"approval": {"timeoutSeconds": 900, "transactionTimeoutSeconds": 60, "wait": "Hold", "approvers": 1, "grant": "Statement", "grantRank": 0},
		},
		{
			"policy": "data/reporting", "name": "no-payroll", "mode": "Enforce", "action": "Deny",
			"kinds": ["Select", "CopyOut"], "features": [],
			"tables": ["public.payroll"],
		},
	],
	"predicates": [{"policy": "data/reporting", "mode": "Enforce", "allow": "Flag"}],
}

decide(bundle, statements) := d if {
	d := data.tidewaiter.decision with data.tidewaiter.bundle as compiled(bundle) with input as {
		"identity": {"namespace": "shop", "serviceAccount": "report-agent"},
		"operation": {"protocol": "postgres", "dataSource": "data/orders", "phase": "Run", "statements": statements},
	}
}

reads(names) := [{"schema": "public", "name": n, "access": "Read"} | some n in names]

select_from(names) := {"kind": "Select", "resources": reads(names)}

feature(name) := {"name": name, "construct": name, "effect": sprintf("It would %s.", [name])}

test_a_rule_allows_its_tables if {
	d := decide(shop, [select_from(["orders"])])
	d.effect == "Allow"
	d.policy == "data/reporting"
	d.rule == "read"
}

test_a_pattern_covers_a_schema if {
	s := {"kind": "Select", "resources": [{"schema": "app_eu", "name": "x", "access": "Read"}]}
	decide(shop, [s]).effect == "Allow"
}

test_every_table_has_to_be_covered if {
	d := decide(shop, [select_from(["orders", "api_keys"])])
	d.effect == "Deny"
	d.rule == ""
	d.reason == "No rule allows Select on public.api_keys."
	d.hint == "Ask the owner of DataSource data/orders for a rule that allows Select on public.api_keys."
}

test_a_kind_that_no_rule_names_is_denied if {
	d := decide(shop, [{"kind": "Delete", "resources": reads(["orders"])}])
	d.effect == "Deny"
	d.reason == "No rule allows Delete."
}

test_a_statement_without_tables_needs_only_its_kind if {
	decide(shop, [{"kind": "Select"}]).effect == "Allow"
	decide(shop, [{"kind": "Session"}]).effect == "Deny"
}

test_catalogs_are_readable_with_the_kind if {
	catalog := {"kind": "Select", "resources": [{"schema": "pg_catalog", "name": "pg_class", "access": "Read"}]}
	decide(shop, [catalog]).effect == "Allow"
	decide(shop, [object.union(catalog, {"features": [feature("SecretCatalog")]})]).rule == "guard SecretCatalog"
	written := {"kind": "Select", "resources": [{"schema": "pg_catalog", "name": "pg_class", "access": "Write"}]}
	decide(shop, [written]).effect == "Deny"
}

test_deny_comes_before_allow_and_approval if {
	d := decide(shop, [select_from(["payroll"])])
	d.effect == "Deny"
	d.rule == "no-payroll"
	d.reason == "Rule no-payroll denies Select on public.payroll."
	decide(shop, [{"kind": "CopyOut", "resources": reads(["orders", "payroll"])}]).rule == "no-payroll"
}

test_approval_comes_before_allow if {
	d := decide(shop, [object.union(select_from(["orders"]), {"features": [feature("BulkSelect")]})])
	d.effect == "RequireApproval"
	d.rule == "exports"
	d.approval == {
		"timeoutSeconds": 900, "transactionTimeoutSeconds": 60, "wait": "Hold", "approvers": 1, "grant": "Statement",
		"rules": [{"policy": d.policy, "rule": "exports"}],
	}
}

test_an_approval_rule_without_tables_covers_every_table if {
	decide(shop, [{"kind": "CopyOut", "resources": reads(["api_keys"])}]).effect == "RequireApproval"
}

test_the_strictest_statement_decides if {
	fine := select_from(["orders"])
	held := {"kind": "CopyOut", "resources": reads(["orders"])}
	bad := select_from(["api_keys"])
	decide(shop, [fine, held]).effect == "RequireApproval"
	decide(shop, [held, fine, bad]).effect == "Deny"
	decide(shop, [fine, fine]).effect == "Allow"
}

test_a_dangerous_feature_is_guarded if {
	d := decide(shop, [{"kind": "CopyOut", "features": [feature("Program")], "resources": reads(["orders"])}])
	d.effect == "Deny"
	d.policy == "data/reporting"
	d.rule == "guard Program"
	d.reason == "It would Program."
}

test_the_guard_has_words_of_its_own if {
	d := decide(shop, [{"kind": "Select", "features": [{"name": "Program"}]}])
	d.reason == "It would run a program on the database server."
}

test_what_is_not_understood_is_denied if {
	every s in [
		{"kind": ""},
		{},
		{"kind": "Frobnicate"},
		{"kind": "Select", "features": [{"name": "Unheard"}]},
		{"kind": "Select", "features": [{}]},
		{"kind": "Select", "features": "Program"},
		{"kind": "Select", "resources": [{"schema": "public", "name": "orders", "access": ""}]},
		{"kind": "Select", "resources": [{"schema": "public", "name": "orders"}]},
		{"kind": "Select", "resources": [{"schema": "public", "name": "", "access": "Read"}]},
		{"kind": "Select", "resources": [{"name": "orders", "access": "Read"}]},
		{"kind": "Select", "resources": null},
		{"kind": "Select", "tags": "pii/ssn"},
		{"kind": "Select", "predicateTags": null},
		{"kind": "Select", "predicates": {}},
		null,
		"Select",
	] {
		d := decide(shop, [s])
		d.effect == "Deny"
		d.reason == "The statement could not be understood completely."
	}
}

test_an_incomplete_input_is_denied if {
	every i in [
		{},
		null,
		{"identity": {"namespace": "shop", "serviceAccount": "a"}},
		{"identity": {"namespace": "shop", "serviceAccount": "a"}, "operation": {"dataSource": "data/orders", "statements": []}},
		{"identity": {"namespace": "shop", "serviceAccount": "a"}, "operation": {"dataSource": "data/other", "statements": [{"kind": "Select"}]}},
		{"identity": {"namespace": "", "serviceAccount": "a"}, "operation": {"dataSource": "data/orders", "statements": [{"kind": "Select"}]}},
		{"operation": {"dataSource": "data/orders", "statements": [{"kind": "Select"}]}},
	] {
		d := data.tidewaiter.decision with data.tidewaiter.bundle as compiled(shop) with input as i
		d.effect == "Deny"
		d.masks == {}
	}
}

test_without_policies_everything_is_denied if {
	nobody := object.union(shop, {"policies": [], "rules": [], "enforcing": false})
	d := decide(nobody, [{"kind": "Select"}])
	d.effect == "Deny"
	d.reason == "No AccessPolicy selects this workload."
	data.tidewaiter.decision.effect == "Deny" with data.tidewaiter.bundle as {}
}

test_limits_are_those_of_the_rules_that_matched if {
	decide(shop, [select_from(["orders"])]).limits == {
		"rowsPerStatement": 1000, "rowsPerHour": 50000, "onExceed": "Deny",
		"policy": "data/reporting", "rule": "read",
	}
	decide(shop, [{"kind": "CopyOut", "resources": reads(["orders"])}]).limits == {}
}
