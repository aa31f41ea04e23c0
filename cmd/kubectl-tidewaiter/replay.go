package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/history"
	"github.com/tidewaiter/tidewaiter/recording/replay"
	"github.com/tidewaiter/tidewaiter/recording/store"
	"github.com/tidewaiter/tidewaiter/recording/stream"
)

const replayExample = `  # a whole session
  kubectl tidewaiter replay ~/.local/state/tidewaiter/2026-11-22t14-17-01.480-5c2e91aa.twr

  # two statements of it, with every row that was recorded
  kubectl tidewaiter replay session.twr --statement 11-12 --rows 1000

  # one that is kept, by its name; while it goes on; ten times as fast as it happened
  kubectl tidewaiter replay -n shop 2026-11-26t10-12-01.118-5c2e91aa
  kubectl tidewaiter replay -n shop 2026-11-26t10-12-01.118-5c2e91aa --follow
  kubectl tidewaiter replay session.twr --speed 10

  # as one page for a browser, as a table, and as a script of what ran
  kubectl tidewaiter replay session.twr --format html > session.html
  kubectl tidewaiter replay session.twr --format csv > session.csv
  kubectl tidewaiter replay session.twr --sql > session.sql

  # again, on a copy of the database; exit code 2: something came out otherwise
  PGPASSFILE=~/.pgpass kubectl tidewaiter replay session.twr --against 'host=localhost dbname=shop_copy user=me'`

// replayCommand are the flags of replay.
type replayCommand struct {
	kubeFlags
	archive archive
	options replay.Options
	format  string
	sql     bool
	follow  bool
	against againstFlags
}

var formats = []string{"text", "json", "csv", "html"}

func newReplay(s streams) *cobra.Command {
	r := &replayCommand{kubeFlags: kubeFlags{streams: s}}
	cmd := &cobra.Command{
		Use:   "replay SESSION|FILE... [flags]",
		Short: "Print a recorded session as a person reads it",
		Long: `Print a recorded session: who, then statement by statement what was asked, what was decided and what came back, and
last whether the recording is as it was written. Times are UTC. A session is read from a file, a folder of segments, or by its name
from where the operator keeps them. Signatures and the log are checked by kubectl tidewaiter verify.

With --against the statements are run again, on a copy of the database: those that only read, each in a read-only transaction,
unless --writes is given. Verify a recording first, and connect as a role that may do no more than it must. What is masked,
denied, cut short or not recorded is skipped, and said to be. Answers, errors, numbers of rows and values are compared.

Exit codes: 0; 1 for an error, and if the recording is not as it was written; 2 if --against finds differences.`,
		Example: replayExample,
		Args:    someRecordings,

		DisableFlagsInUseLine: true,
		RunE:                  func(cmd *cobra.Command, args []string) error { return r.run(cmd.Context(), args) },
	}
	r.register(cmd, false)
	r.archive.register(cmd, &r.kubeFlags)
	f := cmd.Flags()
	f.IntVar(&r.options.Width, "width", 0, "`columns` of a line, at least 100 (default: the terminal's, or 120)")
	f.StringVar(&r.options.Statements, "statement", "", "`numbers` of statements to print, such as 12, 11-12 or 3,8- (default all)")
	f.IntVar(&r.options.Rows, "rows", replay.DefaultRows, "print at most so many `rows` of a statement; 0 prints none")
	f.BoolVar(&r.options.Prepares, "prepares", false, "print statements that were prepared as well as those that ran")
	f.BoolVar(&r.options.Full, "full", false, "print statements whole, on lines of their own")
	f.Float64Var(&r.options.Speed, "speed", 0, "print so many `times` as fast as it happened: 1 takes as long as the session did (default: at once)")
	f.BoolVar(&r.follow, "follow", false, "wait for more until the session ends, or SIGINT")
	f.StringVar(&r.format, "format", "text", "`format`: "+strings.Join(formats, ", "))
	f.BoolVar(&r.sql, "sql", false, "print a script for psql of what ran; what cannot be run again is a comment in it")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	cmd.MarkFlagsMutuallyExclusive("sql", "format")
	r.against.register(cmd)
	return cmd
}

