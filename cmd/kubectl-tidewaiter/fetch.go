package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/recording"
	"github.com/tidewaiter/tidewaiter/recording/history"
	"github.com/tidewaiter/tidewaiter/recording/store"
)

const fetchLong = `Write sessions to files, one SESSION.twr for each, as their sidecars sealed and signed them: to hand them over, or to keep them beyond
their retention. A file verifies by itself: kubectl tidewaiter verify FILE --offline --operator-key KEY, and replays without a cluster.

A session that goes on is written as far as the store has it. Files that are there are not written over.`

const fetchExample = `  kubectl tidewaiter fetch -n shop 2026-11-26t10-12-01.118-5c2e91aa --output case-4711/
  kubectl tidewaiter verify case-4711/*.twr --offline --operator-key recording.pub`

type fetchCommand struct {
	kubeFlags
	archive archive
	folder  string
}

func newFetch(s streams) *cobra.Command {
	c := &fetchCommand{kubeFlags: kubeFlags{streams: s}}
	cmd := &cobra.Command{
		Use: "fetch SESSION... [flags]", Short: "Write recordings to files, to hand them over", Long: fetchLong, Example: fetchExample,
		Args: cobra.MinimumNArgs(1), DisableFlagsInUseLine: true, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args) },
	}
	c.register(cmd, false)
	c.archive.register(cmd, &c.kubeFlags)
	cmd.Flags().StringVarP(&c.folder, "output", "o", ".", "`folder` to write to")
	_ = cmd.MarkFlagDirname("output")
	return cmd
}

func (c *fetchCommand) run(ctx context.Context, sessions []string) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	from, end, err := c.archive.open(ctx, &c.kubeFlags, *c.config.Namespace)
	if err != nil {
		return err
	}
	defer func() { _ = end() }() // nothing was written there
	if err := os.MkdirAll(c.folder, 0o700); err != nil {
		return err
	}
	for _, id := range sessions {
		if err := c.one(ctx, from, id); err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
	}
	return nil
}

// one writes a session's segments one behind the other, which is the format of a file (docs/recording-format.md).
func (c *fetchCommand) one(ctx context.Context, from store.Source, id string) error {
	session, err := history.Find(ctx, from, *c.config.Namespace, id)
	if err != nil {
		return err
	}
	key, err := from.Identity(ctx, session)
	if err != nil {
		return err
	}
	name := filepath.Join(c.folder, id+recording.Extension)
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	number, size, err := uint64(1), 0, error(nil)
	for ; err == nil; number++ {
		var sealed []byte
		if sealed, err = segment(ctx, from, session.Segment(number), key); err == nil {
			_, err = file.Write(sealed)
			size += len(sealed)
		}
	}
	if errors.Is(err, store.ErrNotFound) && number > 2 { // behind the last
		err = nil
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(name)) // a part of a session must not pass for it
	}
	_, err = fmt.Fprintf(c.out, "%s: %d segments, %d bytes\n", name, number-2, size)
	return err
}

// segment reads one, as its sidecar sealed it.
func segment(ctx context.Context, from store.Source, name string, key age.Identity) ([]byte, error) {
	r, err := from.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	s, err := recording.ReadSegment(io.LimitReader(r, 4*recording.MaxSegment))
	if err == nil {
		s, err = s.Sealed(key)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s.Append(nil), nil
}
