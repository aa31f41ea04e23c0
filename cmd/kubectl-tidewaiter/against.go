package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/plugin/table"
	"github.com/tidewaiter/tidewaiter/recording/against"
	"github.com/tidewaiter/tidewaiter/recording/stream"
)

// againstFlags are those of replay that run a session again.
type againstFlags struct {
	dsn     string
	writes  bool
	timeout time.Duration
}

func (a *againstFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&a.dsn, "against", "", "run the statements again on the database at this `DSN`, a copy, and compare; a password is better in PGPASSFILE")
	f.BoolVar(&a.writes, "writes", false, "with --against: run statements that change something as well")
	f.DurationVar(&a.timeout, "statement-timeout", 30*time.Second, "with --against: the longest `time` that a statement may take")
	_ = cmd.RegisterFlagCompletionFunc("against", cobra.NoFileCompletions)
}

func (a *againstFlags) check(other bool, format string) error {
	switch {
	case a.dsn == "" && a.writes:
		return errors.New("--writes goes with --against")
	case a.dsn != "" && (other || format != "text" && format != "json"):
		return errors.New("--against goes with --format text or json, and not with --sql, --speed, --follow or --statement")
	case a.dsn != "" && a.timeout <= 0:
		return fmt.Errorf("--statement-timeout %s: give it a time such as 30s", a.timeout)
	}
	return nil
}

// run runs a recording again and prints what came of each statement.
func (a *againstFlags) run(ctx context.Context, s *streams, from *stream.Recording, name, format string) error {
	again, err := against.Open(ctx, a.dsn)
	if err != nil {
		return fmt.Errorf("--against: %w", err)
	}
	defer func() { _ = again.Close(context.Background()) }()
	counts := map[against.Verdict]int{}
	lines := json.NewEncoder(s.out)
	for result, err := range again.Run(ctx, from.Events(), against.Options{Writes: a.writes, Timeout: a.timeout}) {
		if err != nil {
			return notAsWritten(name, err)
		}
		counts[result.Verdict]++
		if format == "json" {
			err = lines.Encode(result)
		} else {
			_, err = fmt.Fprintln(s.out, line(&result))
		}
		if err != nil {
			return err
		}
	}
	sums := fmt.Sprintf("%d the same, %d different, %d skipped", counts[against.Same], counts[against.Differs], counts[against.Skipped])
	if counts[against.Differs] > 0 {
		return exitError{code: 2, err: fmt.Errorf("%s: %s", name, sums)}
	}
	_, err = fmt.Fprintf(s.err, "%s: %s\n", name, sums)
	return err
}

// line is a result for people: at most so much of the statement, and on one line.
func line(r *against.Result) string {
	const most = 60
	text := table.Line(strings.Join(strings.Fields(r.Text), " "))
	if cut := []rune(text); len(cut) > most {
		text = string(cut[:most-1]) + "…"
	}
	out := fmt.Sprintf("%5d  %-7s  %-*s", r.Statement, r.Verdict, most, text)
	if r.What != "" {
		out += "  " + table.Line(r.What)
	}
	return strings.TrimRight(out, " ")
}
