package operatortest

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"sync"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
)

// Recordings are those that arrived, in memory. The zero value is empty; it is safe for concurrent use.
type Recordings struct {
	mu       sync.Mutex
	files    map[string][]byte
	complete map[string][]byte
}

// take adds a chunk and returns what to acknowledge.
func (r *Recordings) take(c *sidecarv1alpha1.RecordingChunk) *sidecarv1alpha1.RecordingAck {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.files == nil {
		r.files, r.complete = map[string][]byte{}, map[string][]byte{}
	}
	id := c.GetDataSource() + "/" + c.GetId()
	if c.GetOffset() == uint64(len(r.files[id])) {
		r.files[id] = append(r.files[id], c.GetData()...)
	}
	ack := &sidecarv1alpha1.RecordingAck{Id: c.GetId(), Size: uint64(len(r.files[id]))}
	if c.GetComplete() && ack.GetSize() == c.GetOffset()+uint64(len(c.GetData())) {
		if sum := sha256.Sum256(r.files[id]); !bytes.Equal(sum[:], c.GetSha256()) {
			ack.Rejected = "DigestMismatch"
			return ack
		}
		ack.Complete = true
		r.complete[id] = r.files[id]
	}
	return ack
}

// Complete returns the recordings that arrived whole, by "namespace/name/id".
func (r *Recordings) Complete() map[string][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.complete)
}
