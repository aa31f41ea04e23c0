package distribute

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// count counts what a sidecar was told.
func (w *waiter) count() (named, queued, refused int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.answers {
		if a.GetOutcome() == refusedAs {
			refused++
		}
	}
	for _, p := range w.pending {
		if p.GetName() != "" {
			named++
		} else {
			queued++
		}
	}
	return named, queued, refused
}

func TestAPodThatAsksWithoutEndIsBoundedAndStarvesNobody(t *testing.T) {
	const questions = 10_000
	s := start(t, nil).shop(t).asking(t, "")
	flooder := s.waits(t, s, "flooder")
	var others []*waiter
	for i := range 5 {
		others = append(others, s.waits(t, s, fmt.Sprintf("other-%d", i)))
	}
	before := heap()
	var flooding sync.WaitGroup
	flooding.Go(func() {
		for range questions {
			if flooder.stream.Send(&sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Approval{Approval: s.question()}}) != nil {
				return
			}
		}
	})
	eventually(t, "the flood", func() bool { _, _, refused := flooder.count(); return refused > 100 })
	var took []time.Duration
	for round := range 4 {
		for _, w := range others {
			m := s.question()
			began := time.Now()
			w.ask(m)
			name := w.name(m)
			took = append(took, time.Since(began))
			if round%2 == 0 {
				s.decide(t, name, v1alpha1.RequestApproved)
				w.outcome(m, granted)
			}
		}
	}
	flooding.Wait()
	eventually(t, "an answer to every question", func() bool {
		named, queued, refused := flooder.count()
		return named+queued+refused == questions
	})
	named, queued, refused := flooder.count()
	t.Logf("of %d questions %d were asked, %d wait for their turn, %d were refused; others were asked for within %v; the heap grew by %d KiB",
		questions, named, queued, refused, slices.Max(took), (int64(heap())-int64(before))/1024)
	if named != 10 || queued != 64 {
		t.Errorf("%d were asked, of at most 10; %d wait, of at most 64", named, queued)
	}
	if most := slices.Max(took); most > time.Second {
		t.Errorf("another pod waited for %v", most)
	}
	own := 0
	for _, r := range s.requests(t) {
		if r.Spec.Requester.Pod.Name == "flooder" {
			own++
		}
	}
	if own != named {
		t.Errorf("the flooder has %d AccessRequests", own)
	}
	// Answers do not open the gate: 120 in ten minutes are as many as people are asked.
	denied := func() int {
		own := 0
		for _, r := range s.requests(t) {
			if r.Spec.Requester.Pod.Name != "flooder" {
				continue
			}
			if own++; r.Status.State == "" {
				s.decide(t, r.Name, v1alpha1.RequestDenied)
			}
		}
		return own
	}
	eventually(t, "120 requests", func() bool {
		flooder.ask(s.question()) // it asks on
		return denied() >= 120
	})
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); { // there is nothing to wait for
		if own := denied(); own > 120 {
			t.Fatalf("the flooder has had %d AccessRequests, of at most 120", own)
		}
	}
}

// Fifty pods with ten holds each: all are asked for, and each answer comes as soon as the status says it.
func TestFiveHundredHoldsAreAnsweredAsSoonAsTheyAreDecided(t *testing.T) {
	const pods, each = 50, 10
	s := start(t, nil).shop(t).asking(t, "")
	type held struct {
		w *waiter
		m *sidecarv1alpha1.ApprovalRequest
	}
	byName := map[string]held{}
	var all []held
	began := time.Now()
	for i := range pods {
		w := s.waits(t, s, fmt.Sprintf("pod-%d", i))
		for range each {
			all = append(all, held{w, s.question()})
		}
	}
	connected := time.Now()
	for _, h := range all {
		h.w.ask(h.m)
	}
	for _, h := range all {
		byName[h.w.name(h.m)] = h
	}
	t.Logf("%d pods connected in %v, %d holds asked for in %v", pods, connected.Sub(began), len(all), time.Since(connected))
	if len(byName) != pods*each {
		t.Fatalf("%d AccessRequests", len(byName))
	}
	var took []time.Duration
	for name, h := range byName {
		patched := s.decide(t, name, v1alpha1.RequestApproved)
		h.w.outcome(h.m, granted)
		h.w.mu.Lock()
		took = append(took, h.w.at[h.m.GetHold()].Sub(patched))
		h.w.mu.Unlock()
	}
	slices.Sort(took)
	median := took[len(took)/2]
	t.Logf("from before the status's write to the answer: median %v, 99 %% %v", median, took[len(took)*99/100])
	if median > 50*time.Millisecond {
		t.Errorf("the median is %v", median)
	}
}
