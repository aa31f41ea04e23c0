# What has to be true of the input before any rule is looked at. There is no
# mode and no rule that lets an operation through that is not understood.
package tidewaiter

# fit is all of it in one rule, since nearly every operation is fit and which part
# of it failed matters to none of those.
fit if {
	data.tidewaiter.bundle.dataSource == input.operation.dataSource
	data.tidewaiter.bundle.dataSource
	count(data.tidewaiter.bundle.policies) > 0
	is_string(input.identity.namespace)
	input.identity.namespace != ""
	is_string(input.identity.serviceAccount)
	input.identity.serviceAccount != ""
	is_array(input.operation.statements)
	count(input.operation.statements) > 0
	every s in input.operation.statements {
		understood(s)
	}
}

# misunderstanding is the sentence that says what an operation lacks that is not
# fit. It always says something: the last branch has no condition.
misunderstanding := "No policy is loaded." if not data.tidewaiter.bundle.dataSource

else := "No AccessPolicy selects this workload." if count(data.tidewaiter.bundle.policies) == 0

else := "The caller's identity is missing." if not identified

else := "The operation is for another data source than the policy." if {
	not input.operation.dataSource == data.tidewaiter.bundle.dataSource
}

else := "The operation holds no statement." if not has_statements

else := "The statement could not be understood completely."

identified if {
	is_name(input.identity.namespace)
	is_name(input.identity.serviceAccount)
}

has_statements if {
	is_array(input.operation.statements)
	count(input.operation.statements) > 0
}

understood(s) if {
	kinds[s.kind]
	every f in object.get(s, "features", []) {
		known_feature(f.name)
	}
	every r in object.get(s, "resources", []) {
		accesses[r.access]
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
