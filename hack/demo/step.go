package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/hack/demo/paper"
	"github.com/tidewaiter/tidewaiter/hack/demo/shop"
)

// patience is how long a command may take to end when the tour is broken off.
const patience = 5 * time.Second

// step is one thing to see.
type step struct {
	title string
	about string // a line or two: what to look at
	// shown is the command as a person would type it; args are what is run, behind the command's name.
	shown string
	args  []string
	stdin string
	late  func(s *stage) ([]string, error) // args that are known only now; nil: args
	exit  int                              // the exit code that is told
	want  []string                         // what the output has to hold
	never []string                         // what it must not, besides the canaries and the password
	// act plays a step of more than one command instead of args, and prints it.
	act func(ctx context.Context, s *stage, p *paper.Paper) error
	// check looks closer; nil checks nothing more.
	check    func(s *stage, out []byte) error
	verified string // what has been checked, for the reader
}

// take runs a step, shows it and judges it.
func (t *step) take(ctx context.Context, s *stage, p *paper.Paper, number int) error {
	p.Heading(number, t.title, t.about)
	if t.act != nil {
		if err := t.act(ctx, s, p); err != nil {
			return err
		}
		p.Verified(t.verified)
		return nil
	}
	p.Command("$", t.shown)
	args := t.args
	if t.late != nil {
		var err error
		if args, err = t.late(s); err != nil {
			return err
		}
	}
	cmd := s.command(ctx, args...)
	cmd.Stdin = strings.NewReader(t.stdin)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	if err := shop.Leak("the output", out, append(t.never, s.server.Password)...); err != nil {
		return err // before anything is shown
	}
	p.Output(out)
	if code := cmd.ProcessState.ExitCode(); code != t.exit {
		return fmt.Errorf("the exit code is %d, not %d", code, t.exit)
	}
	for _, want := range t.want {
		if !bytes.Contains(out, []byte(want)) {
			return fmt.Errorf("the output lacks %q", want)
		}
	}
	if t.check != nil {
		if err := t.check(s, out); err != nil {
			return err
		}
	}
	p.Verified(t.verified)
	return nil
}

// psql is a step that runs statements in one session of psql.
func psql(t step, statements ...string) step {
	t.shown = "kubectl tidewaiter local -f manifests/ -- psql"
	t.args = []string{"local", "-f", "manifests", "--", "psql", "-X"}
	for _, statement := range statements {
		t.shown += " \\\n    -c " + quoted(statement)
		t.args = append(t.args, "-c", statement)
	}
	return t
}

// psqlScript is a step that gives psql a script, which goes on after an error.
func psqlScript(t step, lines ...string) step {
	t.stdin = strings.Join(lines, "\n") + "\n"
	t.shown = "kubectl tidewaiter local -f manifests/ -- psql <<'SQL'\n" + t.stdin + "SQL"
	t.args = []string{"local", "-f", "manifests", "--", "psql", "-X"}
	return t
}

// quoted writes an argument as a person would type it.
func quoted(s string) string {
	if strings.ContainsAny(s, "\"$`\\") {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return `"` + s + `"`
}
