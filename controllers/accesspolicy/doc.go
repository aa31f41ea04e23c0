// Package accesspolicy says in an AccessPolicy's status whether it is in force: whether it compiles, its DataSources are
// there and can be served, and which of the running sidecars that it selects have acknowledged it.
//
// It must not know sidecars or how they are spoken to: Sessions say what they acknowledged.
package accesspolicy
