package recordings

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/recording/index"
	"github.com/tidewaiter/tidewaiter/recording/ledger"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// ErrNoSession is returned for a session that the store does not have.
var ErrNoSession = errors.New("recordings: the store has no such session")

// maxReason bounds what people say, in bytes.
const maxReason = 1024

// Erase makes the content of a session unreadable for good: its key is deleted. The log says first that it is done, by whom and why.
// Segments, their heads and signatures stay, and still verify. The names in the index's entry go too.
func (s *Store) Erase(ctx context.Context, session store.Session, by, reason string) error {
	if !session.Valid() {
		return ErrNoSession
	}
	if by == "" || reason == "" || len(by) > maxReason || len(reason) > maxReason {
		return fmt.Errorf("recordings: erasing needs to know who asks and why, each in at most %d bytes", maxReason)
	}
	lock := s.lock(session)
	lock.Lock()
	defer lock.Unlock()
	first, err := s.stored(ctx, session, 1)
	if errors.Is(err, store.ErrNotFound) {
		return ErrNoSession
	}
	if err != nil {
		return err
	}
	if _, err := s.o.Bucket.SessionIdentity(ctx, session); errors.Is(err, store.ErrErased) && !errors.Is(err, store.ErrNotFound) {
		return s.shred(ctx, session, first.Head.From) // again: the one before may not have come to the end
	}
	err = s.o.Log.Append(ctx, &ledger.Leaf{
		Kind: ledger.KindErased, Time: s.o.Now().UTC(), ID: newID(), Pod: ledger.Pod{Namespace: session.Namespace, UID: session.UID},
		Ended: &ledger.Ended{Session: session.ID, By: by, Reason: reason},
	})
	if err != nil {
		return fmt.Errorf("recordings: the log: %w", err)
	}
	return s.shred(ctx, session, first.Head.From)
}

// shred deletes the key, in all versions that the store keeps, before it puts the mark in its place.
func (s *Store) shred(ctx context.Context, session store.Session, began time.Time) error {
	defer s.forget(session)
	mark, err := store.WrapErased(ctx, s.o.Wrapper, session)
	if err != nil {
		return err
	}
	if err := s.o.Bucket.Delete(ctx, session.Key()); err != nil {
		return err
	}
	if err := s.o.Bucket.Put(ctx, session.Key(), mark, store.PutOptions{}); err != nil {
		return err
	}
	return s.blank(ctx, session, began)
}

// blank takes out of the index what the session's content was about.
func (s *Store) blank(ctx context.Context, session store.Session, began time.Time) error {
	name := session.Entry(began)
	e, err := s.entryAt(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	left := entry{Entry: *e}
	left.blank()
	if err := s.o.Bucket.Delete(ctx, name); err != nil { // with its versions
		return err
	}
	return s.index(ctx, session, &left)
}

func (s *Store) entryAt(ctx context.Context, name string) (*index.Entry, error) {
	raw, err := s.o.Bucket.Get(ctx, name, maxEntry)
	if err != nil {
		return nil, err
	}
	e := &index.Entry{}
	if err := json.Unmarshal(raw, e); err != nil {
		return nil, fmt.Errorf("recordings: %s cannot be read: %w", name, err)
	}
	return e, nil
}

// Sweep removes sessions whose retention has ended, and returns how many. It is for one process at a time: the leader. What fails is
// left for the next time; the error is the first.
func (s *Store) Sweep(ctx context.Context) (removed int, err error) {
	shortest, err := s.o.Retention.Shortest(ctx)
	if err != nil || shortest <= 0 {
		return 0, err
	}
	defer s.forgetGone()
	latest := store.Index + s.o.Now().UTC().Add(-shortest).Format(time.DateOnly) + "/~" // after all of that day
	for o, listed := range s.o.Bucket.List(ctx, store.Index) {
		if listed != nil {
			return removed, errors.Join(err, listed)
		}
		if o.Name > latest {
			break
		}
		session, ok := sessionOf(o.Name)
		if !ok {
			continue
		}
		gone, failed := s.expire(ctx, session, o)
		if gone {
			removed++
		}
		if failed != nil && err == nil {
			err = failed
		}
		if ctx.Err() != nil {
			break
		}
	}
	return removed, err
}

// sessionOf reads the name of an entry of the index.
func sessionOf(name string) (store.Session, bool) {
	parts := strings.Split(strings.TrimPrefix(name, store.Index), "/")
	if len(parts) != 4 {
		return store.Session{}, false
	}
	id, ok := strings.CutSuffix(parts[3], ".json")
	session := store.Session{Namespace: parts[1], UID: parts[2], ID: id}
	return session, ok && session.Valid()
}

// expire removes a session if its time has come: by its own last record and by when the store got its last segment, since the first
// is the sidecar's word, and the second the store's.
func (s *Store) expire(ctx context.Context, session store.Session, at store.Object) (bool, error) {
	e, err := s.entryAt(ctx, at.Name)
	if err != nil {
		return false, err
	}
	keep, err := s.o.Retention.Of(ctx, e.DataSource)
	if err != nil {
		return false, err
	}
	limit := s.o.Now().Add(-keep)
	if keep <= 0 || !e.Last.Before(limit) {
		return false, nil
	}
	if e.End == "" {
		if over, err := s.abandoned(ctx, session, e.Pod); !over {
			return false, err
		}
	}
	lock := s.lock(session)
	lock.Lock()
	defer lock.Unlock()
	var segments []store.Object
	for o, err := range s.o.Bucket.List(ctx, session.Folder()) {
		if err != nil {
			return false, err
		}
		if !o.Time.Before(limit) {
			return false, nil
		}
		segments = append(segments, o)
	}
	if len(segments) > 0 { // the last is locked longest
		until, err := s.o.Bucket.LockedUntil(ctx, segments[len(segments)-1].Name)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
		if until.After(s.o.Now()) { // the retention was longer once
			return false, nil
		}
	}
	defer s.forget(session)
	return true, s.removeAll(ctx, session, at.Name, segments)
}

// goneFor is how long a pod has to be gone before its sessions without an end are removed: longer than an hour behind the log's own
// word that it is, before which verifiers take a removal for an attack.
const goneFor = 2 * time.Hour

// abandoned reports whether nothing more can come of a session that has no end. A connection that idles for longer than its retention
// goes on later, and what it says then would have no place any more.
func (s *Store) abandoned(ctx context.Context, session store.Session, pod string) (bool, error) {
	if s.o.Ended == nil {
		return false, nil
	}
	why, err := s.o.Ended(ctx, ledger.Pod{Namespace: session.Namespace, Name: pod, UID: session.UID})
	if err != nil {
		return false, fmt.Errorf("recordings: whether a pod is gone: %w", err)
	}
	key, now := podKey{session.Namespace, session.UID}, s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if why == "" {
		delete(s.gone, key)
		return false, nil
	}
	since, known := s.gone[key]
	if !known && len(s.gone) < maxPods { // those beyond wait for the next time
		s.gone[key] = now
	}
	return known && now.Sub(since) >= goneFor, nil
}

// forgetGone forgets of pods that they are gone when that was long ago: nothing of them is left, or it is found again.
func (s *Store) forgetGone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, since := range s.gone {
		if s.o.Now().Sub(since) >= 12*goneFor {
			delete(s.gone, key)
		}
	}
}

