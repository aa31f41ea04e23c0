package recordings

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"time"

	"github.com/go-logr/logr"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/ledger"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// MaxChunk is the most data that one chunk may have, in bytes.
const MaxChunk = 256 << 10

// maxFile is the largest segment as it is shipped or stored, in bytes: what recording.ReadSegment takes.
const maxFile = recording.SegmentHeader + recording.MaxHead + ed25519.SignatureSize + 2*recording.MaxSegment

// Reasons why a segment is not taken. The sidecar keeps it then.
const (
	RejectedName        = "BadName"       // its session, or its pod, cannot be part of an object's name
	RejectedChunk       = "ChunkTooLarge" // a chunk has more than MaxChunk
	RejectedSize        = "SegmentTooLarge"
	RejectedSession     = "SessionTooLarge" // Limits.File
	RejectedPodFull     = "PodFull"         // Limits.Pod or Limits.Files
	RejectedStoreFull   = "StoreFull"       // Limits.Total
	RejectedDigest      = "DigestMismatch"  // it is not what was sent
	RejectedExists      = "ExistsAlready"   // the store has another one of this number
	RejectedSegment     = "BadSegment"      // it cannot be read, or its records are not what its head says
	RejectedHead        = "BadHead"         // its head is of another session, data source or number, or of another time
	RejectedKey         = "UnknownKey"      // its key is neither this sidecar's nor one that was attested for its pod
	RejectedSignature   = "BadSignature"    // its head was not signed by its key
	RejectedAttestation = "BadAttestation"  // the attestation in it is not this operator's word for this pod and key
	RejectedOrder       = "OutOfOrder"      // the one before it is not in the store
	RejectedChain       = "BrokenChain"     // it does not follow from the one before
	RejectedEnded       = "SessionEnded"    // the session has ended with an earlier one
	RejectedKeyLost     = "KeyMissing"      // the session's key is gone without having been erased
)

// Limits of a Store, in bytes. What is left out has a default.
type Limits struct {
	File  int64 // of a session: 1 GiB
	Pod   int64 // of a pod's sessions: 4 GiB
	Total int64 // 64 GiB; negative, there is none
	// Files is how many segments a pod may have: 100,000.
	Files int
	// Memory for segments on their way: 40 MiB. What is made of those that are complete takes up to twice as much beside.
	Memory int64
	// Parts is how many segments may be on their way: 1,024.
	Parts int
}

// Log is the log over all sessions.
type Log interface {
	// Append returns nil when the leaf is on stable storage, from where it will come into the log. One with the ID of another
	// that was appended before is the same leaf.
	Append(ctx context.Context, leaf *ledger.Leaf) error
}

// Finder is a Log that can say where in it a leaf is.
type Finder interface {
	// Find returns the index of the leaf of an object in the store, and whether it is in the log.
	Find(object string) (index int64, there bool)
}

// Retention says how long sessions are kept after they have ended.
type Retention interface {
	// Of a data source, "namespace/name"; 0 is for ever. An error means that it is not known now.
	Of(ctx context.Context, dataSource string) (time.Duration, error)
	// Shortest of all; 0 is for ever.
	Shortest(ctx context.Context) (time.Duration, error)
}

// Options of a Store. The first group is required.
type Options struct {
	Bucket *store.Bucket
	// Wrapper wraps sessions' keys, with a key of the operator's.
	Wrapper store.Wrapper
	// Key is what the operator attests sidecars' keys with; EarlierKeys are those that it did it with before.
	Key         ed25519.PrivateKey
	EarlierKeys []ed25519.PublicKey
	// Log over all sessions.
	Log Log
	// Retention of sessions.
	Retention Retention
	// Ended says why a pod will record nothing any more; empty, it may. nil: nobody can tell, and a session without an end is never
	// removed.
	Ended func(ctx context.Context, p ledger.Pod) (why string, err error)

	Limits Limits
	Now    func() time.Time
	// Logger gets what happens beside a call.
	Logger logr.Logger
}

func (o *Options) defaults() error {
	if o.Bucket == nil || o.Wrapper == nil || o.Log == nil || o.Retention == nil || len(o.Key) != ed25519.PrivateKeySize {
		return errors.New("recordings: Bucket, Wrapper, Key, Log and Retention are required")
	}
	l := &o.Limits
	l.File, l.Pod, l.Total = cmp.Or(l.File, 1<<30), cmp.Or(l.Pod, 4<<30), cmp.Or(l.Total, 64<<30)
	l.Files, l.Memory, l.Parts = cmp.Or(l.Files, 100_000), cmp.Or(l.Memory, 40<<20), cmp.Or(l.Parts, 1024)
	l.Memory = max(l.Memory, 2*maxFile) // or the largest segment would never arrive
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}

// Pod whose sidecar ships, as the operator knows it.
type Pod struct{ Namespace, Name, UID, ServiceAccount, Node string }

func (p Pod) leaf() ledger.Pod {
	return ledger.Pod{Namespace: p.Namespace, Name: p.Name, UID: p.UID}
}

// Chunk is a part of a segment.
type Chunk struct {
	ID         string // of the session
	DataSource string // namespace/name, one that the pod was injected with
	Segment    uint64
	Offset     uint64
	Data       []byte
	Complete   bool
	SHA256     []byte
}

// Ack says how much of a segment has arrived; Complete, that it is kept.
type Ack struct {
	Size     uint64
	Complete bool
	Rejected string
}
