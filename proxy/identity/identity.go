// Package identity establishes who is at the other end of a client connection,
// without asking them.
//
// It must not know protocols or policy, and takes nothing from what a client says.
package identity

import (
	"context"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// Fixed gives every connection the same identity: the pod that the sidecar is in,
// or the subject that a person chose. On a unix socket it adds the peer process.
type Fixed struct{ Identity access.Identity }

// Identify returns the identity, with the peer process where the kernel tells it.
func (f Fixed) Identify(_ context.Context, client net.Conn) (access.Identity, error) {
	id := f.Identity
	if u, ok := client.(*net.UnixConn); ok {
		p, err := peer(u)
		if err != nil {
			return access.Identity{}, err
		}
		id.Process = p
	}
	return id, nil
}

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
