// Package recordings takes in the segments that sidecars ship, and keeps them: verified, encrypted to their session's key, in a
// bucket, each with a leaf for the log over all sessions and its session's entry in the index.
//
// A sidecar is believed in nothing but what its key has signed, and of that only what fits what is in the store already. A segment
// is acknowledged when it, its leaf and the entry are on stable storage; until then the sidecar keeps it.
//
// It must not know streams, Kubernetes, or how the log is kept.
package recordings
