package session

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// entry is one Session as this replica wants it, and as it wrote it last.
type entry struct {
	who    Who
	wanted v1alpha1.SessionStatus
	since  time.Time // when wanted came to differ
	first  time.Time

	name      string // of the object; empty while there is none
	written   *v1alpha1.SessionStatus
	writtenAt time.Time
	checkedAt time.Time
	notBefore time.Time // after a failure
	failures  int

	detachedAt time.Time // when the stream ended; zero while there is one
	leaving    bool      // written once more, and then forgotten
}

// Intervals between writes of one Session.
type intervals struct {
	refresh  time.Duration // of numbers
	flap     time.Duration // between Active and Idle
	patience time.Duration // until a Session is written that nobody has acknowledged
	grace    time.Duration // until a sidecar without a stream is Lost
}

// due says when an entry is to be written, and whether that cannot wait for better
// times. The zero time means that nothing is to be written.
func (e *entry) due(iv intervals) (at time.Time, urgent bool) {
	switch w := e.written; {
	case w == nil:
		if e.wanted.Revision > 0 || e.wanted.Rejection != nil || e.leaving {
			return e.notBefore, true
		}
		return later(e.first.Add(iv.patience), e.notBefore), true
	case settled(w) != settled(&e.wanted) || w.Message != e.wanted.Message || w.Replica != e.wanted.Replica || w.Alarms != e.wanted.Alarms ||
		w.Revision != e.wanted.Revision || w.DataSourceGeneration != e.wanted.DataSourceGeneration ||
		!slices.Equal(w.Policies, e.wanted.Policies) || !equality.Semantic.DeepEqual(w.Conditions, e.wanted.Conditions) || !equality.Semantic.DeepEqual(w.Rejection, e.wanted.Rejection):
		return later(e.since, e.notBefore), true
	case w.State != e.wanted.State:
		return later(e.writtenAt.Add(iv.flap), e.notBefore), true
	case !equality.Semantic.DeepEqual(*w, e.wanted):
		return later(e.writtenAt.Add(iv.refresh), e.notBefore), false
	}
	return time.Time{}, false
}

// settled is the state, with Active and Idle as one: an application that opens a
// connection for each statement must not make a write of each.
func settled(s *v1alpha1.SessionStatus) v1alpha1.SessionState {
	if s.State == v1alpha1.SessionActive {
		return v1alpha1.SessionIdle
	}
	return s.State
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// cost in calls to the API server.
func (e *entry) cost() float64 {
	if e.name == "" {
		return 2
	}
	return 1
}
