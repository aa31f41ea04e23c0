// Command tidewaiter-proxy is the sidecar: `tidewaiter-proxy run` serves, in a pod, the data sources that the operator lets
// this pod use. It is wiring: flags become a configuration, and package sidecar does the rest.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/proxy/config"
	"github.com/tidewaiter/tidewaiter/proxy/sidecar"
)

func main() {
	hideMemory()
	root := newRoot(os.Stdout, os.Stderr)
	if err := root.Execute(); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

func newRoot(out, errOut io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use: "tidewaiter-proxy", Short: "The sidecar that decides, masks and records what a pod does with protected data",
		SilenceErrors: true, SilenceUsage: true, CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetOut(out)
	root.SetErr(errOut)
	root.AddCommand(newRun(errOut), newVersion(out))
	return root
}

const runLong = `Serve the data sources that the operator lets this pod use, on 127.0.0.1 and ::1.

Policy, credentials and certificates come from the operator, over a stream that the pod's token opens, and are kept in
memory. Until they have come, nothing is served and /readyz says what is missing. While the operator cannot be reached,
open connections go on, and new ones are refused once the lease that it gave (60 s, unless it says otherwise) is over.

The environment variables POD_NAME, POD_NAMESPACE and POD_UID say whose sidecar it is (downward API).
SIGTERM drains: what is under way may finish within --drain-timeout.`

const runExample = `  # as it is injected into a pod
  tidewaiter-proxy run --operator tidewaiter-operator.tidewaiter-system.svc:8443 --data-source data/orders`

func newRun(errOut io.Writer) *cobra.Command {
	cfg := config.Defaults()
	cmd := &cobra.Command{
		Use: "run --operator HOST:PORT --data-source NAMESPACE/NAME [flags]", Short: "Serve data sources until SIGTERM",
		Long: runLong, Example: runExample, Args: cobra.NoArgs, DisableFlagsInUseLine: true,
		RunE: func(*cobra.Command, []string) error {
			cfg.FromEnvironment(os.Getenv)
			if err := cfg.Check(); err != nil {
				return err
			}
			debug.SetMemoryLimit(cfg.Memory)
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal ends the process at once
			return sidecar.Run(ctx, *cfg, sidecar.Options{
				Version: versionString(), Log: slog.New(slog.NewJSONHandler(errOut, &slog.HandlerOptions{Level: cfg.Level()})), Begun: func() {
					debug.FreeOSMemory()
					forgetStart()
				},
			})
		},
	}
	for _, s := range cfg.Settings() {
		register(cmd, s)
	}
	return cmd
}

// register makes a flag of a setting.
func register(cmd *cobra.Command, s config.Setting) {
	f := cmd.Flags()
	switch v := s.Value.(type) {
	case *string:
		f.StringVar(v, s.Flag, *v, s.Usage)
	case *[]string:
		f.StringArrayVar(v, s.Flag, *v, s.Usage)
	case *int:
		f.IntVar(v, s.Flag, *v, s.Usage)
	case *int64:
		f.Int64Var(v, s.Flag, *v, s.Usage)
	case *time.Duration:
		f.DurationVar(v, s.Flag, *v, s.Usage)
	default:
		panic(fmt.Sprintf("--%s: no flag is made of a %T", s.Flag, v)) // a defect, which every start meets
	}
}
