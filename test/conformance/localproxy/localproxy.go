// Package localproxy runs the product as its users do, `kubectl tidewaiter local`, in front of a PostgreSQL server of a test:
// conformance suites, the corpora, random conversations and benchmarks all get their proxy here.
//
// It must not import a package of the product: whatever it needs to know comes by the command's flags, manifests and environment.
package localproxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Subject is the namespace/serviceaccount that the command is told to act as.
const Subject = "shop/tester"

// BinaryVariable names an environment variable with the path of a kubectl-tidewaiter to test instead of one built from here.
const BinaryVariable = "TIDEWAITER_BINARY"

// command is the package that [Build] builds.
const command = "github.com/tidewaiter/tidewaiter/cmd/kubectl-tidewaiter"

// stopPatience is how long the command may take to end after what it ran has ended.
const stopPatience = 15 * time.Second

// Build builds the command into a folder, or takes the one that [BinaryVariable] names, and returns its path. The working folder
// must be inside the module.
func Build(ctx context.Context, dir string) (string, error) {
	if binary := os.Getenv(BinaryVariable); binary != "" {
		return binary, nil
	}
	binary := filepath.Join(dir, "kubectl-tidewaiter")
	if output, err := exec.CommandContext(ctx, "go", "build", "-o", binary, command).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", command, err, output)
	}
	return binary, nil
}

// Command is `kubectl-tidewaiter local` with a folder of manifests, about to run a program with its arguments behind a proxy.
// The program finds the proxy by PGHOST, PGPORT, PGUSER, PGDATABASE and PGSSLMODE. Recordings go below state.
func Command(ctx context.Context, binary, manifests, state string, program ...string) *exec.Cmd {
	arguments := append([]string{"local", "-f", manifests, "--as", Subject, "--"}, program...)
	cmd := exec.CommandContext(ctx, binary, arguments...)
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+state)
	return cmd
}

// Proxy is a running proxy.
type Proxy struct {
	// Address is its host:port. It asks for no password.
	Address string
	// User and Database are what a client names when it connects.
	User, Database string
	// Inspect, where it is set, is shown what is left of the proxy when it has stopped: the folder that its recordings are
	// below, and what it wrote to its standard error. Its error is one of Stop.
	Inspect func(state string, log []byte) error

	cmd    *exec.Cmd
	stdin  io.Closer
	stderr *bytes.Buffer
	dir    string
	done   chan struct{}
	err    error // of Wait; valid once done is closed
}

// stateFolder is where the proxy's recordings go, apart from its manifests, which hold the database's password.
const stateFolder = "state"

// Start runs a proxy with manifests (YAML text) and returns when it serves. Should this process die, the proxy ends too.
func Start(ctx context.Context, binary, manifests string) (*Proxy, error) {
	dir, err := os.MkdirTemp("", "tidewaiter-localproxy-")
	if err != nil {
		return nil, err
	}
	proxy := &Proxy{dir: dir, stderr: &bytes.Buffer{}, done: make(chan struct{})}
	if err := proxy.start(binary, manifests); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return proxy, nil
}

func (p *Proxy) start(binary, manifests string) error {
	if err := os.WriteFile(filepath.Join(p.dir, "manifests.yaml"), []byte(manifests), 0o600); err != nil {
		return err
	}
	// The program behind the proxy says where it was told to connect to, and ends with its standard input: with this process.
	const report = `echo "$PGHOST|$PGPORT|$PGUSER|$PGDATABASE"; exec cat >/dev/null`
	p.cmd = Command(context.Background(), binary, filepath.Join(p.dir, "manifests.yaml"), filepath.Join(p.dir, stateFolder), "sh", "-c", report)
	p.cmd.Stderr = p.stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewReader(stdout)
	line, readErr := p.firstReport(lines)
	go func() {
		_, _ = io.Copy(io.Discard, lines) // the command's closing words are nobody's here
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	if readErr != nil {
		<-p.done
		return fmt.Errorf("%s local did not start: %w\n%s", binary, errors.Join(readErr, p.err), p.stderr)
	}
	fields := strings.Split(line, "|")
	p.Address, p.User, p.Database = net.JoinHostPort(fields[0], fields[1]), fields[2], fields[3]
	return nil
}

// firstReport skips what the command itself may print before the program's line.
func (p *Proxy) firstReport(lines *bufio.Reader) (string, error) {
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimSpace(line); strings.Count(line, "|") == 3 {
			return line, nil
		}
		if err != nil {
			return "", err
		}
	}
}

// PID is the process id of the proxy.
func (p *Proxy) PID() int { return p.cmd.Process.Pid }

// Stop ends the proxy as the end of its program does, and removes its files. A proxy that does not end is killed, which is an
// error, as is a status other than 0; both carry what the command wrote on its standard error.
func (p *Proxy) Stop() error {
	err := p.stdin.Close()
	select {
	case <-p.done:
		if p.err != nil {
			err = errors.Join(err, fmt.Errorf("the proxy ended with %w\n%s", p.err, p.stderr))
		}
	case <-time.After(stopPatience):
		err = errors.Join(err, fmt.Errorf("the proxy did not end in %s and was killed", stopPatience), p.cmd.Process.Kill())
		<-p.done
	}
	if p.Inspect != nil {
		err = errors.Join(err, p.Inspect(filepath.Join(p.dir, stateFolder), p.stderr.Bytes()))
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}
