package main

import (
	"github.com/spf13/cobra"
)

// newRoot returns the command with everything under it.
func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "kubectl-tidewaiter",
		Short: "Let agents use data by its owner's policy",
		Long: `Tidewaiter stands between a program and a database: every statement is decided by the policy of the data's
owner before it is sent, sensitive values are masked by where they come from, and every session is recorded.`,
		Example: `  # run psql by the policy in manifests/, without a cluster
  kubectl tidewaiter local -f manifests/ -- psql

  # what would happen to a statement, and which rule says so
  kubectl tidewaiter explain -f manifests/ "select name, ssn from customers"

  # read a session that was recorded
  kubectl tidewaiter replay ~/.local/state/tidewaiter/2026-11-22t14-17-01.480-5c2e91aa.twr`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl tidewaiter"},
		SilenceErrors: true, // execute reports them
		SilenceUsage:  true,
		Args:          cobra.NoArgs, // so that a mistyped command is an error
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		DisableFlagsInUseLine: true,
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.AddCommand(newRequests(s), newApprove(s), newDeny(s), newRevoke(s), newRequest(s), newSessions(s), newStatus(s), newDoctor(s), newLocal(s), newExplain(s), newReplay(s), newVersion(s))
	return root
}
