package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/local"
)

const localLong = `Start a proxy in this process, by the same manifests that a cluster would get, and run a command behind it. The
command finds the proxy by PGHOST, PGPORT, PGUSER, PGDATABASE and PGSSLMODE and by what the DataSource's spec.inject.env
says; it gets no credential. Its exit status is the exit status of this command. Without a command the lines to connect
with are printed, and the proxy stays until SIGINT or SIGTERM.

The subject whose access is tried is --as. Left out, it is the one that the policies name: a service account of
spec.subjects in a Namespace of the manifests. Where there are several, the error lists them.

Every session is recorded in a file of its own, below $XDG_STATE_HOME/tidewaiter or ~/.local/state/tidewaiter.

Exit codes: the command's; 126 and 127 if it cannot be run or found, 128+n if signal n ended it; 1 for an error.`

const localExample = `  # psql, as the only subject that the policies name
  kubectl tidewaiter local -f manifests/ -- psql

  # a program, as a certain service account and pod
  kubectl tidewaiter local -f manifests/ --as shop/report-agent --labels app=report -- python report.py

  # the credential from the environment instead of a Secret
  TIDEWAITER_USER=orders_app TIDEWAITER_PASSWORD=… kubectl tidewaiter local -f manifests/ --credentials-from-env -- psql

  # hold what needs approval; another terminal answers: kubectl tidewaiter local approve NAME
  kubectl tidewaiter local -f manifests/ --approvals -- psql

  # a proxy that stays, for programs that are started elsewhere
  kubectl tidewaiter local -f manifests/ --health 127.0.0.1:9090`

// localCommand are the flags of local.
type localCommand struct {
	streams
	manifestFlags
	recordings string
	health     string
	socket     string
	approvals  bool
	quiet      bool
}

func newLocal(s streams) *cobra.Command {
	l := &localCommand{streams: s}
	cmd := &cobra.Command{
		Use:     "local -f FILE|DIR [--as NAMESPACE/SERVICEACCOUNT] [flags] [-- COMMAND [ARG...]]",
		Short:   "Run a command behind a proxy on this machine, without a cluster",
		Long:    localLong,
		Example: localExample,
		Args:    onlyBehindDashes,

		DisableFlagsInUseLine: true,
		RunE:                  func(cmd *cobra.Command, args []string) error { return l.run(cmd.Context(), args) },
	}
	l.register(cmd, "default: the first to which the subject may attach")
	f := cmd.Flags()
	f.StringVar(&l.recordings, "recordings", "", "`folder` for the recordings (default ~/.local/state/tidewaiter)")
	f.StringVar(&l.health, "health", "", "`address` for /healthz, /readyz and /metrics, such as 127.0.0.1:9090 (default none)")
	f.StringVar(&l.socket, "socket", "", "`folder` for unix sockets beside the ports; recordings then name the process (default none)")
	f.BoolVar(&l.approvals, "approvals", false, "hold what needs approval until somebody at this machine answers, in another terminal: see local requests, approve, deny")
	f.BoolVarP(&l.quiet, "quiet", "q", false, "print errors only: no connection lines, no warnings, no summary")
	addHeld(cmd, s)
	return cmd
}

// onlyBehindDashes takes arguments behind -- alone, so that a mistyped flag does not become a program's name.
func onlyBehindDashes(cmd *cobra.Command, args []string) error {
	if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
		return fmt.Errorf("write the command behind --: kubectl tidewaiter local -f … -- %s", args[0])
	}
	return nil
}

func (l *localCommand) run(ctx context.Context, command []string) error {
	if ctx == nil {
		ctx = context.Background()
	}
	o, err := l.options(os.Getenv)
	if err != nil {
		return err
	}
	if o.RecordDir = l.recordings; o.RecordDir == "" {
		if o.RecordDir, err = stateDir(os.Getenv); err != nil {
			return err
		}
	}
	o.SocketDir, o.Approvals = l.socket, l.approvals
	if !l.quiet {
		o.Log = slog.New(slog.NewTextHandler(l.err, nil))
		warn(l.streams, o)
	}
	if l.dataSource != "" { // said before anything starts
		if _, err := local.Attachable(o.Set, o.Subject, l.dataSource); err != nil {
			return err
		}
	}
	health, err := listenHealth(l.health)
	if err != nil {
		return err
	}
	proxy, err := local.Start(ctx, o)
	if err != nil {
		return errors.Join(err, closeHealth(health))
	}
	endpoint, err := proxy.Endpoint(l.dataSource)
	if err == nil {
		err = l.approve(proxy, func() error { return l.serve(ctx, proxy, endpoint, health, command) })
	}
	closeErr := proxy.Close()
	if !l.quiet {
		fmt.Fprintln(l.err, summaryLine(proxy.Summary(), os.Getenv("HOME")))
	}
	if err == nil {
		err = closeErr
	}
	return err
}

// approve lets somebody answer what is held while run runs.
func (l *localCommand) approve(proxy *local.Proxy, run func() error) error {
	if proxy.People() == nil {
		return run()
	}
	dir, err := stateDir(os.Getenv)
	if err != nil {
		return err
	}
	stop, err := serveApprovals(proxy.People(), dir)
	if err != nil {
		return err
	}
	defer stop()
	return run()
}

// serve runs the command, or stays until it is told to end.
func (l *localCommand) serve(ctx context.Context, proxy *local.Proxy, endpoint local.Endpoint, health net.Listener, command []string) error {
	defer serveHealth(health, proxy.Handler())()
	if len(command) > 0 {
		return runCommand(command, childEnv(os.Environ(), endpoint.Env()), l.streams)
	}
	return l.stay(ctx, proxy)
}

// stay prints where to connect and waits. After the first signal a second one ends the process at once.
func (l *localCommand) stay(ctx context.Context, proxy *local.Proxy) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if !l.quiet {
		printEndpoints(l.out, proxy.Endpoints())
	}
	select {
	case <-ctx.Done():
		return nil
	case <-proxy.Done():
		return errors.New("the proxy ended")
	}
}

func printEndpoints(w io.Writer, endpoints []local.Endpoint) {
	for _, e := range endpoints {
		fmt.Fprintf(w, "%s  psql %s\n", e.DataSource, shellQuote(e.ConnectionString()))
	}
}

// listenHealth listens on an address, empty for none.
func listenHealth(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	ln, err := net.Listen("tcp", address)
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // the address is told already
	}
	if err != nil {
		return nil, fmt.Errorf("--health %s: %w: write a free address of this machine, such as 127.0.0.1:9090", address, err)
	}
	return ln, nil
}

func closeHealth(ln net.Listener) error {
	if ln == nil {
		return nil
	}
	return ln.Close()
}

// serveHealth serves h until stop is called; without a listener nothing.
func serveHealth(ln net.Listener, h http.Handler) (stop func()) {
	if ln == nil {
		return func() {}
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	go func() { _ = s.Serve(ln) }() // ends with stop
	return func() { _ = s.Close() }
}
