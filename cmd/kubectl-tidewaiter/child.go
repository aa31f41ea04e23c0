package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// Exit codes by which a shell says that a command could not be run.
const (
	notExecutable = 126
	notFound      = 127
	bySignal      = 128
)

// runCommand runs a command with the terminal or whatever else this process has, and returns its exit status as an
// exitError.
func runCommand(command, env []string, s streams) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, s.in, s.out, s.err
	// Before the start, so that no signal ends this process while its child goes on.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		code := notExecutable
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			code = notFound
		}
		return exitError{code, fmt.Errorf("the command %s cannot be run: %w", command[0], err)}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	atTerminal := isTerminal(s.in)
	for {
		select {
		case sig := <-signals:
			// The terminal has already sent its own signals to the child, which is in the same process group.
			if !atTerminal || sig != syscall.SIGINT && sig != syscall.SIGQUIT {
				_ = cmd.Process.Signal(sig) // it may just have ended
			}
		case err := <-ended:
			return statusOf(err)
		}
	}
}

// statusOf turns a child's end into our own.
func statusOf(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitError{code: bySignal + int(status.Signal())}
	}
	return exitError{code: exit.ExitCode()}
}

// redirecting are variables that would lead libpq past the proxy or make it ask of the proxy what only the server has.
// What begins with PGSSL is left out as well.
var redirecting = []string{
	"PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE", "PGSYSCONFDIR", "PGPASSWORD", "PGPASSFILE", "PGREQUIREAUTH",
	"PGCHANNELBINDING", "PGREQUIREPEER", "PGREQUIRESSL", "PGGSSENCMODE", "PGGSSDELEGATION", "PGTARGETSESSIONATTRS",
	"PGLOADBALANCEHOSTS", userVariable, passwordVariable,
}

// childEnv is the environment of the command: ours without credentials and without what leads past the proxy, and the
// endpoint's on top.
func childEnv(ours, endpoint []string) []string {
	var names []string
	for _, v := range endpoint {
		name, _, _ := strings.Cut(v, "=")
		names = append(names, name)
	}
	out := slices.DeleteFunc(slices.Clone(ours), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(names, name) || slices.Contains(redirecting, name) || strings.HasPrefix(name, "PGSSL")
	})
	return append(out, endpoint...)
}
