package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Versions of the drivers whose own suites are run. pgx is the version that the module itself requires.
const (
	pgxModule   = "github.com/jackc/pgx/v5"
	libpqModule = "github.com/lib/pq@v1.12.3"
)

// goSuite is the suite of a Go module: its own tests, one test binary per package.
type goSuite struct {
	// module is the module's path, with a version where this module does not require it.
	module string
	// packages are the folders, below the module's root, whose tests talk to a server.
	packages []string
	// short are those that a short run keeps; none for all.
	short []string
	// environment is what the suite wants to find in its environment, made from the PG* variables.
	environment func() []string
}

func pgxSuite() suite {
	g := goSuite{
		module:   pgxModule,
		packages: []string{".", "pgconn", "pgproto3", "pgtype", "pgtype/zeronull", "pgxpool", "stdlib", "tracelog", "multitracer"},
		short:    []string{".", "pgconn", "pgxpool", "stdlib"},
		environment: func() []string {
			dsn := fmt.Sprintf("host=%s port=%s user=%s dbname=%s sslmode=disable",
				os.Getenv("PGHOST"), os.Getenv("PGPORT"), os.Getenv("PGUSER"), os.Getenv("PGDATABASE"))
			return []string{"PGX_TEST_DATABASE=" + dsn, "PGX_TEST_TCP_CONN_STRING=" + dsn}
		},
	}
	return suite{name: "pgx", setup: []string{"pgx.sql"}, leftOut: g.leftOut(), prepare: g.prepare, run: g.run}
}

func libpqSuite() suite {
	g := goSuite{module: libpqModule, packages: []string{".", "hstore"}, environment: func() []string { return nil }}
	return suite{name: "libpq", setup: []string{"libpq.sql"}, leftOut: g.leftOut(), prepare: g.prepare, run: g.run}
}

// leftOut says what a short run does without.
func (g goSuite) leftOut() string {
	out := "what the tests themselves leave out with -test.short"
	if missing := slices.DeleteFunc(slices.Clone(g.packages), func(name string) bool { return g.keeps(name) }); len(missing) > 0 {
		out += "; the packages " + strings.Join(missing, ", ")
	}
	return out
}

// keeps reports whether a short run keeps a package.
func (g goSuite) keeps(name string) bool { return len(g.short) == 0 || slices.Contains(g.short, name) }

// prepare copies the module's source into the suite's folder, where tests may write, and builds the test binaries.
func (g goSuite) prepare(ctx context.Context, w *workspace, dir string) error {
	source, err := moduleDir(ctx, g.module, dir)
	if err != nil {
		return err
	}
	copied := filepath.Join(dir, "source")
	if err := os.CopyFS(copied, os.DirFS(source)); err != nil {
		return err
	}
	if output, err := exec.CommandContext(ctx, "chmod", "-R", "u+w", copied).CombinedOutput(); err != nil { // the module cache is read-only
		return fmt.Errorf("%w: %s", err, output)
	}
	for _, name := range g.packages {
		if w.options.short && !g.keeps(name) {
			continue
		}
		// Without the folder's name in them, Go finds the packages in its cache the next time.
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-trimpath", "-o", binaryOf(dir, name), "./"+name)
		cmd.Dir = copied
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building the tests of %s: %w\n%s", name, err, output)
		}
	}
	return nil
}

func binaryOf(dir, name string) string {
	return filepath.Join(dir, "tests-"+strings.NewReplacer("/", "-", ".", "root").Replace(name))
}

// moduleDir is the folder of a module in the module cache. With a version, it is downloaded from outside of this module, whose
// requirements it is none of.
func moduleDir(ctx context.Context, module, outside string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module)
	if strings.Contains(module, "@") {
		cmd = exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
		cmd.Dir = outside
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	}
	output, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, output)
	}
	if !strings.Contains(module, "@") {
		return strings.TrimSpace(string(output)), nil
	}
	var downloaded struct{ Dir string }
	return downloaded.Dir, json.Unmarshal(output, &downloaded)
}

// run runs the binaries, one after the other: they share a database.
func (g goSuite) run(ctx context.Context, l *leg) (results, error) {
	all := results{}
	for _, name := range g.packages {
		if l.short && !g.keeps(name) {
			continue
		}
		start := time.Now()
		found, err := g.runPackage(ctx, l, name)
		if err != nil {
			return nil, fmt.Errorf("package %s: %w", name, err)
		}
		fmt.Fprintf(os.Stderr, "  ran the %d tests of %s, package %s, in %.0f s\n", len(found), g.module, name, time.Since(start).Seconds())
		for test, one := range found {
			all[name+" "+test] = one
		}
	}
	return all, nil
}

