package tidewaiter_test

# guarded is a policy whose rules name dangerous features in different ways.
guarded := {
	"dataSource": "data/orders", "enforcing": true, "observing": false,
	"policies": [{"name": "data/p", "mode": "Enforce"}],
	"rules": [
		{
			"policy": "data/p", "name": "app", "mode": "Enforce", "action": "Allow",
			"kinds": ["CopyIn", "Insert", "Select"], "features": [],
			"tables": ["*.*"],
		},
		{
			"policy": "data/p", "name": "notify", "mode": "Enforce", "action": "Allow",
			"kinds": [], "features": ["Notify"],
		},
		{
			"policy": "data/p", "name": "load", "mode": "Enforce", "action": "Allow",
			"kinds": ["CopyIn"], "features": ["File"],
			"tables": ["public.staging"],
		},
		{
			"policy": "data/p", "name": "code", "mode": "Enforce", "action": "RequireApproval",
			"kinds": ["DDL"], "features": ["Procedural"],
			"approval": {"timeoutSeconds": 60, "transactionTimeoutSeconds": 30, "wait": "Hold", "approvers": 2, "grant": "Session", "grantRank": 1},
		},
	],
	"predicates": [],
}

test_a_feature_alone_allows_no_kind if {
	decide(guarded, [{"kind": "Delete", "features": [feature("Notify")]}]).reason == "No rule allows Delete."
}

test_a_rule_without_tables_names_a_feature_of_statements_without_tables if {
	decide(guarded, [{"kind": "Select", "features": [feature("Notify")]}]).effect == "Allow"
	s := {"kind": "Select", "features": [feature("Notify")], "resources": reads(["orders"])}
	decide(guarded, [s]).rule == "guard Notify"
}

test_a_feature_is_named_for_the_tables_of_its_rule if {
	decide(guarded, [copy_file_to("staging")]).effect == "Allow"
	decide(guarded, [copy_file_to("orders")]).rule == "guard File"
}

copy_file_to(name) := {
	"kind": "CopyIn", "features": [feature("File")],
	"resources": [{"schema": "public", "name": name, "access": "Write"}],
}

test_approval_of_a_kind_is_no_approval_of_a_feature if {
	decide(guarded, [{"kind": "DDL"}]).effect == "RequireApproval"
	decide(guarded, [{"kind": "DDL", "features": [feature("Procedural")]}]).effect == "RequireApproval"
	decide(guarded, [{"kind": "DDL", "features": [feature("Procedural"), feature("Extension")]}]).rule == "guard Extension"
}

test_a_write_may_read_what_a_select_may_read if {
	narrow := object.union(guarded, {
		"rules": [
			{
				"policy": "data/p", "name": "read", "mode": "Enforce", "action": "Allow",
				"kinds": ["Select"], "features": [], "tables": ["public.orders"],
			},
			{
				"policy": "data/p", "name": "write", "mode": "Enforce", "action": "Allow",
				"kinds": ["CopyOut", "Insert"], "features": [], "tables": ["public.audit"],
			},
		],
	})
	decide(narrow, [into("audit", "orders")]).effect == "Allow"
	decide(narrow, [into("audit", "customers")]).reason == "No rule allows Insert on public.customers."
	decide(narrow, [into("orders", "audit")]).reason == "No rule allows Insert on public.orders."
	decide(narrow, [{"kind": "CopyOut", "resources": reads(["orders"])}]).reason == "No rule allows CopyOut on public.orders."
}

into(target, source) := {"kind": "Insert", "resources": [
	{"schema": "public", "name": target, "access": "Write"},
	{"schema": "public", "name": source, "access": "Read"},
]}

test_an_approval_covers_only_its_own_tables if {
	payroll := object.union(guarded, {
		"rules": [{
			"policy": "data/p", "name": "payroll", "mode": "Enforce", "action": "RequireApproval",
			"kinds": ["Select"], "features": [], "tables": ["public.payroll"],
			"approval": {"timeoutSeconds": 60, "transactionTimeoutSeconds": 30, "wait": "Hold", "approvers": 2, "grant": "Session", "grantRank": 1},
		}],
	})
	decide(payroll, [select_from(["payroll"])]).effect == "RequireApproval"
	decide(payroll, [select_from(["payroll", "api_keys"])]).reason == "No rule allows Select on public.api_keys."
}

test_a_secret_catalog_has_to_be_matched_by_the_rule_that_names_it if {
	statistics := {
		"dataSource": "data/orders",
		"rules": [{
			"policy": "data/p", "name": "stats", "mode": "Enforce", "action": "Allow",
			"kinds": ["Select"], "features": ["SecretCatalog"], "tables": ["public.audit"],
		}],
	}
	d := decide(statistics, [{
		"kind": "Select", "features": [feature("SecretCatalog")],
		"resources": [{"schema": "pg_catalog", "name": "pg_authid", "access": "Read"}],
	}])
	d.rule == "guard SecretCatalog"
}

test_an_approval_names_a_feature_for_its_own_tables if {
	notifying := {
		"dataSource": "data/orders",
		"rules": [
			{
				"policy": "data/p", "name": "write", "mode": "Enforce", "action": "Allow",
				"kinds": ["Insert"], "features": [], "tables": ["*.*"],
			},
			{
				"policy": "data/p", "name": "tell", "mode": "Enforce", "action": "RequireApproval",
				"kinds": [], "features": ["Notify"], "tables": ["public.orders"],
				"approval": {"timeoutSeconds": 60, "transactionTimeoutSeconds": 30, "wait": "Hold", "approvers": 1, "grant": "Session", "grantRank": 1},
			},
		],
	}
	decide(notifying, [telling(into("orders", "orders"))]).effect == "RequireApproval"
	decide(notifying, [telling(into("orders", "customers"))]).rule == "guard Notify"
}

telling(s) := object.union(s, {"features": [feature("Notify")]})
