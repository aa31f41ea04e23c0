package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/replay"
)

const replayExample = `  # a whole session
  kubectl tidewaiter replay ~/.local/state/tidewaiter/2026-11-22t14-17-01.480-5c2e91aa.twr

  # two statements of it, with every row that was recorded
  kubectl tidewaiter replay session.twr --statement 11-12 --rows 1000`

// replayCommand are the flags of replay.
type replayCommand struct {
	streams
	options replay.Options
	color   string
}

func newReplay(s streams) *cobra.Command {
	r := &replayCommand{streams: s}
	cmd := &cobra.Command{
		Use:   "replay FILE [flags]",
		Short: "Print a recorded session as a person reads it",
		Long: `Print a recorded session: who, then statement by statement what was asked, what was decided and what came back, and
last whether the recording is as it was written. Times are UTC.

Exit codes: 0; 1 for an error, and if the recording is not as it was written.`,
		Example: replayExample,
		Args:    oneFile,

		DisableFlagsInUseLine: true,
		RunE:                  func(_ *cobra.Command, args []string) error { return r.run(args[0]) },
	}
	f := cmd.Flags()
	f.IntVar(&r.options.Width, "width", 0, "`columns` of a line, at least 100 (default: the terminal's, or 120)")
	f.StringVar(&r.options.Statements, "statement", "", "`numbers` of statements to print, such as 12, 11-12 or 3,8- (default all)")
	f.IntVar(&r.options.Rows, "rows", replay.DefaultRows, "print at most so many `rows` of a statement; 0 prints none")
	f.BoolVar(&r.options.Prepares, "prepares", false, "print statements that were prepared as well as those that ran")
	f.BoolVar(&r.options.Full, "full", false, "print statements whole, on lines of their own")
	f.StringVar(&r.color, "color", "auto", "`when` to use colors: auto (on a terminal), always or never")
	_ = cmd.RegisterFlagCompletionFunc("color", cobra.FixedCompletions([]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func oneFile(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return errors.New("name one recording: kubectl tidewaiter replay FILE" + recording.Extension)
	}
	return nil
}

func (r *replayCommand) run(name string) error {
	o := r.options
	var err error
	if o.Color, err = useColor(r.color, r.out); err != nil {
		return err
	}
	if o.Width == 0 {
		o.Width = terminalWidth(r.out)
	}
	if o.Rows < 0 {
		return fmt.Errorf("--rows %d: it is a number of rows", o.Rows)
	}
	if o.Rows == 0 {
		o.Rows = replay.NoRows
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	report, err := replay.Replay(r.out, f, o)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if report.State == recording.Broken {
		return fmt.Errorf("%s is not as it was written: nothing from there on can be trusted", name)
	}
	return nil
}
