// Package clustertest runs all of Tidewaiter on one machine, as a cluster would: a real API server with everything of
// config/default in it, the operator as a process under its own service account and no other rights, and the sidecars of
// pods as processes with the arguments, the environment and the token that a kubelet would give them.
//
// It stands in for kubelet and cluster network alone. It must not know what the operator or the proxy do inside: it runs
// their commands.
package clustertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/tidewaiter/tidewaiter/test/kubetest"
	"github.com/tidewaiter/tidewaiter/test/kubetest/assets"
	"github.com/tidewaiter/tidewaiter/test/postgrestest"
)

const (
	// ProxyImage is what the operator puts into pods.
	ProxyImage = "ghcr.io/tidewaiter/tidewaiter-proxy:here"

	namespace    = "tidewaiter-system"
	account      = "tidewaiter-operator"
	patience     = 2 * time.Minute // for a start on a machine that is busy compiling
	betweenLooks = 20 * time.Millisecond
	tokenLife    = 4 * time.Minute // of ten that the API server gives
	stopPatience = 40 * time.Second
)

// Options of a Cluster. The zero value is good for most.
type Options struct {
	// SidecarLease is how long sidecars serve new connections without word from the operator; 0 is the operator's default.
	SidecarLease time.Duration
	// OperatorArgs are more arguments of the operator.
	OperatorArgs []string
	// Log receives what the operator and the sidecars log; nil drops it.
	Log io.Writer
}

// Cluster is a running one.
type Cluster struct {
	// API is the API server.
	API *kubetest.Server
	// Client may do everything.
	Client kubernetes.Interface
	// Recordings is the folder in which the operator keeps what sidecars recorded.
	Recordings string

	opt      Options
	dir      string
	webhook  string
	sidecars string
	auditors string
	health   string
	operator *postgrestest.Process
	stopTick context.CancelFunc
}

// Start builds the two commands, starts an API server, installs config/default and runs the operator. It returns when
// the operator is ready. The caller must Stop the cluster.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	dir, err := os.MkdirTemp("", "tidewaiter-cluster-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{opt: o, dir: dir, Recordings: filepath.Join(dir, "recordings"), stopTick: func() {}}
	for _, do := range []func(context.Context) error{c.prepare, c.build, c.startAPI, c.install, c.StartOperator} {
		if err := do(ctx); err != nil {
			return nil, errors.Join(err, c.Stop())
		}
	}
	return c, nil
}

// prepare makes folders that an unprivileged process can use, and picks ports.
func (c *Cluster) prepare(context.Context) error {
	if err := os.Chmod(c.dir, 0o755); err != nil {
		return err
	}
	if err := makeShared(c.Recordings); err != nil {
		return err
	}
	for _, address := range []*string{&c.webhook, &c.sidecars, &c.auditors, &c.health} {
		port, err := FreePort()
		if err != nil {
			return err
		}
		*address = fmt.Sprintf("127.0.0.1:%d", port)
	}
	return nil
}

// makeShared makes a folder that every process of the machine may write to, since those of the cluster are not root.
func makeShared(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return os.Chmod(dir, 0o777)
}

// FreePort returns a port that is free on 127.0.0.1 now.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (c *Cluster) build(ctx context.Context) error {
	root, err := assets.Root()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", c.dir+"/", "./cmd/tidewaiter-operator", "./cmd/tidewaiter-proxy")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

func (c *Cluster) startAPI(context.Context) error {
	var err error
	if c.API, err = kubetest.Start(kubetest.Options{}); err != nil {
		return err
	}
	c.Client, err = kubernetes.NewForConfig(c.API.Config)
	return err
}

// install applies config/default. Where the API server of a cluster asks a Service, this one asks a port of this machine.
func (c *Cluster) install(ctx context.Context) error {
	root, err := assets.Root()
	if err != nil {
		return err
	}
	if _, err := c.Kubectl(ctx, "", "apply", "--server-side", "-k", filepath.Join(root, "config/default")); err != nil {
		return err
	}
	return c.redirect(ctx)
}

