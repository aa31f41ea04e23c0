package analysis

import "strings"

// statements reads statements up to the word that ends their list.
func (r *scriptReader) statements() error {
	r.depth++
	defer func() { r.depth-- }()
	if r.depth > maxScriptDepth {
		return errScript
	}
	for !r.word("end", "exception", "else", "elsif", "elseif", "when") {
		if r.at >= len(r.tokens) {
			return errScript
		}
		if err := r.label(); err != nil {
			return err
		}
		if err := r.statement(); err != nil {
			return err
		}
	}
	return nil
}

// statement reads one statement with its semicolon. An unreserved keyword that is
// assigned to is a variable.
func (r *scriptReader) statement() error {
	next := r.peek(1)
	if assigned := r.written(next); assigned == ":=" || assigned == "=" || assigned == "[" || assigned == "." {
		return r.assign()
	}
	t := r.peek(0)
	if t.kind != tokenWord {
		if r.accept("(") { // a query in parentheses
			r.at--
			return r.sql()
		}
		return errScript
	}
	switch t.word {
	case "declare", "begin":
		if err := r.block(); err != nil {
			return err
		}
		return r.expect(";")
	case "if":
		return r.ifStatement()
	case "case":
		return r.caseStatement()
	case "loop":
		return r.loop()
	case "while":
		r.at++
		if err := r.expression(stepCondition, nil, "loop"); err != nil {
			return err
		}
		return r.loop()
	case "for":
		return r.forStatement()
	case "foreach":
		return r.foreach()
	}
	return r.simple(t.word)
}

// simple reads a statement that holds no others.
func (r *scriptReader) simple(word string) error {
	switch word {
	case "null":
		r.at++
		return r.expect(";")
	case "exit", "continue":
		if _, err := r.until("when", ";"); err != nil {
			return err
		}
		if r.accept("when") {
			if err := r.expression(stepCondition, nil, ";"); err != nil {
				return err
			}
		}
		return r.expect(";")
	case "return":
		return r.returns()
	case "raise":
		return r.raise()
	case "assert":
		r.at++
		if err := r.expression(stepCondition, nil, ";"); err != nil {
			return err
		}
		return r.expect(";")
	case "perform":
		r.at++
		if err := r.expression(stepAssign, nil, ";"); err != nil {
			return err
		}
		return r.expect(";")
	case "get":
		_, err := r.until(";")
		r.at++
		return err
	case "call":
		start := r.at
		text, err := r.until(";")
		r.add(stepCall, text, r.mentioned(start)...)
		r.at++
		return err
	case "select", "with", "insert", "update", "delete", "merge", "values", "table", "truncate":
		return r.sql()
	case "execute":
		return errDynamic
	}
	// OPEN, FETCH, MOVE and CLOSE work on portals, whose names a client may know
	// and have used for something else; COMMIT and ROLLBACK end its transaction.
	return errScript
}

// assign reads "target := expression". Subscripts of the target are expressions.
func (r *scriptReader) assign() error {
	name, err := r.name()
	if err != nil || !r.script.variables[name] {
		return errScript
	}
	for {
		switch {
		case r.accept("."):
			if _, err := r.name(); err != nil {
				return err
			}
		case r.accept("["):
			start, depth := r.peek(0).start, 1
			for ; depth > 0; r.at++ {
				if r.at >= len(r.tokens) {
					return errScript
				}
				switch r.tokens[r.at].kind {
				case tokenOpen:
					depth++
				case tokenClose:
					depth--
				}
			}
			r.subscript(r.text[start:r.tokens[r.at-1].start], name)
		case r.assignment():
			if err := r.expression(stepAssign, []string{name}, ";"); err != nil {
				return err
			}
			return r.expect(";")
		default:
			return errScript
		}
	}
}

// subscript is an index, or the bounds of a slice, in a target.
func (r *scriptReader) subscript(text, target string) {
	parts := []string{text}
	if !strings.Contains(text, "::") { // a slice with a cast in it cannot be read
		parts = strings.Split(text, ":")
	}
	for _, part := range parts {
		if strings.TrimSpace(part) != "" {
			r.add(stepAssign, "SELECT "+part, target)
		}
	}
}

