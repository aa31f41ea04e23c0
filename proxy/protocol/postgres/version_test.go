package postgres

import (
	"bytes"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

func TestAClientIsServedTheNewestProtocolThatTheServerHas(t *testing.T) {
	for _, c := range []struct {
		asked         uint32
		server        int
		served        uint32
		key           int
		toldOtherwise bool
	}{
		{protocol30, 15, protocol30, 4, false},
		{protocol30, 18, protocol30, 4, false},
		{protocol32, 17, protocol30, 4, true},
		{protocol32, 18, protocol32, 32, false},
		{protocol32, 0, protocol32, 32, false},
		{protocol30 | 1, 18, protocol30, 4, true},
		{protocol30 | 9999, 15, protocol30, 4, true},
		{protocol30 | 9999, 18, protocol32, 32, true},
	} {
		conv := &conversation{version: c.asked}
		if served := conv.serve(c.server); served != c.served || conv.keySize != c.key {
			t.Errorf("%x in front of PostgreSQL %d: %x with keys of %d bytes", c.asked, c.server, served, conv.keySize)
		}
		var told []byte
		if c.toldOtherwise {
			told = wire.NegotiateProtocolVersion(nil, c.served, nil)
		}
		if !bytes.Equal(conv.negotiate, told) {
			t.Errorf("%x in front of PostgreSQL %d: the client is told %q", c.asked, c.server, conv.negotiate)
		}
	}
}
