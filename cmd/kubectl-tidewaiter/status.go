package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/tidewaiter/tidewaiter/plugin/protection"
	"github.com/tidewaiter/tidewaiter/plugin/table"
)

// exitNotProtected ends status where a pod is not protected.
const exitNotProtected = 3

const statusLong = `Say whether a workload is protected: the verdict first, and then what it rests on. It looks at the pod and its sidecar,
at the Session that the operator keeps of it, at the DataSources and the policies that select it, and whether the sidecar has
them in the generation that is wanted; and lists the requests that wait and the warnings of the last hour.

What you may not read is said, and never taken for a good sign.

Exit codes: 0 if all the pods are protected, 3 if one is not, 1 for an error.`

const statusExample = `  kubectl tidewaiter status -n shop report-7d9f

  # all the pods of a Deployment
  kubectl tidewaiter status -n shop deployment/report`

type statusCommand struct{ kubeFlags }

func newStatus(s streams) *cobra.Command {
	c := &statusCommand{kubeFlags{streams: s}}
	cmd := &cobra.Command{
		Use:   "status POD|deployment/NAME [-n NAMESPACE] [flags]",
		Short: "Say whether a workload is protected, and why not", Long: statusLong, Example: statusExample,
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("name one workload: kubectl tidewaiter status -n NAMESPACE POD, or deployment/NAME")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args[0]) },
	}
	c.register(cmd, false, "json", "yaml")
	cmd.ValidArgsFunction = c.completeOne(podNames)
	return cmd
}

func (s *statusCommand) run(ctx context.Context, target string) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	c, err := s.connect()
	if err != nil {
		return err
	}
	color, err := useColor(s.color, s.out)
	if err != nil {
		return err
	}
	pods, err := protection.Pods(ctx, c, c.Namespace, target)
	if err != nil {
		return err
	}
	reports, bad := make([]*protection.Report, 0, len(pods)), 0
	for i := range pods {
		r, err := protection.Look(ctx, c, &pods[i], time.Now())
		if err != nil {
			return err
		}
		if reports = append(reports, r); !r.Protected {
			bad++
		}
	}
	if err := s.write(target, reports, bad, color); err != nil {
		return err
	}
	if bad > 0 {
		return exitError{code: exitNotProtected}
	}
	return nil
}

func (s *statusCommand) write(target string, reports []*protection.Report, bad int, color bool) error {
	if s.output != "" {
		return s.data(reports)
	}
	if len(reports) > 1 {
		line, style := fmt.Sprintf("protected: all %d pods", len(reports)), table.Good
		if bad > 0 {
			line, style = fmt.Sprintf("NOT protected: %d of %d pods", bad, len(reports)), table.Bad
		}
		fmt.Fprintf(s.out, "%s   %s\n\n", table.Paint(target, table.Strong, color), table.Paint(line, style, color))
	}
	for i, r := range reports {
		if i > 0 {
			fmt.Fprintln(s.out)
		}
		if err := r.Write(s.out, time.Now(), color); err != nil {
			return err
		}
	}
	return nil
}

// data prints what is no object of the API, as -o says.
func (k *kubeFlags) data(v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if k.output == "yaml" {
		if raw, err = yaml.JSONToYAML(raw); err != nil {
			return err
		}
	} else {
		raw = append(raw, '\n')
	}
	_, err = k.out.Write(raw)
	return err
}