// removeAll tells the log, and deletes: the entry last, so that what fails on the way is found again.
func (s *Store) removeAll(ctx context.Context, session store.Session, entry string, segments []store.Object) error {
	err := s.o.Log.Append(ctx, &ledger.Leaf{
		Kind: ledger.KindRemoved, Time: s.o.Now().UTC(), ID: idOf(ledger.KindRemoved, session.Folder()),
		Pod:   ledger.Pod{Namespace: session.Namespace, UID: session.UID},
		Ended: &ledger.Ended{Session: session.ID, By: "retention", Reason: "its retention has ended"},
	})
	if err != nil {
		return fmt.Errorf("recordings: the log: %w", err)
	}
	if err := s.o.Bucket.Delete(ctx, session.Key()); err != nil {
		return err
	}
	for _, o := range segments {
		if err := s.o.Bucket.Delete(ctx, o.Name); err != nil {
			return err
		}
		s.usage.release(session, o.Size, 1)
	}
	return s.o.Bucket.Delete(ctx, entry)
}

// sweepEvery is how often the leader looks for what has to go, and every replica counts what is in the store.
const sweepEvery = time.Hour

// Sweeper is what the leader runs: it sweeps every hour until its context ends.
type Sweeper struct{ Store *Store }

// NeedLeaderElection is true: one process sweeps.
func (Sweeper) NeedLeaderElection() bool { return true }

// Start sweeps until ctx ends.
func (w Sweeper) Start(ctx context.Context) error {
	every(ctx, sweepEvery, func() {
		removed, err := w.Store.Sweep(ctx)
		if err != nil && ctx.Err() == nil {
			w.Store.o.Logger.Error(err, "not everything whose retention has ended could be removed")
		}
		if removed > 0 {
			w.Store.o.Logger.Info("sessions were removed as their retention has ended", "sessions", removed)
		}
	})
	return nil
}

// NeedLeaderElection is false: every replica takes segments in.
func (s *Store) NeedLeaderElection() bool { return false }

// Start counts again, every hour, what others have put into the store, until ctx ends.
func (s *Store) Start(ctx context.Context) error {
	every(ctx, sweepEvery, func() {
		if err := s.usage.count(ctx); err != nil && ctx.Err() == nil {
			s.o.Logger.Error(err, "what is in the store of recordings could not be counted")
		}
	})
	return nil
}

func every(ctx context.Context, d time.Duration, f func()) {
	ticker := time.NewTicker(d)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f()
		}
	}
}
