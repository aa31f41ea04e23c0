package recordings

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/ledger"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

func sumOf(b []byte) recording.Hash { return sha256.Sum256(b) }

// random is text that does not compress to less than half.
func random(n int) string {
	b := make([]byte, n/2)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

func TestAnErasedSessionStillVerifiesAndCannotBeRead(t *testing.T) {
	for kind, where := range map[string]string{"memory": "mem://", "a folder": filepath.Join(t.TempDir(), "store")} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, where)
			s := w.start(t)
			c := newSidecar(t, pod).join(s)
			r, other := c.session("s-1", w.now), c.session("s-2", w.now)
			c.kept(r.seal(recording.EndNone))
			c.kept(r.seal(recording.EndNone))
			c.kept(other.seal(recording.EndNone))
			id, err := w.bucket.Identity(t.Context(), r.name())
			must(t, err)
			must(t, s.Erase(t.Context(), r.name(), "jane@example.org", "ticket 17"))
			if _, err := w.read(t, r.name(), c.public()); !errors.Is(err, store.ErrErased) {
				t.Errorf("it can be read: %v", err)
			}
			leaves := w.leaves(t, ledger.KindErased)
			if len(leaves) != 1 || leaves[0].Ended.Session != "s-1" || leaves[0].Ended.By != "jane@example.org" || leaves[0].Ended.Reason != "ticket 17" {
				t.Errorf("%+v", leaves)
			}
			if e := w.entry(t, r.name(), r.began); e.User != "" || len(e.Tables) > 0 || e.Statements != 1 || !e.More {
				t.Errorf("the index still tells: %+v", e)
			}
			// It goes on: its chain does, its content does not.
			for _, c.stream = range []*Stream{c.stream, newSidecarStream(c, w.start(t))} {
				seg := r.seal(recording.EndNone)
				c.kept(seg)
				stored, err := w.start(t).stored(t.Context(), r.name(), seg.Head.Segment)
				must(t, err)
				if _, err := stored.Records(id); err == nil {
					t.Error("what came after the erasure is encrypted to the key from before")
				}
			}
			if _, err := w.read(t, r.name(), c.public()); !errors.Is(err, store.ErrErased) {
				t.Errorf("it can be read again: %v", err)
			}
			if e := w.entry(t, r.name(), r.began); len(e.Tables) > 0 || e.Segments != 4 {
				t.Errorf("the index tells again: %+v", e)
			}
			if _, err := w.read(t, other.name(), c.public()); err != nil {
				t.Errorf("another session cannot be read: %v", err)
			}
			must(t, s.Erase(t.Context(), r.name(), "jane@example.org", "again"))
			if got := w.leaves(t, ledger.KindErased); len(got) != 1 {
				t.Errorf("%d leaves", len(got))
			}
		})
	}
}

// Of an erasure by another replica a store hears late, but it does: what it still tells of the session goes then.
func TestAnErasureByAnotherReplicaIsNoticed(t *testing.T) {
	w := newWorld(t, "mem://")
	s := w.start(t)
	c := newSidecar(t, pod).join(s)
	r := c.session("s-1", w.now)
	c.kept(r.seal(recording.EndNone))
	c.kept(r.seal(recording.EndNone))
	must(t, w.start(t).Erase(t.Context(), r.name(), "jane", "ticket 17"))
	w.pass(recipientAge + time.Second)
	c.kept(r.seal(recording.EndNone))
	if e := w.entry(t, r.name(), r.began); e.User != "" || len(e.Tables) > 0 || e.Segments != 3 {
		t.Errorf("entry %+v", e)
	}
	if _, err := w.read(t, r.name(), c.public()); !errors.Is(err, store.ErrErased) {
		t.Errorf("%v", err)
	}
}

func newSidecarStream(c *sidecar, s *Store) *Stream {
	before := c.stream
	st := c.join(s).stream
	c.stream = before
	return st
}

// A session that ends just after another replica erased it must not leave in the index whom and what it was about.
func TestTheEndOfASessionThatAnotherReplicaErasedLeavesNoNamesInTheIndex(t *testing.T) {
	w := newWorld(t, "mem://")
	first, second := w.start(t), w.start(t)
	c := newSidecar(t, pod).join(first)
	r := c.session("s-1", w.now)
	c.kept(r.seal(recording.EndNone))
	c.kept(r.seal(recording.EndNone))
	if e := w.entry(t, r.name(), r.began); e.User == "" || len(e.Tables) == 0 {
		t.Fatalf("the entry has no names: %+v", e)
	}
	must(t, second.Erase(t.Context(), r.name(), "ada", "asked for"))
	c.kept(r.seal(recording.EndComplete))
	if e := w.entry(t, r.name(), r.began); e.User != "" || len(e.Tables) > 0 || e.Segments != 3 {
		t.Errorf("entry %+v", e)
	}
}

