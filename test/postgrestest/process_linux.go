package postgrestest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// dieWithParent has the kernel end the child when this process ends in whatever way. SIGQUIT makes a postmaster take its
// backends with it.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGQUIT }

// killTree ends a process and its children by SIGKILL and waits until all are gone: a backend that lives on would keep a
// postmaster from starting on the same data. The parent is stopped first, so that it cannot fork in between.
func killTree(p *Process) error {
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	children := childrenOf(p.PID())
	for _, pid := range append([]int{p.PID()}, children...) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	<-p.done
	for _, pid := range children {
		for syscall.Kill(pid, 0) == nil && !isZombie(pid) {
			time.Sleep(time.Millisecond) // not our children: there is nothing to wait on
		}
	}
	return nil
}

func childrenOf(parent int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the only error is a bad pattern
	var children []int
	for _, path := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if fields := statFields(pid); len(fields) > 1 && string(fields[1]) == strconv.Itoa(parent) {
			children = append(children, pid)
		}
	}
	return children
}

func isZombie(pid int) bool {
	fields := statFields(pid)
	return len(fields) > 0 && string(fields[0]) == "Z"
}

// statFields are the fields of /proc/PID/stat after the command's name (proc(5)): state, parent and so on. None if it is gone.
func statFields(pid int) [][]byte {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil
	}
	_, after, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')'):], []byte(" "))
	return bytes.Fields(after)
}
