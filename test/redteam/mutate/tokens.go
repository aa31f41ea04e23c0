package mutate

import "strings"

// kind is what a token is to a mutation.
type kind int

const (
	symbol  kind = iota // punctuation, operators, numbers
	space               // white space and comments
	word                // an unquoted word: a keyword or an identifier
	quoted              // a quoted identifier
	literal             // a plain '…' string
	opaque              // any other string: E'…', U&'…', $$…$$, B'…', and U&"…"
)

type token struct {
	kind kind
	text string
}

// tokens splits SQL text. What it does not know it takes character by character, so that the tokens put together always are the text.
func tokens(sql string) []token {
	var all []token
	for rest := sql; rest != ""; {
		t := next(rest)
		all = append(all, t)
		rest = rest[len(t.text):]
	}
	return all
}

func next(s string) token {
	switch c := s[0]; {
	case isSpace(c):
		return token{space, s[:lengthWhile(s, isSpace)]}
	case strings.HasPrefix(s, "--"):
		if end := strings.IndexByte(s, '\n'); end >= 0 {
			return token{space, s[:end+1]}
		}
		return token{space, s}
	case strings.HasPrefix(s, "/*"):
		return token{space, s[:comment(s)]}
	case c == '\'':
		return token{literal, s[:closing(s, 1, '\'', false)]}
	case c == '"':
		return token{quoted, s[:closing(s, 1, '"', false)]}
	case c == '$':
		return dollar(s)
	case len(s) > 1 && s[1] == '\'' && strings.IndexByte("eEbBxXnN", c) >= 0:
		return token{opaque, s[:closing(s, 2, '\'', c == 'e' || c == 'E')]}
	case len(s) > 2 && (c == 'u' || c == 'U') && s[1] == '&' && (s[2] == '\'' || s[2] == '"'):
		return token{opaque, s[:closing(s, 3, s[2], false)]}
	case isLetter(c):
		return token{word, s[:lengthWhile(s, func(c byte) bool { return isLetter(c) || isDigit(c) || c == '$' })]}
	case isDigit(c):
		return token{symbol, s[:lengthWhile(s, func(c byte) bool { return isDigit(c) || c == '.' })]}
	case isOperator(c):
		return token{symbol, operator(s)}
	default:
		return token{symbol, s[:1]}
	}
}

// operator is a run of operator characters, up to where a comment begins.
func operator(s string) string {
	run := s[:lengthWhile(s, isOperator)]
	for _, begin := range []string{"--", "/*"} {
		if i := strings.Index(run, begin); i > 0 {
			run = run[:i]
		}
	}
	return run
}

func dollar(s string) token {
	tag := 1 + lengthWhile(s[1:], func(c byte) bool { return isLetter(c) || isDigit(c) })
	if tag < len(s) && s[tag] == '$' && (tag == 1 || !isDigit(s[1])) {
		delimiter := s[:tag+1]
		if end := strings.Index(s[tag+1:], delimiter); end >= 0 {
			return token{opaque, s[:end+2*len(delimiter)]}
		}
		return token{opaque, s}
	}
	return token{symbol, s[:tag]} // a parameter
}

func comment(s string) int {
	depth := 0
	for i := 0; i+1 < len(s); i++ {
		switch s[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

// closing is the length up to and with the closing quote; a doubled one does not close.
func closing(s string, from int, quote byte, backslash bool) int {
	for i := from; i < len(s); i++ {
		switch {
		case backslash && s[i] == '\\':
			i++
		case s[i] == quote && i+1 < len(s) && s[i+1] == quote:
			i++
		case s[i] == quote:
			return i + 1
		}
	}
	return len(s)
}

func lengthWhile(s string, is func(byte) bool) int {
	n := 0
	for n < len(s) && is(s[n]) {
		n++
	}
	return n
}

func isSpace(c byte) bool    { return strings.IndexByte(" \t\n\r\f\v", c) >= 0 }
func isDigit(c byte) bool    { return '0' <= c && c <= '9' }
func isLetter(c byte) bool   { return 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c >= 0x80 }
func isOperator(c byte) bool { return strings.IndexByte("+-*/<>=~!@#%^&|`?", c) >= 0 }