func TestErasingNeedsASessionAndSomebodyWhoAsks(t *testing.T) {
	w := newWorld(t, "mem://")
	s := w.start(t)
	name := store.Session{Namespace: "shop", UID: pod.UID, ID: "s-1"}
	if err := s.Erase(t.Context(), name, "jane", "ticket"); !errors.Is(err, ErrNoSession) {
		t.Errorf("no session: %v", err)
	}
	if err := s.Erase(t.Context(), name, "", "ticket"); err == nil || errors.Is(err, ErrNoSession) {
		t.Errorf("nobody: %v", err)
	}
}

func TestNothingIsErasedThatTheLogDoesNotSay(t *testing.T) {
	w := newWorld(t, "mem://")
	log := &flaky{Log: w.log}
	w.log = log
	s := w.start(t)
	c := newSidecar(t, pod).join(s)
	r := c.session("s-1", w.now)
	c.kept(r.seal(recording.EndNone))
	log.fail(1)
	if err := s.Erase(t.Context(), r.name(), "jane", "ticket"); err == nil {
		t.Error("no error")
	}
	if _, err := w.read(t, r.name(), c.public()); err != nil {
		t.Errorf("it is gone: %v", err)
	}
}

func TestAKeyThatWasTakenAwayIsNotMadeAnew(t *testing.T) {
	w := newWorld(t, "mem://")
	c := newSidecar(t, pod).join(w.start(t))
	r := c.session("s-1", w.now)
	c.kept(r.seal(recording.EndNone))
	must(t, w.bucket.Delete(t.Context(), r.name().Key()))
	c.join(w.start(t))
	if ack, err := c.ship(r.seal(recording.EndNone)); err != nil || ack.Rejected != RejectedKeyLost {
		t.Errorf("%+v, %v", ack, err)
	}
}

func TestSessionsGoWhenTheirRetentionHasEnded(t *testing.T) {
	w := newWorld(t, "mem://")
	w.retention = keep(48 * time.Hour)
	s := w.start(t)
	c := newSidecar(t, pod).join(s)
	old, recent := c.session("old", w.now), c.session("recent", w.now.Add(20*time.Hour))
	c.kept(old.seal(recording.EndNone))
	c.kept(old.seal(recording.EndComplete))
	c.kept(recent.seal(recording.EndComplete))
	sweep := func(want int) {
		t.Helper()
		if got, err := s.Sweep(t.Context()); err != nil || got != want {
			t.Errorf("%d were removed, not %d: %v", got, want, err)
		}
	}
	sweep(0)
	w.pass(47 * time.Hour)
	sweep(0)
	w.pass(2 * time.Hour)
	sweep(1)
	for _, prefix := range []string{old.name().Folder(), old.name().Key(), old.name().Entry(old.began)} {
		for o := range w.bucket.List(t.Context(), prefix) {
			t.Errorf("%s is still there", o.Name)
		}
	}
	leaves := w.leaves(t, ledger.KindRemoved)
	if len(leaves) != 1 || leaves[0].Ended.Session != "old" || leaves[0].Ended.By != "retention" || leaves[0].Pod.UID != pod.UID {
		t.Errorf("%+v", leaves)
	}
	if _, err := w.read(t, recent.name(), c.public()); err != nil {
		t.Errorf("the other: %v", err)
	}
	w.retention = keep(0)
	s = w.start(t)
	w.pass(10000 * time.Hour)
	sweep(0) // for ever
}

// A pool's connection may say nothing for weeks, and then go on: removed meanwhile, it would have no place, and look tampered with.
func TestASessionWithoutAnEndStaysUntilItsPodIsGone(t *testing.T) {
	w := newWorld(t, "mem://")
	why, broken := "", error(nil)
	w.ended = func(_ context.Context, p ledger.Pod) (string, error) {
		if p != (ledger.Pod{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}) {
			t.Errorf("asked for %+v", p)
		}
		return why, broken
	}
	s := w.start(t)
	c := newSidecar(t, pod).join(s)
	idle := c.session("idle", w.now)
	c.kept(idle.seal(recording.EndNone))
	sweep := func(what string, want int) {
		t.Helper()
		if got, err := s.Sweep(t.Context()); got != want || (err != nil) != (broken != nil) {
			t.Errorf("%s: %d were removed, not %d: %v", what, got, want, err)
		}
	}
	w.pass(1000 * time.Hour)
	sweep("its pod runs", 0)
	c.join(s)
	idle.at = w.clock()
	c.kept(idle.seal(recording.EndNone))
	w.pass(1000 * time.Hour)
	broken = errors.New("the API server cannot be reached")
	sweep("nobody knows", 0)
	why, broken = "Deleted", nil
	sweep("its pod has just gone", 0)
	w.pass(goneFor - time.Minute)
	sweep("its pod has gone a while ago", 0)
	why = ""
	sweep("its pod is back", 0)
	why = "Deleted"
	w.pass(time.Hour)
	sweep("its pod has gone again", 0)
	w.pass(goneFor)
	sweep("its pod was gone for long enough", 1)
	w.ended = nil
	c.kept(c.session("other", w.clock()).seal(recording.EndNone))
	w.pass(1000 * time.Hour)
	s = w.start(t)
	sweep("nobody can say whether a pod is gone", 0)
}

