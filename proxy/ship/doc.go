// Package ship keeps the recordings of a sidecar until the operator has them: a bounded spool folder, a sealer that makes
// signed segments of the journals in it, and the loop that sends segments up and deletes what has arrived.
//
// What stands in the folder decides what happens next, so that the process may be killed at any point: a segment is a whole
// file under its name or not there; a journal is given up for what is in segments only once that is written down beside it
// (see mark); and a segment is sent only after that. Nothing is lost, and nothing is sealed twice.
//
// When the spool is full, statements are refused rather than run unrecorded, unless the data source's owner wants it otherwise
// (record.Serve).
//
// It must not know how the operator is reached, what events mean, or any protocol.
package ship
