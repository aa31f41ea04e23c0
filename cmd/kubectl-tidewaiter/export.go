package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/recording/history"
	"github.com/tidewaiter/tidewaiter/recording/ocsf"
	"github.com/tidewaiter/tidewaiter/recording/store"
	"github.com/tidewaiter/tidewaiter/recording/stream"
)

const exportLong = `Write what recordings hold as events of the Open Cybersecurity Schema Framework (OCSF 1.3): one line of JSON for each statement,
and a finding for what was denied and for alarms; or send them to a collector over OTLP. Neither rows nor parameters are written.
docs/ocsf.md says what each field is.

Each recording is checked while it is read: of a broken one, nothing at or after the place is written, and the exit code is 2.
Signatures and the log are checked by kubectl tidewaiter verify.

Exit codes: 0; 1 for an error, also if a session was erased; 2 if a recording is not as it was written.`

const exportExample = `  # yesterday's events for a SIEM that reads files
  kubectl tidewaiter export -A --since 24h -o tidewaiter.ocsf.jsonl

  # of one recording, and into a collector
  kubectl tidewaiter export session.twr
  kubectl tidewaiter export -A --since 1h --otlp http://collector:4318`

type exportCommand struct {
	kubeFlags
	archive archive
	format  string
	file    string
	otlp    string
}

func newExport(s streams) *cobra.Command {
	e := &exportCommand{kubeFlags: kubeFlags{streams: s}}
	cmd := &cobra.Command{
		Use: "export [FILE...|--since TIME] [flags]", Short: "Write recorded sessions as events for a SIEM", Long: exportLong, Example: exportExample,
		DisableFlagsInUseLine: true,
		RunE:                  func(cmd *cobra.Command, args []string) error { return e.run(cmd.Context(), args) },
	}
	e.register(cmd, true)
	e.archive.register(cmd, &e.kubeFlags)
	e.archive.search(cmd)
	f := cmd.Flags()
	f.StringVar(&e.format, "format", "ocsf", "`format` of the events: ocsf")
	f.StringVarP(&e.file, "output", "o", "", "write to a `file` that is not there yet (default: standard output)")
	f.StringVar(&e.otlp, "otlp", "", "send to a collector by its `URL`, such as http://collector:4318, instead of writing")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"ocsf"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("otlp", cobra.NoFileCompletions)
	cmd.MarkFlagsMutuallyExclusive("output", "otlp")
	return cmd
}

// target takes events; done is called at the end.
type target struct {
	send func(context.Context, *ocsf.Event) error
	done func(context.Context) error
}

func (e *exportCommand) run(ctx context.Context, files []string) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	switch {
	case e.format != "ocsf":
		return fmt.Errorf("--format %s: it is ocsf", e.format)
	case (len(files) > 0) == (e.archive.since != ""):
		return errors.New("name files, or say --since 24h")
	}
	if flag, given := e.archive.past(); given && len(files) > 0 {
		return fmt.Errorf("%s goes with --since, not with files", flag)
	}
	to, err := e.target()
	if err != nil {
		return err
	}
	if len(files) > 0 {
		err = e.files(ctx, files, to)
	} else {
		err = e.sessions(ctx, to)
	}
	err = errors.Join(err, to.done(ctx))
	if code := (exitError{}); errors.As(err, &code) {
		return exitError{code: code.code, err: err} // with what else was wrong
	}
	return err
}

func (e *exportCommand) target() (target, error) {
	if e.otlp != "" {
		o, err := ocsf.NewOTLP(e.otlp)
		if err != nil {
			return target{}, fmt.Errorf("--otlp: %w", err)
		}
		return target{o.Send, o.Flush}, nil
	}
	out, end := e.out, func() error { return nil }
	if e.file != "" {
		f, err := os.OpenFile(e.file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return target{}, err
		}
		out, end = f, f.Close
	}
	w := bufio.NewWriter(out)
	lines := json.NewEncoder(w)
	return target{
		func(_ context.Context, event *ocsf.Event) error { return lines.Encode(event) },
		func(context.Context) error { return errors.Join(w.Flush(), end()) },
	}, nil
}

func (e *exportCommand) files(ctx context.Context, files []string, to target) (all error) {
	for _, name := range files {
		r, err := stream.Open(ctx, name, stream.Options{})
		if err == nil {
			err = errors.Join(exported(ctx, r, name, to), r.Close())
		}
		all = errors.Join(all, err)
	}
	return all
}

func (e *exportCommand) sessions(ctx context.Context, to target) (all error) {
	namespace, err := e.within()
	if err != nil {
		return err
	}
	q, err := e.archive.query(namespace, time.Now())
	if err != nil {
		return err
	}
	from, end, err := e.archive.open(ctx, &e.kubeFlags, namespace)
	if err != nil {
		return err
	}
	defer func() { _ = end() }() // nothing was written
	for entry, err := range history.Search(ctx, from, q) {
		if err != nil {
			return errors.Join(all, err)
		}
		r, err := stream.Session(ctx, from, history.Name(&entry), stream.Options{})
		if err == nil {
			err = exported(ctx, r, entry.Session, to)
		}
		if errors.Is(err, store.ErrErased) {
			err = fmt.Errorf("%s was erased: %w", entry.Session, err)
		}
		all = errors.Join(all, err)
	}
	return all
}

// exported sends the events of one recording, as far as it is as it was written.
func exported(ctx context.Context, r *stream.Recording, name string, to target) error {
	var m ocsf.Mapper
	last := uint64(0)
	for rec, err := range r.Events() {
		if err != nil {
			return notAsWritten(name, err)
		}
		last = rec.Seq
		for _, event := range m.Map(rec.Seq, &rec.Event) {
			if err := to.send(ctx, event); err != nil {
				return err
			}
		}
	}
	for _, event := range m.Rest(last) {
		if err := to.send(ctx, event); err != nil {
			return err
		}
	}
	return nil
}
