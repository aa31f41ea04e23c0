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

  # who waits for an approval, and answer
  kubectl tidewaiter requests -A -w
  kubectl tidewaiter approve -n data reporting-7k2p4

  # is this workload protected, and is the installation well
  kubectl tidewaiter status -n shop deployment/report
  kubectl tidewaiter doctor`,
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
	root.AddGroup(&cobra.Group{ID: people, Title: "Approvals:"}, &cobra.Group{ID: looking, Title: "What is there, and how it is:"}, &cobra.Group{ID: here, Title: "On this machine, without a cluster:"})
	grouped(root, people, newRequests(s), newApprove(s), newDeny(s), newRevoke(s), newRequest(s))
	grouped(root, looking, newSessions(s), newExport(s), newFetch(s), newVerify(s), newStatus(s), newDoctor(s), newErase(s))
	grouped(root, here, newLocal(s), newExplain(s), newReplay(s))
	root.AddCommand(newVersion(s))
	return root
}

// Groups of commands in the help.
const (
	people  = "people"
	looking = "looking"
	here    = "here"
)

func grouped(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
	}
	root.AddCommand(commands...)
}
