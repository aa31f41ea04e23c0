package ship

import "time"

// complainEvery is how often the log says that something runs unrecorded.
const complainEvery = time.Minute

// loss is what is known of sessions that run unrecorded.
type loss struct {
	open  int // sessions
	why   error
	said  time.Time // when the log said so
	noted int64     // statements, when a heartbeat said so
}

// lost counts a session that runs on unrecorded, and says so.
func (s *Spool) lost(dataSource, session string, err error) {
	s.mu.Lock()
	s.loss.open++
	s.loss.why = err
	s.mu.Unlock()
	s.opt.Log.Debug("a session runs unrecorded", "dataSource", dataSource, "session", session, "error", err)
	s.complain()
}

// forgotten is called when such a session has ended.
func (s *Spool) forgotten() {
	s.mu.Lock()
	s.loss.open--
	last := s.loss.open == 0
	s.mu.Unlock()
	if last {
		s.opt.Log.Info("no session runs unrecorded any more", "statements", s.missed.Load())
	}
}

// complain says that sessions run unrecorded, but not all the time.
func (s *Spool) complain() {
	s.mu.Lock()
	now, l := s.opt.Now(), &s.loss
	if l.open == 0 || !l.said.IsZero() && now.Sub(l.said) < complainEvery {
		s.mu.Unlock()
		return
	}
	l.said = now
	open, why := l.open, l.why
	s.mu.Unlock()
	s.opt.Log.Error("statements run UNRECORDED, as onRecorderLoss: Serve says; see to it that the operator takes recordings and the spool's disk works",
		"sessions", open, "statements", s.missed.Load(), "error", why)
}

// Unrecorded returns how many sessions run unrecorded now, and how many statements did since the process started.
func (s *Spool) Unrecorded() (sessions int, statements int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loss.open, s.missed.Load()
}
