package analysis

import (
	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
)

// Limits bound what is parsed. The zero value of a field means its default.
type Limits struct {
	MaxText   int // bytes of a text; default 16 MiB
	MaxTokens int // tokens of a text; default 600,000
	MaxDepth  int // open parentheses, brackets and CASEs; default 200
	MaxChain  int // height of the syntax tree, mostly the length of operator chains; default 1,000
}

// Options are what a data source's owner says about understanding statements.
type Options struct {
	Limits Limits
	// Trusted are user functions that the owner vouches for: "schema.name",
	// "name" or either with argument types in parentheses, which are not compared
	// (a name is trusted with all its overloads).
	Trusted []string
	// Without are names that certainly are not there. The facts are then those of
	// what remains: a statement without its use of them. They are for asking what
	// policy says to the rest, and must not permit the statement itself.
	Without []Absence
}

// State is what the engine tracks of a session. The analyzer only reads it. The
// zero value is a fresh session.
type State struct {
	// PathChanged: search_path was changed at any time in this session, so an
	// unqualified name may be any relation of that name.
	PathChanged bool
	// Stale: the open transaction holds DDL that the catalog cannot show, so no
	// column list can be relied on.
	Stale bool
	// Unsettled: the open transaction holds DDL, so names may be there that the
	// catalog does not show yet.
	Unsettled bool
	// Temp holds names of temporary tables, and of tables created in the open
	// transaction, that were filled without tagged values.
	Temp map[string]bool
	// Prepared and Cursor return the facts of the statements that the name may
	// stand for; nil = not known.
	Prepared func(name string) []*Statement
	Cursor   func(name string) []*Statement
}

// Result is an analyzed text.
type Result struct {
	// Statements in their order; none for an empty text.
	Statements []Statement
	// Empty: the text holds no statement (";", a comment, nothing).
	Empty bool
	// Runs is the text to forward in place of the analyzed one; empty: that one.
	// Package rewrite sets it, and Parts, which are the statements of it.
	Runs  string
	Parts []string
	// Recorded is what a recording may keep of the text, and of its parameters.
	Recorded Recorded
}

// Statement holds the facts of one statement.
type Statement struct {
	access.Statement
	// Inner are further facts that policy must see: data-modifying statements in
	// WITH, the query of CREATE TABLE AS, the statement that EXPLAIN ANALYZE runs.
	Inner []access.Statement
	// Text is the statement's part of the analyzed text, without the semicolon.
	Text string
	// Touches: it reads or writes a relation with tagged columns, or one that the
	// catalog does not know while there are tags. Errors and notices are redacted.
	Touches bool
	// Derived are the tags that output values of unknown origin may carry; empty
	// means provably none.
	Derived []string
	// Outputs say the same per output column; nil means unknown, then Derived
	// counts for every column. Its length is the number of columns.
	Outputs []Output
	// Reads are the columns that it reads, tagged or not, and what for. Of an EXECUTE
	// or FETCH they are those of everything that the name may stand for.
	Reads Reads
	// Written are the columns that it writes to, as far as they are known.
	Written []Source
	// Copy describes COPY … TO STDOUT and COPY … FROM STDIN; nil otherwise.
	Copy *Copy
	// Effects on the tracked state, in order.
	Effects []Effect
	// Absent are names that nothing is known of, in the order in which the server
	// would look for them, as far as that can be told.
	Absent []Absence
	// Questions identify what it asks of tagged data, if anything; see Question.
	Questions []Question
	// Writes are where it puts values with tags that the place does not carry.
	Writes []Write
	// Assigned are constants and parameters that go into tagged columns.
	Assigned []Assignment
	// ReturnsRows: a DataRow may follow.
	ReturnsRows bool
	// References are the relations that the text names, as often as it does.
	References []Reference
	// Masked are the relations whose protected values are replaced where the
	// statement reads them; such a value cannot be in its result. Analyze does not
	// set it: package rewrite does, and an EXECUTE or FETCH has it of what it runs.
	Masked []Masked
	// Rewritten: another text than Text runs.
	Rewritten bool
	// Past: its rows may have been read under other definitions than those of the
	// catalog, so that what the server attests says only of tables what they are, and
	// not of views. Analyze does not set it: that is known of a session alone.
	Past bool

	// epoch is the catalog's when it was analyzed.
	epoch uint64
	// indirect: it is an EXECUTE or FETCH, whose facts are those of a name.
	indirect bool
	// used are the routines of the database's users whose bodies were read for it.
	used []*catalog.Routine
	// reads are Reads as lineage knows them.
	reads reads
	// origins are the columns of Outputs as lineage knows them.
	origins []column
}

// Facts returns everything that policy must decide on: the statement's own facts
// and the inner ones.
func (s *Statement) Facts() []access.Statement {
	return append([]access.Statement{s.Statement}, s.Inner...)
}

// Output is what one output column may carry.
type Output struct {
	// Name is the column's name where it is certain, otherwise empty.
	Name string
	Tags []string
	// Derived: anything but a plain column reference.
	Derived bool
	// Shape says what stands where in a value that the statement builds of others; nil
	// where that is not known, or nothing of it is tagged. Tags are those of all parts.
	Shape *Shape
	// Sources are the columns that the value comes from, tagged or not, in the order
	// of their numbers. One of unknown origin has a last source without a relation.
	Sources []Source
}

// Analyze reads a text of one or more statements. The error is always a
// *Refusal, and nothing of the text may be forwarded then.
func Analyze(text string, st *State, cat *catalog.Snapshot, opt Options) (*Result, error) {
	return analyze(text, st, cat, opt)
}
