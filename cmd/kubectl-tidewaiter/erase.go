package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/plugin/reader"
	"github.com/tidewaiter/tidewaiter/plugin/table"
	"github.com/tidewaiter/tidewaiter/recording/index"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

const eraseLong = `Erase the content of one recorded session, for good: the operator deletes the key that the session is encrypted to. What was asked and
answered can be read by nobody any more, the operator's administrators included. That there was the session remains: its heads,
signatures and digests still verify, and the log over all sessions says who erased it, when, and why.

You are shown the session, and asked. Where standard input is no terminal, --yes has to say that you have read it. The session is
looked up in the index, by --as-reader; --pod-uid saves that, and is needed by who may not read.

You need create on serviceaccounts/token for the account of --as-eraser, and the account needs delete on sessions/recording in the
namespace. Who asked is in the log by the account and by its token's name, by which the API server's audit log knows you.

Exit codes: 0, also if the session was erased before; 1 for an error or if you said no.`

const eraseExample = `  kubectl tidewaiter erase 2026-11-26t10-12-01.480-5c2e91aa -n shop --reason "request 17: customer 4711"

  # without being asked, and without reading the index
  kubectl tidewaiter erase 2026-11-26t10-12-01.480-5c2e91aa -n shop --pod-uid 0c5b7c1e-8f7e-4f6a-9d53-3e3d5f0a2b11 --reason "request 17" --yes`

type eraseCommand struct {
	kubeFlags
	operator operatorFlags
	eraser   string
	uid      string
	reason   string
	yes      bool
}

func newErase(s streams) *cobra.Command {
	e := &eraseCommand{kubeFlags: kubeFlags{streams: s}}
	cmd := &cobra.Command{
		Use: "erase SESSION -n NAMESPACE --reason TEXT [flags]", Short: "Erase the content of a recorded session, for good", Long: eraseLong, Example: eraseExample,
		DisableFlagsInUseLine: true, ValidArgsFunction: cobra.NoFileCompletions,
		Args: func(_ *cobra.Command, args []string) error { return e.arguments(args) },
		RunE: func(cmd *cobra.Command, args []string) error { return e.run(cmd.Context(), args[0]) },
	}
	e.register(cmd, false)
	e.operator.register(cmd, &e.kubeFlags)
	f := cmd.Flags()
	f.StringVar(&e.eraser, "as-eraser", "", "service account to erase as, as `namespace/name` (default: "+reader.DefaultEraser+" in the operator's namespace)")
	f.StringVar(&e.uid, "pod-uid", "", "`UID` of the pod whose session it was (default: as the index has it)")
	f.StringVar(&e.reason, "reason", "", "why, in your own `words`; it is kept in the log, for good")
	f.BoolVarP(&e.yes, "yes", "y", false, "do not ask: I have read what I erase")
	for _, name := range []string{"as-eraser", "pod-uid", "reason"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	return cmd
}

func (e *eraseCommand) arguments(args []string) error {
	e.reason = strings.TrimSpace(e.reason)
	switch {
	case len(args) != 1:
		return errors.New("name one session: kubectl tidewaiter erase SESSION -n NAMESPACE --reason TEXT")
	case e.reason == "":
		return errors.New("say why: --reason \"...\"; it is what remains of the session's content")
	case len(e.reason) > maxReason:
		return fmt.Errorf("--reason has %s: at most %s are kept", table.Count(int64(len(e.reason)), "byte"), table.Number(maxReason))
	}
	return nil
}

func (e *eraseCommand) run(ctx context.Context, id string) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	namespace, _, err := e.config.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return fmt.Errorf("no namespace: %w: use -n", err)
	}
	session := store.Session{Namespace: namespace, UID: e.uid, ID: id}
	if any := (store.Session{Namespace: namespace, UID: "any", ID: id}); !any.Valid() {
		return fmt.Errorf("%s in namespace %s: this names no session: write its name alone, as kubectl tidewaiter replay lists it", id, namespace)
	}
	about := ""
	if e.uid == "" {
		if session, about, err = e.find(ctx, session); err != nil {
			return err
		}
	}
	if !session.Valid() {
		return fmt.Errorf("--pod-uid %s: this is no UID of a pod", e.uid)
	}
	color, err := useColor(e.color, e.err)
	if err != nil {
		return err
	}
	fmt.Fprintln(e.err, table.Paint(fmt.Sprintf("session %s of pod %s in namespace %s", session.ID, session.UID, session.Namespace), table.Strong, color))
	fmt.Fprint(e.err, about)
	if err := e.confirm(ctx, session.ID); err != nil {
		return err
	}
	return e.erase(ctx, session)
}

