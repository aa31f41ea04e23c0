// Package ship keeps the recordings of a sidecar until the operator has them: a bounded spool folder, and the loop that streams
// what is in it up and deletes what has arrived.
//
// When the spool is full, statements are refused rather than run unrecorded. A recording is deleted only once the operator
// has said that it has the whole file.
//
// It must not know how the operator is reached, what a recording looks like inside, or any protocol.
package ship
