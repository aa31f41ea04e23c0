// Package rewrite masks protected values where a statement reads them: each
// reference to a relation with such columns becomes a sub-select that computes the
// masks, so that no expression, condition or function of the statement ever sees a
// real value.
//
// The client's text is changed at those places alone and kept byte for byte
// elsewhere; the result is parsed again and must be the client's tree but for the
// replaced nodes. Where no rewrite is exact, the statement is refused.
//
// It is pure: no socket, no clock, no state between calls. It must not know
// sessions or who decides; docs/adr/0013-source-masking.md says why it is as it is.
package rewrite