func someRecordings(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("name one recording: kubectl tidewaiter replay FILE" + recording.Extension)
	}
	return nil
}

func (r *replayCommand) run(ctx context.Context, names []string) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	o := &r.options
	var err error
	if o.Color, err = useColor(r.color, r.out); err != nil {
		return err
	}
	if o.Width == 0 {
		o.Width = terminalWidth(r.out)
	}
	timed := o.Speed != 0 || r.follow
	if err := r.against.check(r.sql || timed || o.Statements != "", r.format); err != nil {
		return err
	}
	switch {
	case o.Rows < 0:
		return fmt.Errorf("--rows %d: it is a number of rows", o.Rows)
	case o.Speed < 0:
		return fmt.Errorf("--speed %g: it is how many times as fast as it happened", o.Speed)
	case timed && (r.sql || r.format == "html" || r.format == "csv"):
		return errors.New("--speed and --follow go with --format text; --follow also with json")
	case o.Speed != 0 && r.format != "text":
		return errors.New("--speed goes with --format text")
	case len(names) > 1 && (r.format == "html" || r.format == "csv"):
		return errors.New("name one recording: a page or a table is of one session")
	}
	if o.Rows == 0 {
		o.Rows = replay.NoRows
	}
	if timed {
		o.Wait = func(d time.Duration) bool {
			select {
			case <-ctx.Done():
				return false
			case <-time.After(d):
				return true
			}
		}
	}
	for i, name := range names {
		if i > 0 && r.format == "text" && !r.sql {
			fmt.Fprintln(r.out)
		}
		err = errors.Join(err, r.one(ctx, name))
	}
	return err
}

// one replays one recording.
func (r *replayCommand) one(ctx context.Context, name string) error {
	from, end, err := r.open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = end() }() // nothing was written
	if r.against.dsn != "" {
		return r.against.run(ctx, &r.streams, from, name, r.format)
	}
	report, err := r.print(from)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if report.State == recording.Broken {
		if r.format != "text" || r.sql {
			return fmt.Errorf("%s is not as it was written: %s", name, report)
		}
		return fmt.Errorf("%s is not as it was written: nothing from there on can be trusted", name)
	}
	return nil
}

func (r *replayCommand) print(from *stream.Recording) (recording.Report, error) {
	o := r.options
	switch {
	case r.sql:
		return replay.SQL(r.out, from, o.Statements)
	case r.format == "json":
		return replay.JSON(r.out, from, o.Statements)
	case r.format == "csv":
		return replay.CSV(r.out, from, o.Statements)
	case r.format == "html":
		return replay.HTML(r.out, from, o.Statements, max(o.Rows, 0))
	case r.format == "text":
		return replay.Play(r.out, from, o)
	default:
		return recording.Report{}, fmt.Errorf("--format %s: it is one of %s", r.format, strings.Join(formats, ", "))
	}
}

// open finds a recording: a file or a folder, or else a session that is kept.
func (r *replayCommand) open(ctx context.Context, name string) (*stream.Recording, func() error, error) {
	o := stream.Options{Follow: r.follow}
	_, err := os.Stat(name)
	if err == nil || strings.ContainsRune(name, filepath.Separator) || filepath.Ext(name) == recording.Extension || !(store.Session{Namespace: "x", UID: "x", ID: name}).Valid() {
		s, err := stream.Open(ctx, name, o)
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	}
	namespace := *r.config.Namespace
	source, end, err := r.archive.open(ctx, &r.kubeFlags, namespace)
	if err != nil {
		return nil, nil, err
	}
	session, err := history.Find(ctx, source, namespace, name)
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	s, err := stream.Session(ctx, source, session, o)
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return s, end, nil
}

// notAsWritten is the error of a recording that cannot be read on; a broken one ends the command with code 2.
func notAsWritten(name string, err error) error {
	if broken := (*recording.BrokenError)(nil); errors.As(err, &broken) {
		return exitError{code: 2, err: fmt.Errorf("%s is not as it was written: %w; nothing from there on was written", name, err)}
	}
	return fmt.Errorf("%s: %w", name, err)
}
