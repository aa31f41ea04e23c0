package recordings

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/ledger"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// ErrProof is returned for a sidecar that does not hold the key that it wants attested.
var ErrProof = errors.New("recordings: the proof is not of the key")

// ErrHeartbeat is returned for a heartbeat that is not this sidecar's, or comes out of turn.
var ErrHeartbeat = errors.New("recordings: the heartbeat is not of the sidecar's key, or is not a later one")

const (
	// beatEvery is the least between two heartbeats that are logged.
	beatEvery = 20 * time.Second
	// maxWaiting is how many leaves of a stream wait where the log cannot be reached: the oldest heartbeats make room.
	maxWaiting = 16
)

// Done is a session that has ended, with all its segments in the store.
type Done struct {
	Session string
	URI     string // of its folder
	Chain   recording.Hash
	// LogIndex of its last segment in the log; nil while that is not known.
	LogIndex *int64
	object   string
}

// Stream is one sidecar's. It is safe for concurrent use.
type Stream struct {
	s      *Store
	pod    Pod
	key    ed25519.PublicKey // proven; nil without
	signed *recording.Signed

	mu      sync.Mutex
	waiting []*ledger.Leaf // for the log
	beat    time.Time
	number  uint64 // of the last heartbeat
	last    bool   // the sidecar has said that no more come
	done    map[string]Done

	flushing sync.Mutex
}

// Join begins a sidecar's stream and attests its key. Without a key nothing is attested, and only what was sealed by keys that were
// attested earlier is taken. The error is ErrProof.
func (s *Store) Join(pod Pod, key ed25519.PublicKey, instance string, proof []byte) (*Stream, error) {
	st := &Stream{s: s, pod: pod, done: map[string]Done{}}
	if len(key) == 0 && len(proof) == 0 {
		return st, nil
	}
	if instance == "" || !recording.Proven(key, instance, proof) {
		return nil, ErrProof
	}
	now := s.o.Now().UTC()
	signed, err := recording.Attest(s.o.Key, &recording.Attestation{
		Namespace: pod.Namespace, Pod: pod.Name, UID: pod.UID, ServiceAccount: pod.ServiceAccount, Node: pod.Node, Key: key, Time: now,
	})
	if err != nil {
		return nil, fmt.Errorf("recordings: %w", err)
	}
	st.key, st.signed = key, &signed
	st.waiting = []*ledger.Leaf{{Kind: ledger.KindAttested, Time: now, ID: newID(), Pod: pod.leaf(), Attestation: &signed}}
	return st, nil
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Attestation is the operator's word for the sidecar's key; nil where it has shown none.
func (st *Stream) Attestation() *recording.Signed { return st.signed }

// Append takes a chunk. An error is the store's own trouble: the sidecar may try again.
func (st *Stream) Append(ctx context.Context, c Chunk) (Ack, error) { return st.s.append(ctx, st, &c) }

// Leave forgets what is not complete. It is called when the pod has no stream any more.
func (st *Stream) Leave() { st.s.parts.Leave(st.pod.UID) }

// Beat is BeatAt now.
func (st *Stream) Beat(signed recording.Signed) error { return st.BeatAt(signed, st.s.o.Now()) }

// BeatAt takes a heartbeat that came at a time, and waits for Flush. One that came too soon after another is left out, which is no
// error: the next says more. The time is when it came and not when somebody had time for it: those that waited behind a segment that
// a slow store took minutes for would count as too soon, or make the sidecar's clock look wrong.
func (st *Stream) BeatAt(signed recording.Signed, at time.Time) error {
	if st.key == nil {
		return ErrHeartbeat
	}
	h, err := recording.OpenHeartbeat(st.key, &signed)
	if err != nil || h.Key != recording.IDOf(st.key) || len(signed.Statement) > recording.MaxHead {
		return ErrHeartbeat
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if h.Number <= st.number || st.last {
		return ErrHeartbeat
	}
	if !h.Last && !st.beat.IsZero() && at.Sub(st.beat) < beatEvery {
		return nil
	}
	st.number, st.beat, st.last = h.Number, at, h.Last
	if len(st.waiting) >= maxWaiting {
		oldest := 0
		if st.waiting[0].Kind == ledger.KindAttested {
			oldest = 1
		}
		st.waiting = append(st.waiting[:oldest], st.waiting[oldest+1:]...)
	}
	st.waiting = append(st.waiting, &ledger.Leaf{Kind: ledger.KindAlive, Time: at.UTC(), ID: newID(), Pod: st.pod.leaf(), Alive: &signed})
	return nil
}

// Flush gives the log what waits for it, in its order.
func (st *Stream) Flush(ctx context.Context) error {
	st.flushing.Lock()
	defer st.flushing.Unlock()
	for {
		st.mu.Lock()
		if len(st.waiting) == 0 {
			st.mu.Unlock()
			return nil
		}
		leaf := st.waiting[0]
		st.mu.Unlock()
		if err := st.s.o.Log.Append(ctx, leaf); err != nil {
			return fmt.Errorf("recordings: the log: %w", err)
		}
		st.mu.Lock()
		if len(st.waiting) > 0 && st.waiting[0] == leaf { // it may have made room meanwhile
			st.waiting = st.waiting[1:]
		}
		st.mu.Unlock()
	}
}

// ended notes that a session's last segment is kept.
func (st *Stream) ended(state *state, seg *recording.Segment) {
	if seg.Head.End == recording.EndNone {
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.done[seg.Head.DataSource] = Done{
		Session: seg.Head.Session, URI: st.s.Folder(state.session), Chain: seg.Head.Chain, object: state.session.Segment(seg.Head.Segment),
	}
}

// Latest is the session of a data source that has ended last, as far as this stream knows.
func (st *Stream) Latest(dataSource string) (d Done, known bool) {
	st.mu.Lock()
	d, known = st.done[dataSource]
	st.mu.Unlock()
	if f, ok := st.s.o.Log.(Finder); ok && known {
		if at, there := f.Find(d.object); there {
			d.LogIndex = &at
		}
	}
	return d, known
}

// Look finds a session in the store that the sidecar says has ended: it has shipped it over an earlier stream.
func (st *Stream) Look(ctx context.Context, dataSource, id string) error {
	session := store.Session{Namespace: st.pod.Namespace, UID: st.pod.UID, ID: id}
	if !session.Valid() {
		return nil
	}
	lock := st.s.lock(session)
	lock.Lock()
	defer lock.Unlock()
	state, err := st.s.state(ctx, session, st.pod)
	if err != nil || state.end == recording.EndNone || state.entry.DataSource != dataSource {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.done[dataSource] = Done{Session: id, URI: st.s.Folder(session), Chain: state.chain, object: session.Segment(state.last)}
	return nil
}
