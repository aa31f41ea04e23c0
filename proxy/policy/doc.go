// Package policy decides operations by a signed OPA bundle, in process: it loads
// a bundle, evaluates it within a deadline and keeps decisions that it made.
//
// What cannot be decided is denied: no bundle, a bundle past its time, an error, a
// timeout, an undefined or unreadable answer. It must not know sessions, wire
// protocols, Kubernetes or how bundles are made; it shares with their maker the
// bundle's format and nothing else.
package policy
