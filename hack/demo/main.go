// Command demo is a tour of Tidewaiter for people: it starts a real PostgreSQL in a temporary folder, puts a small shop
// into it, and shows through the real command, `kubectl tidewaiter`, what an agent gets to see. Every step is verified;
// the first that is not as told ends the tour with status 1. Processes and files are gone when it is over.
//
// It must not reach into the proxy: what it shows is what anybody gets who runs the commands that it prints.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/tidewaiter/tidewaiter/hack/demo/paper"
	"github.com/tidewaiter/tidewaiter/hack/demo/shop"
)

// fetchArgument makes this program the client of the binary step: it is run behind the proxy like any other.
const fetchArgument = "fetch-binary"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) == 2 && os.Args[1] == fetchArgument {
		err = fetchBinary(ctx, os.Stdout)
	} else {
		err = tour(ctx, paper.New(os.Stdout))
	}
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "interrupted: PostgreSQL is stopped, and the demo's files are removed")
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// tour sets the stage, takes every step and cleans up.
func tour(ctx context.Context, p *paper.Paper) (err error) {
	if err := shop.EnsurePostgres(ctx, p); err != nil {
		return err
	}
	s, err := setStage(ctx, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.strike()) }()
	begin := time.Now()
	all := steps(s)
	for i := range all {
		if err := all[i].take(ctx, s, p, i+1); err != nil {
			return fmt.Errorf("step %d, %q, is not as told: %w", i+1, all[i].title, err)
		}
	}
	p.End(len(all), time.Since(begin), "The same for your own database: docs/local.md. In a cluster: make demo-kube")
	return nil
}
