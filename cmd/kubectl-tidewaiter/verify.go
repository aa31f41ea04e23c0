package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/plugin/verify"
	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/audit"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

const verifyLong = `Check that recordings are as they were written: signatures of the sidecars, the operator's word for their keys, the chain of records,
the objects in the store, and the log over all sessions, which is read and computed as a whole. What was changed, removed, added or
hidden is said, where it is, and what most likely did it. docs/verify.md says what that shows, and what it does not.

Recordings are read through the operator, or with --store from the bucket or a folder. Keys and a second view of the log come from
ConfigMap tidewaiter-log in the operator's namespace; who trusts nobody in the cluster keeps the keys, and gives --operator-key and
--log-key. The log's last checkpoint is kept below ~/.local/state/tidewaiter/checkpoints, and a log that is rolled back or forked later
shows against it.

Files are verified by themselves with --offline, or if --operator-key is given and no --store; then what is missing as a whole cannot
show. Otherwise their segments must be in the log.

Exit codes: 0 if all is verified; 1 if it could not be, for an error; 2 if something was tampered with; 3 if something is incomplete
(unfinished, silent, torn, not signed), and nothing was tampered with.`

const verifyExample = `  # everything of the last day
  kubectl tidewaiter verify --since 24h

  # one session, or a file that was copied from somewhere
  kubectl tidewaiter verify report-7d9f-20261126t101201-5c2e91aa
  kubectl tidewaiter verify session.twr --operator-key recording.pub

  # the bucket itself, with keys that were kept, and an older checkpoint
  kubectl tidewaiter verify --all --store 's3://recordings?region=eu-central-1' --operator-key recording.pub \
    --log-key tidewaiter.dev/log/prod+7a1c…+AS… --checkpoint june.checkpoint --offline

  # for a pipeline
  kubectl tidewaiter verify --since 1h -o json > report.json || echo "exit code $?"`

type verifyCommand struct {
	kubeFlags
	operator     operatorFlags
	since, until string
	all          bool
	store        string
	operatorKey  string
	logKey       string
	checkpoints  []string
	offline      bool
	// open reads through the operator.
	open func(context.Context) (store.Source, func() error, error)
}

func newVerify(s streams) *cobra.Command {
	v := &verifyCommand{kubeFlags: kubeFlags{streams: s}}
	v.open = func(ctx context.Context) (store.Source, func() error, error) {
		return v.operator.open(ctx, &v.kubeFlags, "")
	}
	cmd := &cobra.Command{
		Use: "verify [SESSION...|FILE...|--all|--since TIME] [flags]", Short: "Check that recordings are as they were written, and that none is missing", Long: verifyLong, Example: verifyExample,
		DisableFlagsInUseLine: true, ValidArgsFunction: completeRecordings,
		RunE: func(cmd *cobra.Command, args []string) error { return v.run(cmd.Context(), args) },
	}
	v.register(cmd, false, "json", "yaml")
	v.operator.register(cmd, &v.kubeFlags)
	f := cmd.Flags()
	f.StringVar(&v.since, "since", "", "only what was sealed since a `time`: a span such as 24h, or 2026-11-26T10:00:00Z")
	f.StringVar(&v.until, "until", "", "only what began until a `time`, as --since")
	f.BoolVar(&v.all, "all", false, "everything")
	f.StringVar(&v.store, "store", "", "read the store itself, by its `URL`: s3://…, gs://…, azblob://…, or a folder (default: through the operator)")
	f.StringVar(&v.operatorKey, "operator-key", "", "public key of the operator's attestations: a `file` in PEM, or base64 (default: from the cluster)")
	f.StringVar(&v.logKey, "log-key", "", "verifier `key` of the log, name+hash+key (default: from the cluster)")
	f.StringArrayVar(&v.checkpoints, "checkpoint", nil, "compare the log with the checkpoint in a `file`, from wherever it was kept; may be repeated")
	f.BoolVar(&v.offline, "offline", false, "speak to no cluster")
	for _, name := range []string{"since", "until", "store", "log-key"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	cmd.MarkFlagsMutuallyExclusive("all", "since")
	cmd.MarkFlagsMutuallyExclusive("all", "until")
	return cmd
}

// completeRecordings completes files of recordings.
func completeRecordings(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{strings.TrimPrefix(recording.Extension, "."), strings.TrimPrefix(recording.SegmentExtension, ".")}, cobra.ShellCompDirectiveFilterFileExt
}

func (v *verifyCommand) run(ctx context.Context, args []string) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	if err := v.check(); err != nil {
		return err
	}
	color, err := useColor(v.color, v.out)
	if err != nil {
		return err
	}
	files, sessions, err := v.named(args)
	if err != nil {
		return err
	}
	report := &verify.Report{Findings: []audit.Finding{}}
	o := audit.Options{Wait: 5 * time.Second, Report: func(f audit.Finding) { report.Findings = append(report.Findings, f) }}
	if o.Scope, err = v.scope(sessions, time.Now()); err != nil {
		return err
	}
	alone := len(files) > 0 && v.store == "" && (v.offline || v.operatorKey != "")
	end, err := v.against(ctx, &o, alone)
	if err != nil {
		return err
	}
	defer func() { _ = end() }() // nothing was written
	report.Logged = !alone
	checkpoint, err := v.examine(ctx, o, files, report)
	if err != nil {
		return fmt.Errorf("nothing is certain, since not everything could be read: %w", err)
	}
	if err := v.remember(o.LogKey, checkpoint); err != nil {
		return err
	}
	return v.print(report, color)
}

