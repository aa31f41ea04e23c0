package distribute

import (
	"crypto/sha256"
	"sync"
	"time"
)

// Bounds of how often a token may be shown: tryBurst times at once, then once in
// tryInterval. A sidecar needs one try, and some more on a bad day.
const (
	tryBurst    = 5
	tryInterval = 2 * time.Second
	maxTries    = 20000 // tokens that are remembered
)

// throttle counts the tries of each token. What is remembered is a digest.
type throttle struct {
	mu    sync.Mutex
	until map[[sha256.Size]byte]time.Time // when the bucket is full again
}

func newThrottle() *throttle {
	return &throttle{until: map[[sha256.Size]byte]time.Time{}}
}

// allow counts a try. When more tokens are shown than can be remembered, those
// whose bucket is full are forgotten, and if there are none, everybody waits.
func (t *throttle) allow(token [sha256.Size]byte, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	until, known := t.until[token]
	if !known && len(t.until) >= maxTries {
		for k, at := range t.until {
			if !at.After(now) {
				delete(t.until, k)
			}
		}
		if len(t.until) >= maxTries {
			return false
		}
	}
	if until.Before(now) {
		until = now
	}
	if until.Sub(now) > (tryBurst-1)*tryInterval {
		return false
	}
	t.until[token] = until.Add(tryInterval)
	return true
}
