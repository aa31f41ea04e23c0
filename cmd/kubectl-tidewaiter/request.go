package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
	"github.com/tidewaiter/tidewaiter/plugin/approval"
	"github.com/tidewaiter/tidewaiter/plugin/table"
)

// exitNotGranted ends request --wait where the request was not approved.
const exitNotGranted = 3

const requestLong = `Ask for access ahead of time: for kinds of statements on tables, for a while from the approval on. It can only be asked for
what a rule of the data's owner asks approvals for; everything else about the policy stays as it is.

--policy and --rule are found where only one rule fits, --statements and --tables are the rule's where they are left out.

Exit codes: 0 if the request was made, with --wait if it was approved; 3 if it was not; 1 for an error.`

const requestExample = `  # the only rule that asks, for an hour
  kubectl tidewaiter request -n data --datasource orders --as-workload shop/report-agent --for 1h --reason OPS-7

  # for something in particular, and wait for the answer
  kubectl tidewaiter request -n data --datasource orders --policy reporting --rule corrections \
    --statements Update --tables public.orders --for 1h --reason "OPS-7" --as-workload shop/report-agent --wait`

type requestCommand struct {
	kubeFlags
	ask  approval.Ask
	wait bool
}

func newRequest(s streams) *cobra.Command {
	r := &requestCommand{kubeFlags: kubeFlags{streams: s}}
	cmd := &cobra.Command{
		Use:   "request [-n NAMESPACE] --datasource NAME --for DURATION [flags]",
		Short: "Ask for access ahead of time", Long: requestLong, Example: requestExample,
		Args: cobra.NoArgs, DisableFlagsInUseLine: true, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd.Context()) },
	}
	r.register(cmd, false, "json", "yaml", "name")
	f := cmd.Flags()
	f.StringVar(&r.ask.DataSource, "datasource", "", "`name` of the DataSource")
	f.StringVar(&r.ask.Policy, "policy", "", "`name` of the AccessPolicy (default: the only one with a rule that fits)")
	f.StringVar(&r.ask.Rule, "rule", "", "`name` of its rule (default: the only one that fits)")
	f.StringSliceVar(&r.ask.Statements, "statements", nil, "`kinds` and features of statements, such as Update,Delete (default: the rule's)")
	f.StringSliceVar(&r.ask.Tables, "tables", nil, "`patterns` schema.table, such as public.orders (default: the rule's)")
	f.DurationVar(&r.ask.For, "for", 0, "how `long`, from the approval on: 1s to 24h")
	f.DurationVar(&r.ask.Patience, "expires-in", 0, "how `long` people have to answer (default: 24h)")
	f.StringVar(&r.ask.Reason, "reason", "", "why, in your own `words`, such as a ticket's number")
	f.StringVar(&r.ask.Workload, "as-workload", "", "who is to have it, as `namespace/serviceaccount` (default: you, if you are a service account)")
	f.BoolVar(&r.wait, "wait", false, "wait until it is answered or void")
	for _, name := range []string{"for", "expires-in"} {
		f.Lookup(name).DefValue = ""
	}
	for name, find := range map[string]completion{
		"datasource": r.complete(dataSourceNames), "policy": r.complete(policyNames), "statements": completeStatements,
		"rule": cobra.NoFileCompletions, "tables": cobra.NoFileCompletions, "reason": cobra.NoFileCompletions, "for": cobra.NoFileCompletions,
		"as-workload": cobra.NoFileCompletions, "expires-in": cobra.NoFileCompletions,
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, find)
	}
	return cmd
}

func completeStatements(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var out []string
	for _, kind := range v1alpha1.NamedKinds() {
		out = append(out, string(kind))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func (r *requestCommand) arguments() error {
	switch a := r.ask; {
	case a.DataSource == "":
		return errors.New("say what it is about: --datasource NAME")
	case a.For < time.Second || a.For > 24*time.Hour:
		return errors.New("say for how long: --for, between 1s and 24h, such as --for 1h")
	case a.Patience != 0 && (a.Patience < time.Second || a.Patience > approval.MaxPatience):
		return fmt.Errorf("--expires-in %s: it is between 1s and 168h, which are 7 days", a.Patience)
	case len(a.Reason) > maxReason:
		return fmt.Errorf("--reason has %s: at most %s are kept", table.Count(int64(len(a.Reason)), "byte"), table.Number(maxReason))
	}
	return nil
}

func (r *requestCommand) run(ctx context.Context) error {
	if err := r.arguments(); err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	c, err := r.connect()
	if err != nil {
		return err
	}
	desk := &approval.Desk{Cluster: c, Now: time.Now}
	r.ask.Namespace = c.Namespace
	made, err := desk.Request(ctx, r.ask)
	if err != nil {
		return err
	}
	fmt.Fprintf(r.err, "AccessRequest %s/%s: %s; void at %s\nAn approver runs: kubectl tidewaiter approve -n %s %s\n",
		made.Namespace, made.Name, table.Line(made.Spec.Summary), table.Clock(made.Spec.ExpiresAt.Time, time.Now()), made.Namespace, made.Name)
	if !r.wait {
		return r.printed(made)
	}
	settled, err := desk.Settled(ctx, made)
	if ctx.Err() != nil {
		return fmt.Errorf("you stopped waiting; the request stays: kubectl tidewaiter requests -n %s", made.Namespace)
	}
	if err != nil {
		return err
	}
	if err := r.printed(settled); err != nil {
		return err
	}
	fmt.Fprintln(r.err, approval.Verdict(settled, time.Now()))
	if approval.State(settled) != v1alpha1.RequestApproved {
		return exitError{code: exitNotGranted}
	}
	return nil
}

// printed writes the request's name, or what -o asks for.
func (r *requestCommand) printed(made *v1alpha1.AccessRequest) error {
	if r.output == "" {
		_, err := fmt.Fprintln(r.out, made.Name)
		return err
	}
	return r.object(made.DeepCopy())
}
