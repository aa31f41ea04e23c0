// Package phase runs a reconciler's steps. A reconciler says what a kind is and, for one object, a plan: named steps, each
// of which finds out about one condition and returns an Outcome. Everything that follows from outcomes happens here and
// nowhere else: status is written (server-side apply, only on a change), transitions become events, log lines and a
// metric, and the object is looked at again (at a time that a step asked for, or with a bounded back-off after an error).
//
// It must not know any kind, what the steps look at, or other clients than the ones it is given. Steps in turn must
// not touch status, events or the queue.
package phase
