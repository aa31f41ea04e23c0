package postgres

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// landing is how long a statement that carries tags to new columns waits for the
// statements of other sessions.
const landing = 5 * time.Second

// flights knows which sessions have statements under way, so that what was decided
// before a column got tags is over before values are written there: it could run
// after the write, and would show them. It is safe for concurrent use; its zero value
// is empty.
type flights struct {
	mu        sync.Mutex
	bySession map[*session.Session]*flight
}

// flight is one session's.
type flight struct {
	deciding atomic.Int64
	// waiting: what is being decided waits for others, and looks again after that.
	waiting atomic.Bool
}

// over reports whether all that was decided for s, by what was known before, has
// ended.
func (f *flight) over(s *session.Session) bool {
	return f.deciding.Load() == 0 && s.UnderWay() == 0 || f.waiting.Load() && s.UnderWay() == 1
}

// of returns a session's.
func (f *flights) of(s *session.Session) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	own := f.bySession[s]
	if own == nil {
		if f.bySession == nil {
			f.bySession = map[*session.Session]*flight{}
		}
		own = &flight{}
		f.bySession[s] = own
	}
	return own
}

// deciding notes that s is about to ask for the catalog; done, that the statement
// has its exchange or is refused.
func (f *flights) deciding(s *session.Session) (done func()) {
	own := f.of(s)
	own.deciding.Add(1)
	return func() { own.deciding.Add(-1) }
}

// gone forgets a session that is over.
func (f *flights) gone(s *session.Session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.bySession, s)
}

// settled waits until each other session has had nothing under way for a moment:
// whatever it sends then is decided by what is known now. A session that keeps a
// portal open, or always has something under way, is waited for in vain.
func (f *flights) settled(ctx context.Context, s *session.Session) error {
	own := f.of(s)
	own.waiting.Store(true)
	defer own.waiting.Store(false)
	f.mu.Lock()
	left := maps.Clone(f.bySession)
	f.mu.Unlock()
	delete(left, s)
	end := time.Now().Add(landing)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		for other, flight := range left {
			if flight.over(other) {
				delete(left, other)
			}
		}
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return &access.Denial{
				Code: access.CodeNotNow,
				What: "tidewaiter: other connections have statements under way that were decided before this one, so protected values may not be written to a new column now",
				Hint: "Try again when they have ended, or ask the owner of the DataSource to classify the column.",
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