// mentioned are the variables between start and here.
func (r *scriptReader) mentioned(start int) []string {
	var names []string
	end := r.at
	for r.at = start; r.at < end; {
		name, err := r.name()
		if err != nil {
			r.at++
		} else if r.script.variables[name] {
			names = append(names, name)
		}
	}
	return names
}

func (r *scriptReader) ifStatement() error {
	if err := r.arms("if", "elsif", "elseif"); err != nil {
		return err
	}
	return r.expect("end", "if", ";")
}

func (r *scriptReader) caseStatement() error {
	r.at++
	if !r.word("when") {
		if err := r.expression(stepCondition, nil, "when"); err != nil {
			return err
		}
	}
	if err := r.arms("when"); err != nil {
		return err
	}
	return r.expect("end", "case", ";")
}

// arms reads the arms of IF and CASE: behind each of the words a condition, THEN and
// statements; and ELSE.
func (r *scriptReader) arms(words ...string) error {
	for r.word(words...) {
		r.at++
		if err := r.expression(stepCondition, nil, "then"); err != nil {
			return err
		}
		r.at++
		if err := r.statements(); err != nil {
			return err
		}
	}
	if r.accept("else") {
		return r.statements()
	}
	return nil
}

func (r *scriptReader) returns() error {
	r.at++
	if r.accept("query") {
		if r.word("execute") {
			return errDynamic
		}
		text, err := r.until(";")
		if err != nil || text == "" {
			return errScript
		}
		r.add(stepReturnQuery, text)
		return r.expect(";")
	}
	next := r.accept("next")
	if r.accept(";") {
		r.script.bare = r.script.bare || next // RETURN; alone ends a set
		return nil
	}
	r.script.bare = true
	if err := r.expression(stepReturn, nil, ";"); err != nil {
		return err
	}
	return r.expect(";")
}

// raise reads RAISE [level] ['format' [, expression …]] [USING option = expression …].
func (r *scriptReader) raise() error {
	r.at++
	if _, err := r.until(",", "using", ";"); err != nil {
		return err
	}
	for r.accept(",") {
		if err := r.expression(stepMessage, nil, ",", "using", ";"); err != nil {
			return err
		}
	}
	for first := true; first && r.accept("using") || !first && r.accept(","); first = false {
		if _, err := r.name(); err != nil || !r.assignment() {
			return errScript
		}
		if err := r.expression(stepMessage, nil, ",", ";"); err != nil {
			return err
		}
	}
	return r.expect(";")
}

// sql reads an SQL statement and takes INTO with its targets out of it.
func (r *scriptReader) sql() error {
	start := r.at
	if _, err := r.until(";"); err != nil {
		return err
	}
	end := r.at
	text := []byte(r.text[r.tokens[start].start:r.tokens[end].start])
	var targets []string
	for i, depth := start, 0; i < end; i++ {
		switch t := r.tokens[i]; {
		case t.kind == tokenOpen:
			depth++
		case t.kind == tokenClose:
			depth--
		case t.word == "into" && r.tokens[max(i-1, start)].word != "insert" && r.tokens[max(i-1, start)].word != "merge":
			if targets != nil || depth > 0 {
				return errScript
			}
			r.at = i + 1
			var err error
			targets, err = r.intoTargets()
			behind := r.at
			if err != nil || behind > end {
				return errScript
			}
			for at := t.start; at < r.tokens[behind-1].end; at++ {
				text[at-r.tokens[start].start] = ' '
			}
			i = behind - 1
		}
	}
	r.at = end
	r.add(stepAssign, string(text), targets...)
	return r.expect(";")
}

// intoTargets reads the variables behind INTO.
func (r *scriptReader) intoTargets() ([]string, error) {
	r.accept("strict")
	var names []string
	for {
		name, err := r.target()
		if err != nil || !r.script.variables[name] || r.symbol("[") {
			return nil, errScript
		}
		names = append(names, name)
		if !r.accept(",") {
			return names, nil
		}
	}
}
