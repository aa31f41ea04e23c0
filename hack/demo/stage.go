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

	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

//go:embed manifests/*.yaml
var manifests embed.FS

//go:embed shop.sql
var shop string

const (
	command  = "github.com/tidewaiter/tidewaiter/cmd/kubectl-tidewaiter"
	database = "shop"
	role     = "shop_reader" // of shop.sql
)

// stage is what the steps run on.
type stage struct {
	server *postgrestest.Server
	dir    string // everything of the demo: bin/, manifests/, .local/state/tidewaiter/
	self   string // this program
}

// setStage starts PostgreSQL, fills it, writes the manifests and builds the command.
func setStage(ctx context.Context, p *paper) (*stage, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tidewaiter-demo-")
	if err != nil {
		return nil, err
	}
	s := &stage{dir: dir, self: self}
	p.note("Building kubectl-tidewaiter, and starting PostgreSQL in a temporary folder …")
	for _, do := range []func(context.Context) error{s.build, s.start, s.writeManifests} {
		if err := do(ctx); err != nil {
			return nil, errors.Join(err, s.strike())
		}
	}
	return s, nil
}

func (s *stage) build(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "build", "-o", s.binary(), command).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build %s: %w\n%s", command, err, out)
	}
	return nil
}

func (s *stage) start(ctx context.Context) error {
	var err error
	if s.server, err = postgrestest.Start(ctx, postgrestest.Options{}); err != nil {
		return err
	}
	if err := s.server.CreateDatabase(ctx, database, ""); err != nil {
		return err
	}
	return s.server.Exec(ctx, database, shop+"ALTER ROLE "+role+" PASSWORD '"+s.server.Password+"';")
}

// writeManifests copies the manifests, with the server's port, and adds the Secrets.
func (s *stage) writeManifests(context.Context) error {
	const port = "port: 5432\n    database"
	if err := os.MkdirAll(s.path("manifests"), 0o700); err != nil {
		return err
	}
	names, err := fs.Glob(manifests, "manifests/*.yaml")
	if err != nil {
		return err
	}
	for _, name := range names {
		raw, err := manifests.ReadFile(name)
		if err != nil {
			return err
		}
		text := strings.Replace(string(raw), port, fmt.Sprintf("port: %d\n    database", s.server.Port), 1)
		if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	ca, err := s.server.CA()
	if err != nil {
		return err
	}
	secrets := fmt.Sprintf(`apiVersion: v1
kind: Secret
metadata: {name: orders-db, namespace: data}
stringData: {username: %s, password: %q}
---
apiVersion: v1
kind: Secret
metadata: {name: orders-ca, namespace: data}
stringData: {ca.crt: %q}
`, role, s.server.Password, ca)
	return os.WriteFile(s.path("manifests/secrets.yaml"), []byte(secrets), 0o600)
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stage) binary() string { return s.path("bin/kubectl-tidewaiter") }

func (s *stage) recordings() string { return s.path(".local/state/tidewaiter") }

// environment is that of the commands: the demo's folder as home, where recordings go, and psql with its plain output.
func (s *stage) environment() []string {
	return append(os.Environ(), "HOME="+s.dir, "XDG_STATE_HOME=", "LC_ALL=C.UTF-8", "PAGER=cat", "PSQLRC=/dev/null")
}

// strike ends the server and removes every file.
func (s *stage) strike() error {
	var err error
	if s.server != nil {
		err = s.server.Stop()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
