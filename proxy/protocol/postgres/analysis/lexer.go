package analysis

import "strings"

// tokenKind is a token as far as the guard tells tokens apart.
type tokenKind uint8

const (
	tokenOther     tokenKind = iota // number, string, parameter, quoted identifier, stray byte
	tokenWord                       // keyword or unquoted identifier
	tokenOperator                   // one or more operators
	tokenOpen                       // ( [
	tokenClose                      // ) ]
	tokenComma                      // ,
	tokenSemicolon                  // ;
	tokenDot                        // .
)

// lexer splits a text into tokens by the rules of PostgreSQL's scan.l with
// standard_conforming_strings on, which the proxy pins. It never fails: what the
// parser will refuse (an unterminated string) ends the text.
type lexer struct {
	text      string
	start     int // of the current token
	pos       int // behind it
	kind      tokenKind
	operators int // an upper bound of how many operators a tokenOperator is
}

// next moves to the next token and reports whether there is one.
func (s *lexer) next() bool {
	s.skip()
	s.start = s.pos
	if s.pos >= len(s.text) {
		return false
	}
	s.kind = tokenOther
	c := s.text[s.pos]
	switch {
	case identifierStart(c):
		s.identifier()
	case c >= '0' && c <= '9':
		for s.pos < len(s.text) && s.text[s.pos] >= '0' && s.text[s.pos] <= '9' {
			s.pos++
		}
	case c == '\'':
		s.quoted('\'', false)
	case c == '"':
		s.quoted('"', false)
	case c == '$':
		s.dollar()
	case operatorByte(c):
		s.operator()
	default:
		s.punctuation(c)
	}
	return true
}

// word returns the current token in lower case (ASCII, as keywords are).
func (s *lexer) word() string { return strings.ToLower(s.text[s.start:s.pos]) }

// skip passes white space and comments; block comments nest.
func (s *lexer) skip() {
	for s.pos < len(s.text) {
		rest := s.text[s.pos:]
		switch {
		case strings.IndexByte(" \t\n\r\f\v", rest[0]) >= 0:
			s.pos++
		case strings.HasPrefix(rest, "--"):
			end := strings.IndexAny(rest, "\n\r")
			if end < 0 {
				end = len(rest)
			}
			s.pos += end
		case strings.HasPrefix(rest, "/*"):
			s.comment()
		default:
			return
		}
	}
}

func (s *lexer) comment() {
	depth := 0
	for s.pos < len(s.text) {
		switch rest := s.text[s.pos:]; {
		case strings.HasPrefix(rest, "/*"):
			depth++
			s.pos += 2
		case strings.HasPrefix(rest, "*/"):
			depth--
			s.pos += 2
			if depth == 0 {
				return
			}
		default:
			s.pos++
		}
	}
}

// identifier reads a word, or the string that a prefix such as E'…' begins. A
// backslash escapes in E'…' alone.
func (s *lexer) identifier() {
	for s.pos < len(s.text) && identifierPart(s.text[s.pos]) {
		s.pos++
	}
	prefix, rest := s.text[s.start:s.pos], s.text[s.pos:]
	switch {
	case len(prefix) == 1 && strings.HasPrefix(rest, "'") && strings.Contains("eEbBxXnN", prefix):
		s.quoted('\'', prefix == "e" || prefix == "E")
	case len(prefix) == 1 && strings.Contains("uU", prefix) && (strings.HasPrefix(rest, "&'") || strings.HasPrefix(rest, `&"`)):
		s.pos++
		s.quoted(s.text[s.pos], false)
	default:
		s.kind = tokenWord
	}
}

// quoted reads from the opening quote at pos to behind the closing one; a
// doubled quote stands for itself.
func (s *lexer) quoted(quote byte, escapes bool) {
	for s.pos++; s.pos < len(s.text); s.pos++ {
		switch c := s.text[s.pos]; {
		case c == '\\' && escapes:
			s.pos++
		case c == quote && s.pos+1 < len(s.text) && s.text[s.pos+1] == quote:
			s.pos++
		case c == quote:
			s.pos++
			if quote == '"' || !s.continued() {
				return
			}
		}
	}
	s.pos = min(s.pos, len(s.text))
}

// continued moves to the quote that continues a string: behind white space with a
// newline in it. The continuation of E'…' is read like its beginning, with
// backslashes. (PostgreSQL also allows comments in between; the parser we use does
// not, and refuses them.)
func (s *lexer) continued() bool {
	rest := strings.TrimLeft(s.text[s.pos:], " \t\n\r\f\v")
	gap := s.text[s.pos : len(s.text)-len(rest)]
	if !strings.HasPrefix(rest, "'") || !strings.ContainsAny(gap, "\n\r") {
		return false
	}
	s.pos += len(gap)
	return true
}

// dollar reads a parameter, a dollar-quoted string, or a stray "$".
func (s *lexer) dollar() {
	end := s.pos + 1
	for end < len(s.text) && identifierPart(s.text[end]) && s.text[end] != '$' {
		end++
	}
	tag := s.text[s.pos+1 : end]
	if end == len(s.text) || s.text[end] != '$' || (tag != "" && !identifierStart(tag[0])) {
		s.pos++
		return
	}
	delimiter := s.text[s.pos : end+1]
	closing := strings.Index(s.text[end+1:], delimiter)
	if closing < 0 {
		s.pos = len(s.text)
		return
	}
	s.pos = end + 1 + closing + len(delimiter)
}

// operator reads a run of operator characters up to a comment. Without one of
// ~!@#%^&|`? in it the run may be several operators ("+-+-"), so each byte counts.
func (s *lexer) operator() {
	s.kind = tokenOperator
	for s.pos < len(s.text) && operatorByte(s.text[s.pos]) {
		if rest := s.text[s.pos:]; strings.HasPrefix(rest, "--") || strings.HasPrefix(rest, "/*") {
			break
		}
		s.pos++
	}
	run := s.text[s.start:s.pos]
	s.operators = len(run)
	if strings.ContainsAny(run, "~!@#%^&|`?") || run == "<=" || run == ">=" || run == "<>" {
		s.operators = 1
	}
}

func (s *lexer) punctuation(c byte) {
	s.pos++
	switch c {
	case '(', '[':
		s.kind = tokenOpen
	case ')', ']':
		s.kind = tokenClose
	case ',':
		s.kind = tokenComma
	case ';':
		s.kind = tokenSemicolon
	case '.':
		s.kind = tokenDot
	case ':': // "::" is a cast; counting each ":" is an upper bound
		s.kind, s.operators = tokenOperator, 1
	}
}

func identifierStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

func identifierPart(c byte) bool {
	return identifierStart(c) || c >= '0' && c <= '9' || c == '$'
}

func operatorByte(c byte) bool { return strings.IndexByte("~!@#^&|`?+-*/%<>=", c) >= 0 }
