package recordings

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/tidewaiter/tidewaiter/controllers/recordings/gather"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// maxStates is how many sessions are remembered. Of the others it is read from the store again how far they are.
const maxStates = 4096

// podParts is how many segments of one pod may be on their way: those of its data sources' sessions, one after the other each.
const podParts = 8

// Store keeps recordings. It is safe for concurrent use, also by several processes on one bucket.
type Store struct {
	o     Options
	parts *gather.Gatherer
	work  *semaphore.Weighted // bytes that are being made of whole segments
	most  int64               // of work
	usage *usage
	locks [64]sync.Mutex // by session

	mu     sync.Mutex
	states map[store.Session]*state
	gone   map[podKey]time.Time // pods that the sweeper found gone, and since when
}

// New returns a Store. Where Limits has a Total, it counts what is in the bucket.
func New(ctx context.Context, o Options) (*Store, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	o.Bucket.SetUnwrapper(o.Wrapper)
	s := &Store{
		o: o, usage: newUsage(o.Bucket, o.Limits), states: map[store.Session]*state{}, gone: map[podKey]time.Time{}, most: max(2*o.Limits.Memory, 4*maxFile),
		parts: gather.New(gather.Limits{Segment: maxFile, Pod: podParts, Parts: o.Limits.Parts, Memory: o.Limits.Memory}, o.Now),
	}
	s.work = semaphore.NewWeighted(s.most)
	if err := s.usage.count(ctx); err != nil {
		return nil, fmt.Errorf("recordings: counting what is in the store: %w", err)
	}
	return s, nil
}

// Folder is the URI of a session's segments.
func (s *Store) Folder(session store.Session) string { return s.o.Bucket.URI(session.Folder()) }

// append takes a chunk. An error is the store's own trouble, or that there is no room for now: the sidecar may try again.
func (s *Store) append(ctx context.Context, st *Stream, c *Chunk) (Ack, error) {
	session := store.Session{Namespace: st.pod.Namespace, UID: st.pod.UID, ID: c.ID}
	switch {
	case !session.Valid() || c.Segment == 0 || c.Segment > maxSegments:
		return Ack{Rejected: RejectedName}, nil
	case len(c.Data) > MaxChunk:
		return Ack{Rejected: RejectedChunk}, nil
	}
	got, err := s.parts.Add(gather.Key{Pod: st.pod.UID, Session: c.ID}, c.Segment, c.Offset, c.Data, c.Complete)
	switch {
	case err != nil:
		return Ack{}, err
	case got.TooLarge:
		return Ack{Size: got.Size, Rejected: RejectedSize}, nil
	case got.Whole == nil:
		return Ack{Size: got.Size}, nil
	}
	defer s.parts.Release(len(got.Whole))
	if sum := sha256.Sum256(got.Whole); !bytes.Equal(sum[:], c.SHA256) {
		return Ack{Rejected: RejectedDigest}, nil
	}
	rejected, err := s.take(ctx, st, session, c, got.Whole)
	if err != nil || rejected != "" {
		return Ack{Rejected: rejected}, err
	}
	return Ack{Size: got.Size, Complete: true}, nil
}

// maxSegments is the highest number of a segment: its object's name has eight digits.
const maxSegments = 99_999_999

// take verifies a whole segment and keeps it.
func (s *Store) take(ctx context.Context, st *Stream, session store.Session, c *Chunk, whole []byte) (rejected string, err error) {
	seg, rejected := read(whole)
	if rejected == "" {
		rejected = place(&seg.Head, c, s.o.Now())
	}
	if rejected == "" {
		rejected = s.signed(seg, st.pod, st.key)
	}
	if rejected != "" {
		return rejected, nil
	}
	// What is made of it: the records, the encrypted body, the object.
	weight := min(s.most, 3*int64(len(whole))+max(0, min(seg.Head.Plain, recording.MaxSegment)))
	if err := s.work.Acquire(ctx, weight); err != nil {
		return "", gather.ErrBusy
	}
	defer s.work.Release(weight)
	if err := st.Flush(ctx); err != nil { // the log must know a key before what it has signed
		return "", err
	}
	lock := s.lock(session)
	lock.Lock()
	defer lock.Unlock()
	rejected, err = s.fit(ctx, st, session, seg)
	if err != nil {
		s.forget(session) // how far it came is read again
	}
	return rejected, err
}

