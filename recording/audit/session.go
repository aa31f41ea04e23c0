package audit

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

// session is what is known of a session that goes on. What is over is only a number, see verifier.settled.
type session struct {
	name    store.Session
	pod     string
	source  string // data source
	key     recording.KeyID
	segment uint64 // the last that was followed
	seq     uint64
	chain   recording.Hash
	to      time.Time
	logged  time.Time // of the last leaf
	end     recording.End
	began   time.Time
	// recovered says that a later process seals.
	recovered bool
	ahead     map[uint64]aheadSegment
	// skipped says that segments of it are out of scope or could not be read, so that counts say nothing.
	skipped bool
	counted bool // in the summary

	mu     sync.Mutex // below, workers write
	counts counts
	unread bool
	jobs   sync.WaitGroup
}

// aheadSegment came into the log before the ones before it.
type aheadSegment struct {
	head recording.Head
	w    where
}

// maxAhead is how many segments may be logged before the one that comes before them, for each session.
const maxAhead = 64

// genesis is the chain's hash before the first record.
var genesis = func() recording.Hash {
	e, _ := recording.Begin(nil)
	return e.Head()
}()

// take takes a segment's head, in the order of the log.
func (v *verifier) take(s *session, h *recording.Head, w where) {
	switch {
	case h.Segment <= s.segment || s.ahead[h.Segment].head.Segment != 0:
		return // an object and its head are compared in any case; equal ones are no harm
	case h.Segment == s.segment+1:
		v.follow(s, h, w)
		for {
			next, ok := s.ahead[s.segment+1]
			if !ok {
				return
			}
			delete(s.ahead, s.segment+1)
			v.follow(s, &next.head, next.w)
		}
	case len(s.ahead) < maxAhead:
		if s.ahead == nil {
			s.ahead = map[uint64]aheadSegment{}
		}
		kept := *h
		kept.Attestation = nil
		s.ahead[h.Segment] = aheadSegment{kept, w}
	default:
		v.skip(s)
		v.take(s, h, w)
	}
}

// skip says what is missing before the segments that wait, and goes on with these.
func (v *verifier) skip(s *session) {
	for len(s.ahead) > 0 {
		next := uint64(0)
		for n := range s.ahead {
			if next == 0 || n < next {
				next = n
			}
		}
		a := s.ahead[next]
		delete(s.ahead, next)
		if next > s.segment+1 {
			f := a.w.finding(SegmentMissing, "%s before this one, which is number %d", missing("segment", s.segment+1, next-1), next)
			if v.Source == nil { // files alone
				f.Severity, f.Cause = Incomplete, "not all of the session's segments were given"
			}
			v.add(f)
			s.restart(&a.head)
		}
		v.follow(s, &a.head, a.w)
	}
}

// restart lets what follows be judged by itself after a hole.
func (s *session) restart(h *recording.Head) {
	s.segment, s.seq, s.chain, s.skipped = h.Segment-1, h.First-1, h.Previous, true
	if s.source == "" {
		s.source, s.key, s.began, s.name.ID = h.DataSource, h.Key, h.From, h.Session
	}
}

// follow checks that a segment follows from the one before.
func (v *verifier) follow(s *session, h *recording.Head, w where) {
	v.followKey(s, h, w)
	switch {
	case s.end != recording.EndNone:
		v.add(w.finding(SessionGoesOn, "the session was over (%s) with segment %d", s.end, s.segment))
	case h.First != s.seq+1:
		v.add(w.finding(RecordGap, "it begins with record %d, and the segment before it ends with %d", h.First, s.seq))
	case h.Previous != s.chain:
		v.add(w.finding(ChainBroken, "its first record does not follow from the last of the segment before it"))
	case h.From.Before(s.to):
		v.add(w.finding(TimeBack, "its first record is of %s, and the last of the segment before it of %s", utc(h.From), utc(s.to)))
	case s.source != "" && h.DataSource != s.source:
		v.add(w.finding(HeadWrong, "it says data source %q, and the segment before it %q", h.DataSource, s.source))
	}
	if h.End == recording.EndCutOff && !h.Recovered {
		f := w.finding(Unfinished, "the session was cut off after record %d by the sidecar itself", h.Last)
		f.Cause = "its journal could not be written any more, or was cut"
		v.add(f)
	}
	if s.began.IsZero() {
		s.began = h.From
	}
	s.source, s.key, s.segment, s.seq, s.chain, s.to, s.end = h.DataSource, h.Key, h.Segment, h.Last, h.Chain, h.To, h.End
}

// followKey checks that the session's own process sealed, or, where that had died, one that came after it.
func (v *verifier) followKey(s *session, h *recording.Head, w where) {
	first := s.source == ""
	was, now := v.keys[s.key], v.keys[h.Key]
	switch {
	case !h.Recovered && s.recovered:
		v.add(w.finding(RecoveredFalse, "it goes on with a session whose end a later process had sealed"))
	case !h.Recovered && !first && h.Key != s.key:
		v.add(w.finding(KeyChanged, "key %s seals, and the session is of key %s", short(h.Key), short(s.key)))
	case !h.Recovered || s.recovered && h.Key == s.key:
	case !first && h.Key == s.key:
		v.add(w.finding(RecoveredFalse, "it says that a later process sealed it, and its key is that of the process before"))
	case !first && was != nil && now != nil && !now.since.After(was.since):
		v.add(w.finding(RecoveredFalse, "it says that a later process sealed it, and the key %s is not a later one", short(h.Key)))
	case first && now != nil && v.Source != nil && now.pod.keys < 2:
		v.add(w.finding(RecoveredFalse, "it says that a later process sealed it, and the pod had no other before"))
	}
	if h.Recovered && !s.recovered {
		s.recovered = true
		v.count(func(sum *Summary) { sum.Recovered++ })
		v.add(w.finding(Recovered, "from record %d on the session was sealed by the process that came after the one that recorded", h.First))
	}
}

// fingerprint names a session in little memory.
type fingerprint [16]byte

func fingerprintOf(s store.Session) fingerprint {
	h := sha256.Sum256([]byte(s.Folder()))
	return fingerprint(h[:16])
}
