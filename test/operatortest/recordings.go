package operatortest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"sync"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/recording"
)

// Recordings are those that arrived, in memory. What is not right about a segment is rejected: its digest, its signature, its
// place in the recording. The zero value is empty; it is safe for concurrent use.
type Recordings struct {
	mu       sync.Mutex
	keys     map[recording.KeyID]ed25519.PublicKey // that sidecars have proven to hold
	partial  map[string][]byte                     // by recording and segment
	segments map[string][]*recording.Segment       // by recording, in their order
	serials  map[recording.KeyID]map[uint64]string // which segment has one
	raw      map[string][]byte                     // the segments of a recording one after the other
	refused  []string
	beats    []recording.Heartbeat
}

// Hello takes the key of a sidecar, if it has shown that it holds it.
func (r *Recordings) Hello(h *sidecarv1alpha1.Hello) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys == nil {
		r.keys, r.partial, r.raw = map[recording.KeyID]ed25519.PublicKey{}, map[string][]byte{}, map[string][]byte{}
		r.segments, r.serials = map[string][]*recording.Segment{}, map[recording.KeyID]map[uint64]string{}
	}
	if key := ed25519.PublicKey(h.GetRecordingKey()); recording.Proven(key, h.GetInstance(), h.GetRecordingProof()) {
		r.keys[recording.IDOf(key)] = key
	}
}

// Take adds a chunk and returns what to acknowledge.
func (r *Recordings) Take(c *sidecarv1alpha1.RecordingChunk) *sidecarv1alpha1.RecordingAck {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := c.GetDataSource() + "/" + c.GetId()
	part := fmt.Sprintf("%s/%d", id, c.GetSegment())
	if c.GetOffset() == uint64(len(r.partial[part])) {
		r.partial[part] = append(r.partial[part], c.GetData()...)
	}
	ack := &sidecarv1alpha1.RecordingAck{Id: c.GetId(), Segment: c.GetSegment(), Size: uint64(len(r.partial[part]))}
	if !c.GetComplete() || ack.GetSize() != c.GetOffset()+uint64(len(c.GetData())) {
		return ack
	}
	b := r.partial[part]
	if sum := sha256.Sum256(b); !bytes.Equal(sum[:], c.GetSha256()) {
		ack.Rejected = "DigestMismatch"
	} else {
		ack.Rejected = r.add(id, c.GetSegment(), b)
	}
	if ack.Complete = ack.GetRejected() == ""; !ack.GetComplete() {
		r.refused = append(r.refused, part+": "+ack.GetRejected())
		delete(r.partial, part)
	}
	return ack
}

// add keeps a whole segment, or says what is wrong with it. r.mu is held.
func (r *Recordings) add(id string, number uint64, b []byte) (wrong string) {
	s, err := recording.ReadSegment(bytes.NewReader(b))
	if err != nil {
		return err.Error()
	}
	h, before := &s.Head, r.segments[id]
	if h.DataSource+"/"+h.Session != id || h.Segment != number {
		return "it is of another recording"
	}
	if number <= uint64(len(before)) && bytes.Equal(before[number-1].Signed.Statement, s.Signed.Statement) {
		return "" // once more, after an acknowledgement that was lost
	}
	previous := recording.Head{Chain: recording.Start().Chain}
	if len(before) > 0 {
		previous = before[len(before)-1].Head
	}
	switch key := r.keys[h.Key]; {
	case key == nil:
		// Of a process that was killed before it could connect: its key was never shown.
		return "KeyUnknown"
	case s.VerifyHead(key) != nil:
		return "BadSignature"
	case number != uint64(len(before))+1, h.First != previous.Last+1, h.Previous != previous.Chain, previous.End != recording.EndNone:
		return "it does not follow from the segment before it"
	case r.serials[h.Key][h.Serial] != "":
		return "its serial is that of " + r.serials[h.Key][h.Serial]
	}
	records, err := s.Records(nil)
	if err != nil {
		return err.Error()
	}
	for _, err := range h.Events(records) {
		if err != nil {
			return err.Error()
		}
	}
	if r.serials[h.Key] == nil {
		r.serials[h.Key] = map[uint64]string{}
	}
	r.serials[h.Key][h.Serial] = fmt.Sprintf("%s/%d", id, number)
	r.segments[id] = append(before, s)
	r.raw[id] = append(r.raw[id], b...)
	return ""
}

// beat takes a heartbeat.
func (r *Recordings) beat(b *sidecarv1alpha1.RecordingHeartbeat) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range r.keys {
		if h, err := recording.OpenHeartbeat(key, &recording.Signed{Statement: b.GetStatement(), Signature: b.GetSignature()}); err == nil {
			r.beats = append(r.beats, h)
			return
		}
	}
	r.refused = append(r.refused, "a heartbeat by nobody's key")
}

// Complete returns the recordings that arrived whole, to their end mark, by "namespace/name/id": their segments one after the
// other.
func (r *Recordings) Complete() map[string][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := maps.Clone(r.raw)
	maps.DeleteFunc(out, func(id string, _ []byte) bool {
		s := r.segments[id]
		return s[len(s)-1].Head.End != recording.EndComplete
	})
	return out
}

// Plain returns the recordings that arrived, whole or not, by "namespace/name/id", as the journals that they were sealed from.
func (r *Recordings) Plain() map[string][]byte {
	out := map[string][]byte{}
	for id, segments := range r.Segments() {
		_, b := recording.Begin(nil)
		for _, s := range segments {
			records, err := s.Records(nil)
			if err != nil {
				break // it was checked when it arrived
			}
			b = append(b, records...)
		}
		out[id] = b
	}
	return out
}

// Segments returns what arrived, by "namespace/name/id", in its order.
func (r *Recordings) Segments() map[string][]*recording.Segment {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string][]*recording.Segment{}
	for id, s := range r.segments {
		out[id] = slices.Clone(s)
	}
	return out
}

// Events returns the events of a recording, "namespace/name/id", as far as it arrived.
func (r *Recordings) Events(id string) (out []recording.Record, err error) {
	for _, s := range r.Segments()[id] {
		records, err := s.Records(nil)
		if err != nil {
			return out, err
		}
		for rec, err := range s.Head.Events(records) {
			if err != nil {
				return out, err
			}
			out = append(out, rec)
		}
	}
	return out, nil
}

// Refused returns what was wrong with segments and heartbeats.
func (r *Recordings) Refused() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.refused)
}

// Heartbeats returns those that arrived, in their order.
func (r *Recordings) Heartbeats() []recording.Heartbeat {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.beats)
}

// Forget drops what has arrived of segments that are not whole, as an operator may.
func (r *Recordings) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.partial)
}