func (e *eraseCommand) erase(ctx context.Context, session store.Session) error {
	options, err := e.operator.options(&e.kubeFlags, "")
	if err != nil {
		return err
	}
	if options.As = e.eraser; options.As == "" {
		options.As = e.operator.namespace + "/" + reader.DefaultEraser
	}
	options.AsFlag = "--as-eraser"
	r, err := reader.New(ctx, options)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // it closes connections that nothing is read from any more
	err = r.Erase(ctx, session, e.reason)
	if errors.Is(err, store.ErrErased) {
		_, err = fmt.Fprintf(e.out, "session %s: was erased before\n", session.ID)
		return err
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "session %s: erased\n", session.ID)
	return err
}

// find looks the session up in the index, and says what the index knows of it.
func (e *eraseCommand) find(ctx context.Context, session store.Session) (found store.Session, about string, err error) {
	source, end, err := e.operator.open(ctx, &e.kubeFlags, session.Namespace)
	if err != nil {
		return session, "", fmt.Errorf("looking the session up, which --pod-uid saves: %w", err)
	}
	defer func() { _ = end() }() // nothing was written
	var names []string
	for o, err := range source.List(ctx, store.Index) {
		if err != nil {
			return session, "", fmt.Errorf("looking the session up, which --pod-uid saves: %w", err)
		}
		parts := strings.Split(o.Name, "/")
		if len(parts) == 5 && parts[2] == session.Namespace && parts[4] == session.ID+".json" {
			names, session.UID = append(names, o.Name), parts[3]
		}
	}
	switch len(names) {
	case 0:
		return session, "", fmt.Errorf("there is no session %s in namespace %s: check its name and -n", session.ID, session.Namespace)
	case 1:
		return session, e.describe(ctx, source, names[0]), nil
	default:
		return session, "", fmt.Errorf("several pods have a session %s: choose one by --pod-uid: %s", session.ID, strings.Join(names, ", "))
	}
}

// describe is what a person needs to know that it is the right one. Without it they have the name that they gave.
func (e *eraseCommand) describe(ctx context.Context, source store.Source, name string) string {
	const most = 1 << 20 // bytes of an entry
	in, err := source.Open(ctx, name)
	if err != nil {
		return ""
	}
	defer in.Close()
	var entry index.Entry
	if json.NewDecoder(io.LimitReader(in, most)).Decode(&entry) != nil {
		return ""
	}
	return table.Line(fmt.Sprintf("  pod %s, %s, of service account %s, from %s", entry.Pod, entry.DataSource, entry.ServiceAccount, entry.Began.UTC().Format(time.RFC3339))) + "\n" +
		"  " + table.Count(entry.Statements, "statement") + ", " + table.Count(entry.Rows, "row") + "\n"
}

// confirm asks, at a terminal. Elsewhere nobody has read what was printed, unless --yes says so.
func (e *eraseCommand) confirm(ctx context.Context, id string) error {
	if e.yes {
		return nil
	}
	if !isTerminal(e.in) {
		return fmt.Errorf("%s: standard input is no terminal, so nobody can be asked: add --yes to erase what is shown above", id)
	}
	fmt.Fprint(e.err, "Erase its content, for good? [y/N] ")
	said := make(chan string, 1)
	go func() { // ends with the process, if not with an answer
		line, _ := bufio.NewReader(e.in).ReadString('\n')
		said <- line
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(e.err)
		return fmt.Errorf("%s: interrupted; nothing was erased", id)
	case line := <-said:
		if a := strings.ToLower(strings.TrimSpace(line)); a == "y" || a == "yes" {
			return nil
		}
		return fmt.Errorf("%s: you did not say yes; nothing was erased", id)
	}
}
