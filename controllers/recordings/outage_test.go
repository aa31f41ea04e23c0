package recordings

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/ledger"
	"github.com/tidewaiter/tidewaiter/recording/store"
	"github.com/tidewaiter/tidewaiter/test/s3test"
)

// outageEnv is how long the store is away: a few seconds, unless it says otherwise, such as 10m.
const outageEnv = "TIDEWAITER_OUTAGE"

func outage(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv(outageEnv)
	if text == "" {
		return 3 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s: %v", outageEnv, err)
	}
	return d
}

// shipper is a sidecar that seals on, whatever becomes of what it ships, as one with a spool does.
type shipper struct {
	c        *sidecar
	r        *session
	spool    []*recording.Segment // not acknowledged
	sealed   int
	acked    atomic.Int64
	attempts atomic.Int64
}

// work seals and ships until stop is closed, and then ships what is left.
func (p *shipper) work(stop <-chan struct{}, text string) {
	stopping := false
	for !stopping || len(p.spool) > 0 {
		select {
		case <-stop:
			if !stopping {
				stopping = true
				p.spool = append(p.spool, p.r.seal(recording.EndComplete, decided(text)))
				p.sealed++
			}
		default:
			if len(p.spool) < 20 {
				p.spool = append(p.spool, p.r.seal(recording.EndNone, decided(text)))
				p.sealed++
			}
		}
		ack, err := p.c.ship(p.spool[0])
		p.attempts.Add(1)
		switch {
		case err == nil && ack.Complete:
			p.spool = p.spool[1:]
			p.acked.Add(1)
		case ack.Rejected != "":
			p.c.t.Errorf("segment %d: %s", p.spool[0].Head.Segment, ack.Rejected)
			return
		default:
			time.Sleep(20 * time.Millisecond)
		}
	}
}

func decided(text string) access.Event {
	return access.Event{Kind: access.EventDecided, Decided: &access.Decided{Text: text, Effect: "Allow"}}
}

func TestNothingThatWasAcknowledgedIsLostWhenTheStoreGoesAway(t *testing.T) {
	server := s3test.Start(t)
	w := newWorld(t, server.Bucket("recordings", true))
	must(t, w.bucket.SetLock(t.Context(), store.LockCompliance))
	s := w.start(t)
	const sidecars = 12
	all := make([]*shipper, sidecars)
	stop := make(chan struct{})
	var working sync.WaitGroup
	text := random(200 << 10)
	for n := range all {
		p := pod
		p.UID = fmt.Sprintf("pod-%d", n)
		c := newSidecar(t, p).join(s)
		all[n] = &shipper{c: c, r: c.session(fmt.Sprintf("s-%d", n), w.now)}
		working.Go(func() { all[n].work(stop, text) })
	}
	acked := func() (n int64) {
		for _, p := range all {
			n += p.acked.Load()
		}
		return n
	}
	wait := func(what string, reached func() bool) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); !reached(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	wait("nothing is acknowledged", func() bool { return acked() > 2*sidecars })
	server.Stop() // in the middle of it
	gone := time.Now()
	time.Sleep(200 * time.Millisecond) // what was acknowledged on the way
	during, peak := acked(), uint64(0)
	for time.Since(gone) < outage(t) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapInuse)
		time.Sleep(50 * time.Millisecond)
	}
	if got := acked(); got != during {
		t.Errorf("%d segments were acknowledged while there was no store", got-during)
	}
	if used := s.parts.Used(); used > s.o.Limits.Memory {
		t.Errorf("%d bytes are on their way, more than %d", used, s.o.Limits.Memory)
	}
	if bound := uint64(s.o.Limits.Memory+s.most) + 200<<20; peak > bound { // what the twelve hold in their spools, and the test, beside
		t.Errorf("%d MiB of heap, more than %d", peak>>20, bound>>20)
	}
	server.Resume()
	wait("nothing is acknowledged after the store is back", func() bool { return acked() > during+sidecars })
	close(stop)
	working.Wait()
	logged := map[string]bool{}
	for _, leaf := range w.leaves(t, ledger.KindSealed) {
		logged[leaf.Sealed.Object] = true
	}
	for _, p := range all {
		if p.acked.Load() != int64(p.sealed) {
			t.Errorf("%s: %d of %d segments were acknowledged", p.r.id, p.acked.Load(), p.sealed)
		}
		texts, err := w.read(t, p.r.name(), p.c.public())
		if err != nil || len(texts) != p.sealed {
			t.Errorf("%s: %d of %d segments are in the store: %v", p.r.id, len(texts), p.sealed, err)
		}
		for n := range p.sealed {
			if !logged[p.r.name().Segment(uint64(n+1))] {
				t.Errorf("%s: segment %d has no leaf", p.r.id, n+1)
			}
		}
		if e := w.entry(t, p.r.name(), p.r.began); e.Segments != uint64(p.sealed) || e.End != "Complete" {
			t.Errorf("entry %+v", e)
		}
	}
	t.Logf("%d segments, %v without a store, %d MiB of heap", acked(), outage(t), peak>>20)
}

// What is locked is neither removed by the operator, when retention was shortened, nor readable after its session was erased.
func TestErasingAndRemovingOverObjectLock(t *testing.T) {
	server := s3test.Start(t)
	w := newWorld(t, server.Bucket("recordings", true))
	must(t, w.bucket.SetLock(t.Context(), store.LockCompliance))
	w.retention = keep(time.Hour)
	s := w.start(t)
	c := newSidecar(t, pod).join(s)
	r := c.session("s-1", w.now.Add(-3*time.Hour))
	c.kept(r.seal(recording.EndNone))
	c.kept(r.seal(recording.EndComplete))
	id, err := w.bucket.SessionIdentity(t.Context(), r.name())
	must(t, err)
	must(t, s.Erase(t.Context(), r.name(), "jane", "ticket 17"))
	for o, err := range w.bucket.List(t.Context(), r.name().Folder()) {
		must(t, err)
		if until, err := w.bucket.LockedUntil(t.Context(), o.Name); err != nil || until.Before(w.now.Add(time.Hour)) {
			t.Errorf("%s is locked until %v, %v", o.Name, until, err)
		}
	}
	if _, err := w.read(t, r.name(), c.public()); err == nil {
		t.Error("it can be read")
	}
	seg, err := s.stored(t.Context(), r.name(), 1)
	must(t, err)
	if _, err := seg.Records(id); err != nil {
		t.Fatalf("the key from before does not fit: this test shows nothing: %v", err)
	}
	w.retention = keep(time.Second) // shortened since
	s = w.start(t)
	w.pass(time.Minute)
	if got, err := s.Sweep(t.Context()); err != nil || got != 0 {
		t.Errorf("%d were removed: %v", got, err)
	}
	if got := w.leaves(t, ledger.KindRemoved); len(got) != 0 {
		t.Errorf("the log says that it was removed")
	}
}
