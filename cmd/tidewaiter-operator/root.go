package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker where releases are built; otherwise the module's version counts.
var version string

func newRoot(out, errOut io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "tidewaiter-operator",
		Short: "Tidewaiter's side of the cluster: admission, sidecars, status",
		Long: `The operator puts the proxy into pods that ask for it, gives each sidecar the policy and the credential of what its
pod may use and nothing else, and says in DataSource, AccessPolicy and Session what is in force.`,
		Example: `  # in a cluster, as config/manager/deployment.yaml does
  tidewaiter-operator run --proxy-image ghcr.io/tidewaiter/tidewaiter-proxy:v0.1.0

  # on a laptop, for a cluster without the operator
  tidewaiter-operator run --kubeconfig ~/.kube/config --one-replica --proxy-image localhost/tidewaiter-proxy \
    --sidecars-address 127.0.0.1:8443 --webhook-address 127.0.0.1:9443 --name 127.0.0.1`,
		SilenceErrors: true, // execute reports them
		SilenceUsage:  true,
		Args:          cobra.NoArgs, // so that a mistyped command is an error
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		DisableFlagsInUseLine: true,
	}
	root.SetOut(out)
	root.SetErr(errOut)
	root.AddCommand(newRun(errOut), newVersion(out))
	return root
}

func newVersion(out io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  tidewaiter-operator version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(out, "tidewaiter-operator %s, %s %s/%s\n", built(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// built is the version of the build: the linker's, or the module's, or the commit's.
func built() string {
	info, ok := debug.ReadBuildInfo()
	switch {
	case version != "":
		return version
	case !ok:
		return "unknown"
	case info.Main.Version != "" && info.Main.Version != "(devel)":
		return info.Main.Version
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return "commit " + setting.Value
		}
	}
	return "unknown"
}
