package audit

import (
	"sync"
	"time"
)

// remembered is how long answers of the API server are believed: who loses a right, or a token, reads on for no longer.
const remembered = 5 * time.Second

// maxRemembered bounds each memory, in answers.
const maxRemembered = 4096

// brief remembers answers for a short time. It is safe for concurrent use.
type brief[K comparable, V any] struct {
	now func() time.Time
	mu  sync.Mutex
	all map[K]kept[V]
}

type kept[V any] struct {
	value V
	until time.Time
}

func newBrief[K comparable, V any](now func() time.Time) *brief[K, V] {
	return &brief[K, V]{now: now, all: map[K]kept[V]{}}
}

func (b *brief[K, V]) get(key K) (V, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k, ok := b.all[key]
	if !ok || !b.now().Before(k.until) {
		var none V
		return none, false
	}
	return k.value, true
}

// put remembers an answer that was asked for at a time. When there are too many, all are forgotten: that costs asking again.
func (b *brief[K, V]) put(key K, value V, asked time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.all) >= maxRemembered {
		clear(b.all)
	}
	b.all[key] = kept[V]{value, asked.Add(remembered)}
}
