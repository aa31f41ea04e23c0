package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/plugin/doctor"
)

const doctorLong = `Look at the installation: definitions, operator and its leader, webhook, admission policies, opted-in namespaces, DataSources and
AccessPolicies, and what you may do. Each line says ok, warn or FAIL, and how to cure it. What has to be there is what belongs
to this plugin's version. Nothing is changed.

What you may not read is a warning: somebody who may read it can say more.

Exit codes: 0 if nothing failed, warnings included; 1 if something did, or for an error.`

const doctorExample = `  kubectl tidewaiter doctor

  # for a pipeline
  kubectl tidewaiter doctor -o json`

type doctorCommand struct {
	kubeFlags
	operatorNamespace string
}

func newDoctor(s streams) *cobra.Command {
	d := &doctorCommand{kubeFlags: kubeFlags{streams: s}}
	cmd := &cobra.Command{
		Use: "doctor [flags]", Short: "Look for what is wrong with the installation, and how to cure it", Long: doctorLong, Example: doctorExample,
		Args: cobra.NoArgs, DisableFlagsInUseLine: true, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context()) },
	}
	d.register(cmd, false, "json", "yaml")
	cmd.Flags().StringVar(&d.operatorNamespace, "operator-namespace", "tidewaiter-system", "`namespace` that the operator is in")
	_ = cmd.RegisterFlagCompletionFunc("operator-namespace", d.complete(namespaceNames))
	return cmd
}

func (d *doctorCommand) run(ctx context.Context) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	c, err := d.connect()
	if err != nil {
		return err
	}
	color, err := useColor(d.color, d.out)
	if err != nil {
		return err
	}
	report, err := (&doctor.Doctor{Cluster: c, Namespace: d.operatorNamespace, Now: time.Now}).Examine(ctx)
	if err != nil {
		return err
	}
	if d.output != "" {
		err = d.data(report)
	} else {
		err = report.Write(d.out, color)
	}
	if err == nil && !report.Healthy {
		return exitError{code: 1}
	}
	return err
}
