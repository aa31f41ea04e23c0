// Package approvals tells how people are asked, and answer with stock kubectl: on a real API server, with the operator and the
// sidecars as processes, and a real PostgreSQL. It knows what people see; it must not import operator, controllers or
// proxy.
package approvals

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/tidewaiter/tidewaiter/test/clustertest"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

var (
	requests  = schema.GroupVersionResource{Group: "tidewaiter.dev", Version: "v1alpha1", Resource: "accessrequests"}
	decisions = schema.GroupVersionResource{Group: "tidewaiter.dev", Version: "v1alpha1", Resource: "accessdecisions"}
)

// stage is what the acts play on.
type stage struct {
	*testing.T
	cluster *clustertest.Cluster
	db      *postgrestest.Server
	name    string // of the database
	logs    *postgrestest.Output
	pods    []*pod

	told sync.Map // types of the events that were sent to the webhook, by subject
}

// pod is a workload's, with its sidecar.
type pod struct {
	*corev1.Pod
	sidecar *clustertest.Sidecar
	port    int
}

func open(t *testing.T) *stage {
	s := &stage{T: t, logs: &postgrestest.Output{}, db: postgrestest.Shared(t)}
	s.name = s.db.NewDatabase(t, tables)
	s.must(s.db.Exec(t.Context(), s.name, "ALTER ROLE scram_role PASSWORD 'canary-first-7f3a9c'"))
	var err error
	s.cluster, err = clustertest.Start(t.Context(), clustertest.Options{Log: s.logs, OperatorArgs: []string{"--notify", s.receiver()}})
	s.must(err)
	t.Cleanup(func() {
		for _, p := range s.pods {
			_ = p.sidecar.Kill() // it may have been stopped
		}
		if err := s.cluster.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			text := s.logs.String()
			t.Logf("the last of the logs:\n%s", text[max(0, len(text)-4<<10):])
			if file := os.Getenv("TIDEWAITER_LOGS"); file != "" {
				_ = os.WriteFile(file, []byte(text), 0o600)
			}
		}
	})
	ca, err := s.db.CA()
	s.must(err)
	s.apply(manifests(s.db.Port, s.name, string(ca)))
	s.until("the policy is ready", func(ctx context.Context) error {
		out, err := s.cluster.Kubectl(ctx, "", "get", "tap", "reporting", "-n", "data", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")]}`)
		if err == nil && !strings.Contains(out, `"True"`) {
			err = errors.New(out)
		}
		return err
	})
	return s
}