// redirect makes every webhook of ours ask the operator's process, at the path that it has at the Service.
func (c *Cluster) redirect(ctx context.Context) error {
	hooks := c.Client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	all, err := hooks.List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=tidewaiter"})
	if err != nil {
		return err
	}
	for i := range all.Items {
		for j := range all.Items[i].Webhooks {
			to := &all.Items[i].Webhooks[j].ClientConfig
			if to.Service != nil && to.Service.Path != nil {
				url := "https://" + c.webhook + *to.Service.Path
				to.URL, to.Service = &url, nil
			}
		}
		if _, err := hooks.Update(ctx, &all.Items[i], metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	if len(all.Items) == 0 {
		return errors.New("config/default has no webhook of ours")
	}
	return nil
}

// Kubectl runs kubectl as somebody who may do everything, and returns what it prints.
func (c *Cluster) Kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := c.API.Command(ctx, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, complaints strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, complaints.String())
	}
	return out.String(), nil
}

// StartOperator runs the operator and returns when it is ready: at the start, and after StopOperator.
func (c *Cluster) StartOperator(ctx context.Context) error {
	config, err := c.kubeconfig(ctx)
	if err != nil {
		return err
	}
	args := []string{
		"run", "--kubeconfig", config, "--one-replica", "--proxy-image", ProxyImage, "--log-level", "debug",
		"--sidecars-address", c.sidecars, "--operator-address", c.sidecars, "--webhook-address", c.webhook, "--name", "127.0.0.1",
		"--health-address", c.health, "--metrics-address", "0", "--recordings", c.Recordings, "--recordings-address", c.auditors,
	}
	args = append(args, c.opt.OperatorArgs...)
	if c.opt.SidecarLease > 0 {
		args = append(args, "--sidecar-lease", c.opt.SidecarLease.String())
	}
	cmd := exec.Command(filepath.Join(c.dir, "tidewaiter-operator"), args...)
	cmd.Stdout, cmd.Stderr = c.opt.Log, c.opt.Log
	if c.operator, err = postgrestest.StartProcess(cmd); err != nil {
		return err
	}
	return ready(ctx, c.operator, "http://"+c.health+"/readyz", "the operator")
}

// OperatorPID is the operator's process.
func (c *Cluster) OperatorPID() int { return c.operator.PID() }

// Reader is the URL at which the operator serves recordings to auditors.
func (c *Cluster) Reader() string { return "https://" + c.auditors }

// Dir is the folder of the cluster: commands, recordings, and for each pod its volumes.
func (c *Cluster) Dir() string { return c.dir }

// StopOperator ends the operator as a cluster would.
func (c *Cluster) StopOperator() error {
	if c.operator == nil {
		return nil
	}
	defer func() { c.operator = nil }()
	return c.operator.Stop(os.Interrupt, stopPatience)
}

// KillOperator ends it as a crash would.
func (c *Cluster) KillOperator() error {
	if c.operator == nil {
		return nil
	}
	defer func() { c.operator = nil }()
	return c.operator.Stop(os.Kill, stopPatience)
}

// Stop ends everything and removes its files.
func (c *Cluster) Stop() error {
	c.stopTick()
	err := c.StopOperator()
	if c.API != nil {
		err = errors.Join(err, c.API.Stop())
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}

// ready waits until a health endpoint answers 200.
func ready(ctx context.Context, process *postgrestest.Process, url, what string) error {
	return Until(ctx, what+" is ready", func(ctx context.Context) error {
		select {
		case <-process.Done():
			return Hopeless(fmt.Errorf("it has ended: %w", process.Err()))
		default:
		}
		return get(ctx, url)
	})
}

func get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, strings.TrimSpace(string(body)))
	}
	return err
}

// hopeless is an error that waiting does not cure.
type hopeless struct{ error }

// Hopeless makes Until give up.
func Hopeless(err error) error { return hopeless{err} }

// Until looks again and again until check is content, for at most two minutes.
func Until(ctx context.Context, what string, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		var stop hopeless
		if errors.As(err, &stop) {
			return fmt.Errorf("%s: %w", what, stop.error)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not in %s: %w", what, patience, err)
		case <-time.After(betweenLooks):
		}
	}
}
