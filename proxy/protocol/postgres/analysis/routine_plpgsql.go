package analysis

import (
	"errors"
	"strings"
)

// PL/pgSQL is read by this package itself, not by libpg_query's ParsePlPgSqlToJSON:
// that one redirects the process's stderr while it works, and frees memory that it
// did not allocate as soon as another thread writes a line there, which ends the
// process.
//
// The reader follows pl_gram.y and pl_scanner.c as far as is needed to cut a body
// into the SQL that it runs. Which of the steps run and in what order does not
// matter: whoever asks lets values flow as if all ran, in any order and many times.
// What it does not know is an error, and the body is then code that nobody can read.

// stepKind says what becomes of a step's values.
type stepKind uint8

const (
	stepAssign      stepKind = iota // go into the targets, one by one or all into each
	stepCondition                   // decide what runs, so what every variable is assigned
	stepReturn                      // are the result, or a row of it
	stepReturnQuery                 // rows are rows of the result, column by column
	stepMessage                     // go into an error or a notice
	stepCall                        // CALL; outputs go into the targets
)

// step is one SQL text of a body.
type step struct {
	kind    stepKind
	text    string
	targets []string
}

// script is a PL/pgSQL body.
type script struct {
	steps []step
	// variables are the names of all variables, in whatever block, and varying those
	// of loops. One name is one variable, however many blocks declare it.
	variables, varying map[string]bool
	// cursors are those that name a query, with their arguments. As a variable a
	// cursor holds its rows.
	cursors map[string][]string
	// types are the types of variables.
	types []string
	// bare: it can return without RETURN QUERY, so with values of variables.
	bare bool
	// caught: the text of an error that was caught is looked at.
	caught bool
}

var (
	errScript  = errors.New("a PL/pgSQL construct that is not known")
	errDynamic = errors.New("PL/pgSQL that runs text built while it runs")
)

// maxScriptDepth bounds how deep statements are nested.
const maxScriptDepth = 100

type token struct {
	kind       tokenKind
	start, end int
	word       string // lower case, of a tokenWord
}

// scriptReader reads one body.
type scriptReader struct {
	text   string
	tokens []token
	at     int
	depth  int
	script *script
}

// readScript reads the body of a PL/pgSQL function with these parameters.
func readScript(text string, parameters []string) (*script, error) {
	r := &scriptReader{text: text, script: &script{
		variables: map[string]bool{}, varying: map[string]bool{}, cursors: map[string][]string{},
	}}
	for _, name := range parameters {
		r.script.variables[name] = true
	}
	for s := (lexer{text: text}); s.next(); {
		if text[s.start] == ':' && strings.HasPrefix(text[s.pos:], "=") {
			s.pos++ // ":=" is one token, whatever operator follows
		}
		t := token{kind: s.kind, start: s.start, end: s.pos}
		if s.kind == tokenWord {
			t.word = s.word()
			r.script.caught = r.script.caught || t.word == "sqlerrm" || t.word == "stacked"
		}
		r.tokens = append(r.tokens, t)
	}
	for r.symbol("#") { // #variable_conflict and the like, one to a line
		r.at += 3
	}
	if err := r.label(); err != nil {
		return nil, err
	}
	if err := r.block(); err != nil {
		return nil, err
	}
	r.accept(";")
	if r.at != len(r.tokens) {
		return nil, errScript
	}
	return r.script, nil
}

func (r *scriptReader) peek(ahead int) token {
	if r.at+ahead < len(r.tokens) {
		return r.tokens[r.at+ahead]
	}
	return token{start: len(r.text), end: len(r.text)}
}

func (r *scriptReader) written(t token) string { return r.text[t.start:t.end] }

// word reports whether the next token is one of these keywords.
func (r *scriptReader) word(words ...string) bool {
	t := r.peek(0)
	for _, w := range words {
		if t.kind == tokenWord && t.word == w {
			return true
		}
	}
	return false
}

func (r *scriptReader) symbol(text string) bool { return r.written(r.peek(0)) == text }

// accept moves over a keyword or symbol and reports whether it was there.
func (r *scriptReader) accept(text string) bool {
	t := r.peek(0)
	if t.kind == tokenWord && t.word == text || t.kind != tokenWord && t.end > t.start && r.written(t) == text {
		r.at++
		return true
	}
	return false
}

func (r *scriptReader) expect(texts ...string) error {
	for _, text := range texts {
		if !r.accept(text) {
			return errScript
		}
	}
	return nil
}

// name reads an identifier as the server folds it.
func (r *scriptReader) name() (string, error) {
	t := r.peek(0)
	text := r.written(t)
	switch {
	case t.kind == tokenWord:
		r.at++
		return t.word, nil
	case len(text) > 2 && text[0] == '"':
		r.at++
		return strings.ReplaceAll(text[1:len(text)-1], `""`, `"`), nil
	}
	return "", errScript
}

