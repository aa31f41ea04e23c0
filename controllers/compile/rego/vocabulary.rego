# The words that operations are described with. A word that is not here is not
# understood, and what is not understood is denied.
package tidewaiter

# kinds of statements; a statement has exactly one.
kinds := {
	"Select", "Insert", "Update", "Delete", "Merge", "CopyIn", "CopyOut",
	"Transaction", "Session", "Explain", "Maintenance",
	"DDL", "Truncate", "Grant",
}

# quantity: features that rules may narrow by, and that need no rule naming them.
quantity := {"BulkSelect", "UnboundedUpdate", "UnboundedDelete"}

# dangerous features, denied unless a rule names them, and what each would do
# where the protocol does not say it better.
dangerous := {
	"Program": "It would run a program on the database server.",
	"File": "It would read or write a file of the database server.",
	"LargeObject": "It would use large objects, which carry no classification.",
	"DynamicSQL": "It would run text as SQL where it cannot be seen.",
	"ForeignData": "It would reach another server from the database server.",
	"Replication": "It would use replication, which carries whole tables unmasked.",
	"FunctionCall": "It would call a function by a message that goes round SQL.",
	"UnknownFunction": "It would call a function whose body cannot be analyzed.",
	"Identity": "It would change who the session is.",
	"ParserSetting": "It would change how the server reads statements.",
	"Procedural": "It would run code, or create an object that does.",
	"Extension": "It would load code into the database server.",
	"Notify": "It would send a notification to other sessions.",
	"Laundering": "It could copy a classified value to a place where it would be read unmasked.",
	"Inference": "It would let a classified value steer how much is returned, how long it takes or whether it fails.",
	"SecretCatalog": "It would read a catalog that holds secrets or values of other tables.",
	"Lock": "It would take a lock by name.",
	"ServerControl": "It would act on the server or on other sessions.",
	"SideEffect": "It would call a function that writes.",
	"UnsafeSetting": "It would change a setting that is not known to be harmless.",
}

known_feature(name) if name in quantity

known_feature(name) if dangerous[name]

# accesses that a statement may need to a resource.
accesses := {"Read", "Write", "Define"}

# catalogs are readable by whoever may run the kind of statement, since every
# driver reads them; what in them is secret has the feature SecretCatalog.
readable_catalogs := {["pg_catalog", "Read"], ["information_schema", "Read"]}
