package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// legCommand is the argument that makes this program run one leg of one suite, as a child of itself or of the proxy.
const legCommand = "leg"

// binDirVariable tells a leg where the server's own version of psql, pg_dump and so on is.
const binDirVariable = "TIDEWAITER_TEST_BINDIR"

// leg is one run of a suite against the server that the environment names.
type leg struct {
	dir   string // the suite's folder, shared by both legs
	short bool
}

func legMain(ctx context.Context, arguments []string) error {
	flags := flag.NewFlagSet(legCommand, flag.ContinueOnError)
	name := flags.String("suite", "", "the suite to run")
	dir := flags.String("dir", "", "the suite's folder")
	out := flags.String("out", "", "the file for the results")
	short := flags.Bool("short", false, "leave out what takes long")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	// The same names in both legs keep programs' texts the same. The proxy takes any user; lib/pq's suite expects localhost.
	for variable, value := range map[string]string{
		"PGHOST": "localhost", "PGUSER": role, "PGDATABASE": databaseName, "PGSSLMODE": "disable", "TZ": "UTC",
	} {
		if err := os.Setenv(variable, value); err != nil {
			return err
		}
	}
	if err := os.Unsetenv("PGPASSWORD"); err != nil { // both trust, see workspace.go
		return err
	}
	all := suites()
	i := slices.IndexFunc(all, func(s suite) bool { return s.name == *name })
	if i < 0 {
		return fmt.Errorf("there is no suite %q", *name)
	}
	found, err := all[i].run(ctx, &leg{dir: *dir, short: *short})
	if err != nil {
		return err
	}
	return found.write(*out)
}

// toolPatience is how long one command may take: a conversation that hangs is a failure like any other.
const toolPatience = 2 * time.Minute

// tool is a command of PostgreSQL's, of the server's own version. It is killed when it takes too long.
func tool(ctx context.Context, name string, arguments ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(ctx, toolPatience)
	context.AfterFunc(ctx, cancel)
	return exec.CommandContext(ctx, filepath.Join(os.Getenv(binDirVariable), name), arguments...)
}
