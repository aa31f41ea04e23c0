// Package audit checks recordings against the signatures of sidecars, the operator's attestations and the log over all sessions, and
// says what is wrong, where, and what most likely did it.
//
// It reads the log with code of its own, not with that which writes it: a mistake that both made would not show. It must not know how
// a store or a cluster is reached, nor how findings are shown.
package audit

import (
	"sync"
	"time"
)

// Severity says what a finding means. Treat a value that is not listed as Tampered.
type Severity string

// Severities.
const (
	// Tampered cannot have come about by a crash or a lost disk: somebody changed, removed or added something.
	Tampered Severity = "Tampered"
	// Incomplete is something that should be there and is not, or that could not be checked, and that may have an honest cause.
	Incomplete Severity = "Incomplete"
	// Note is worth knowing, and nothing is wrong by it.
	Note Severity = "Note"
)

// Finding is one thing that verification has to say.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	// Pod is namespace/name, or namespace/UID where no name is known.
	Pod     string `json:"pod,omitempty"`
	Session string `json:"session,omitempty"`
	// Segment and Record are numbered from 1; 0 where the finding is about none.
	Segment uint64 `json:"segment,omitempty"`
	Record  uint64 `json:"record,omitempty"`
	// LogIndex is of the leaf, from 0.
	LogIndex *int64 `json:"logIndex,omitempty"`
	// Object is a name in the store, or a file's.
	Object string `json:"object,omitempty"`
	// What says what is wrong, and Cause what most likely did it.
	What  string `json:"what"`
	Cause string `json:"cause,omitempty"`
	// From and To are set where the finding is about a span of time.
	From *time.Time `json:"from,omitempty"`
	To   *time.Time `json:"to,omitempty"`

	at time.Time // of the leaf
}

// Summary is what was looked at, and how much was found.
type Summary struct {
	// Sessions, Segments, Records and Bytes (as stored) were read and checked; Leaves is the size of the log.
	Sessions int64 `json:"sessions"`
	Segments int64 `json:"segments"`
	Records  int64 `json:"records"`
	Bytes    int64 `json:"bytes"`
	Leaves   int64 `json:"leaves"`
	// Running sessions have no end yet and a sidecar that lives; Erased ones have no content any more; Removed ones are gone by
	// their retention; Recovered ones end with what a later process sealed.
	Running   int64 `json:"running"`
	Erased    int64 `json:"erased"`
	Removed   int64 `json:"removed"`
	Recovered int64 `json:"recovered"`
	// Unopened segments are as they were stored, but there was no key to look into them.
	Unopened int64 `json:"unopened"`
	// Views is how many other checkpoints the log was compared with.
	Views int `json:"views"`
	// Tampered, Incomplete and Notes count findings, also those that were not reported since there were too many.
	Tampered   int64 `json:"tampered"`
	Incomplete int64 `json:"incomplete"`
	Notes      int64 `json:"notes"`
	// Origin and Root (base64) say which log, and in what state.
	Origin string `json:"origin,omitempty"`
	Root   string `json:"root,omitempty"`
}

// MaxFindings is how many findings are reported; the rest is counted.
const MaxFindings = 10_000

// sink takes findings from many goroutines.
type sink struct {
	mu      sync.Mutex
	report  func(Finding)
	summary Summary
	sent    int
}

func (s *sink) add(f Finding) {
	rule := rules[f.Code]
	if f.Severity == "" {
		f.Severity = rule.severity
	}
	if f.Cause == "" {
		f.Cause = rule.cause
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch f.Severity {
	case Note:
		s.summary.Notes++
	case Incomplete:
		s.summary.Incomplete++
	default:
		f.Severity = Tampered
		s.summary.Tampered++
	}
	if s.sent++; s.sent <= MaxFindings && s.report != nil {
		s.report(f)
	}
}

// count changes the summary.
func (s *sink) count(change func(*Summary)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.summary)
}
