package kubetest

import (
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"syscall"
)

// guard is a shell (guard.sh) that ends the servers when this process ends without having stopped them: killed, out of time, in
// a panic. envtest starts them in process groups of their own, so that nothing else would.
type guard struct {
	cmd *exec.Cmd
	// line is closed by the kernel when this process is gone, whatever the reason.
	line io.WriteCloser
}

func startGuard(root, dir string) (*guard, error) {
	cmd := exec.Command("/bin/sh", filepath.Join(root, "test", "kubetest", "guard.sh"), dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt from the terminal is for the tests
	line, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the guard of the servers: %w", err)
	}
	return &guard{cmd: cmd, line: line}, nil
}

// dismiss ends the guard. Unless all is in order, it ends what still runs first.
func (g *guard) dismiss(inOrder bool) error {
	if inOrder {
		if _, err := io.WriteString(g.line, "stopped\n"); err != nil {
			return err
		}
	}
	if err := g.line.Close(); err != nil {
		return err
	}
	return g.cmd.Wait()
}
