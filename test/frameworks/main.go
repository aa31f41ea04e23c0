// Command frameworks plays a working day of real frameworks, drivers and tools against a real PostgreSQL, first directly and then through
// `kubectl tidewaiter local` with a policy that masks: the answers must be the same, but for the tagged values, which must be masked exactly as
// the policy says, and no byte that the client's socket received may give one away.
//
//	go run ./test/frameworks [-only django,prisma] [-details]
//
// What a session needs and this machine lacks is said by name and makes the status 1, as do leaks, refusals that the session did not expect
// and answers that differ. The package must not import a package of the product: it sees the proxy as a client does.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

type options struct {
	only    []string
	details bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:])
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "frameworks:", err)
		stop()
		os.Exit(1)
	}
}

func parse(arguments []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("frameworks", flag.ExitOnError)
	only := flags.String("only", "", "frameworks to play, separated by commas (default all): "+strings.Join(names(), ","))
	flags.BoolVar(&o.details, "details", false, "print every step with both answers")
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	for _, name := range o.only {
		if !slices.Contains(names(), name) {
			return o, fmt.Errorf("-only: there is no framework %q; there are: %s", name, strings.Join(names(), ", "))
		}
	}
	return o, nil
}

func names() []string {
	var names []string
	for _, f := range frameworks() {
		names = append(names, f.name)
	}
	return names
}

// run plays the chosen frameworks and prints the table. It is an error if one of them found a fault or could not be played.
func run(ctx context.Context, o options) (err error) {
	s, err := openStage(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := s.close(); err == nil {
			err = closeErr
		}
	}()
	var all []outcome
	for _, f := range frameworks() {
		if len(o.only) > 0 && !slices.Contains(o.only, f.name) {
			continue
		}
		one := s.play(ctx, f)
		printOutcome(os.Stdout, one, o.details)
		all = append(all, one)
	}
	if err := printTable(os.Stdout, all); err != nil {
		return err
	}
	return faults(all)
}