// A sidecar that says it recorded long ago does not have its recording removed at once.
func TestASessionIsNotRemovedByTheSidecarsWordAlone(t *testing.T) {
	w := newWorld(t, "mem://")
	s := w.start(t)
	c := newSidecar(t, pod).join(s)
	r := c.session("backdated", w.now.Add(-10000*time.Hour))
	c.kept(r.seal(recording.EndComplete))
	if got, err := s.Sweep(t.Context()); err != nil || got != 0 {
		t.Errorf("%d were removed: %v", got, err)
	}
}

func TestHeartbeatsAreLoggedAtMostEverySoOften(t *testing.T) {
	w := newWorld(t, "mem://")
	log := &flaky{Log: w.log}
	w.log = log
	c := newSidecar(t, pod).join(w.start(t))
	beat := func(key *sidecar, h recording.Heartbeat) error {
		h.Key = recording.IDOf(key.public())
		signed, err := recording.Beat(key.key, &h)
		must(t, err)
		return c.stream.Beat(signed)
	}
	alive := func(want int) {
		t.Helper()
		must(t, c.stream.Flush(t.Context()))
		if got := w.leaves(t, ledger.KindAlive); len(got) != want {
			t.Errorf("%d leaves, not %d", len(got), want)
		}
	}
	must(t, beat(c, recording.Heartbeat{Number: 1}))
	alive(1)
	must(t, beat(c, recording.Heartbeat{Number: 2})) // too soon
	alive(1)
	w.pass(beatEvery)
	if err := beat(newSidecar(t, pod), recording.Heartbeat{Number: 9}); !errors.Is(err, ErrHeartbeat) {
		t.Errorf("another's: %v", err)
	}
	if err := beat(c, recording.Heartbeat{Number: 1}); !errors.Is(err, ErrHeartbeat) {
		t.Errorf("an old one again: %v", err)
	}
	log.fail(1)
	must(t, beat(c, recording.Heartbeat{Number: 3}))
	if err := c.stream.Flush(t.Context()); err == nil {
		t.Error("the log has failed, and nobody says so")
	}
	alive(2) // it was tried again
	must(t, beat(c, recording.Heartbeat{Number: 4, Last: true}))
	alive(3)
	if err := beat(c, recording.Heartbeat{Number: 5}); !errors.Is(err, ErrHeartbeat) {
		t.Errorf("after the last: %v", err)
	}
}

// A store that is slow for minutes keeps heartbeats waiting behind the segment that it is busy with.
func TestHeartbeatsThatHadToWaitAreLoggedWithTheTimesAtWhichTheyCame(t *testing.T) {
	w := newWorld(t, "mem://")
	c := newSidecar(t, pod).join(w.start(t))
	came := []time.Time{w.now, w.now.Add(time.Minute), w.now.Add(2 * time.Minute)}
	w.pass(170 * time.Second)
	for i, at := range append(came, came[2].Add(beatEvery-time.Second)) {
		signed, err := recording.Beat(c.key, &recording.Heartbeat{Key: recording.IDOf(c.public()), Number: uint64(i + 1)})
		must(t, err)
		must(t, c.stream.BeatAt(signed, at))
	}
	must(t, c.stream.Flush(t.Context()))
	got := map[time.Time]bool{}
	for _, l := range w.leaves(t, ledger.KindAlive) {
		got[l.Time] = true
	}
	if len(got) != 3 || !got[came[0]] || !got[came[1]] || !got[came[2]] {
		t.Errorf("logged %v, came %v and one too soon", got, came)
	}
}

func TestWhatWaitsForTheLogIsBounded(t *testing.T) {
	w := newWorld(t, "mem://")
	c := newSidecar(t, pod).join(w.start(t))
	for n := range uint64(3 * maxWaiting) {
		w.pass(beatEvery)
		signed, err := recording.Beat(c.key, &recording.Heartbeat{Key: recording.IDOf(c.public()), Number: n + 1})
		must(t, err)
		must(t, c.stream.Beat(signed))
	}
	must(t, c.stream.Flush(t.Context()))
	if a, b := w.leaves(t, ledger.KindAttested), w.leaves(t, ledger.KindAlive); len(a) != 1 || len(b) != maxWaiting-1 {
		t.Errorf("%d attestations and %d heartbeats", len(a), len(b))
	}
}
