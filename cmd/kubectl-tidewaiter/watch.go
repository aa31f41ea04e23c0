package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tidewaiter/tidewaiter/plugin/cluster"
	"github.com/tidewaiter/tidewaiter/plugin/table"
)

// watcher keeps a table of objects up to date: in place on a terminal, and elsewhere a line, or an object as -o says, for each
// change.
type watcher[T client.Object] struct {
	*kubeFlags
	color bool
	// keep says which objects are shown.
	keep func(T) bool
	// table draws them.
	table func(all []T, now time.Time) *table.Table
	// observe sees all of them before they are drawn; it may be nil.
	observe func(all []T, now time.Time)
	// empty is said where there are none.
	empty string

	live    *table.Live
	trouble string
	since   time.Time
	seen    map[string]string // resource version by UID
	headed  string
}

// forgotten is how long a broken watch is told of: longer than client-go waits at most before it tries again.
const forgotten = time.Minute

// run returns when ctx ends, which is no error.
func (w *watcher[T]) run(ctx context.Context, c *cluster.Cluster, object client.Object, list func() client.ObjectList) error {
	w.seen = map[string]string{}
	var failed error
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if !w.machine() && isTerminal(w.out) {
		w.live = table.NewLive(w.out, 0)
		fmt.Fprint(w.out, "\x1b[?25l")       // no cursor, which would jump about
		defer fmt.Fprint(w.out, "\x1b[?25h") // also when a signal ends the watch
	}
	troubles := make(chan string, 1)
	err := c.Follow(ctx, object, list, w.scope(c), func(all []any) {
		select {
		case w.trouble = <-troubles:
			w.since = time.Now()
		default:
			if time.Since(w.since) > forgotten {
				w.trouble = ""
			}
		}
		if failed = w.show(all); failed != nil {
			stop() // nobody reads any more
		}
	}, func(err error) {
		text := time.Now().UTC().Format("15:04:05 UTC") + ": the API server's watch broke and is begun again: " + table.Line(err.Error())
		if w.live == nil {
			fmt.Fprintln(w.err, text)
			return
		}
		select {
		case troubles <- text:
		default:
		}
	})
	if err == nil {
		err = failed
	}
	return err
}

func (w *watcher[T]) show(all []any) error {
	var kept, fresh []T
	present := make(map[string]string, len(all))
	for _, one := range all {
		o, ok := one.(T)
		if !ok || !w.keep(o) && w.seen[string(o.GetUID())] == "" {
			continue
		}
		if w.keep(o) {
			kept = append(kept, o)
		}
		if present[string(o.GetUID())] = o.GetResourceVersion(); w.seen[string(o.GetUID())] != o.GetResourceVersion() {
			fresh = append(fresh, o)
		}
	}
	w.seen = present
	if w.observe != nil {
		w.observe(kept, time.Now())
	}
	switch {
	case w.live != nil:
		return w.draw(kept)
	case w.machine():
		for _, o := range fresh {
			if err := w.object(o.DeepCopyObject()); err != nil {
				return err
			}
		}
		return nil
	default:
		return w.append(fresh)
	}
}

func (w *watcher[T]) draw(kept []T) error {
	width, height := terminalSize(w.out)
	w.live.Height = height
	now := time.Now()
	lines := []string{table.Clip(w.empty, width)}
	if len(kept) > 0 {
		lines = w.table(kept, now).Lines(width, w.color)
	}
	if w.trouble != "" {
		lines = append(lines, table.Paint(table.Clip(w.trouble, width), table.Bad, w.color))
	}
	return w.live.Draw(lines)
}

// append prints rows below what is there, and a heading where columns have become wider.
func (w *watcher[T]) append(fresh []T) error {
	if len(fresh) == 0 {
		return nil
	}
	lines := w.table(fresh, time.Now()).Lines(0, w.color)
	if w.headed != "" && len(lines[0]) <= len(w.headed) {
		lines = lines[1:]
	} else {
		w.headed = lines[0]
	}
	_, err := fmt.Fprintln(w.out, strings.Join(lines, "\n"))
	return err
}

// terminalSize returns the columns and lines of the terminal that w is, 0 where they are not known.
func terminalSize(w any) (width, height int) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, 0
	}
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, 0
	}
	return width, height
}
