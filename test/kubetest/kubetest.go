// Package kubetest runs a real Kubernetes API server for tests and the demo: kube-apiserver with an etcd of its own, on free
// loopback ports, with this repository's CustomResourceDefinitions, gone when the process that started it is gone.
//
// It is the API server alone: nothing runs Pods, collects garbage, or aggregates the ClusterRoles view, edit and admin, which are
// empty. In the place of the controllers, [Server] gives every namespace its default service account, and
// [Server.DeleteNamespace] deletes what is in one.
//
// The package knows Kubernetes and where the definitions lie. It must not know Tidewaiter's types, operator or proxy, so that
// everything may be tested with it.
package kubetest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/tidewaiter/tidewaiter/test/kubetest/assets"
)

// Options changes what [Start] starts. The zero value is a good server for most tests.
type Options struct {
	// Webhooks are configurations to install, rewritten to point at a server on this machine; [Server.Webhooks] says at which
	// address and with which certificate it has to serve. Tests that install their own need none of it.
	Webhooks envtest.WebhookInstallOptions
	// Flags replaces flags of kube-apiserver, by name without dashes. A flag without values is left out.
	Flags map[string][]string
	// Log receives the logs of both servers; nil drops them (the last lines are kept for error messages).
	Log io.Writer
}

// startPatience and stopPatience are how long each of the two servers may take, on a machine that is busy compiling.
const (
	startPatience = 90 * time.Second
	stopPatience  = 30 * time.Second
)

// Server is a running API server. Its methods may be called concurrently.
type Server struct {
	// Config is for clients that may do everything: a certificate in the group system:masters. Copy it before changing it.
	Config *rest.Config
	// KubeConfig is a file with the same, for kubectl. It names no namespace: that is "default" then.
	KubeConfig string
	// BinDir holds kubectl, etcd and kube-apiserver.
	BinDir string
	// Webhooks is what has become of [Options.Webhooks]: LocalServingHost, -Port and -CertDir are filled in.
	Webhooks envtest.WebhookInstallOptions

	dir         string
	log         *logTail
	guard       *guard
	environment *envtest.Environment
	accounts    *accountant
	users       sync.Mutex // envtest adds one at a time
	stop        func() error
}

// Start runs a new API server and returns when it answers and knows our definitions: about five seconds. An error says what to
// do when the programs are missing. The caller must Stop the server; should the process die before, the server dies with it.
func Start(options Options) (*Server, error) {
	root, err := assets.Root()
	if err != nil {
		return nil, err
	}
	binDir, err := assets.Find()
	if err != nil {
		return nil, err
	}
	s := &Server{BinDir: binDir, log: &logTail{out: options.Log}}
	s.stop = sync.OnceValue(s.end)
	if err := s.start(root, options); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Server) start(root string, options Options) error {
	if err := s.makeDir(root); err != nil {
		return err
	}
	var err error
	if s.guard, err = startGuard(root, s.dir); err != nil {
		return err
	}
	s.environment = &envtest.Environment{
		CRDDirectoryPaths:        []string{filepath.Join(root, "config", "crd", "bases")},
		ErrorIfCRDPathMissing:    true,
		WebhookInstallOptions:    options.Webhooks,
		UseExistingCluster:       new(bool), // whatever USE_EXISTING_CLUSTER says: tests must not touch somebody's cluster
		ControlPlaneStartTimeout: startPatience,
		ControlPlaneStopTimeout:  stopPatience,
	}
	if err := s.configure(options.Flags); err != nil {
		return err
	}
	if s.Config, err = s.environment.Start(); err != nil {
		return fmt.Errorf("starting a Kubernetes API server: %w\nthe end of its log:\n%s", err, s.log)
	}
	s.Webhooks = s.environment.WebhookInstallOptions
	if s.accounts, err = startAccountant(s.Config); err != nil {
		return err
	}
	s.KubeConfig, err = s.WriteKubeConfig("admin", s.Config)
	return err
}

// makeDir makes the server's folder, with links by which envtest starts the programs through launch.sh.
func (s *Server) makeDir(root string) error {
	dir, err := os.MkdirTemp("", "tidewaiter-kube-")
	if err != nil {
		return err
	}
	s.dir = dir
	if err := os.Symlink(s.BinDir, filepath.Join(dir, "bin")); err != nil {
		return err
	}
	for _, name := range []string{"etcd", "kube-apiserver"} {
		if err := os.Symlink(filepath.Join(root, "test", "kubetest", "launch.sh"), filepath.Join(dir, name)); err != nil {
			return err
		}
		if err := os.Mkdir(filepath.Join(dir, name+".d"), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// configure says how to start the two programs. Their files are in the server's folder, so that the guard can remove them.
func (s *Server) configure(flags map[string][]string) error {
	plane := &s.environment.ControlPlane
	plane.KubectlPath = filepath.Join(s.BinDir, "kubectl")

	plane.Etcd = &envtest.Etcd{
		Path: filepath.Join(s.dir, "etcd"), DataDir: filepath.Join(s.dir, "etcd.d"), Out: s.log, Err: s.log,
	}
	plane.Etcd.Configure().Set("log-level", "warn")

	server := plane.GetAPIServer()
	server.Path, server.CertDir = filepath.Join(s.dir, "kube-apiserver"), filepath.Join(s.dir, "kube-apiserver.d")
	server.Out, server.Err = s.log, s.log
	// Without an advertised address it looks for the machine's own, and does not start where there is no network; a loopback
	// address is taken only by a server that tells nobody of it.
	server.Configure().Set("advertise-address", "127.0.0.1").Set("endpoint-reconciler-type", "none")
	// envtest turns service accounts off for want of a controller; with one, Pods are what they are in a cluster.
	server.Configure().Disable("disable-admission-plugins")
	for name, values := range flags {
		if len(values) == 0 {
			server.Configure().Disable(name)
			continue
		}
		server.Configure().Set(name, values...)
	}
	return nil
}

// Address is the API server's host:port.
func (s *Server) Address() string {
	serving := s.environment.ControlPlane.GetAPIServer().SecureServing
	return net.JoinHostPort(serving.Address, serving.Port)
}

// Log is the end of both servers' logs, at most 64 KiB: for error messages of tests.
func (s *Server) Log() string { return s.log.String() }

// Stop ends the servers and removes their data. It may be called more than once.
func (s *Server) Stop() error { return s.stop() }

// end stops kube-apiserver before etcd, without which it would not end.
func (s *Server) end() error {
	if s.accounts != nil {
		s.accounts.stop()
	}
	var err error
	if s.environment != nil {
		err = s.environment.Stop()
	}
	if s.guard != nil {
		err = errors.Join(err, s.guard.dismiss(err == nil))
	}
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

// logTail is the writer of the servers' logs: it keeps the last lines.
type logTail struct {
	mu   sync.Mutex
	out  io.Writer
	tail []byte
}

// maxLogTail bounds the memory that a talkative server may take.
const maxLogTail = 64 << 10

// Write keeps the end of what it is given and passes it on.
func (l *logTail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, p...)
	if over := len(l.tail) - maxLogTail; over > 0 {
		l.tail = append(l.tail[:0], l.tail[over:]...)
	}
	if l.out != nil {
		_, _ = l.out.Write(p) // the log is a courtesy: it must not stop the server
	}
	return len(p), nil
}

// String is what is kept of the logs.
func (l *logTail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.tail)
}
