// Package identity establishes who is at the other end of a client connection,
// without asking them.
//
// It must not know protocols or policy, and takes nothing from what a client says.
package identity

import (
	"context"
	"net"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// Fixed gives every connection the same identity: the pod that the sidecar is in,
// or the subject that a person chose. On a unix socket it adds the peer process,
// as far as the system's kernel tells it: all of it on Linux, process and user on
// macOS, nothing elsewhere. Nobody is told apart by it, so that its absence makes
// nothing more permissive; it is for the record.
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
