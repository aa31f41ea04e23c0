package analysis

import (
	"crypto/sha256"

	pg "github.com/pganalyze/pg_query_go/v5"
)

// Question tells what one statement asks from what another does: a digest of its
// tokens, constants included, without white space, comments and the case of words,
// and of whatever its names stand for. Parameters are not in it.
type Question [sha256.Size]byte

// ask puts the questions on a statement that has its text. What is only prepared
// asks nothing yet; a FETCH asks again what its cursor has asked.
func (s *Statement) ask(node *pg.Node) {
	if !s.Touches && len(s.PredicateTags) == 0 {
		return
	}
	if node.GetFetchStmt() != nil {
		return // adopt has put them there
	}
	begin := ""
	switch {
	case node.GetPrepareStmt() != nil:
		begin = "as"
	case node.GetDeclareCursorStmt() != nil:
		begin = "for"
	}
	asked := []Question{digest(s.Text, begin, s.Questions)}
	s.Questions = asked
	for _, e := range s.Effects {
		if e.Statement != nil && (e.Kind == PrepareName || e.Kind == DeclareCursor) {
			e.Statement.Questions = asked
		}
	}
	if node.GetPrepareStmt() != nil {
		s.Questions = nil
	}
}

// digest is the question of a text from behind the first word begin, if that is
// not empty, and of the questions that it builds upon. No name or type in front of
// that word can be spelled like it, since it is reserved.
func digest(text, begin string, upon []Question) Question {
	h := sha256.New()
	l := lexer{text: text}
	for l.next() {
		if begin != "" {
			if l.kind == tokenWord && l.word() == begin {
				begin = ""
			}
			continue
		}
		if l.kind == tokenWord {
			h.Write([]byte(l.word()))
		} else {
			h.Write([]byte(text[l.start:l.pos]))
		}
		h.Write([]byte{0})
	}
	for i := range upon {
		h.Write(upon[i][:])
	}
	return Question(h.Sum(nil))
}

// Bound is the question with parameters of which parameters is a digest.
func (q Question) Bound(parameters uint64) Question {
	var p [8]byte
	for i := range p {
		p[i] = byte(parameters >> (8 * i))
	}
	return sha256.Sum256(append(q[:], p[:]...))
}