// named tells files and sessions apart.
func (v *verifyCommand) named(args []string) (files []audit.File, sessions []string, err error) {
	for _, a := range args {
		switch _, serr := os.Stat(a); {
		case serr == nil, strings.ContainsRune(a, filepath.Separator), filepath.Ext(a) == recording.Extension, filepath.Ext(a) == recording.SegmentExtension:
			files = append(files, audit.File{Name: a, Open: func() (io.ReadCloser, error) { return os.Open(a) }})
		case (store.Session{Namespace: "x", UID: "x", ID: a}).Valid():
			sessions = append(sessions, a)
		default:
			return nil, nil, fmt.Errorf("%s: this is neither a file nor the name of a session", a)
		}
	}
	switch bounded := v.since != "" || v.until != ""; {
	case len(files) > 0 && (len(sessions) > 0 || v.all || bounded):
		return nil, nil, errors.New("name files alone, without sessions, --all, --since or --until")
	case len(sessions) > 0 && v.all:
		return nil, nil, errors.New("name sessions, or say --all: not both")
	case len(args) == 0 && !v.all && !bounded:
		return nil, nil, errors.New("say what to verify: sessions, files, --since 24h, or --all")
	}
	return files, sessions, nil
}

func (v *verifyCommand) scope(sessions []string, now time.Time) (s audit.Scope, err error) {
	s.Sessions = sessions
	if s.Since, err = instant("--since", v.since, now); err == nil {
		s.Until, err = instant("--until", v.until, now)
	}
	if err == nil && !s.Since.IsZero() && !s.Until.IsZero() && !s.Since.Before(s.Until) {
		err = errors.New("--since is not before --until")
	}
	return s, err
}

// against finds the keys, the views and the source.
func (v *verifyCommand) against(ctx context.Context, o *audit.Options, alone bool) (end func() error, err error) {
	end = func() error { return nil }
	if err := v.keys(ctx, o, alone); err != nil {
		return nil, err
	}
	if alone {
		return end, nil
	}
	switch {
	case v.store != "":
		b, err := store.Open(ctx, v.store)
		if err != nil {
			return nil, err
		}
		o.Source, end = b, b.Close
	case v.offline:
		return nil, errors.New("--offline: say with --store where the recordings are, or name files")
	default:
		if o.Source, end, err = v.open(ctx); err != nil {
			return nil, err
		}
	}
	return end, nil
}

