package record

import (
	"sync"
	"sync/atomic"
)

// memory bounds the bytes of all sessions that wait to be written. It is safe
// for concurrent use.
type memory struct {
	max  int64
	used atomic.Int64

	mu      sync.Mutex
	freed   sync.Cond
	waiting int
}

func (m *memory) init(max int64) {
	m.max = max
	m.freed.L = &m.mu
}

// full reports whether an event has to wait.
func (m *memory) full() bool { return m.used.Load() >= m.max }

// take accounts for n bytes. It does not wait: the size of an event is known only
// once it is encoded.
func (m *memory) take(n int) { m.used.Add(int64(n)) }

// give returns n bytes.
func (m *memory) give(n int) {
	if n == 0 {
		return
	}
	m.mu.Lock() // also orders the bytes given before the check of those who are about to wait
	defer m.mu.Unlock()
	m.used.Add(-int64(n))
	if m.waiting > 0 {
		m.freed.Broadcast()
	}
}

// wait returns once there is room. The caller must hold no lock that a flush
// needs, for only flushes make room.
func (m *memory) wait() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting++
	for m.full() {
		m.freed.Wait()
	}
	m.waiting--
}

// buffers are those that pending events are encoded into. They are shared, so
// that a session at rest keeps none.
var buffers bufferPool

type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, 4<<10)
}

// put takes b back, unless one large event has made it large.
func (p *bufferPool) put(b []byte) {
	if b != nil && cap(b) <= 8*flushSize {
		p.pool.Put(&b)
	}
}
