package identity_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/identity"
)

// dialed returns the accepted end of a connection on a listener.
func dialed(t *testing.T, network, address string) net.Conn {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial(network, ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestOnAUnixSocketTheIdentityHasTheProcessThatTheKernelNames(t *testing.T) {
	fixed := identity.Fixed{Identity: access.Identity{Namespace: "shop", ServiceAccount: "agent"}}
	id, err := fixed.Identify(context.Background(), dialed(t, "unix", filepath.Join(t.TempDir(), "s")))
	if err != nil {
		t.Fatal(err)
	}
	if id.Namespace != "shop" || id.ServiceAccount != "agent" {
		t.Errorf("the identity is %+v", id)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if id.Process == nil || id.Process.PID != os.Getpid() || id.Process.UID != os.Getuid() || id.Process.Exe != exe {
		t.Errorf("the process is %+v, want this one: %d, %d, %s", id.Process, os.Getpid(), os.Getuid(), exe)
	}
	if fixed.Identity.Process != nil {
		t.Error("one connection's process is in everybody's identity")
	}
}

func TestOverTCPTheIdentityIsThatOfThePodAlone(t *testing.T) {
	fixed := identity.Fixed{Identity: access.Identity{Namespace: "shop", ServiceAccount: "agent"}}
	id, err := fixed.Identify(context.Background(), dialed(t, "tcp", "127.0.0.1:0"))
	if err != nil || id.Process != nil {
		t.Errorf("%+v, %v", id, err)
	}
}
