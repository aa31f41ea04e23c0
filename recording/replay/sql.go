package replay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
)

// SQL writes a script for psql (16 or later, for \bind) of what the client ran. What cannot be run is written as a comment that
// says why: what was denied, never ran, was recorded in part, or has parameters that are masked.
func SQL(w io.Writer, r Recording, statements string) (recording.Report, error) {
	chosen, err := parseNumbers(statements)
	if err != nil {
		return recording.Report{}, err
	}
	out := bufio.NewWriter(w)
	about := func(e *access.Event) {
		if o := e.Opened; o != nil {
			comment(out, fmt.Sprintf("Session %s of %s on %s, %s", o.Session, o.Identity.Subject(), o.DataSource, e.Time.UTC().Format(time.RFC3339)))
			fmt.Fprint(out, "\\set ON_ERROR_STOP off\n\n")
		}
	}
	for s, e := range gathered(r, 0, about) {
		if e != nil {
			err = brokenIsNoError(e)
			break
		}
		if chosen.has(s.Number) && !s.Prepared() {
			s.script(out)
		}
	}
	if r.Report().State != recording.Complete {
		comment(out, r.Report().String())
	}
	return r.Report(), errors.Join(err, out.Flush())
}

func (s *Statement) script(w io.Writer) {
	comment(w, fmt.Sprintf("Statement %d, %s%s", s.Number, clock(s.First.Time), s.said()))
	text := strings.TrimSpace(s.Decided.Text)
	why := s.Unrunnable()
	if why == "" {
		why = s.unscripted()
	}
	if why != "" {
		comment(w, "not to be run: "+why)
		comment(w, text)
		fmt.Fprintln(w)
		return
	}
	bind := ""
	for i := range s.Decided.Parameters {
		bind += " " + bound(&s.Decided.Parameters[i])
	}
	text = strings.TrimRight(text, "; \n\t")
	if bind == "" {
		fmt.Fprintf(w, "%s\n;\n\n", text)
		return
	}
	fmt.Fprintf(w, "%s\n\\bind%s \\g\n\n", text, bind)
}

func (s *Statement) said() string {
	if s.Ended == nil {
		return ", no end recorded"
	}
	out := ", " + string(s.Ended.Outcome)
	for _, word := range []string{s.Ended.Tag, s.Ended.Code} {
		if word != "" {
			out += " " + word
		}
	}
	return out
}

// Unrunnable says why the statement cannot be run again as it was, or nothing.
func (s *Statement) Unrunnable() string {
	d := &s.Decided
	switch {
	case s.Ended != nil && s.Ended.Outcome == access.OutcomeDenied, s.Ended == nil && d.Effect != access.Allow.String():
		return "it was denied"
	case s.Ended != nil && s.Ended.Outcome == access.OutcomeSkipped:
		return "it never ran: something before it failed"
	case strings.TrimSpace(d.Text) == "":
		return "its text is not recorded"
	case d.TextSize > int64(len(d.Text)):
		return fmt.Sprintf("only %d bytes of its %d are recorded", len(d.Text), d.TextSize)
	}
	for i := range d.Parameters {
		v := &d.Parameters[i]
		switch {
		case v.Masked:
			return fmt.Sprintf("parameter $%d is masked", i+1)
		case v.Size > 0:
			return fmt.Sprintf("parameter $%d is recorded in part", i+1)
		}
	}
	return ""
}

// unscripted says why psql cannot run the statement as the client did, or nothing. It errs on the side of caution: a text that
// leaves psql within quotes would turn the comments that follow into statements, and a backslash runs programs.
func (s *Statement) unscripted() string {
	d := &s.Decided
	lower := strings.ToLower(d.Text)
	switch {
	case s.Ended == nil || s.Ended.Outcome != access.OutcomeDone && s.Ended.Outcome != access.OutcomeStopped:
		return "it did not succeed, so that psql might not find its end"
	case strings.Contains(d.Text, `\`):
		return "psql would take what follows its backslash for a command of its own"
	case strings.Contains(lower, "copy") && strings.Contains(lower, "stdin"):
		return "what it read from the client is not recorded"
	case strings.ContainsFunc(d.Text, func(r rune) bool { return r != '\n' && r != '\t' && (!unicode.IsPrint(r) || blank(r)) }):
		return "it has characters that a terminal obeys instead of showing them"
	}
	for i := range d.Parameters {
		switch v := &d.Parameters[i]; {
		case v.Null:
			return fmt.Sprintf(`parameter $%d is NULL, which psql's \bind cannot say`, i+1)
		case len(v.Binary) > 0:
			return fmt.Sprintf(`parameter $%d is in a binary format, which psql's \bind cannot say`, i+1)
		case strings.ContainsFunc(v.Text, func(r rune) bool { return !unicode.IsPrint(r) || blank(r) }):
			return fmt.Sprintf("parameter $%d has characters that a terminal obeys instead of showing them", i+1)
		}
	}
	return ""
}

// bound writes a parameter for \bind, quoted so that psql takes all of it literally.
func bound(v *access.Value) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(v.Text) + "'"
}

// comment writes a text as comments: each line of it, and nothing else.
func comment(w io.Writer, text string) {
	text, hidden := block(text, maxText)
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintln(w, "-- "+line)
	}
	if hidden > 0 {
		fmt.Fprintf(w, "-- … %d more characters\n", hidden)
	}
}
