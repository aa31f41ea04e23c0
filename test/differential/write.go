package differential

import (
	"bytes"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
)

// step is something that the client sends, and what it waits for before it sends more.
type step struct {
	text string // for people
	data []byte
	// segment is the size of the pieces in which the data are written; 0 is in one.
	segment int
	// await are message types, one of which must have come after the step was sent; "" sends on at once. After an error, which the
	// server answers by nothing more up to Sync, only ReadyForQuery is waited for.
	await string
	// tail is a step without which the one before would not be legal: the data of a COPY.
	tail bool
	// mark is text that a DataRow must hold before the client sends on; "" for none.
	mark string
}

// watch is what the writer may wait for.
type watch struct {
	mu     sync.Mutex
	cond   *sync.Cond
	frames []frame
	over   bool
}

func newWatch() *watch {
	w := &watch{}
	w.cond = sync.NewCond(&w.mu)
	return w
}

func (w *watch) add(f frame) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frames = append(w.frames, f)
	w.cond.Broadcast()
}

// finish wakes the writer when nothing more will come.
func (w *watch) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.cond.Broadcast()
}

func (w *watch) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.frames)
}

// until waits until one of the frames from a position on is as wanted, and returns its type, or 0 when nothing more will come.
func (w *watch) until(from int, wanted func(frame) bool) (last byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ; !w.over; from++ {
		for from >= len(w.frames) && !w.over {
			w.cond.Wait()
		}
		if from < len(w.frames) && wanted(w.frames[from]) {
			return w.frames[from].kind
		}
	}
	return 0
}

// writeSteps sends a conversation to its end. Errors show in what is read.
func writeSteps(conn net.Conn, steps []step, seen *watch) {
	failed := false
	for _, s := range append(append([]step{}, steps...), step{data: append(append([]byte{}, syncMessage...), terminate...)}) {
		before := seen.count()
		size := s.segment
		if size == 0 {
			size = max(1, len(s.data))
		}
		for data := s.data; len(data) > 0; data = data[min(size, len(data)):] {
			if _, err := conn.Write(data[:min(size, len(data))]); err != nil {
				return
			}
		}
		if s.await == "Z" || s.await != "" && !failed {
			failed = seen.until(before, func(f frame) bool { return strings.ContainsRune(s.await, rune(f.kind)) }) == 'E'
		}
		if s.mark != "" {
			failed = false
			seen.until(before, func(f frame) bool { return f.kind == 'D' && bytes.Contains(f.body, []byte(s.mark)) })
		}
	}
}

// segmentSize chooses how a step is cut: mostly not at all, sometimes inside of headers.
func segmentSize(r *rand.Rand) int {
	switch r.IntN(10) {
	case 0:
		return 1
	case 1:
		return 1 + r.IntN(7)
	case 2:
		return 1 + r.IntN(500)
	default:
		return 0
	}
}
