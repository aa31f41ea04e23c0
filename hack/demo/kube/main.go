// Command kube is the second act of the demo, in a cluster: a real Kubernetes API server and a real PostgreSQL in temporary
// folders, Tidewaiter's operator with its own rights and no more, and a pod with an annotation. What would run on a node runs
// as a process of this machine. Every step is verified; the first that is not as told ends the tour with status 1. Processes
// and files are gone when it is over.
//
// It must not reach into the operator or the proxy: it types what a person would type, and shows what it prints.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/tidewaiter/tidewaiter/hack/demo/paper"
	"github.com/tidewaiter/tidewaiter/hack/demo/shop"
)

func main() {
	log.SetLogger(logr.Discard()) // what envtest has to say is not for the reader; the operator has a log of its own
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := tour(ctx, paper.New(os.Stdout))
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "interrupted: everything is stopped, and the demo's files are removed")
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
	for i, step := range steps {
		p.Heading(i+1, step.title, step.about)
		if step.take(ctx, s); s.err != nil {
			return fmt.Errorf("step %d, %q, is not as told: %w", i+1, step.title, s.err)
		}
		p.Verified(step.verified)
	}
	p.End(len(steps), time.Since(begin), "The same in your own cluster: docs/install.md")
	return nil
}
