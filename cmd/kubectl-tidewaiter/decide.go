package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/plugin/approval"
	"github.com/tidewaiter/tidewaiter/plugin/table"
)

// Exit codes of approve, deny and revoke beside 0 and 1.
const (
	exitNotCounted = 3
	exitNotWeighed = 4
)

const decideCodes = `

Exit codes: 0 if every decision was taken into account, 3 if one did not count, 4 if one was recorded and not weighed within
--wait, 1 for an error or if you said no.`

const approveLong = `Approve requests. Each is shown first as it is: who waits, for what, by which rule, with all of its text, and what the
approval will be good for. Then you are asked. What is sent is an AccessDecision for exactly what was shown; the API server
says in it who you are. Where standard input is no terminal, --yes has to say that you have read it.

You need the verb approve on the AccessPolicies whose rules ask, and for --break-glass the verb break-glass; and nobody
approves what they have asked for themselves.` + decideCodes

const approveExample = `  kubectl tidewaiter approve -n data reporting-7k2p4

  # with a reason, and without being asked
  kubectl tidewaiter approve -n data reporting-7k2p4 --reason OPS-7 --yes

  # alone, in an emergency, where the rule allows that; it is announced
  kubectl tidewaiter approve -n data reporting-7k2p4 --break-glass --reason "OPS-8: site down"`

const denyLong = `Deny requests, with a reason that the client is told. Each is shown first, and you are asked.` + decideCodes

const denyExample = `  kubectl tidewaiter deny -n data reporting-7k2p4 --reason "use the monthly export"`

const revokeLong = `Take back what was approved: a Deny after the approval. What runs is cut off, and nothing more runs by it.` + decideCodes

const revokeExample = `  kubectl tidewaiter revoke -n data reporting-7k2p4 --reason "OPS-7 is done"`

// decideCommand is approve, deny and revoke.
type decideCommand struct {
	kubeFlags
	verb       string
	revoke     bool
	breakGlass bool
	yes        bool
	reason     string
	wait       time.Duration
}

func newApprove(s streams) *cobra.Command {
	d := &decideCommand{kubeFlags: kubeFlags{streams: s}, verb: "approve"}
	cmd := d.command("approve NAME... [-n NAMESPACE] [--reason TEXT] [flags]", "Approve what somebody waits for", approveLong, approveExample, v1alpha1.RequestPending)
	cmd.Flags().BoolVar(&d.breakGlass, "break-glass", false, "answer alone in an emergency, where the rule allows that; needs --reason")
	return cmd
}

func newDeny(s streams) *cobra.Command {
	d := &decideCommand{kubeFlags: kubeFlags{streams: s}, verb: "deny"}
	return d.command("deny NAME... [-n NAMESPACE] --reason TEXT [flags]", "Deny what somebody waits for", denyLong, denyExample, v1alpha1.RequestPending)
}

func newRevoke(s streams) *cobra.Command {
	d := &decideCommand{kubeFlags: kubeFlags{streams: s}, verb: "revoke", revoke: true}
	return d.command("revoke NAME... [-n NAMESPACE] --reason TEXT [flags]", "Take back what was approved", revokeLong, revokeExample, v1alpha1.RequestApproved)
}

func (d *decideCommand) command(use, short, long, example string, completed v1alpha1.AccessRequestState) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Example: example, DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error { return d.arguments(args) },
		RunE: func(cmd *cobra.Command, args []string) error { return d.run(cmd.Context(), args) },
	}
	d.register(cmd, false, "json", "yaml", "name")
	cmd.ValidArgsFunction = d.complete(requestNames(completed))
	f := cmd.Flags()
	f.StringVar(&d.reason, "reason", "", "why, in your own `words`; it is kept, and whoever waits is told")
	f.BoolVarP(&d.yes, "yes", "y", false, "do not ask: I have read what I "+d.verb)
	f.DurationVar(&d.wait, "wait", 5*time.Second, "how `long` to wait for what becomes of it; 0 not to")
	_ = cmd.RegisterFlagCompletionFunc("reason", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("wait", cobra.NoFileCompletions)
	return cmd
}

const maxReason = 1024

