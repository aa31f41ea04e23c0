//go:build !linux && !darwin

package identity

import (
	"net"

	"github.com/tidewaiter/tidewaiter/proxy/access"
)

// peer knows no way here to ask the kernel who opened the other end.
func peer(*net.UnixConn) (*access.Process, error) { return nil, nil }
