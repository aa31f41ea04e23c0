package access

import "slices"

// Phase says at which point of its life an operation is decided.
type Phase string

const (
	// PhaseRun is an operation about to be executed.
	PhaseRun Phase = "Run"
	// PhasePrepare is a statement about to be parsed and kept for later.
	PhasePrepare Phase = "Prepare"
)

// Access says what a statement does to a resource. The zero value is unknown,
// which policy denies.
type Access string

// The ways in which a statement uses a resource.
const (
	AccessUnknown Access = ""
	AccessRead    Access = "Read"
	AccessWrite   Access = "Write"
	AccessDefine  Access = "Define" // DDL, GRANT, LOCK: the resource itself
)

// Operation is one thing a client asks to do, understood as far as its protocol
// can. It is the policy's input; docs/policy-input.schema.json describes its JSON.
type Operation struct {
	Protocol   string      `json:"protocol"`
	DataSource string      `json:"dataSource"` // "namespace/name"
	Phase      Phase       `json:"phase"`
	Statements []Statement `json:"statements"`

	// Text is what a recording may keep of the statement as the client sent it: the protocol leaves out constants that
	// meet tagged data, and all of them where it does not know. Policy decides on Statements, never on text.
	Text string `json:"-"`
	// TextSize is the statement's length in bytes where Text is not all that may be kept of it, otherwise 0.
	TextSize int64 `json:"-"`
	// Parameters are the bound values as a recording may keep them.
	Parameters []Value `json:"-"`
	// Hides says that constants or parameters were left out. What a server says of such an operation may repeat them.
	Hides bool `json:"-"`
	// Absent is what the server would say of a name in the operation that is not
	// there, and Without the operation's statements without such names. Where policy
	// denies the operation but allows Without, the refusal says Absent instead of the
	// rule. They never permit anything. Absent is empty where no name is absent.
	Absent  string      `json:"-"`
	Without []Statement `json:"-"`
	// Probes identify, for each of the operation's statements that compares with
	// tagged columns, what it asks of them: the statement with its constants and
	// parameters, as a number that nobody outside of this process can tell anything
	// from. Equal numbers are the same question.
	Probes []uint64 `json:"-"`
	// Touches is such a number for the operation as a whole where it uses tagged
	// data in any way, else 0: if it fails, that has told something too.
	Touches uint64 `json:"-"`
	// Exceeded is the limit that its result has reached, where that is what a person is asked about; nil before it runs.
	Exceeded *Exceeded `json:"-"`
	// Held is what people are shown of the operation, and what an approval is tied
	// to. The protocol fills it in where the operation has to be approved, and not
	// before: it costs more than a decision.
	Held Held `json:"-"`
	// ID is equal for operations whose Statements are equal in this
	// process, so that decisions can be cached; 0 means "do not cache".
	ID uint64 `json:"-"`
}

// Held describes an operation to whoever may approve it. It goes to people and into
// the API server, so none of it may hold a value: no constant, no parameter.
type Held struct {
	// Digest is the SHA-256 of the text, Parameters one of what is bound to its
	// parameters, which tells nothing of them; empty without any. Equal digests are
	// the same statement. Without a Digest the statement is like no other: an answer
	// is good for this time alone.
	Digest, Parameters []byte
	// Shape is equal for operations that do the same but for their constants. Empty:
	// like no other.
	Shape []byte
	// Text is the statement with constants taken out, at most 8 KiB.
	Text string
	// Summary is a few words, such as "COPY orders TO STDOUT".
	Summary string
	// InTransaction: locks may be held while it waits.
	InTransaction bool
	// EstimatedRows is what the planner expects; nil: it was not asked.
	EstimatedRows *int64
}

// Statement holds the facts of one statement.
type Statement struct {
	// Kind is one of the ordinary kinds ("Select", "CopyOut", …). Empty means
	// not understood, which policy denies.
	Kind string `json:"kind"`
	// Features are what the statement does on top ("Program", "BulkSelect", …).
	Features []Feature `json:"features,omitempty"`
	// Resources are the relations it uses.
	Resources []Resource `json:"resources,omitempty"`
	// Tags are the classification tags of columns that it may use in its output
	// or write elsewhere, sorted; PredicateTags those that it compares.
	Tags          []string `json:"tags,omitempty"`
	PredicateTags []string `json:"predicateTags,omitempty"`
	// Predicates names how tagged columns are compared: "Equality", "Range",
	// "Pattern", "Order", "Other".
	Predicates []string `json:"predicates,omitempty"`
	// Functions that the statement calls, "schema.name".
	Functions []string `json:"functions,omitempty"`
	// EstimatedRows is what the database's planner expects; nil: it is not known. It is
	// asked for bulk reads alone, and only where policy looks at it.
	EstimatedRows *int64 `json:"estimatedRows,omitempty"`
}

// Unsized returns statements without how many rows are expected of them, which changes
// by itself: what was approved or granted is the same at another size.
func Unsized(statements []Statement) []Statement {
	out := slices.Clone(statements)
	for i := range out {
		out[i].EstimatedRows = nil
	}
	return out
}

// Feature is something a statement does beyond its kind.
type Feature struct {
	Name string `json:"name"`
	// Construct is how a person would write it: "COPY … TO PROGRAM".
	Construct string `json:"construct,omitempty"`
	// Effect says in a sentence what it would do: "It would run a program on the
	// database server."
	Effect string `json:"effect,omitempty"`
}

// Resource is a relation (table, view, sequence …) that a statement uses.
type Resource struct {
	Schema string   `json:"schema"`
	Name   string   `json:"name"`
	Access Access   `json:"access"`
	Tags   []string `json:"tags,omitempty"` // of any of its columns, sorted
}

// Value is one value as a recording shows it: NULL, text, or bytes of a binary
// format. Where Masked is set the rest is what the client saw, if anything.
type Value struct {
	Null   bool   `json:"null,omitempty"`
	Masked bool   `json:"masked,omitempty"`
	Text   string `json:"text,omitempty"`
	Binary []byte `json:"binary,omitempty"`
	// Size is the value's length in bytes on the wire where Text or Binary was
	// cut short, otherwise 0.
	Size int64 `json:"size,omitempty"`
}
