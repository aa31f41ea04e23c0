package recordings

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"filippo.io/age"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// state is how far a session is in the store. Who has the session's lock may use it.
type state struct {
	session store.Session
	last    uint64 // the last segment
	logged  uint64 // the last whose leaf is known to be written
	seq     uint64 // of the last record
	chain   recording.Hash
	end     recording.End
	bytes   int64
	entry   entry
	// recipient is whom segments are encrypted to; nil, it was not asked for yet.
	recipient *age.X25519Recipient
	erased    bool // nobody can decrypt for it
}

// state returns how far a session is: as it is remembered, or as the store has it.
func (s *Store) state(ctx context.Context, session store.Session, pod Pod) (*state, error) {
	s.mu.Lock()
	st := s.states[session]
	s.mu.Unlock()
	if st != nil {
		return st, nil
	}
	st, err := s.load(ctx, session, pod)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for old := range s.states { // any: it is read again if need be
		if len(s.states) < maxStates {
			break
		}
		delete(s.states, old)
	}
	s.states[session] = st
	return st, nil
}

// load reads from the store how far a session is: another process has brought it there.
func (s *Store) load(ctx context.Context, session store.Session, pod Pod) (*state, error) {
	st := &state{session: session, chain: begin()}
	for o, err := range s.o.Bucket.List(ctx, session.Folder()) {
		if err != nil {
			return nil, err
		}
		if _, n, ok := store.ParseSegment(o.Name); ok {
			st.last, st.bytes = n, st.bytes+o.Size
		}
	}
	if st.last == 0 {
		return st, nil
	}
	last, err := s.stored(ctx, session, st.last)
	if err != nil {
		return nil, err
	}
	if last.Head.Attestation != nil {
		if rejected := s.signed(last, pod, nil); rejected != "" {
			return nil, fmt.Errorf("recordings: %s was not put there by an operator (%s): find out who writes to the store", session.Segment(st.last), rejected)
		}
	}
	h := &last.Head
	st.seq, st.chain, st.end, st.logged = h.Last, h.Chain, h.End, st.last-1 // who put the last may not have come to its leaf
	return st, s.loadEntry(ctx, st, last, pod)
}

// stored reads a segment that is in the store.
func (s *Store) stored(ctx context.Context, session store.Session, n uint64) (*recording.Segment, error) {
	raw, err := s.o.Bucket.Get(ctx, session.Segment(n), maxFile)
	if err != nil {
		return nil, err
	}
	seg, err := recording.ReadSegment(bytes.NewReader(raw))
	if err == nil && (seg.Head.Session != session.ID || seg.Head.Segment != n) {
		err = errors.New("it is another segment")
	}
	if err != nil {
		return nil, fmt.Errorf("recordings: %s: %w", session.Segment(n), err)
	}
	return seg, nil
}

// loadEntry reads the session's entry, and makes up for what it lacks.
func (s *Store) loadEntry(ctx context.Context, st *state, last *recording.Segment, pod Pod) error {
	first := last
	if st.last > 1 {
		var err error
		if first, err = s.stored(ctx, st.session, 1); err != nil {
			return err
		}
	}
	raw, err := s.o.Bucket.Get(ctx, st.session.Entry(first.Head.From), maxEntry)
	if err == nil {
		err = json.Unmarshal(raw, &st.entry.Entry)
	}
	if err == nil && st.entry.Segments == st.last && st.entry.Chain == st.chain {
		return nil
	}
	if err != nil || st.entry.Segments >= st.last { // there is none, or one that is not of this session as it is
		if err != nil && !errors.Is(err, store.ErrNotFound) && raw == nil {
			return err
		}
		st.entry = entry{}
	}
	return s.catchUp(ctx, st, pod)
}

// catchUp adds to an entry what is in the store and not yet in it.
func (s *Store) catchUp(ctx context.Context, st *state, pod Pod) error {
	id, err := s.o.Bucket.Identity(ctx, st.session)
	if err != nil && !errors.Is(err, store.ErrErased) {
		return err
	}
	for n := st.entry.Segments + 1; n <= st.last; n++ {
		seg, err := s.stored(ctx, st.session, n)
		if err != nil {
			return err
		}
		records, err := seg.Records(id)
		if err != nil {
			records = nil // it was erased, or changed: what its head says counts, and who verifies will see
		}
		if !st.entry.take(&seg.Head, records, pod) {
			st.entry.take(&seg.Head, nil, pod)
		}
	}
	return s.index(ctx, st.session, &st.entry)
}
