package identity

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// peer asks the kernel who opened the other end (LOCAL_PEERPID and LOCAL_PEERCRED,
// unix(4)). Which program that runs, macOS tells through its own libraries only.
func peer(u *net.UnixConn) (*access.Process, error) {
	raw, err := u.SyscallConn()
	if err != nil {
		return nil, err
	}
	var pid int
	var cred *unix.Xucred
	var perr, cerr error
	if err := raw.Control(func(fd uintptr) {
		pid, perr = unix.GetsockoptInt(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERPID)
		cred, cerr = unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	}); err != nil {
		return nil, err
	}
	if err := errors.Join(perr, cerr); err != nil {
		return nil, err
	}
	return &access.Process{PID: pid, UID: int(cred.Uid)}, nil
}
