// Command conformance runs other people's test suites and tools against a real PostgreSQL, first directly and then through
// `kubectl tidewaiter local` with a policy that allows everything and masks nothing. Whatever passes directly must pass through
// the proxy: each test that does not is printed, and makes the status 1.
//
//	go run ./test/conformance [-short] [-only pgx,libpq,pgbench,psql,pgdump,pgrestore] [-direct]
//
// It must not import a package of the product: it sees the proxy as a client does.
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

// A suite is somebody else's program that tells good answers from bad ones.
type suite struct {
	name  string
	setup []string // SQL files of testdata that are run in the suite's new database, before each leg

	// readsOnly suites get one database for both legs: their answers may then name object ids.
	readsOnly bool

	leftOut string // what a short run does without

	// prepare builds what the suite needs, once, into its folder.
	prepare func(ctx context.Context, w *workspace, dir string) error
	// run runs it against the server of the PG* environment variables.
	run func(ctx context.Context, l *leg) (results, error)
}

// suites is the list of everything that is run, in this order.
func suites() []suite {
	return []suite{
		pgxSuite(), libpqSuite(),
		{name: "pgbench", leftOut: "nine of ten transactions of each script", run: runPgbench},
		{name: "psql", setup: []string{"seed.sql"}, readsOnly: true, run: runPsql},
		{name: "pgdump", setup: []string{"seed.sql"}, readsOnly: true, run: runDump},
		{name: "pgrestore", prepare: prepareRestore, run: runRestore},
	}
}

type options struct {
	short, directOnly bool
	only              []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == legCommand {
		exitOn(legMain(ctx, os.Args[2:]))
		return
	}
	var o options
	flag.BoolVar(&o.short, "short", false, "leave out what takes long")
	flag.BoolVar(&o.directOnly, "direct", false, "run the direct leg alone, and print what does not pass it")
	only := flag.String("only", "", "suites to run, separated by commas (default all): "+strings.Join(names(suites()), ","))
	flag.Parse()
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	good, err := conformance(ctx, o)
	exitOn(err)
	if !good {
		stop()
		os.Exit(1)
	}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(2)
	}
}

func names(list []suite) []string {
	var names []string
	for _, s := range list {
		names = append(names, s.name)
	}
	return names
}

// conformance runs the chosen suites and says whether all that passes directly passes through the proxy.
func conformance(ctx context.Context, o options) (good bool, err error) {
	all := suites()
	for _, name := range o.only {
		if !slices.Contains(names(all), name) {
			return false, fmt.Errorf("-only: there is no suite %q; there are: %s", name, strings.Join(names(all), ", "))
		}
	}
	w, err := newWorkspace(ctx, o)
	if err != nil {
		return false, err
	}
	defer func() {
		if closeErr := w.close(); err == nil {
			err = closeErr
		}
	}()
	good = true
	for _, s := range all {
		if len(o.only) > 0 && !slices.Contains(o.only, s.name) {
			continue
		}
		suiteGood, err := w.runSuite(ctx, s)
		if err != nil {
			return false, fmt.Errorf("%s: %w", s.name, err)
		}
		good = good && suiteGood
	}
	return good, nil
}
