package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tidewaiter/tidewaiter/hack/demo/paper"
	"github.com/tidewaiter/tidewaiter/hack/demo/shop"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

const command = "github.com/tidewaiter/tidewaiter/cmd/kubectl-tidewaiter"

// stage is what the steps run on.
type stage struct {
	server *postgrestest.Server
	dir    string // everything of the demo: bin/, manifests/, .local/state/tidewaiter/
	self   string // this program
}

// setStage starts PostgreSQL, fills it, writes the manifests and builds the command.
func setStage(ctx context.Context, p *paper.Paper) (*stage, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tidewaiter-demo-")
	if err != nil {
		return nil, err
	}
	s := &stage{dir: dir, self: self}
	p.Note("Building kubectl-tidewaiter, and starting PostgreSQL in a temporary folder …")
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
	return shop.Fill(ctx, s.server, s.server.Password)
}

// localPort is where the proxy would listen in a pod; behind kubectl tidewaiter local it is a free one.
const localPort = 5432

func (s *stage) writeManifests(context.Context) error {
	return shop.WriteManifests(s.path("manifests"), s.server, localPort, s.server.Password)
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