func (d *decideCommand) arguments(args []string) error {
	switch {
	case len(args) == 0:
		return fmt.Errorf("name the request: kubectl tidewaiter %s -n NAMESPACE NAME; see kubectl tidewaiter requests -A", d.verb)
	case d.reason == "" && (d.verb != "approve" || d.breakGlass):
		return errors.New("say why: --reason \"...\"")
	case len(d.reason) > maxReason:
		return fmt.Errorf("--reason has %s: at most %s are kept", table.Count(int64(len(d.reason)), "byte"), table.Number(maxReason))
	case d.wait < 0 || d.wait > time.Hour:
		return fmt.Errorf("--wait %s: it is between 0 and 1h", d.wait)
	}
	for _, name := range args {
		if strings.Contains(name, "/") {
			return fmt.Errorf("%s: write the name alone, and the namespace with -n", name)
		}
	}
	return nil
}

func (d *decideCommand) kind() v1alpha1.DecisionKind {
	switch {
	case d.breakGlass:
		return v1alpha1.DecisionBreakGlass
	case d.verb == "approve":
		return v1alpha1.DecisionApprove
	default:
		return v1alpha1.DecisionDeny
	}
}

// run decides one request after the other. What goes wrong with one does not keep the others waiting.
func (d *decideCommand) run(ctx context.Context, args []string) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	c, err := d.connect()
	if err != nil {
		return err
	}
	desk := &approval.Desk{Cluster: c, Now: time.Now}
	var failed []error
	code := 0
	answers := bufio.NewReader(d.in)
	for i, name := range args {
		if slices.Contains(args[:i], name) {
			continue
		}
		if i > 0 && !d.machine() {
			fmt.Fprintln(d.err)
		}
		result, err := d.one(ctx, desk, c.Namespace, name, answers)
		switch {
		case err != nil:
			failed = append(failed, err)
		case result == approval.Refused:
			code = exitNotCounted
		case result == approval.Unknown && code == 0:
			code = exitNotWeighed
		}
	}
	if len(failed) > 0 {
		return errors.Join(failed...)
	}
	if code != 0 {
		return exitError{code: code}
	}
	return nil
}

func (d *decideCommand) one(ctx context.Context, desk *approval.Desk, namespace, name string, answers *bufio.Reader) (approval.Result, error) {
	q, err := desk.Load(ctx, namespace, name)
	if err != nil {
		return "", err
	}
	color, err := useColor(d.color, d.err)
	if err != nil {
		return "", err
	}
	if err := q.Check(d.kind(), d.revoke, time.Now()); err != nil {
		return "", err
	}
	if err := desk.Allowed(ctx, q, d.kind()); err != nil {
		return "", err
	}
	if err := q.Show(d.err, time.Now(), color); err != nil {
		return "", err
	}
	if err := d.confirm(ctx, q, answers); err != nil {
		return "", err
	}
	decision, err := desk.Decide(ctx, q, d.kind(), d.reason)
	if err != nil {
		return "", err
	}
	if d.machine() {
		if err := d.object(decision.DeepCopy()); err != nil {
			return "", err
		}
	}
	if d.wait == 0 {
		return approval.Counted, d.say("%s: recorded as AccessDecision %s", q.Name(), decision.Name)
	}
	out, err := desk.Await(ctx, q, decision, d.wait)
	if err != nil {
		return "", err
	}
	return out.Result, d.say("%s: %s", q.Name(), out.Text)
}

// say prints what happened where a person reads it: on standard output, unless an object is there.
func (d *decideCommand) say(format string, args ...any) error {
	w := d.out
	if d.machine() {
		w = d.err
	}
	_, err := fmt.Fprintf(w, format+"\n", args...)
	return err
}

// confirm asks, at a terminal. Elsewhere nobody has read what was printed, unless --yes says so.
func (d *decideCommand) confirm(ctx context.Context, q *approval.Question, answers *bufio.Reader) error {
	if d.yes {
		return nil
	}
	if !isTerminal(d.in) {
		return fmt.Errorf("%s: standard input is no terminal, so nobody can be asked: add --yes to %s what is shown above", q.Name(), d.verb)
	}
	question := strings.ToUpper(d.verb[:1]) + d.verb[1:]
	if d.breakGlass {
		question = "Break the glass, alone and announced"
	}
	fmt.Fprintf(d.err, "%s? [y/N] ", question)
	said := make(chan string, 1)
	go func() { // ends with the process, if not with an answer
		line, _ := answers.ReadString('\n')
		said <- line
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(d.err)
		return fmt.Errorf("%s: interrupted; nothing was sent", q.Name())
	case line := <-said:
		if a := strings.ToLower(strings.TrimSpace(line)); a == "y" || a == "yes" {
			return nil
		}
		return fmt.Errorf("%s: you did not say yes; nothing was sent", q.Name())
	}
}
