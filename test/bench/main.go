// Command bench measures what Tidewaiter costs: pgbench's SELECTs against the same PostgreSQL directly, through pgbouncer (session
// pooling), through haproxy (TCP mode) and through `kubectl tidewaiter local` with a policy, a masked column and recording on.
//
//	go run ./test/bench [-quick] [-rounds 3] [-durability Async]
//
// The contestants take turns in each round, and only what comes after a warm-up counts: a fresh backend spends its first seconds
// faulting in shared buffers. It must not import a package of the product.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

type options struct {
	warmUp, measure time.Duration
	rounds          int
	durability      string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := options{warmUp: 10 * time.Second, measure: 10 * time.Second}
	flag.IntVar(&o.rounds, "rounds", 3, "how many times each contestant runs each workload; the median counts")
	flag.StringVar(&o.durability, "durability", "Async", "of Tidewaiter's recording: Async or Statement")
	quick := flag.Bool("quick", false, "one round of 2 seconds after a warm-up of 2: to see that it works, not for figures")
	flag.Parse()
	if *quick {
		o.warmUp, o.measure, o.rounds = 2*time.Second, 2*time.Second, 1
	}
	if err := bench(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func bench(ctx context.Context, o options) (err error) {
	if o.rounds < 1 {
		return errors.New("-rounds must be 1 or more")
	}
	b, err := newGround(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	contestants, err := b.startAll(ctx, o)
	if err != nil {
		return err
	}
	measured := results{}
	for round := range o.rounds {
		for _, w := range workloads() {
			for _, c := range contestants {
				fmt.Fprintf(os.Stderr, "round %d of %d: %s, %s\n", round+1, o.rounds, w, c.name)
				figures, err := b.run(ctx, o, w, c)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", w, c.name, err)
				}
				measured.add(w, c.name, figures)
			}
		}
	}
	return measured.write(os.Stdout, o, contestants)
}
