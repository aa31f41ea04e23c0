// Package recordings tells what becomes of sessions once they are over: on a real API server, with the operator and the sidecars as
// processes, a real PostgreSQL, and the plugin as auditors run it. It knows what people see; it must not import
// operator, controllers or proxy.
package recordings

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	corev1 "k8s.io/api/core/v1"

	"github.com/tidewaiter/tidewaiter/test/clustertest"
	"github.com/tidewaiter/tidewaiter/test/kubetest/assets"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// stage is what the acts play on.
type stage struct {
	*testing.T
	cluster *clustertest.Cluster
	db      *postgrestest.Server
	name    string // of the database
	logs    *postgrestest.Output
	plugin  string // its path
	home    string // of the auditor
	pods    []*pod
}

// pod is a workload's, with its sidecar.
type pod struct {
	*corev1.Pod
	sidecar *clustertest.Sidecar
	port    int
}

func open(t *testing.T) *stage {
	s := &stage{T: t, logs: &postgrestest.Output{}, db: postgrestest.Shared(t), home: t.TempDir()}
	s.plugin = filepath.Join(s.home, "kubectl-tidewaiter")
	s.name = s.db.NewDatabase(t, tables)
	s.must(s.db.Exec(t.Context(), s.name, "ALTER ROLE scram_role PASSWORD 'canary-password-7f3a9c'"))
	root, err := assets.Root()
	s.must(err)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", s.plugin, "./cmd/kubectl-tidewaiter")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.cluster, err = clustertest.Start(t.Context(), clustertest.Options{Log: s.logs})
	s.must(err)
	t.Cleanup(s.close)
	ca, err := s.db.CA()
	s.must(err)
	_, err = s.cluster.Kubectl(t.Context(), manifests(s.db.Port, s.name, string(ca)), "apply", "-f", "-")
	s.must(err)
	s.until("the policy is ready", func(ctx context.Context) error {
		out, err := s.cluster.Kubectl(ctx, "", "get", "tap", "reporting", "-n", "data", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")]}`)
		if err == nil && !strings.Contains(out, `"True"`) {
			err = errors.New(out)
		}
		return err
	})
	return s
}

func (s *stage) close() {
	for _, p := range s.pods {
		_ = p.sidecar.Kill() // it may have been stopped
	}
	if err := s.cluster.Stop(); err != nil {
		s.Error(err)
	}
	if s.Failed() {
		text := s.logs.String()
		s.Logf("the last of the logs:\n%s", text[max(0, len(text)-4<<10):])
		if file := os.Getenv("TIDEWAITER_LOGS"); file != "" {
			_ = os.WriteFile(file, []byte(text), 0o600)
		}
	}
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stage) until(what string, check func(context.Context) error) {
	s.Helper()
	s.must(clustertest.Until(s.Context(), what, check))
}

// pod makes a pod of the agent, with its sidecar ready.
func (s *stage) pod(name string) *pod {
	s.Helper()
	port, err := clustertest.FreePort()
	s.must(err)
	health, err := clustertest.FreePort()
	s.must(err)
	// Each pod has a network of its own; here they share one, so each has a port of its own.
	_, err = s.cluster.Kubectl(s.Context(), "", "patch", "tds", "orders", "-n", "data", "--type=merge", "-p", fmt.Sprintf(`{"spec":{"listen":{"port":%d}}}`, port))
	s.must(err)
	created, err := s.cluster.CreatePod(s.Context(), fmt.Sprintf(agent, name, health))
	s.must(err)
	p := &pod{Pod: created, port: port}
	s.run(p)
	s.pods = append(s.pods, p)
	s.must(p.sidecar.Ready(s.Context()))
	return p
}

// run starts a pod's sidecar, as a kubelet does, and does again when it has died.
func (s *stage) run(p *pod) {
	s.Helper()
	var err error
	p.sidecar, err = s.cluster.RunSidecar(s.Context(), p.Pod)
	s.must(err)
}

func (s *stage) connect(ctx context.Context, p *pod) (*pgconn.PgConn, error) {
	return pgconn.Connect(ctx, fmt.Sprintf("postgres://agent@127.0.0.1:%d/%s?sslmode=disable", p.port, s.name))
}

// says runs statements of a pod's agent and returns the first error of each, "" where there is none.
func (s *stage) says(p *pod, statements ...string) []string {
	s.Helper()
	conn, err := s.connect(s.Context(), p)
	s.must(err)
	defer conn.Close(context.Background())
	var out []string
	for _, sql := range statements {
		_, err := conn.Exec(s.Context(), sql).ReadAll()
		var pg *pgconn.PgError
		switch {
		case err == nil:
			out = append(out, "")
		case errors.As(err, &pg):
			out = append(out, pg.Code+" "+pg.Message)
		default:
			s.Fatalf("%s: %v", sql, err)
		}
	}
	return out
}

// tidewaiter runs the plugin as an auditor, and returns what it prints and its exit code.
func (s *stage) tidewaiter(args ...string) (out string, code int) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.plugin, append(args, "--kubeconfig", s.cluster.API.KubeConfig)...)
	cmd.Env = append(os.Environ(), "HOME="+s.home, "XDG_STATE_HOME="+s.home)
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(text), exit.ExitCode()
	}
	s.must(err)
	return string(text), 0
}

// audits runs the plugin and fails unless it exits with a code and prints all of some words.
func (s *stage) audits(code int, args []string, words ...string) string {
	s.Helper()
	out, got := s.tidewaiter(args...)
	if got != code {
		s.Fatalf("%s: exit code %d, want %d\n%s", strings.Join(args, " "), got, code, out)
	}
	for _, word := range words {
		if !strings.Contains(out, word) {
			s.Fatalf("%s: no %q in\n%s", strings.Join(args, " "), word, out)
		}
	}
	return out
}

// query returns the first column of what the database's owner asks.
func (s *stage) query(sql string) []string {
	s.Helper()
	conn, err := pgconn.Connect(s.Context(), s.db.DSN(s.name))
	s.must(err)
	defer conn.Close(context.Background())
	results, err := conn.Exec(s.Context(), sql).ReadAll()
	s.must(err)
	var out []string
	for _, row := range results[0].Rows {
		out = append(out, string(row[0]))
	}
	return out
}

// logged waits until the log has everything that is kept.
func (s *stage) logged() {
	s.Helper()
	s.until("nothing waits for the log", func(context.Context) error {
		waiting, err := filepath.Glob(filepath.Join(s.cluster.Recordings, "log", "pending", "*.json"))
		if err == nil && len(waiting) > 0 {
			err = fmt.Errorf("%d leaves wait", len(waiting))
		}
		return err
	})
}
