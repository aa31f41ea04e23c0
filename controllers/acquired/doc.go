// Package acquired keeps the tags that columns get because protected values were written to them, where a rule allows it: in the
// status of their DataSource, so that they outlive every process and every replica of the operator hands them to every
// sidecar.
//
// It must not know how sidecars are spoken to.
package acquired
