package analysis

import "github.com/tidewaiter/tidewaiter/proxy/access"

// The features that a statement may have on top of its kind. Policy denies the
// dangerous ones (from Program on) unless a rule names them.
const (
	BulkSelect      = "BulkSelect"
	UnboundedUpdate = "UnboundedUpdate"
	UnboundedDelete = "UnboundedDelete"

	Program         = "Program"
	File            = "File"
	LargeObject     = "LargeObject"
	DynamicSQL      = "DynamicSQL"
	ForeignData     = "ForeignData"
	Replication     = "Replication"
	FunctionCall    = "FunctionCall" // the protocol's message; the analyzer never reports it
	UnknownFunction = "UnknownFunction"
	Identity        = "Identity"
	ParserSetting   = "ParserSetting"
	UnsafeSetting   = "UnsafeSetting"
	Procedural      = "Procedural"
	Extension       = "Extension"
	Notify          = "Notify"
	Laundering      = "Laundering"
	Inference       = "Inference"
	SecretCatalog   = "SecretCatalog"
	Lock            = "Lock"
	ServerControl   = "ServerControl"
	SideEffect      = "SideEffect"
)

// effects say what a feature would do, for the DETAIL of a denial.
var effects = map[string]string{
	BulkSelect:      "It would read a whole relation.",
	UnboundedUpdate: "It would change every row of a relation.",
	UnboundedDelete: "It would delete every row of a relation.",
	Program:         "It would run a program on the database server.",
	File:            "It would read or write files of the database server.",
	LargeObject:     "It would read or write large objects, whose content carries no classification.",
	DynamicSQL:      "It would run SQL that is built while it runs, which nobody can read beforehand.",
	ForeignData:     "It would reach another server through the database.",
	Replication:     "It would read or steer the replication stream, which holds every change unmasked.",
	FunctionCall:    "It would call a function by its number, past the SQL that can be read.",
	UnknownFunction: "It would run code of the database that Tidewaiter cannot read.",
	Identity:        "It would change as whom, or with whose rights, statements run.",
	ParserSetting:   "It would change how the server reads statements, so that it reads them differently from Tidewaiter.",
	UnsafeSetting:   "It would change a setting that is not known to be harmless.",
	Procedural:      "It would run or store code in a procedural form that Tidewaiter cannot read.",
	Extension:       "It would load code into the database server.",
	Notify:          "It would send a message to other sessions.",
	Laundering:      "It would copy protected values to a place where they are no longer protected.",
	Inference:       "It would tell protected values by the number of rows, an error or the time it takes.",
	SecretCatalog:   "It would read passwords, connection strings or other sessions' statements from the system catalog.",
	Lock:            "It would hold a lock that blocks others.",
	ServerControl:   "It would steer the database server itself.",
	SideEffect:      "It would change state outside the tables.",
}

// feature adds a feature; the first construct found speaks for it.
func (a *analyzer) feature(name, construct string) {
	if _, known := a.features[name]; !known {
		a.features[name] = access.Feature{Name: name, Construct: construct, Effect: effects[name]}
	}
}

func (a *analyzer) launder(construct string) { a.feature(Laundering, construct) }

// sinks reports whether the statement stores anything or has side effects.
func (a *analyzer) sinks() bool {
	switch a.out.Kind {
	case KindInsert, KindUpdate, KindMerge, KindDDL:
		return true
	}
	for _, inner := range a.inner {
		if inner.Kind == KindInsert || inner.Kind == KindUpdate || inner.Kind == KindMerge {
			return true
		}
	}
	for _, name := range []string{SideEffect, Notify, Lock, UnsafeSetting, ParserSetting, ServerControl, LargeObject, ForeignData, UnknownFunction} {
		if _, has := a.features[name]; has {
			return true
		}
	}
	return false
}

// The kinds of statements.
const (
	KindSelect      = "Select"
	KindInsert      = "Insert"
	KindUpdate      = "Update"
	KindDelete      = "Delete"
	KindMerge       = "Merge"
	KindCopyIn      = "CopyIn"
	KindCopyOut     = "CopyOut"
	KindTransaction = "Transaction"
	KindSession     = "Session"
	KindExplain     = "Explain"
	KindMaintenance = "Maintenance"
	KindDDL         = "DDL"
	KindTruncate    = "Truncate"
	KindGrant       = "Grant"
)
