package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/tidewaiter/tidewaiter/local"
	"github.com/tidewaiter/tidewaiter/local/explain"
	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// Exit codes of explain beside 0 and 1.
const (
	exitDenied   = 3
	exitApproval = 4
)

const explainLong = `Say what would happen to a statement: what it is taken for, what is decided and by which rule, and what becomes of
every column of its result. The database is asked for its catalog and for the columns' names; the statement is not
executed.

Exit codes: 0 if it would be allowed, 3 if it would be denied, 4 if it would need approval, 1 for an error.`

const explainExample = `  # as the only subject that the policies name
  kubectl tidewaiter explain -f manifests/ "select name, upper(ssn) from customers"

  # as a certain one, for a program
  kubectl tidewaiter explain -f manifests/ --as shop/report-agent -o json "copy orders to stdout"`

// explainCommand are the flags of explain.
type explainCommand struct {
	streams
	manifestFlags
	output string
	color  string
}

func newExplain(s streams) *cobra.Command {
	e := &explainCommand{streams: s}
	cmd := &cobra.Command{
		Use:     `explain -f FILE|DIR [--as NAMESPACE/SERVICEACCOUNT] [flags] "SQL"`,
		Short:   "Say what would happen to a statement, and which rule says so",
		Long:    explainLong,
		Example: explainExample,
		Args:    oneStatement,

		DisableFlagsInUseLine: true,
		RunE:                  func(cmd *cobra.Command, args []string) error { return e.run(cmd.Context(), args[0]) },
	}
	e.register(cmd, "default: the only one to which the subject may attach")
	f := cmd.Flags()
	f.StringVarP(&e.output, "output", "o", "", "`format`, json or yaml (default: text for a person)")
	f.StringVar(&e.color, "color", "auto", "`when` to use colors: auto (on a terminal), always or never")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("color", cobra.FixedCompletions([]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func oneStatement(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return errors.New(`write the statement as one argument: kubectl tidewaiter explain -f … "select …"`)
	}
	return nil
}

func (e *explainCommand) run(ctx context.Context, sql string) error {
	if ctx == nil {
		ctx = context.Background()
	}
	o, err := e.options(os.Getenv)
	if err != nil {
		return err
	}
	if e.dataSource != "" {
		o.DataSources = []string{e.dataSource}
	}
	warn(e.streams, o)
	source, err := local.Open(o)
	if err != nil {
		return err
	}
	report, err := explain.Run(ctx, source, sql)
	if err != nil {
		return err
	}
	if err := e.write(report); err != nil {
		return err
	}
	switch report.Effect {
	case access.Allow.String():
		return nil
	case access.RequireApproval.String():
		return exitError{code: exitApproval}
	default:
		return exitError{code: exitDenied}
	}
}

func (e *explainCommand) write(r *explain.Report) error {
	switch e.output {
	case "":
		color, err := useColor(e.color, e.out)
		if err != nil {
			return err
		}
		return r.Write(e.out, color)
	case "json":
		encoder := json.NewEncoder(e.out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(r)
	case "yaml":
		raw, err := yaml.Marshal(r)
		if err != nil {
			return err
		}
		_, err = e.out.Write(raw)
		return err
	default:
		return fmt.Errorf("-o %s: it is one of json, yaml", e.output)
	}
}
