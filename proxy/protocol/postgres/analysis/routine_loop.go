package analysis

import "strings"

// loop reads LOOP … END LOOP [label];
func (r *scriptReader) loop() error {
	if err := r.expect("loop"); err != nil {
		return err
	}
	if err := r.statements(); err != nil {
		return err
	}
	if err := r.expect("end", "loop"); err != nil {
		return err
	}
	r.endLabel()
	return r.expect(";")
}

// forStatement reads a loop over integers, over the rows of a query or over those
// of a bound cursor.
func (r *scriptReader) forStatement() error {
	r.at++
	targets, err := r.targets()
	if err != nil {
		return err
	}
	if err := r.expect("in"); err != nil {
		return err
	}
	if r.word("execute") {
		return errDynamic
	}
	if cursor := r.peek(0).word; r.script.cursors[cursor] != nil {
		r.at++
		r.add(stepAssign, "SELECT "+cursor, targets...)
		if arguments, err := r.until("loop"); err != nil {
			return err
		} else if arguments != "" { // (a, b := c): the names are those of variables
			r.add(stepAssign, "SELECT "+strings.ReplaceAll(arguments, ":=", "="), r.script.cursors[cursor]...)
		}
		return r.loop()
	}
	start := r.at
	text, err := r.until("loop")
	if err != nil {
		return err
	}
	if !r.bounds(start, targets) {
		r.add(stepAssign, text, targets...)
	}
	return r.loop()
}

// targets reads the variables of a loop.
func (r *scriptReader) targets() ([]string, error) {
	var names []string
	for {
		name, err := r.target()
		if err != nil {
			return nil, err
		}
		r.script.variables[name], r.script.varying[name] = true, true
		names = append(names, name)
		if !r.accept(",") {
			return names, nil
		}
	}
}

// target reads a variable, or a field of one, and returns the variable's name.
func (r *scriptReader) target() (string, error) {
	name, err := r.name()
	for err == nil && r.accept(".") {
		_, err = r.name()
	}
	return name, err
}

// bounds recognizes "[REVERSE] lower .. upper [BY step]" between start and here.
func (r *scriptReader) bounds(start int, targets []string) bool {
	from, parts, depth := start, []string(nil), 0
	if r.tokens[start].word == "reverse" {
		from++
	}
	for i := from; i < r.at; i++ {
		t := r.tokens[i]
		switch {
		case t.kind == tokenOpen:
			depth++
		case t.kind == tokenClose:
			depth--
		case depth > 0:
		case len(parts) == 0 && t.kind == tokenDot && i+1 < r.at && r.tokens[i+1].kind == tokenDot && r.tokens[i+1].start == t.end:
			parts = append(parts, r.text[r.tokens[from].start:t.start])
			from = i + 2
			i++
		case len(parts) == 1 && t.word == "by":
			parts = append(parts, r.text[r.tokens[from].start:t.start])
			from = i + 1
		}
	}
	if len(parts) == 0 || from >= r.at {
		return false
	}
	for _, part := range append(parts, r.text[r.tokens[from].start:r.peek(0).start]) {
		r.add(stepAssign, "SELECT "+part, targets...)
	}
	return true
}

// foreach reads FOREACH target [SLICE n] IN ARRAY expression LOOP …
func (r *scriptReader) foreach() error {
	r.at++
	targets, err := r.targets()
	if err != nil {
		return err
	}
	if r.accept("slice") {
		r.at++
	}
	if err := r.expect("in", "array"); err != nil {
		return err
	}
	if err := r.expression(stepAssign, targets, "loop"); err != nil {
		return err
	}
	return r.loop()
}
