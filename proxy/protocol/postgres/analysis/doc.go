// Package analysis understands PostgreSQL statements: from a text, the tracked
// state of a session and a catalog snapshot to facts that policy decides on and
// that masking needs.
//
// It is pure and deterministic: no socket, no clock, no goroutine, no state kept
// between calls. It must not know sessions, policies or masks; it says what a
// statement is, never whether it may run.
//
// Unknown means dangerous. A text that does not parse is refused; a syntax node
// that is not listed makes the statement not understood (an empty Kind, which
// policy denies); a name that does not resolve may be anything of that name; a
// value whose origin is not certain carries every tag it could carry.
package analysis
