package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/hack/demo/paper"
	"github.com/tidewaiter/tidewaiter/hack/demo/shop"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

// The two terminals of a step in which somebody is asked.
const (
	agentsPrompt    = "agent $"
	approversPrompt = "approver $"
)

const export = "copy payouts to stdout"

// approved shows a statement that waits for a person, and runs.
func approved() step {
	return step{
		title: "A person decides",
		about: "Exports of payouts need approval. The agent's psql waits, and says for whom; another terminal answers.",
		act: func(ctx context.Context, s *stage, p *paper.Paper) error {
			return asked(ctx, s, p, "approve", "the weekly report", []string{export}, "1200.00", "1431.25")
		},
		verified: "nothing was sent to the server before the approval; then every row came",
	}
}

// deniedByPerson shows one that does not, and a connection that goes on.
func deniedByPerson() step {
	return step{
		title: "And may say no",
		about: "To the agent that is an ordinary error of a statement, with the person's words.",
		act: func(ctx context.Context, s *stage, p *paper.Paper) error {
			return asked(ctx, s, p, "deny", "not on a Sunday", []string{export, "select 'still connected' as then"}, "ERROR:  tidewaiter:", "not on a Sunday", "still connected")
		},
		verified: "denied, with who and why, and it is still the same connection",
	}
}

var heldAs = regexp.MustCompile(`held for approval as ([a-z0-9-]+/[a-z0-9-]+)`)

// asked plays a step in two terminals: the agent's, which waits, and that of somebody who answers.
func asked(ctx context.Context, s *stage, p *paper.Paper, verb, reason string, statements []string, want ...string) error {
	agent := []string{"local", "-f", "manifests", "--approvals", "--", "psql", "-X"}
	shown := "kubectl tidewaiter local -f manifests/ --approvals -- psql"
	for _, statement := range statements {
		agent, shown = append(agent, "-c", statement), shown+" \\\n    -c "+quoted(statement)
	}
	p.Command(agentsPrompt, shown)
	out := &postgrestest.Output{}
	cmd := s.command(ctx, agent...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() { _ = cmd.Process.Kill() }() // where it has ended, there is nothing to end
	name, err := heldName(ctx, out)
	if err != nil {
		return err
	}
	waiting := out.String()
	p.Output([]byte(waiting))
	p.Remark("it waits")
	for _, args := range [][]string{{"local", "requests"}, {"local", verb, name, "--reason", reason}} {
		typed := "kubectl tidewaiter " + strings.Join(args[:min(len(args), 3)], " ")
		if len(args) > 3 {
			typed += " --reason " + quoted(reason)
		}
		p.Command(approversPrompt, typed)
		said, err := s.command(ctx, args...).CombinedOutput()
		p.Output(said)
		if err != nil || !bytes.Contains(said, []byte(name)) {
			return fmt.Errorf("%s: %w", strings.Join(args, " "), errors.Join(err, errors.New("it does not name the request")))
		}
	}
	_ = cmd.Wait() // psql's status is that of its last statement
	all := out.String()
	if err := shop.Leak("the output", []byte(all), s.server.Password); err != nil {
		return err
	}
	p.Remark("the agent's terminal goes on")
	p.Output([]byte(strings.TrimPrefix(all, waiting)))
	for _, text := range want {
		if !strings.Contains(all, text) || strings.Contains(waiting, text) {
			return fmt.Errorf("the output lacks %q, or had it too early", text)
		}
	}
	return nil
}

// command is one of the plugin's, in the demo's folder.
func (s *stage) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.binary(), args...)
	cmd.Env, cmd.Dir = s.environment(), s.dir
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(os.Interrupt) }, patience
	return cmd
}

// heldName waits for the notice, and is what the request is called in it.
func heldName(ctx context.Context, out *postgrestest.Output) (string, error) {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		text := out.String()
		if found := heldAs.FindStringSubmatch(text); found != nil && strings.Contains(text, "HINT") && strings.HasSuffix(text, "\n") {
			return found[1], nil
		}
	}
	return "", fmt.Errorf("nothing was held:\n%s", out.String())
}
