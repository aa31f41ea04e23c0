// Package ledger is the log over all sessions: an append-only Merkle tree (RFC 6962) whose entries are leaves in JSON, kept as
// tiles (C2SP tlog-tiles) with signed checkpoints (C2SP tlog-checkpoint).
//
// It must not know how sidecars, Kubernetes or a bucket are reached: it reads and writes named objects.
package ledger

import (
	"time"

	"github.com/tidewaiter/tidewaiter/recording"
)

// MaxLeaf is the largest entry of the log, in bytes: a bundle of entries has its size in 16 bits.
const MaxLeaf = 1<<16 - 1

// Kind is what a leaf is about.
type Kind string

// The kinds of leaves.
const (
	KindAttested Kind = "Attested" // a sidecar's key was attested
	KindSealed   Kind = "Sealed"   // a segment is in the store
	KindAlive    Kind = "Alive"    // a sidecar's heartbeat
	KindGone     Kind = "Gone"     // a pod is gone: no more is expected of it, and nothing sealed later is believed
	KindErased   Kind = "Erased"   // a session's key was deleted
	KindRemoved  Kind = "Removed"  // a session's segments were deleted when their retention had ended
)

// Leaf is an entry of the log. Exactly the member that belongs to its kind is set.
type Leaf struct {
	Kind Kind `json:"kind"`
	// Time is the operator's. It does not decrease along the log.
	Time time.Time `json:"time"`
	// ID makes the leaf unique: 16 random bytes in hex, made once by whoever wants it in the log, so that one that is
	// written twice is known.
	ID          string            `json:"id"`
	Pod         Pod               `json:"pod"`
	Attestation *recording.Signed `json:"attestation,omitempty"`
	Sealed      *Sealed           `json:"sealed,omitempty"`
	Alive       *recording.Signed `json:"alive,omitempty"`
	Gone        string            `json:"gone,omitempty"` // why
	Ended       *Ended            `json:"ended,omitempty"`
}

// Pod whose sidecar it is about.
type Pod struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name,omitempty"`
	UID       string `json:"uid"`
}

// Sealed is a segment.
type Sealed struct {
	// Head is the signed head of the segment, the very bytes.
	Head recording.Signed `json:"head"`
	// Object is its name in the store, Stored the SHA-256 of the object's bytes and Size their number.
	Object string         `json:"object"`
	Stored recording.Hash `json:"stored"`
	Size   int64          `json:"size"`
}

// Ended says of a session that its content is gone on purpose.
type Ended struct {
	Session string `json:"session"`
	By      string `json:"by"`     // who asked for it; "retention" where time did
	Reason  string `json:"reason"` // their words
}