// runPackage runs a package's tests. A test that crashes or hangs takes the binary with it; those that were running beside it are
// then run again, each alone, and those whose turn had not come together.
func (g goSuite) runPackage(ctx context.Context, l *leg, name string) (results, error) {
	pending, err := g.list(ctx, l, name)
	if err != nil {
		return nil, err
	}
	all := results{}
	for len(pending) > 0 {
		found, err := g.runTests(ctx, l, name, pending)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, found)
		for _, test := range slices.DeleteFunc(slices.Clone(pending), func(test string) bool { return found[test].Status != unfinished }) {
			alone, err := g.runTests(ctx, l, name, []string{test})
			if err != nil {
				return nil, err
			}
			maps.Copy(all, alone)
		}
		before := len(pending)
		pending = slices.DeleteFunc(pending, func(test string) bool { _, ran := all[test]; return ran })
		if len(pending) == before {
			return nil, fmt.Errorf("none of %v would run", pending)
		}
	}
	return all, g.secondChance(ctx, l, name, all)
}

// secondChance runs tests that failed once more, each alone: those that measure time fail on a busy machine, in either leg.
func (g goSuite) secondChance(ctx context.Context, l *leg, name string, all results) error {
	for _, test := range slices.Sorted(maps.Keys(all)) {
		if all[test].Status != fail || strings.Contains(test, "/") {
			continue
		}
		again, err := g.runTests(ctx, l, name, []string{test})
		if err != nil {
			return err
		}
		if again[test].Status == pass {
			maps.Copy(all, again)
		}
	}
	return nil
}

func (g goSuite) command(ctx context.Context, l *leg, name string, arguments ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binaryOf(l.dir, name), arguments...)
	cmd.Dir = filepath.Join(l.dir, "source", name)
	cmd.Env = append(os.Environ(), g.environment()...)
	return cmd
}

var isTest = regexp.MustCompile(`^(Test|Example|Fuzz)`)

func (g goSuite) list(ctx context.Context, l *leg, name string) ([]string, error) {
	output, err := g.command(ctx, l, name, "-test.list=.").Output()
	if err != nil {
		return nil, err
	}
	var tests []string
	for _, line := range strings.Fields(string(output)) {
		if isTest.MatchString(line) {
			tests = append(tests, line)
		}
	}
	return tests, nil
}

// patience is how long the tests of a package may take in all; the one that is running then is a failure.
const patience = 4 * time.Minute

func (g goSuite) runTests(ctx context.Context, l *leg, name string, tests []string) (results, error) {
	arguments := []string{
		"-test.v=test2json", "-test.timeout=" + patience.String(), "-test.run=^(" + strings.Join(tests, "|") + ")$",
	}
	if l.short {
		arguments = append(arguments, "-test.short")
	}
	cmd := g.command(ctx, l, name, arguments...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	found, err := readEvents(ctx, stdout)
	_ = cmd.Wait() // that tests failed is known from the events
	return found, err
}

// event is one line of `go tool test2json` (go doc test2json).
type event struct{ Action, Test, Output string }

// readEvents turns a test binary's output into results. A test that started and has no end took the binary with it.
func readEvents(ctx context.Context, output io.Reader) (results, error) {
	convert := exec.CommandContext(ctx, "go", "tool", "test2json")
	convert.Stdin = output
	events, err := convert.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := convert.Start(); err != nil {
		return nil, err
	}
	found, texts := results{}, map[string]*strings.Builder{}
	decoder := json.NewDecoder(bufio.NewReader(events))
	for {
		var e event
		if err := decoder.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
		found.add(e, texts)
	}
	return found, convert.Wait()
}

// maxOutput bounds what is kept of one test's words.
const maxOutput = 16 << 10

// madeFolder is a folder of testing.T.TempDir, which some tests name their subtests after.
var madeFolder = regexp.MustCompile(`/[^/\s']*?\d+/\d{3}/`)

func (r results) add(e event, texts map[string]*strings.Builder) {
	if e.Test == "" {
		return
	}
	e.Test = madeFolder.ReplaceAllString(e.Test, "/a-folder/")
	if texts[e.Test] == nil {
		texts[e.Test] = &strings.Builder{}
	}
	text := texts[e.Test]
	if text.Len() < maxOutput {
		text.WriteString(e.Output)
	}
	switch e.Action {
	case "run":
		r[e.Test] = result{Status: unfinished, Output: "the test binary ended before the test did"}
	case "pass", "fail", "skip":
		r[e.Test] = result{Status: status(e.Action)}
		if e.Action == "fail" {
			r[e.Test] = result{Status: fail, Output: text.String()}
		}
	}
}
