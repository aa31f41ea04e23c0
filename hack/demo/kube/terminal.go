package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/hack/demo/shop"
	"github.com/tidewaiter/tidewaiter/test/clustertest"
)

// patience is how long a command may take to end when the tour is broken off.
const patience = 5 * time.Second

// bash prepares what a person types: kubectl with the right to do everything, its plugin, and psql; in the folder of the
// demo, with the environment of the agent.
func (s *stage) bash(ctx context.Context, typed string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-c", typed)
	cmd.Env = append(s.cluster.API.Command(ctx).Env, "PATH="+s.path("bin")+":"+s.cluster.API.BinDir+":"+os.Getenv("PATH"),
		"HOME="+s.dir, "LC_ALL=C.UTF-8", "PAGER=cat", "PSQLRC=/dev/null", "PGAPPNAME=psql", "OWNER="+s.db.DSN(shop.Database), "READER="+s.cluster.Reader())
	if s.pod != nil {
		cmd.Env = append(cmd.Env, clustertest.Environment(s.pod)...)
	}
	if s.sidecar != nil {
		cmd.Env = append(cmd.Env, fmt.Sprintf("SIDECAR=%d", s.sidecar.PID()))
	}
	cmd.Dir = s.dir
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(os.Interrupt) }, patience
	return cmd
}

// quietly runs what is typed and judges its output for what nobody may see.
func (s *stage) quietly(ctx context.Context, typed string) (out []byte, exit int, err error) {
	cmd := s.bash(ctx, typed)
	out, err = cmd.CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		return nil, 0, err
	}
	if err := shop.Leak("the output", out, s.passwords...); err != nil {
		return nil, 0, err // before anything is shown
	}
	return out, cmd.ProcessState.ExitCode(), nil
}

// run shows what is typed and what it prints, which has to hold some words; it must end with status 0.
func (s *stage) run(ctx context.Context, typed string, want ...string) {
	s.fails(ctx, 0, typed, want...)
}

// fails is run for what ends with another status.
func (s *stage) fails(ctx context.Context, status int, typed string, want ...string) {
	s.then(func() error {
		s.paper.Command("$", typed)
		out, exit, err := s.quietly(ctx, typed)
		if err != nil {
			return err
		}
		if err := s.shows(out, want...); err != nil {
			return err
		}
		if exit != status {
			return fmt.Errorf("the exit code is %d, not %d", exit, status)
		}
		return nil
	})
}

// shows shows an output, which has to hold some words, and nothing that nobody may see.
func (s *stage) shows(out []byte, want ...string) error {
	if err := shop.Leak("the output", out, s.passwords...); err != nil {
		return err
	}
	s.paper.Output(out)
	return holds(out, want...)
}

func (s *stage) remark(format string, args ...any) error {
	s.paper.Remark(fmt.Sprintf(format, args...))
	return nil
}

func holds(out []byte, want ...string) error {
	words := strings.Join(strings.Fields(string(out)), " ")
	for _, w := range want {
		if !strings.Contains(words, w) {
			return fmt.Errorf("the output lacks %q", w)
		}
	}
	return nil
}

// conversation is psql in the agent, connected once, statement after statement.
type conversation struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
}

// answered is what psql is told to print when it has answered.
const answered = "-- answered --"

// connect starts psql by the agent's DATABASE_URL.
func (s *stage) connect(ctx context.Context) {
	s.then(func() error {
		const typed = `psql "$DATABASE_URL"`
		s.paper.Command("$", typed)
		cmd := s.bash(ctx, "exec "+typed+" 2>&1")
		stdin, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		s.agent = &conversation{cmd: cmd, stdin: stdin, out: bufio.NewReader(stdout)}
		return nil
	})
}

// ask sends a statement and returns what psql prints. Gone says that psql has ended, as it does when it has lost its
// connection.
func (c *conversation) ask(statement string) (out []byte, gone bool, err error) {
	if _, err := fmt.Fprintf(c.stdin, "%s\n\\echo '%s'\n", statement, answered); err != nil {
		return nil, true, err
	}
	for {
		line, err := c.out.ReadBytes('\n')
		if bytes.Equal(bytes.TrimSpace(line), []byte(answered)) {
			return out, false, nil
		}
		out = append(out, line...)
		if errors.Is(err, io.EOF) {
			return out, true, nil
		}
		if err != nil {
			return out, true, err
		}
	}
}

// hangUp ends the agent's connection, if it has one.
func (s *stage) hangUp() {
	if s.agent == nil {
		return
	}
	s.agent.stdin.Close()
	_ = s.agent.cmd.Wait() // with a status, if the connection was lost
	s.agent = nil
}

// says shows a statement in the agent's running connection and its answer, which has to hold some words.
func (s *stage) says(statement string, want ...string) {
	s.then(func() error {
		s.paper.Command("shop=>", statement)
		out, gone, err := s.agent.ask(statement)
		return errors.Join(s.shows(out, want...), err, lost(gone))
	})
}

func lost(gone bool) error {
	if gone {
		return errors.New("the connection is lost")
	}
	return nil
}

// watch is kubectl get --watch in the background.
type watch struct {
	cmd *exec.Cmd
	out bytes.Buffer // to be read once it has ended
}

func (s *stage) startWatch(ctx context.Context, typed string) error {
	w := &watch{cmd: s.bash(ctx, "exec "+typed)}
	w.cmd.Stdout, w.cmd.Stderr = &w.out, &w.out
	if err := w.cmd.Start(); err != nil {
		return err
	}
	s.watch = w
	return nil
}

// endWatch stops the watch, if there is one, and returns what it has printed.
func (s *stage) endWatch() []byte {
	w := s.watch
	if s.watch = nil; w == nil {
		return nil
	}
	_ = w.cmd.Process.Signal(os.Interrupt) // it may have ended
	_ = w.cmd.Wait()                       // with the status of an interruption
	return w.out.Bytes()
}
