// Command smith lets sqlsmith, a generator of random statements, loose on a real PostgreSQL through the product, and judges what
// comes back: no byte of a protected value, no connection out of step or lost, no crash, and how many of the statements that the
// server accepts the analyser does not understand.
//
//	go run ./test/smith [-for 1h] [-seed 1] [-statements FILE]
//
// Any leak, lost connection, crash or message out of step, or a share of 5 % or more that is not understood, makes its status 1.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	duration   time.Duration
	seed       int
	statements string
	atLeast    int  // statements: of a test, on a machine that is busy
	direct     bool // without a proxy: of a test, which shows that leaks are found
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.DurationVar(&o.duration, "for", time.Hour, "how long sqlsmith runs")
	flag.IntVar(&o.seed, "seed", 1, "the first of the seeds: each run of sqlsmith takes the next one")
	flag.StringVar(&o.statements, "statements", "", "a file for every statement that was refused as not understood, and every finding")
	flag.Parse()
	report, err := smith(ctx, o, os.Stdout)
	if err == nil {
		err = report.bad()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "smith:", err)
		stop()
		os.Exit(1)
	}
}
