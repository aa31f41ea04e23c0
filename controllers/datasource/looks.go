package datasource

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// look is what a probe found out.
type look struct {
	of      string // which spec and Secrets
	at      time.Time
	columns *int32
	problem *trouble
}

// looks keeps the latest probe of each DataSource, so that a change of somebody's Session does not become a login at the
// database. It holds as many as there are DataSources: forget is told when one is gone.
type looks struct {
	now func() time.Time
	mu  sync.Mutex
	by  map[types.NamespacedName]*look
}

func newLooks(now func() time.Time) *looks {
	return &looks{now: now, by: map[types.NamespacedName]*look{}}
}

// recent returns a look that still counts, and for how long, or nil.
func (l *looks) recent(key types.NamespacedName, of string) (*look, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.by[key]
	if kept == nil || kept.of != of {
		return nil, 0
	}
	left := kept.lasts() - l.now().Sub(kept.at)
	if left <= 0 {
		return nil, 0
	}
	return kept, left
}

// keep remembers a look and returns for how long it counts.
func (l *looks) keep(key types.NamespacedName, of *look) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	of.at = l.now()
	l.by[key] = of
	return of.lasts()
}

func (l *looks) forget(key types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.by, key)
}

func (l *look) lasts() time.Duration {
	if l.problem != nil {
		return lookAgainSoon
	}
	return lookAgain
}
