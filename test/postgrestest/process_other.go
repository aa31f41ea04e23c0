//go:build unix && !linux

package postgrestest

import (
	"errors"
	"os"
	"syscall"
)

// dieWithParent does nothing: only Linux tells a child of its parent's death. A killed test leaves its server running here.
func dieWithParent(*syscall.SysProcAttr) {}

// killTree ends a process by SIGKILL. A postmaster's backends notice within a second and end by themselves.
func killTree(p *Process) error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return nil
}