// keys takes keys and views from flags, this machine's memory and the cluster.
func (v *verifyCommand) keys(ctx context.Context, o *audit.Options, alone bool) error {
	if v.operatorKey != "" {
		text := v.operatorKey
		if b, err := readSmall(v.operatorKey); err == nil {
			text = string(b)
		}
		key, err := verify.ParseOperatorKey(text)
		if err != nil {
			return fmt.Errorf("--operator-key %s: %w", v.operatorKey, err)
		}
		o.Operator = key
	}
	if o.LogKey = v.logKey; alone {
		return nil
	}
	if !v.offline {
		published, err := v.published(ctx)
		if err != nil {
			return err
		}
		if o.Operator == nil {
			o.Operator = published.Operator
		}
		if o.LogKey == "" {
			o.LogKey = published.LogKey
		}
		o.Views = published.Views
	}
	switch {
	case o.Operator == nil:
		return errors.New("the operator's public key is needed: --operator-key")
	case o.LogKey == "":
		return errors.New("the log's verifier key is needed: --log-key")
	}
	for _, name := range v.checkpoints {
		b, err := readSmall(name)
		if err != nil {
			return fmt.Errorf("--checkpoint: %w", err)
		}
		o.Views = append(o.Views, audit.View{Name: name, Note: b})
	}
	memory, err := verifyMemory()
	if err != nil {
		return err
	}
	seen, err := memory.View(o.LogKey)
	if err == nil && seen != nil {
		o.Views = append(o.Views, *seen)
	}
	return err
}

func (v *verifyCommand) published(ctx context.Context) (verify.Keys, error) {
	c, err := v.connect()
	if err != nil {
		return verify.Keys{}, err
	}
	return verify.Published(ctx, c.Kube, v.operator.namespace)
}

// examine verifies, with a line on the terminal that says how far it is.
func (v *verifyCommand) examine(ctx context.Context, o audit.Options, files []audit.File, report *verify.Report) (checkpoint []byte, err error) {
	if isTerminal(v.err) {
		last := time.Time{}
		o.Progress = func(leaves, of, segments int64) {
			if now := time.Now(); now.Sub(last) > 200*time.Millisecond {
				last = now
				fmt.Fprintf(v.err, "\r\x1b[Kverifying: %s of %s leaves of the log, %s segments", number(leaves), number(of), number(segments))
			}
		}
		defer fmt.Fprint(v.err, "\r\x1b[K")
	}
	if len(files) > 0 {
		report.Summary, checkpoint, err = audit.VerifyFiles(ctx, o, files)
	} else {
		report.Summary, checkpoint, err = audit.Verify(ctx, o)
	}
	if errors.Is(err, audit.ErrNoOperatorKey) {
		err = fmt.Errorf("%w: --operator-key", err)
	}
	return checkpoint, err
}

// remember keeps the checkpoint of a log in which nothing was wrong.
func (v *verifyCommand) remember(logKey string, checkpoint []byte) error {
	if checkpoint == nil {
		return nil
	}
	memory, err := verifyMemory()
	if err != nil {
		return err
	}
	return memory.Keep(logKey, checkpoint)
}

func verifyMemory() (verify.Memory, error) {
	dir, err := stateDir(os.Getenv)
	return verify.Memory{Folder: filepath.Join(dir, "checkpoints")}, err
}

// readSmall reads a file of a key or a checkpoint.
func readSmall(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, audit.MaxCheckpoint+1))
	if err == nil && len(b) > audit.MaxCheckpoint {
		err = fmt.Errorf("%s has more than %d bytes", name, audit.MaxCheckpoint)
	}
	return b, err
}

func (v *verifyCommand) print(report *verify.Report, color bool) error {
	report.Sort()
	var err error
	if v.output == "" {
		err = report.Write(v.out, color)
	} else {
		err = v.data(report)
	}
	if code := report.ExitCode(); err == nil && code != 0 {
		return exitError{code: code}
	}
	return err
}
