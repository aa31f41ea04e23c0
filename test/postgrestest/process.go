//go:build unix

package postgrestest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// Process is a child that does not outlive this process (on Linux, even when this process is killed) and that does not run as
// root.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait; valid once done is closed
}

// StartProcess starts a prepared command as a [Process]. Root gives up its privileges first, for the user postgres or, where
// there is none, nobody; other users run it as themselves. The caller must not use the command afterwards.
func StartProcess(cmd *exec.Cmd) (*Process, error) {
	if err := dropPrivileges(cmd); err != nil {
		return nil, err
	}
	dieWithParent(cmd.SysProcAttr)
	process := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the death signal when the *thread* that forked ends, so the child needs a thread that lives as long
		// as it does. Never unlocked: the goroutine's end may end the thread, but by then the child is gone.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			process.err = cmd.Wait()
			close(process.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return process, nil
}

// PID is the child's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is how the child ended, as from [exec.Cmd.Wait]; nil while it runs.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Stop sends a signal and waits for the child's end. A child that has not ended when the patience is over is killed, and that
// is an error; the status with which a child ends is none.
func (p *Process) Stop(signal os.Signal, patience time.Duration) error {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("process %d did not end within %s of %s and was killed", p.PID(), patience, signal), killTree(p))
	}
}

// dropPrivileges makes a command of root's run as an unprivileged user: PostgreSQL refuses to run as root, and nothing that a
// test starts needs to be.
func dropPrivileges(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	credential, err := unprivilegedUser()
	if err != nil {
		return err
	}
	cmd.SysProcAttr.Credential = credential
	return nil
}

// unprivilegedUser is the user that a child of root runs as; nil when this process is not root and children run as it does.
func unprivilegedUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // "no other user" is an answer
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(account.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(account.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no user named postgres or nobody to run it as: " +
		"make one with: useradd --system postgres")
}
