package datasource

import (
	"net"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/policy"
	"github.com/tidewaiter/tidewaiter/proxy/protocol"
	"github.com/tidewaiter/tidewaiter/proxy/record"
	"github.com/tidewaiter/tidewaiter/proxy/server"
	"github.com/tidewaiter/tidewaiter/proxy/session"
	"github.com/tidewaiter/tidewaiter/proxy/upstream"
)

// What drains goes on to look at its server's catalog. It must not show the next server's password there.
func TestTheServerOfBeforeIsNotShownTheCredentialOfTheNext(t *testing.T) {
	here, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	c := Config{
		Settings:   protocol.Settings{Protocol: "postgres", DataSource: "data/orders", Database: "shop", MaskKey: make([]byte, 32)},
		Target:     upstream.Options{Host: "127.0.0.1", Port: uint16(here.Addr().(*net.TCPAddr).Port), Database: "shop", Mode: upstream.Disable},
		Credential: session.Credential{User: "u", Password: "first"},
	}
	s, err := New(c, Parts{
		Gate: NewGate(policy.Options{}), Identifier: nobody{}, Observer: NewTally(server.NewMetrics(), nil),
		Recorder: func(c *Config) (session.Recorder, error) {
			return record.New(record.Options{Dir: t.TempDir(), Durability: c.Durability})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	before := s.current.dialer
	shows := func(want string) {
		t.Helper()
		up, err := before.Dial(t.Context(), access.Identity{})
		if err != nil {
			t.Fatal(err)
		}
		defer up.Conn.Close()
		if up.Credential.Password != want {
			t.Errorf("the server of before is shown %q, want %q", up.Credential.Password, want)
		}
	}
	c.Credential.Password = "second"
	if _, err := s.Change(c); err != nil {
		t.Fatal(err)
	}
	shows("second")
	c.Credential.Password, c.Target.Host = "third", "127.0.0.2"
	retire, err := s.Change(c)
	if err != nil || retire == nil {
		t.Fatalf("%v, and there is no new pipeline: %v", err, retire == nil)
	}
	defer retire()
	shows("second")
}

type nobody struct{ session.Identifier }
