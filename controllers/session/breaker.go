package session

import (
	"sync"
	"time"
)

// breaker is a token bucket over all writes of a replica. When it runs dry it is
// open until half of it is filled again: meanwhile what can wait is not written at
// all, and what cannot is written at the rate of the bucket.
type breaker struct {
	rate  float64 // tokens a second
	burst float64

	mu     sync.Mutex
	tokens float64
	last   time.Time
	open   bool
	trips  int
}

func newBreaker(rate, burst float64, now time.Time) *breaker {
	return &breaker{rate: rate, burst: burst, tokens: burst, last: now}
}

// take takes n tokens if it may.
func (b *breaker) take(n float64, urgent bool, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	if b.tokens < n {
		if !b.open {
			b.open = true
			b.trips++
		}
		return false
	}
	if b.open && !urgent {
		return false
	}
	b.tokens -= n
	return true
}

func (b *breaker) fill(now time.Time) {
	if passed := now.Sub(b.last).Seconds(); passed > 0 {
		b.tokens = min(b.burst, b.tokens+passed*b.rate)
		b.last = now
	}
	if b.tokens >= b.burst/2 {
		b.open = false
	}
}

// state tells whether it is open, and how often it has opened.
func (b *breaker) state(now time.Time) (open bool, trips int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fill(now)
	return b.open, b.trips
}
