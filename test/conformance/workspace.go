package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/test/conformance/localproxy"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

//go:embed testdata
var testdata embed.FS

// Both legs log in as the same role to a database of the same name, so that their answers can be the same. The server trusts the
// role, as the proxy does: what the suites test about passwords would otherwise be about the proxy's login, which is its own.
// The names are those that lib/pq's examples have written down.
const (
	role         = "pqgo"
	databaseName = "pqgo"
)

// workspace is what all suites share: a server, a built proxy, and a folder.
type workspace struct {
	options options
	dir     string
	self    string // this program
	binary  string // the proxy's
	server  *postgrestest.Server
	out     io.Writer
}

func newWorkspace(ctx context.Context, o options) (*workspace, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tidewaiter-conformance-")
	if err != nil {
		return nil, err
	}
	w := &workspace{options: o, dir: dir, self: self, out: os.Stdout}
	if err := w.start(ctx); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *workspace) start(ctx context.Context) (err error) {
	if !w.options.directOnly {
		if w.binary, err = localproxy.Build(ctx, w.dir); err != nil {
			return err
		}
	}
	w.server, err = postgrestest.Start(ctx, postgrestest.Options{HBA: []string{"host all " + role + " 127.0.0.1/32 trust"}})
	if err != nil {
		return err
	}
	return w.server.Exec(ctx, "", fmt.Sprintf("CREATE ROLE %s SUPERUSER LOGIN PASSWORD '%s'", role, w.server.Password))
}

func (w *workspace) close() error {
	var err error
	if w.server != nil {
		err = w.server.Stop()
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}

// runSuite runs a suite and says how long that took and what was left out.
func (w *workspace) runSuite(ctx context.Context, s suite) (bool, error) {
	start := time.Now()
	good, err := w.compare(ctx, s)
	if err != nil {
		return false, err
	}
	if w.options.short && s.leftOut != "" {
		if _, err := fmt.Fprintf(w.out, "  -short leaves out: %s\n", s.leftOut); err != nil {
			return false, err
		}
	}
	_, err = fmt.Fprintf(w.out, "  took %.0f s\n", time.Since(start).Seconds())
	return good, err
}

// compare runs both legs of a suite, each in a new database, compares and prints, and says whether the proxy was invisible.
func (w *workspace) compare(ctx context.Context, s suite) (bool, error) {
	dir := filepath.Join(w.dir, s.name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, err
	}
	if s.prepare != nil {
		if err := s.prepare(ctx, w, dir); err != nil {
			return false, err
		}
	}
	if err := w.newDatabase(ctx, s.setup); err != nil {
		return false, err
	}
	direct, err := w.runLeg(ctx, s, dir, "direct", w.directCommand)
	if err != nil {
		return false, err
	}
	if w.options.directOnly {
		return true, printDirect(w.out, s.name, direct)
	}
	if !s.readsOnly {
		if err := w.newDatabase(ctx, s.setup); err != nil {
			return false, err
		}
	}
	through, err := w.runLeg(ctx, s, dir, "through", w.throughCommand)
	if err != nil {
		return false, err
	}
	return printComparison(w.out, s.name, direct, through)
}

// runLeg runs the suite in a process of its own, which leaves its results in a file.
func (w *workspace) runLeg(ctx context.Context, s suite, dir, name string, command func(context.Context, ...string) (*exec.Cmd, error),
) (results, error) {
	file := filepath.Join(dir, name+".json")
	arguments := []string{w.self, legCommand, "-suite", s.name, "-dir", dir, "-out", file}
	if w.options.short {
		arguments = append(arguments, "-short")
	}
	cmd, err := command(ctx, arguments...)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("the leg %q: %w", name, err)
	}
	return readResults(file)
}

func (w *workspace) newDatabase(ctx context.Context, setup []string) error {
	if err := w.server.DropDatabase(ctx, databaseName); err != nil {
		return err
	}
	if err := w.server.CreateDatabase(ctx, databaseName, ""); err != nil {
		return err
	}
	if err := w.server.Exec(ctx, "", "ALTER DATABASE "+databaseName+" OWNER TO "+role); err != nil {
		return err
	}
	for _, file := range setup {
		sql, err := testdata.ReadFile("testdata/" + file)
		if err != nil {
			return err
		}
		if err := w.server.Exec(ctx, databaseName, string(sql)); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

// directCommand runs a program against the server itself.
func (w *workspace) directCommand(ctx context.Context, program ...string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, program[0], program[1:]...)
	cmd.Env = append(withoutPG(os.Environ()), w.server.Environment(databaseName)...)
	cmd.Env = append(cmd.Env, binDirVariable+"="+w.server.BinDir)
	return cmd, nil
}

// throughCommand runs a program behind a proxy of its own. This is the only place that knows how.
func (w *workspace) throughCommand(ctx context.Context, program ...string) (*exec.Cmd, error) {
	manifests := filepath.Join(w.dir, "allow-all.yaml")
	content := localproxy.AllowAll(w.server, role, databaseName)
	if err := os.WriteFile(manifests, []byte(content), 0o600); err != nil {
		return nil, err
	}
	cmd := localproxy.Command(ctx, w.binary, manifests, filepath.Join(w.dir, "state"), program...)
	cmd.Env = append(withoutPG(cmd.Env), binDirVariable+"="+w.server.BinDir)
	return cmd, nil
}

// withoutPG removes what libpq would read, so that nobody's own settings change a leg.
func withoutPG(environment []string) []string {
	var kept []string
	for _, variable := range environment {
		if !strings.HasPrefix(variable, "PG") {
			kept = append(kept, variable)
		}
	}
	return kept
}
