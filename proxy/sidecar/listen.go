package sidecar

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// listen listens on a port of 127.0.0.1 and, where the pod has it, of ::1: a client that resolves localhost may come by
// either, and a stranger's listener on the other would get its traffic.
func listen(port int) ([]net.Listener, error) {
	four, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	six, err := net.Listen("tcp6", net.JoinHostPort("::1", strconv.Itoa(port)))
	switch {
	case err == nil:
		return []net.Listener{four, six}, nil
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
		return []net.Listener{four}, nil
	}
	_ = four.Close() // nobody was told of it
	return nil, fmt.Errorf("listening: %w", err)
}

func closeAll(listeners []net.Listener) {
	for _, ln := range listeners {
		_ = ln.Close() // nobody was told of it
	}
}
