// Package approval says what an AccessRequest needs, by its rules as they are, and what becomes of it by the decisions of
// people. Admission and the operator both go by it, without knowing each other.
//
// It is pure: policies, decisions, the answers about rights and the time are given to it. It must not know where they come
// from, or who writes what it says.
package approval
