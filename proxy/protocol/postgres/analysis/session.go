package analysis

import "maps"

// session is the tracked state as the statements of one text see it: the
// engine's State plus what earlier statements of the text did.
type session struct {
	state       State
	pathChanged bool
	stale       bool
	unsettled   bool
	temp        map[string]bool
	prepared    map[string][]*Statement
	cursors     map[string][]*Statement
}

func newSession(st *State) *session {
	s := &session{prepared: map[string][]*Statement{}, cursors: map[string][]*Statement{}}
	if st != nil {
		s.state = *st
	}
	s.pathChanged, s.stale, s.unsettled = s.state.PathChanged, s.state.Stale, s.state.Unsettled
	s.temp = maps.Clone(s.state.Temp)
	if s.temp == nil {
		s.temp = map[string]bool{}
	}
	return s
}

// lookup returns what a prepared statement or cursor may be: what this text made
// of the name and, as that may fail, what it was before.
func lookup(here map[string][]*Statement, before func(string) []*Statement, name string) []*Statement {
	found := here[name]
	if before != nil {
		found = append(found[:len(found):len(found)], before(name)...)
	}
	return found
}

func (s *session) preparedAs(name string) []*Statement {
	return lookup(s.prepared, s.state.Prepared, name)
}

func (s *session) cursorAs(name string) []*Statement { return lookup(s.cursors, s.state.Cursor, name) }

// apply carries effects over to the next statement of the text. Names are only
// ever added: a DEALLOCATE or a rollback may not happen.
func (s *session) apply(effects []Effect) {
	for _, e := range effects {
		switch e.Kind {
		case SetPath:
			s.pathChanged = true
		case PrepareName:
			s.prepared[e.Name] = append(s.prepared[e.Name], e.Statement)
		case DeclareCursor:
			s.cursors[e.Name] = append(s.cursors[e.Name], e.Statement)
		case CreateTemp:
			s.temp[e.Name] = true
		case DropName:
			delete(s.temp, e.Name)
		case DDL:
			s.stale, s.unsettled = s.stale || e.Alters, true
		}
	}
}