// fit finds the place of a segment in what there is of its session.
func (s *Store) fit(ctx context.Context, st *Stream, session store.Session, seg *recording.Segment) (rejected string, err error) {
	state, err := s.state(ctx, session, st.pod)
	if err != nil {
		return "", err
	}
	if seg.Head.Segment != state.last+1 { // another replica may have gone on
		s.forget(session)
		if state, err = s.state(ctx, session, st.pod); err != nil {
			return "", err
		}
	}
	if seg.Head.Segment <= state.last {
		return s.again(ctx, state, st, seg)
	}
	if rejected := state.follows(&seg.Head); rejected != "" {
		return rejected, nil
	}
	next := state.entry
	next.cloneLists()
	if !next.takeFrom(seg, st.pod) {
		return RejectedSegment, nil
	}
	return s.keep(ctx, state, st, seg, next)
}

func (s *Store) lock(session store.Session) *sync.Mutex {
	h := fnv.New32a()
	h.Write([]byte(session.Folder()))
	return &s.locks[h.Sum32()%uint32(len(s.locks))]
}

func (s *Store) forget(session store.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.states, session)
}

// again answers for a segment that is in the store already: the sidecar may not have heard, or the one who put it there did not come
// to its leaf.
func (s *Store) again(ctx context.Context, state *state, st *Stream, seg *recording.Segment) (string, error) {
	object := state.session.Segment(seg.Head.Segment)
	stored, err := s.o.Bucket.Get(ctx, object, maxFile)
	if err != nil {
		return "", err
	}
	if !same(stored, seg) {
		return RejectedExists, nil
	}
	if seg.Head.Segment > state.logged {
		if err := s.o.Log.Append(ctx, s.sealed(st.pod, seg, object, stored)); err != nil {
			return "", fmt.Errorf("recordings: the log: %w", err)
		}
		if seg.Head.Segment == state.logged+1 {
			state.logged = seg.Head.Segment
		}
	}
	st.ended(state, seg)
	return "", nil
}

// keep puts a segment into the store, its leaf before the log, and its session's entry into the index, in this order: each shows
// what is missing after it.
func (s *Store) keep(ctx context.Context, state *state, st *Stream, seg *recording.Segment, next entry) (string, error) {
	object := state.session.Segment(seg.Head.Segment)
	data, rejected, err := s.encrypt(ctx, state, seg)
	if err != nil || rejected != "" {
		return rejected, err
	}
	if state.erased {
		next.blank()
	}
	until, err := s.until(ctx, &seg.Head)
	if err != nil {
		return "", err
	}
	rejected, err = s.usage.reserve(ctx, state.session, state.bytes, int64(len(data)))
	if err != nil || rejected != "" {
		return rejected, err
	}
	err = s.o.Bucket.Put(ctx, object, data, store.PutOptions{Once: true, LockUntil: until})
	if err != nil {
		s.usage.release(state.session, int64(len(data)), 1)
	}
	if errors.Is(err, store.ErrExists) { // another replica was faster, and may have come no further than that
		s.forget(state.session)
		if state, err = s.state(ctx, state.session, st.pod); err != nil {
			return "", err
		}
		return s.again(ctx, state, st, seg)
	}
	if err != nil {
		return "", err
	}
	if err := s.o.Log.Append(ctx, s.sealed(st.pod, seg, object, data)); err != nil {
		return "", fmt.Errorf("recordings: the log: %w", err)
	}
	if err := s.index(ctx, state.session, &next); err != nil {
		return "", err
	}
	h := &seg.Head
	state.last, state.logged, state.seq, state.chain, state.end = h.Segment, h.Segment, h.Last, h.Chain, h.End
	state.entry, state.bytes = next, state.bytes+int64(len(data))
	st.ended(state, seg)
	return "", nil
}
