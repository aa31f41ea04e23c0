package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tidewaiter/tidewaiter/test/conformance/localproxy"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

//go:embed all:sessions
var sessions embed.FS

const (
	// owner owns the shop's tables and is what everybody logs in as: no superuser.
	owner = "shop_owner"
	// database is the name that both legs see; it is made anew for each.
	database = "shop"
)

// stage is what the sessions are played on: a server, the product, and the sessions' files in a folder.
type stage struct {
	dir       string
	server    *postgrestest.Server
	binary    string
	templates map[string]error // databases that a setup has filled, by setup, with what went wrong
}

// openStage builds the product and starts a server. The caller must close the stage.
func openStage(ctx context.Context) (*stage, error) {
	dir, err := os.MkdirTemp("", "tidewaiter-frameworks-")
	if err != nil {
		return nil, err
	}
	s := &stage{dir: dir, templates: map[string]error{}}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stage) open(ctx context.Context) (err error) {
	tree, err := fs.Sub(sessions, "sessions")
	if err != nil {
		return err
	}
	if err := os.CopyFS(s.path("sessions"), tree); err != nil {
		return err
	}
	if s.binary, err = localproxy.Build(ctx, s.dir); err != nil {
		return err
	}
	if s.server, err = postgrestest.Start(ctx, postgrestest.Options{}); err != nil {
		return err
	}
	return s.server.Exec(ctx, "", fmt.Sprintf("CREATE ROLE %s LOGIN CREATEDB PASSWORD '%s'", owner, s.server.Password))
}

func (s *stage) close() error {
	var err error
	if s.server != nil {
		err = s.server.Stop()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// path is a path below the stage's folder.
func (s *stage) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

// play plays one framework in both legs and compares.
func (s *stage) play(ctx context.Context, f framework) outcome {
	one := outcome{framework: f}
	if one.err = s.prepare(ctx, f); one.err != nil {
		return one
	}
	direct, err := s.leg(ctx, f, s.direct)
	if err != nil {
		one.err = fmt.Errorf("direct: %w", err)
		return one
	}
	var received [][]byte
	through, err := s.leg(ctx, f, func(ctx context.Context, play func(context.Context, login) error) error {
		received, err = s.through(ctx, play)
		return err
	})
	if err != nil {
		one.err = fmt.Errorf("through the proxy: %w", err)
	}
	one.steps = compare(direct, through)
	one.leaks = leaksIn(received)
	return one
}

// prepare makes what a framework needs once: its packages, and a database that its setup has filled.
func (s *stage) prepare(ctx context.Context, f framework) error {
	for _, need := range f.needs {
		if err := need(ctx, s); err != nil {
			return &missingError{err}
		}
	}
	made, done := s.templates[f.setup.name]
	if !done {
		made = s.makeTemplate(ctx, f.setup)
		s.templates[f.setup.name] = made
	}
	return made
}

// makeTemplate fills a database as the owner, without the proxy: migrations are the owner's.
func (s *stage) makeTemplate(ctx context.Context, setup setup) error {
	name := templateOf(setup)
	if err := s.server.CreateDatabase(ctx, name, ""); err != nil {
		return err
	}
	if err := s.server.Exec(ctx, "", fmt.Sprintf("ALTER DATABASE %s OWNER TO %s", name, owner)); err != nil {
		return err
	}
	if err := setup.fill(ctx, s, s.login(name)); err != nil {
		return fmt.Errorf("setting up %s: %w", setup.name, err)
	}
	return nil
}

func templateOf(setup setup) string { return "template_" + setup.name }

// leg makes the database anew and plays the session on it.
func (s *stage) leg(ctx context.Context, f framework, on func(context.Context, func(context.Context, login) error) error) ([]step, error) {
	if err := s.server.DropDatabase(ctx, database); err != nil {
		return nil, err
	}
	// A copy keeps the objects' numbers: answers that name them are the same in both legs.
	if err := s.server.CreateDatabase(ctx, database, templateOf(f.setup)); err != nil {
		return nil, err
	}
	if err := s.server.Exec(ctx, "", fmt.Sprintf("ALTER DATABASE %s OWNER TO %s", database, owner)); err != nil {
		return nil, err
	}
	var steps []step
	err := on(ctx, func(ctx context.Context, l login) (err error) {
		steps, err = f.session(ctx, s, l)
		return err
	})
	return steps, err
}

// direct plays without the proxy.
func (s *stage) direct(ctx context.Context, play func(context.Context, login) error) error {
	return play(ctx, s.login(database))
}

// through plays through a proxy of its own and returns what the client received, by connection.
func (s *stage) through(ctx context.Context, play func(context.Context, login) error) (received [][]byte, err error) {
	policy, err := sessions.ReadFile("sessions/policy.yaml")
	if err != nil {
		return nil, err
	}
	const asWritten = "port: 5432, database: shop,"
	if !strings.Contains(string(policy), asWritten) {
		return nil, fmt.Errorf("policy.yaml has no %q to put the server's port into", asWritten)
	}
	here := strings.Replace(string(policy), asWritten, fmt.Sprintf("port: %d, database: %s,", s.server.Port, database), 1)
	proxy, err := localproxy.Start(ctx, s.binary, here+"---\n"+localproxy.Secret("shop-db", s.server, owner))
	if err != nil {
		return nil, err
	}
	tap, err := newTap(proxy.Address)
	if err != nil {
		return nil, errors.Join(err, proxy.Stop())
	}
	l := login{host: tap.host, port: tap.port, user: proxy.User, database: proxy.Database}
	err = play(ctx, l)
	received = tap.close()
	return received, errors.Join(err, proxy.Stop())
}

// login is how a client reaches its database.
type login struct {
	host, port, user, database string
	password                   string // "" through the proxy, which asks for none
}

func (s *stage) login(name string) login {
	return login{host: s.server.Host, port: fmt.Sprint(s.server.Port), user: owner, database: name, password: s.server.Password}
}

// environment is a program's environment with the login in libpq's variables.
func (l login) environment() []string {
	var kept []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "PG") {
			kept = append(kept, variable)
		}
	}
	return append(kept, "PGHOST="+l.host, "PGPORT="+l.port, "PGUSER="+l.user, "PGDATABASE="+l.database, "PGPASSWORD="+l.password,
		"PGSSLMODE=disable", "PGTZ=UTC", "TZ=UTC", "PYTHONDONTWRITEBYTECODE=1", "LC_ALL=C.UTF-8")
}

// command is a program of a session, run in its folder of sessions.
func (s *stage) command(ctx context.Context, l login, folder string, program ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program[0], program[1:]...)
	cmd.Dir = s.path("sessions", folder)
	cmd.Env = l.environment()
	return cmd
}
