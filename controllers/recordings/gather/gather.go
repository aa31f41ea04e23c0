// Package gather puts segments together from the chunks in which sidecars ship them, in a memory that is bounded whatever they
// send: nothing is on a disk before it was verified.
//
// It must not know what is in a segment, nor where one goes.
package gather

import (
	"errors"
	"sync"
	"time"
)

// ErrBusy is returned where there is no room: the sidecar is to try again later.
var ErrBusy = errors.New("recordings: the memory for segments on their way is full")

// patience is how old what is gathered is before it may make room for others: who ships one segment for hours must not keep others
// from shipping theirs.
const patience = 2 * time.Second

// Limits of a Gatherer. All are required.
type Limits struct {
	Segment int   // bytes of one
	Pod     int   // segments of one pod at the same time
	Parts   int   // segments at the same time
	Memory  int64 // bytes of all, those that were taken and not released yet among them
}

// Key names a segment on its way. Of a session there is one at a time.
type Key struct{ Pod, Session string }

// Gatherer puts segments together. It is safe for concurrent use.
type Gatherer struct {
	limits Limits
	now    func() time.Time

	mu    sync.Mutex
	parts map[Key]*part
	pods  map[string]int
	used  int64
}

type part struct {
	number uint64
	data   []byte
	began  time.Time
}

// New returns a Gatherer with nothing in it.
func New(limits Limits, now func() time.Time) *Gatherer {
	return &Gatherer{limits: limits, now: now, parts: map[Key]*part{}, pods: map[string]int{}}
}

// Used is how many bytes are on their way.
func (g *Gatherer) Used() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.used
}

// Result of a chunk.
type Result struct {
	// Size is how much of the segment is here: where the next chunk begins.
	Size uint64
	// Whole is the segment, where the chunk completed it. It counts until Release is called with its length.
	Whole []byte
	// TooLarge says that the segment is larger than one may be. It is forgotten.
	TooLarge bool
}

// Add takes a chunk. One that does not begin where the segment ends is not taken; the Result says where to go on.
func (g *Gatherer) Add(k Key, number, offset uint64, data []byte, complete bool) (Result, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.parts[k]
	if p != nil && (p.number != number || offset == 0) { // the sidecar begins anew
		g.drop(k)
		p = nil
	}
	size := uint64(0)
	if p != nil {
		size = uint64(len(p.data))
	}
	if offset != size {
		return Result{Size: size}, nil
	}
	if size+uint64(len(data)) > uint64(g.limits.Segment) {
		g.drop(k)
		return Result{Size: size, TooLarge: true}, nil
	}
	if !g.room(k, p == nil, int64(len(data))) {
		return Result{}, ErrBusy
	}
	if p == nil {
		p = &part{number: number, began: g.now()}
		g.parts[k] = p
		g.pods[k.Pod]++
	}
	p.data = append(p.data, data...)
	g.used += int64(len(data))
	if !complete {
		return Result{Size: uint64(len(p.data))}, nil
	}
	whole := p.data
	g.forget(k)
	return Result{Size: uint64(len(whole)), Whole: whole}, nil
}

// Release gives back the room of a whole segment.
func (g *Gatherer) Release(size int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used -= int64(size)
}

// Leave forgets what is on its way from a pod: its stream has ended.
func (g *Gatherer) Leave(pod string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for k := range g.parts {
		if k.Pod == pod {
			g.drop(k)
		}
	}
}

// room makes room for n bytes, and reports whether there is.
func (g *Gatherer) room(k Key, created bool, n int64) bool {
	if created && g.pods[k.Pod] >= g.limits.Pod {
		oldest, ok := g.oldest(k, func(other Key) bool { return other.Pod == k.Pod })
		if !ok {
			return false
		}
		g.drop(oldest)
	}
	for g.used+n > g.limits.Memory || (created && len(g.parts) >= g.limits.Parts) {
		oldest, ok := g.oldest(k, func(Key) bool { return true })
		if !ok {
			return false
		}
		g.drop(oldest)
	}
	return true
}

// oldest finds what may make room for k.
func (g *Gatherer) oldest(k Key, among func(Key) bool) (found Key, ok bool) {
	before := g.now().Add(-patience)
	for other, p := range g.parts {
		if other != k && among(other) && p.began.Before(before) {
			found, before, ok = other, p.began, true
		}
	}
	return found, ok
}

func (g *Gatherer) drop(k Key) {
	if p := g.parts[k]; p != nil {
		g.used -= int64(len(p.data))
		g.forget(k)
	}
}

func (g *Gatherer) forget(k Key) {
	delete(g.parts, k)
	if g.pods[k.Pod]--; g.pods[k.Pod] <= 0 {
		delete(g.pods, k.Pod)
	}
}