func (r *scriptReader) label() error {
	if !r.accept("<<") {
		return nil
	}
	if _, err := r.name(); err != nil {
		return err
	}
	return r.expect(">>")
}

// endLabel is the label that may follow END or END LOOP.
func (r *scriptReader) endLabel() {
	if !r.symbol(";") {
		r.at++
	}
}

// until reads up to one of the words or symbols outside of all parentheses, leaves
// it in place, and returns the text before it.
func (r *scriptReader) until(ends ...string) (string, error) {
	start, depth := r.peek(0).start, 0
	for ; r.at < len(r.tokens); r.at++ {
		t := r.tokens[r.at]
		switch t.kind {
		case tokenOpen:
			depth++
			continue
		case tokenClose:
			depth--
			continue
		}
		if depth < 0 {
			return "", errScript
		}
		for _, end := range ends {
			if depth == 0 && (t.kind == tokenWord && t.word == end || t.kind != tokenWord && r.written(t) == end) {
				return strings.TrimSpace(r.text[start:t.start]), nil
			}
		}
	}
	return "", errScript
}

// expression reads an expression up to one of the ends, as a step.
func (r *scriptReader) expression(kind stepKind, targets []string, ends ...string) error {
	text, err := r.until(ends...)
	if err != nil || text == "" {
		return errScript
	}
	r.add(kind, "SELECT "+text, targets...)
	return nil
}

func (r *scriptReader) add(kind stepKind, text string, targets ...string) {
	r.script.steps = append(r.script.steps, step{kind, text, targets})
}

// block reads [DECLARE …] BEGIN … [EXCEPTION …] END [label].
func (r *scriptReader) block() error {
	for r.accept("declare") {
		for !r.word("begin", "declare") {
			if err := r.declaration(); err != nil {
				return err
			}
		}
	}
	if err := r.expect("begin"); err != nil {
		return err
	}
	if err := r.statements(); err != nil {
		return err
	}
	if r.accept("exception") {
		for r.accept("when") {
			if _, err := r.until("then"); err != nil {
				return err
			}
			r.at++
			if err := r.statements(); err != nil {
				return err
			}
		}
	}
	if err := r.expect("end"); err != nil {
		return err
	}
	if r.at < len(r.tokens) {
		r.endLabel()
	}
	return nil
}

// declaration reads one variable, alias or cursor.
func (r *scriptReader) declaration() error {
	name, err := r.name()
	if err != nil {
		return err
	}
	r.script.variables[name] = true
	if r.accept("alias") {
		if err := r.expect("for"); err != nil {
			return err
		}
		of, err := r.until(";")
		r.add(stepAssign, "SELECT "+of, name) // both are one variable
		r.add(stepAssign, `SELECT "`+strings.ReplaceAll(name, `"`, `""`)+`"`, strings.ToLower(of))
		r.at++
		return err
	}
	r.accept("no")
	r.accept("scroll")
	if r.accept("cursor") {
		return r.cursor(name)
	}
	r.accept("constant")
	kind, err := r.until(";", "default", ":=", "=", "not", "collate")
	if err != nil {
		return err
	}
	r.script.types = append(r.script.types, kind)
	if r.accept("collate") {
		if _, err := r.until(";", "default", ":=", "=", "not"); err != nil {
			return err
		}
	}
	if r.accept("not") {
		if err := r.expect("null"); err != nil {
			return err
		}
	}
	if r.accept("default") || r.assignment() {
		if err := r.expression(stepAssign, []string{name}, ";"); err != nil {
			return err
		}
	}
	return r.expect(";")
}

// assignment moves over ":=" or "=".
func (r *scriptReader) assignment() bool { return r.accept(":=") || r.accept("=") }

// cursor reads the arguments and the query of a bound cursor.
func (r *scriptReader) cursor(name string) error {
	r.script.cursors[name] = []string{}
	if r.accept("(") {
		for !r.accept(")") {
			argument, err := r.name()
			if err != nil {
				return err
			}
			r.script.variables[argument] = true
			r.script.cursors[name] = append(r.script.cursors[name], argument)
			depth := 0
			for ; r.at < len(r.tokens) && (depth > 0 || !r.symbol(",") && !r.symbol(")")); r.at++ {
				switch r.peek(0).kind {
				case tokenOpen:
					depth++
				case tokenClose:
					depth--
				}
			}
			r.accept(",")
			if r.at == len(r.tokens) {
				return errScript
			}
		}
	}
	if !r.accept("for") && !r.accept("is") {
		return errScript
	}
	query, err := r.until(";")
	r.add(stepAssign, query, name)
	r.at++
	return err
}
