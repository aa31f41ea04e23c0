package identity

import (
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// peer asks the kernel who opened the other end (SO_PEERCRED, unix(7)).
func peer(u *net.UnixConn) (*access.Process, error) {
	raw, err := u.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var cerr error
	if err := raw.Control(func(fd uintptr) {
		cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, err
	}
	if cerr != nil {
		return nil, cerr
	}
	p := &access.Process{PID: int(cred.Pid), UID: int(cred.Uid)}
	// The link is gone with a process that has ended, and unreadable in another
	// user's: the identity is complete without it.
	p.Exe, _ = os.Readlink("/proc/" + strconv.Itoa(p.PID) + "/exe")
	return p, nil
}
