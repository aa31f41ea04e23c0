package main

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/tidewaiter/tidewaiter/hack/demo/paper"
	"github.com/tidewaiter/tidewaiter/hack/demo/shop"
	"github.com/tidewaiter/tidewaiter/test/clustertest"
	"github.com/tidewaiter/tidewaiter/test/kubetest/assets"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

//go:embed manifests/*.yaml
var manifests embed.FS

const (
	command = "github.com/tidewaiter/tidewaiter/cmd/kubectl-tidewaiter"
	// lease of the sidecars: a minute where nobody waits for its end.
	lease = 6 * time.Second
	// nextRole is what the owner changes shop.Role for.
	nextRole = "shop_reader_2"
)

// stage is what the steps run on.
type stage struct {
	paper     *paper.Paper
	dir       string // where commands are typed: bin/, manifests/, log, recordings/, pods/
	db        *postgrestest.Server
	cluster   *clustertest.Cluster
	log       *os.File // of operator and sidecar
	passwords []string // of shop.Role and nextRole
	pod       *corev1.Pod
	sidecar   *clustertest.Sidecar
	agent     *conversation // psql in the agent, which stays connected
	watch     *watch
	err       error // the first; nothing is done after it
}

// then does something unless something has failed.
func (s *stage) then(do func() error) {
	if s.err == nil {
		s.err = do()
	}
}

// setStage starts the two servers and the operator, and writes the manifests.
func setStage(ctx context.Context, p *paper.Paper) (*stage, error) {
	dir, err := os.MkdirTemp("", "tidewaiter-demo-")
	if err != nil {
		return nil, err
	}
	s := &stage{paper: p, dir: dir, passwords: []string{rand.Text(), rand.Text()}}
	p.Note("Building Tidewaiter, and starting PostgreSQL, a Kubernetes API server and the operator …")
	for _, do := range []func(context.Context) error{s.build, s.startDatabase, s.startCluster, s.write} {
		if err := do(ctx); err != nil {
			return nil, errors.Join(err, s.strike())
		}
	}
	return s, nil
}

func (s *stage) build(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "build", "-o", s.path("bin/kubectl-tidewaiter"), command).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build %s: %w\n%s", command, err, out)
	}
	return nil
}

func (s *stage) startDatabase(ctx context.Context) error {
	var err error
	if s.db, err = postgrestest.Start(ctx, postgrestest.Options{}); err != nil {
		return err
	}
	return shop.Fill(ctx, s.db, s.passwords[0])
}

func (s *stage) startCluster(ctx context.Context) error {
	var err error
	if s.log, err = os.Create(s.path("log")); err != nil {
		return err
	}
	s.cluster, err = clustertest.Start(ctx, clustertest.Options{SidecarLease: lease, Log: s.log})
	return err
}

// write writes what is applied in the steps. Sidecar and database share the machine's ports with whatever runs on it, so
// theirs are free ones.
func (s *stage) write(context.Context) error {
	listen, err := clustertest.FreePort()
	if err != nil {
		return err
	}
	health, err := clustertest.FreePort()
	if err != nil {
		return err
	}
	if err := shop.WriteManifests(s.path("manifests"), s.db, listen, s.passwords[0]); err != nil {
		return err
	}
	for _, name := range []string{"agent.yaml", "hostnetwork.yaml"} {
		raw, err := manifests.ReadFile("manifests/" + name)
		if err != nil {
			return err
		}
		text := strings.Replace(string(raw), `"16021"`, strconv.Quote(strconv.Itoa(health)), 1)
		if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	root, err := assets.Root()
	if err != nil {
		return err
	}
	access, err := os.ReadFile(filepath.Join(root, "config/samples/access/secrets.yaml"))
	if err != nil {
		return err
	}
	return errors.Join(
		os.Symlink(s.cluster.Recordings, s.path("recordings")),
		os.Symlink(filepath.Join(s.cluster.Dir(), "pods"), s.path("pods")),
		os.WriteFile(s.path("manifests/secretaccess.yaml"), access, 0o600),
		os.WriteFile(s.path("next-role.sql"), fmt.Appendf(nil,
			"CREATE ROLE %s LOGIN PASSWORD '%s' IN ROLE %s;\n", nextRole, s.passwords[1], shop.Role), 0o600),
		os.WriteFile(s.path("next-role.yaml"), fmt.Appendf(nil,
			"stringData: {username: %s, password: %q}\n", nextRole, s.passwords[1]), 0o600),
		os.WriteFile(s.path("passwords"), []byte(strings.Join(shapes(s.passwords), "\n")+"\n"), 0o600),
	)
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

// startSidecar runs the pod's proxy as a kubelet would, and returns when its startup probe passes.
func (s *stage) startSidecar(ctx context.Context) error {
	var err error
	if s.sidecar, err = s.cluster.RunSidecar(ctx, s.pod); err != nil {
		return err
	}
	return s.sidecar.Ready(ctx)
}

// restartSidecar ends the proxy as a crash would, and with it the agent's connection, and starts it again.
func (s *stage) restartSidecar(ctx context.Context) error {
	if err := s.sidecar.Kill(); err != nil {
		return err
	}
	s.hangUp()
	var err error
	s.sidecar, err = s.cluster.RunSidecar(ctx, s.pod)
	return err
}

// strike ends everything and removes every file.
func (s *stage) strike() error {
	var err error
	s.hangUp()
	s.endWatch()
	if s.sidecar != nil {
		err = s.sidecar.Stop()
	}
	if s.cluster != nil {
		err = errors.Join(err, s.cluster.Stop())
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Stop())
	}
	if s.log != nil {
		s.log.Close()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
