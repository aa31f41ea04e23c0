# What has to be true of the input before any rule is looked at. There is no
# mode and no rule that lets an operation through that is not understood.
package tidewaiter

# misunderstanding is the sentence that says what is wrong with the input;
# undefined where everything is understood.
misunderstanding := "No policy is loaded." if not data.tidewaiter.bundle.dataSource

else := "No AccessPolicy selects this workload." if count(data.tidewaiter.bundle.policies) == 0

else := "The caller's identity is missing." if not identified

else := "The operation is for another data source than the policy." if {
	not input.operation.dataSource == data.tidewaiter.bundle.dataSource
}

else := "The operation holds no statement." if not has_statements

else := "The statement could not be understood completely." if {
	some s in input.operation.statements
	not understood(s)
}

identified if {
	is_name(input.identity.namespace)
	is_name(input.identity.serviceAccount)
}

has_statements if {
	is_array(input.operation.statements)
	count(input.operation.statements) > 0
}

understood(s) if {
	s.kind in kinds
	every f in object.get(s, "features", []) {
		known_feature(f.name)
	}
	every r in object.get(s, "resources", []) {
		r.access in accesses
		is_string(r.schema)
		is_string(r.name)
		r.name != ""
	}
	is_array(object.get(s, "tags", []))
	is_array(object.get(s, "predicateTags", []))
	is_array(object.get(s, "predicates", []))
}

is_name(x) if {
	is_string(x)
	x != ""
}