// receiver is a webhook's file for the operator; what comes is kept in told.
func (s *stage) receiver() string {
	s.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e struct{ Type, Subject string }
		raw, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil || json.Unmarshal(raw, &e) != nil || r.Header.Get("webhook-signature") == "" {
			http.Error(w, "not an event", http.StatusBadRequest)
			return
		}
		s.told.Store(e.Type+" "+e.Subject, string(raw))
	}))
	s.Cleanup(web.Close)
	folder, err := os.MkdirTemp("", "tidewaiter-notify-") // the test's own folder is closed to the operator's user
	s.must(err)
	s.Cleanup(func() { _ = os.RemoveAll(folder) })
	s.must(os.Chmod(folder, 0o755))
	file := filepath.Join(folder, "notify.yaml")
	s.must(os.WriteFile(file, []byte(fmt.Sprintf("sinks: [{name: test, url: %q, format: CloudEvents, insecure: true, signingKey: %s}]\n", web.URL, base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef")))), 0o644))
	return file
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stage) apply(manifest string) {
	s.Helper()
	_, err := s.cluster.Kubectl(s.Context(), manifest, "apply", "-f", "-")
	s.must(err)
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
	p.sidecar, err = s.cluster.RunSidecar(s.Context(), created)
	s.must(err)
	s.pods = append(s.pods, p)
	s.must(p.sidecar.Ready(s.Context()))
	return p
}

func (s *stage) url(p *pod) string {
	return fmt.Sprintf("postgres://agent@127.0.0.1:%d/%s?sslmode=disable", p.port, s.name)
}

// client is an agent's connection, and the notices that it got.
type client struct {
	*pgconn.PgConn
	s       *stage
	notices chan *pgconn.Notice
}

func (s *stage) connect(p *pod) *client {
	s.Helper()
	config, err := pgconn.ParseConfig(s.url(p))
	s.must(err)
	c := &client{s: s, notices: make(chan *pgconn.Notice, 16)}
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { c.notices <- n }
	c.PgConn, err = pgconn.ConnectConfig(s.Context(), config)
	s.must(err)
	s.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// answer is what became of a statement.
type answer struct {
	rows int
	err  error
	at   time.Time // of the first byte of the result
}

func (a answer) text() string {
	var pg *pgconn.PgError
	if errors.As(a.err, &pg) {
		return strings.Join([]string{pg.Code, pg.Message, pg.Detail, pg.Hint}, "\n")
	}
	if a.err != nil {
		return a.err.Error()
	}
	return fmt.Sprintf("%d rows", a.rows)
}

// begin runs a statement beside the test.
func (c *client) begin(sql string) <-chan answer {
	out := make(chan answer, 1)
	go func() {
		if strings.HasPrefix(sql, "copy") {
			var to counted
			_, err := c.CopyTo(context.Background(), &to, sql)
			out <- answer{rows: to.lines, err: err, at: to.at}
			return
		}
		results, err := c.Exec(context.Background(), sql).ReadAll()
		a := answer{err: err, at: time.Now()}
		for _, r := range results {
			a.rows += len(r.Rows)
		}
		out <- a
	}()
	return out
}

// counted counts lines, and notes when the first came.
type counted struct {
	lines int
	at    time.Time
}

func (w *counted) Write(p []byte) (int, error) {
	if w.at.IsZero() {
		w.at = time.Now()
	}
	w.lines += bytes.Count(p, []byte("\n"))
	return len(p), nil
}

var heldAs = regexp.MustCompile(`held for approval as data/([a-z0-9.-]+)`)

// held waits for the notice and returns the request's name.
func (c *client) held() string {
	c.s.Helper()
	select {
	case n := <-c.notices:
		found := heldAs.FindStringSubmatch(n.Message)
		if found == nil || !strings.Contains(n.Hint, "kubectl tidewaiter approve") {
			c.s.Fatalf("the notice: %s (%s)", n.Message, n.Hint)
		}
		return found[1]
	case <-time.After(20 * time.Second):
		c.s.Fatal("no notice in 20 s")
	}
	return ""
}

// ends waits for an answer.
func (s *stage) ends(a <-chan answer) answer {
	s.Helper()
	select {
	case got := <-a:
		return got
	case <-time.After(30 * time.Second):
		s.Fatal("no answer in 30 s")
	}
	return answer{}
}

// works shows that a connection is as good as new.
func (c *client) works() {
	c.s.Helper()
	if got := c.s.ends(c.begin("select 1")); got.err != nil || got.rows != 1 {
		c.s.Fatalf("the connection does not go on: %s", got.text())
	}
}

// as is the API as a person has it.
func (s *stage) as(user string, groups ...string) dynamic.Interface {
	s.Helper()
	config := rest.CopyConfig(s.cluster.API.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: append(groups, "system:authenticated")}
	config.QPS, config.Burst = 200, 400
	d, err := dynamic.NewForConfig(config)
	s.must(err)
	return d
}

// by is the API as somebody has it who holds a token and wants to be somebody else.
func (s *stage) by(token, as string) dynamic.Interface {
	s.Helper()
	config := &rest.Config{Host: s.cluster.API.Config.Host, BearerToken: token, Impersonate: rest.ImpersonationConfig{UserName: as}}
	config.CAData = s.cluster.API.Config.CAData
	d, err := dynamic.NewForConfig(config)
	s.must(err)
	return d
}

// decision is one as people write it.
func decision(request, verdict, reason string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "tidewaiter.dev/v1alpha1", "kind": "AccessDecision",
		"metadata": map[string]any{"generateName": request + "-", "namespace": "data"},
		"spec":     map[string]any{"requestRef": map[string]any{"name": request}, "decision": verdict, "reason": reason},
	}}
}

// decides creates a decision as a person, and returns what the API server says.
func (s *stage) decides(user, request, verdict string, groups ...string) error {
	_, err := s.as(user, groups...).Resource(decisions).Namespace("data").Create(s.Context(), decision(request, verdict, "seen"), metav1.CreateOptions{})
	return err
}

// state waits until a request has a state.
func (s *stage) state(request, want string) *unstructured.Unstructured {
	s.Helper()
	var got *unstructured.Unstructured
	s.until("request "+request+" is "+want, func(ctx context.Context) error {
		var err error
		got, err = s.as("auditor", "system:masters").Resource(requests).Namespace("data").Get(ctx, request, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if state, _, _ := unstructured.NestedString(got.Object, "status", "state"); state != want {
			return fmt.Errorf("it is %q: %v", state, got.Object["status"])
		}
		return nil
	})
	return got
}

// refused says that something was, with a reason.
func (s *stage) refused(what string, err error, want string) {
	s.Helper()
	switch {
	case err == nil:
		s.Errorf("%s: it was taken", what)
	case !strings.Contains(err.Error(), want):
		s.Errorf("%s: refused with %q, which does not say %q", what, err, want)
	default:
		s.Logf("%-40s %v", what, err)
	}
}

// command runs a client program with the agent's address and returns what it prints, whatever its end.
func (s *stage) command(name string, args ...string) (out *postgrestest.Output, done <-chan error) {
	s.Helper()
	out = &postgrestest.Output{}
	cmd := exec.CommandContext(s.Context(), name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	s.must(cmd.Start())
	end := make(chan error, 1)
	go func() { end <- cmd.Wait() }()
	return out, end
}
