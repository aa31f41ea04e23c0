package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/test/conformance/localproxy"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

const (
	role         = "bench"
	databaseName = "bench"
	// scale is pgbench's: 500,000 accounts, 75 MB, all of it in shared buffers.
	scale = 5
)

// contestant is something that pgbench connects to.
type contestant struct {
	name string
	host string
	port string
	pid  int // whose processor time is counted; 0 for the server itself
}

// ground is the server and the programs in front of it.
type ground struct {
	dir    string
	server *postgrestest.Server
	ends   []func() error
}

func newGround(ctx context.Context) (*ground, error) {
	dir, err := os.MkdirTemp("", "tidewaiter-bench-")
	if err != nil {
		return nil, err
	}
	g := &ground{dir: dir}
	if err := g.prepare(ctx); err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

func (g *ground) prepare(ctx context.Context) (err error) {
	if err := os.Chmod(g.dir, 0o755); err != nil { //nolint:gosec // pgbouncer and haproxy run as another user; there are no secrets
		return err
	}
	g.server, err = postgrestest.Start(ctx, postgrestest.Options{
		HBA:        []string{"host all " + role + " 127.0.0.1/32 trust"},
		Parameters: map[string]string{"shared_buffers": "256MB"},
	})
	if err != nil {
		return err
	}
	if err := g.server.Exec(ctx, "", fmt.Sprintf("CREATE ROLE %s SUPERUSER LOGIN PASSWORD '%s'", role, g.server.Password)); err != nil {
		return err
	}
	if err := g.server.CreateDatabase(ctx, databaseName, ""); err != nil {
		return err
	}
	initialize := exec.CommandContext(ctx, filepath.Join(g.server.BinDir, "pgbench"), "-i", "-q", "-s", strconv.Itoa(scale))
	initialize.Env = append(os.Environ(), g.server.Environment(databaseName)...)
	if output, err := initialize.CombinedOutput(); err != nil {
		return fmt.Errorf("pgbench -i: %w\n%s", err, output)
	}
	return nil
}

func (g *ground) close() error {
	var errs []error
	for i := len(g.ends) - 1; i >= 0; i-- {
		errs = append(errs, g.ends[i]())
	}
	if g.server != nil {
		errs = append(errs, g.server.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(g.dir))...)
}

// startAll starts everybody, in the order of the table.
func (g *ground) startAll(ctx context.Context, o options) ([]contestant, error) {
	contestants := []contestant{{name: direct, host: g.server.Host, port: strconv.Itoa(g.server.Port)}}
	for _, start := range []func(context.Context, options) (contestant, error){g.startPgbouncer, g.startHaproxy, g.startTidewaiter} {
		c, err := start(ctx, o)
		if err != nil {
			return nil, err
		}
		if err := waitUntilServing(ctx, c); err != nil {
			return nil, err
		}
		contestants = append(contestants, c)
	}
	return contestants, nil
}

func (g *ground) startPgbouncer(_ context.Context, _ options) (contestant, error) {
	return g.startPeer("pgbouncer", func(port string) string {
		return fmt.Sprintf(`[databases]
%s = host=%s port=%d dbname=%s user=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = session
default_pool_size = 50
max_client_conn = 200
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
`, databaseName, g.server.Host, g.server.Port, databaseName, role, port)
	})
}

func (g *ground) startHaproxy(_ context.Context, _ options) (contestant, error) {
	return g.startPeer("haproxy", func(port string) string {
		return fmt.Sprintf(`global
  maxconn 200
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
listen bench
  bind 127.0.0.1:%s
  server postgres %s
`, port, g.server.Address())
	}, "-db", "-f")
}

// startPeer starts a program of Debian's with a configuration of its own, as the same user as the server.
func (g *ground) startPeer(name string, configuration func(port string) string, arguments ...string) (contestant, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath(filepath.Join("/usr/sbin", name)); err != nil {
			return contestant{}, fmt.Errorf("%s is not installed; install it with: apt-get install -y %s", name, name)
		}
	}
	port, err := freePort()
	if err != nil {
		return contestant{}, err
	}
	file := filepath.Join(g.dir, name+".conf")
	if err := os.WriteFile(file, []byte(configuration(port)), 0o644); err != nil { //nolint:gosec // there are no secrets in it
		return contestant{}, err
	}
	cmd := exec.Command(path, append(arguments, file)...)
	cmd.Dir = g.dir
	process, err := postgrestest.StartProcess(cmd)
	if err != nil {
		return contestant{}, err
	}
	g.ends = append(g.ends, func() error { return process.Stop(syscall.SIGTERM, 10*time.Second) })
	return contestant{name: name, host: "127.0.0.1", port: port, pid: process.PID()}, nil
}

func (g *ground) startTidewaiter(ctx context.Context, o options) (contestant, error) {
	binary, err := localproxy.Build(ctx, g.dir)
	if err != nil {
		return contestant{}, err
	}
	proxy, err := localproxy.Start(ctx, binary, g.policy(o.durability))
	if err != nil {
		return contestant{}, err
	}
	g.ends = append(g.ends, proxy.Stop)
	host, port, err := net.SplitHostPort(proxy.Address)
	return contestant{name: tidewaiter, host: host, port: port, pid: proxy.PID()}, err
}

// policy is one as an application would have it: reads and writes, a masked column, recording.
func (g *ground) policy(durability string) string {
	return fmt.Sprintf(`apiVersion: tidewaiter.dev/v1alpha1
kind: DataSource
metadata: {name: bench, namespace: data}
spec:
  protocol: postgres
  postgres: {host: %s, port: %d, database: %s, tls: {mode: disable}}
  credentials: {secretRef: {name: bench-db}}
  listen: {port: 15432}
  allowedNamespaces: {selector: {}}
  classifications: [{columns: ["public.pgbench_accounts.filler"], tags: [pii/filler]}]
  recording: {rows: Masked, durability: %s}
---
apiVersion: tidewaiter.dev/v1alpha1
kind: AccessPolicy
metadata: {name: bench, namespace: data}
spec:
  dataSources: [{name: bench}]
  subjects: [{namespaceSelector: {}}]
  mode: Enforce
  rules: [{name: app, action: Allow, statements: ["*"], tables: ["*.*"]}]
  masks: [{tags: ["*"], strategy: Redact}]
  predicates: EqualityOnly
---
%s`, g.server.Host, g.server.Port, databaseName, durability, localproxy.Secret("bench-db", g.server, role))
}

// waitUntilServing tries to log in until it works.
func waitUntilServing(ctx context.Context, c contestant) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgconn.Connect(ctx, fmt.Sprintf("host=%s port=%s user=%s dbname=%s sslmode=disable", c.host, c.port, role, databaseName))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve: %w", c.name, err)
		}
	}
}

func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, errors.Join(err, listener.Close())
}
