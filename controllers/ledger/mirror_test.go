package ledger

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tidewaiter/tidewaiter/recording/ledger"
)

// offered syncs the mirror with what the sequencer has published last.
func offered(t *testing.T, s *Sequencer) error {
	t.Helper()
	select {
	case c := <-s.mirror.latest:
		return s.mirror.sync(t.Context(), c)
	default:
		t.Fatal("nothing was published")
		return nil
	}
}

func TestAMirrorHasTheWholeLogHoweverFarItWasBehind(t *testing.T) {
	m, second, r := newMemory(), newMemory(), &register{}
	s := newSequencer(t, m, r, func(o *Options) { o.Mirror, o.MirrorAll = second, true })
	n := 0
	for _, by := range []int{1, 3, 300, 40, 600} {
		for range by {
			appendLeaf(t, m, n)
			n++
		}
		drain(t, s, m)
		if by == 3 || by == 40 { // not each of them
			continue
		}
		if err := offered(t, s); err != nil {
			t.Fatal(err)
		}
		inLog(t, second, nil, n)
	}
	var sizes []string
	for _, name := range second.names(MirrorPrefix) {
		sizes = append(sizes, strings.TrimLeft(strings.TrimPrefix(name, MirrorPrefix), "0"))
	}
	if got := strings.Join(sizes, " "); got != "1 304 944" {
		t.Errorf("checkpoints of %s", got)
	}
	if p := second.names(ledger.PendingPrefix); len(p) > 0 {
		t.Errorf("it has %v", p)
	}
}

func TestAMirrorOfCheckpointsHasNothingElse(t *testing.T) {
	m, second := newMemory(), newMemory()
	s := newSequencer(t, m, &register{}, func(o *Options) { o.Mirror = second })
	appendLeaf(t, m, 0)
	drain(t, s, m)
	if err := offered(t, s); err != nil {
		t.Fatal(err)
	}
	if names := second.names(""); len(names) != 2 || published(t, second).Tree.N != 1 {
		t.Error(names)
	}
}

func TestAMirrorIsNotMadeToAgreeWithAnotherLog(t *testing.T) {
	m, second := newMemory(), newMemory()
	s := newSequencer(t, m, &register{}, func(o *Options) { o.Mirror = second })
	for i := range 5 {
		appendLeaf(t, m, i)
	}
	drain(t, s, m)
	if err := offered(t, s); err != nil {
		t.Fatal(err)
	}
	before := string(second.m[ledger.CheckpointName])
	forged := newMemory()
	for i := 1; i < 9; i++ {
		appendLeaf(t, forged, i)
	}
	f := newSequencer(t, forged, &register{}, func(o *Options) { o.Mirror = second })
	drain(t, f, forged)
	err := offered(t, f)
	var p *placed
	if !errors.Is(err, ledger.ErrRoot) || !errors.As(err, &p) || p.place != "fork" {
		t.Errorf("%v", err)
	}
	if string(second.m[ledger.CheckpointName]) != before {
		t.Error("what the mirror had seen is gone")
	}
}

// broken is a bucket that takes nothing.
type broken struct{ *memory }

func (broken) Put(context.Context, string, []byte) error { return errors.New("no space left") }

func TestALogDoesNotWaitForItsMirror(t *testing.T) {
	m, r := newMemory(), &register{}
	s := newSequencer(t, m, r, func(o *Options) {
		o.Mirror, o.MirrorAll, o.Interval = broken{newMemory()}, true, 5*time.Millisecond
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Start(ctx) }()
	for i := range 5 {
		appendLeaf(t, m, i)
	}
	wait(t, "the log and the failure", func() bool {
		b, err := m.Get(t.Context(), ledger.CheckpointName)
		if err != nil {
			return false
		}
		c, err := s.parse(b)
		return err == nil && c.Tree.N == 5 && testutil.ToFloat64(s.metrics.failures.WithLabelValues("mirror")) > 0
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	inLog(t, m, r, 5)
}

func wait(t *testing.T, what string, until func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !until(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}
