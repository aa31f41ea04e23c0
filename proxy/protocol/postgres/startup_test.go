package postgres_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres"
)

// startupMessage is a startup message of the given version.
func startupMessage(version uint32, params ...string) []byte {
	body := binary.BigEndian.AppendUint32(nil, version)
	for _, p := range params {
		body = append(append(body, p...), 0)
	}
	body = append(body, 0)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)
}

func request(code uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 8), code)
}

const (
	sslRequest = 80877103
	gssRequest = 80877104
)

func (p *proxy) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// message reads one message of the server.
func message(t *testing.T, conn io.Reader) (kind byte, body []byte) {
	t.Helper()
	var head [5]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		t.Fatalf("no message: %v", err)
	}
	body = make([]byte, binary.BigEndian.Uint32(head[1:])-4)
	if _, err := io.ReadFull(conn, body); err != nil {
		t.Fatal(err)
	}
	return head[0], body
}

// ready reads until ReadyForQuery and returns the messages by their types.
func ready(t *testing.T, conn io.Reader) map[byte][]byte {
	t.Helper()
	seen := map[byte][]byte{}
	for {
		kind, body := message(t, conn)
		seen[kind] = body
		if kind == 'E' {
			t.Fatalf("refused: %q", body)
		}
		if kind == 'Z' {
			return seen
		}
	}
}

func send(t *testing.T, conn net.Conn, p []byte) {
	t.Helper()
	if _, err := conn.Write(p); err != nil {
		t.Fatal(err)
	}
}

func answer(t *testing.T, conn net.Conn) byte {
	t.Helper()
	var b [1]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		t.Fatal(err)
	}
	return b[0]
}

func TestAStartupMessageMayComeByteByByte(t *testing.T) {
	p := start(t, config{})
	conn := p.dial(t)
	for _, b := range startupMessage(3<<16, "user", "me", "database", p.db) {
		send(t, conn, []byte{b})
	}
	if key := ready(t, conn)['K']; len(key) != 8 {
		t.Errorf("protocol 3.0 has a key of 4 bytes, got %d", len(key)-4)
	}
}

func TestNewerProtocolsAreNegotiated(t *testing.T) {
	p := start(t, config{})
	// What the server itself would say: PostgreSQL 18 brought protocol 3.2 and its longer keys.
	newest, key := uint32(3<<16), 4
	if query(t, p.connect(t), "select current_setting('server_version_num')::int >= 180000") == "t" {
		newest, key = 3<<16|2, 32
	}
	instead := newest
	if newest == 3<<16|2 {
		instead = 0
	}
	for _, c := range []struct {
		name      string
		version   uint32
		option    string
		negotiate uint32 // 0: nothing to negotiate
		key       int
	}{
		{"3.0", 3 << 16, "", 0, 4},
		{"3.2", 3<<16 | 2, "", instead, key},
		{"3.9999, as libpq 19 greases", 3<<16 | 9999, "_pq_.test_protocol_negotiation", newest, key},
		{"an option alone", 3 << 16, "_pq_.something", 3 << 16, 4},
	} {
		conn := p.dial(t)
		params := []string{"user", "me", "database", p.db}
		if c.option != "" {
			params = append(params, c.option, "1")
		}
		send(t, conn, startupMessage(c.version, params...))
		seen := ready(t, conn)
		if c.negotiate == 0 && seen['v'] != nil {
			t.Errorf("%s: negotiated %x", c.name, seen['v'])
		}
		if c.negotiate != 0 && (len(seen['v']) < 8 || binary.BigEndian.Uint32(seen['v']) != c.negotiate || !bytes.Contains(seen['v'], []byte(c.option))) {
			t.Errorf("%s: negotiated %q", c.name, seen['v'])
		}
		if got := len(seen['K']) - 4; got != c.key {
			t.Errorf("%s: a key of %d bytes, want %d", c.name, got, c.key)
		}
	}
}

func TestBadOpeningsAreTurnedAway(t *testing.T) {
	p := start(t, config{tags: shopTags})
	for name, c := range map[string]struct {
		send []byte
		want string
	}{
		"a length of 2 GB":            {[]byte{0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0}, "invalid length of startup packet"},
		"a length of 10,001":          {[]byte{0, 0, 0x27, 0x11, 0, 3, 0, 0}, "invalid length of startup packet"},
		"protocol 2.0":                {startupMessage(2<<16, "user", "me"), "unsupported frontend protocol"},
		"no terminator":               {append(binary.BigEndian.AppendUint32(nil, 13), 0, 3, 0, 0, 'u', 's', 'e', 'r', 0), "invalid startup packet layout"},
		"no user":                     {startupMessage(3<<16, "database", "x"), "no PostgreSQL user name"},
		"another database":            {startupMessage(3<<16, "user", "me", "database", "postgres"), "C3D000\x00Mdatabase \"postgres\" does not exist"},
		"replication":                 {startupMessage(3<<16, "user", "me", "database", p.db, "replication", "database"), "replication connections are not allowed"},
		"options that are no setting": {startupMessage(3<<16, "user", "me", "database", p.db, "options", "-B 10"), "options"},
		"a startup message in one with GSSENCRequest": {
			append(request(gssRequest), startupMessage(3<<16, "user", "me", "database", p.db)...),
			"received unencrypted data after GSSAPI encryption request",
		},
		"a startup message in one with SSLRequest": {
			append(request(sslRequest), startupMessage(3<<16, "user", "me", "database", p.db)...),
			"received unencrypted data after SSL request",
		},
	} {
		conn := p.dial(t)
		send(t, conn, c.send)
		out, _ := io.ReadAll(conn) // closed by the proxy
		if !strings.Contains(string(out), c.want) {
			t.Errorf("%s: got %q, want %q", name, out, c.want)
		}
	}
}

// withTLS lets clients use TLS, with the certificate of the test server.
func withTLS(t *testing.T, p *postgres.Options, certFile, keyFile string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	p.ClientTLS = &tls.Config{Certificates: []tls.Certificate{pair}}
}

func TestTLSIsOfferedWhereThereIsACertificate(t *testing.T) {
	cert, key := selfSigned(t)
	p := start(t, config{engine: func(o *postgres.Options) { withTLS(t, o, cert, key) }})
	insecure := &tls.Config{InsecureSkipVerify: true}

	t.Run("by SSLRequest", func(t *testing.T) {
		conn := p.dial(t)
		send(t, conn, request(sslRequest))
		if a := answer(t, conn); a != 'S' {
			t.Fatalf("answered %q", a)
		}
		c := tls.Client(conn, insecure)
		send(t, c, startupMessage(3<<16, "user", "me", "database", p.db))
		ready(t, c)
	})
	t.Run("after a refused GSSENCRequest", func(t *testing.T) {
		conn := p.dial(t)
		send(t, conn, request(gssRequest))
		if a := answer(t, conn); a != 'N' {
			t.Fatalf("answered %q", a)
		}
		send(t, conn, request(sslRequest))
		if a := answer(t, conn); a != 'S' {
			t.Fatalf("answered %q", a)
		}
	})
	t.Run("directly, with ALPN", func(t *testing.T) {
		c := tls.Client(p.dial(t), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"postgresql"}})
		send(t, c, startupMessage(3<<16, "user", "me", "database", p.db))
		ready(t, c)
	})
	t.Run("not directly without ALPN", func(t *testing.T) {
		c := tls.Client(p.dial(t), insecure)
		if err := c.Handshake(); err == nil {
			if _, err := io.ReadFull(c, make([]byte, 1)); err == nil {
				t.Fatal("a session without ALPN")
			}
		}
	})
	t.Run("plain text in one with an SSLRequest is refused", func(t *testing.T) {
		conn := p.dial(t)
		send(t, conn, append(request(sslRequest), startupMessage(3<<16, "user", "mallory", "database", p.db)...))
		if out, _ := io.ReadAll(conn); !bytes.Contains(out, []byte("received unencrypted data after SSL request")) {
			t.Fatalf("got %q", out)
		}
	})
	t.Run("plain text that comes after the answer is taken for the handshake", func(t *testing.T) {
		conn := p.dial(t)
		send(t, conn, request(sslRequest))
		if a := answer(t, conn); a != 'S' {
			t.Fatalf("answered %q", a)
		}
		send(t, conn, startupMessage(3<<16, "user", "mallory", "database", p.db))
		if out, _ := io.ReadAll(conn); bytes.Contains(out, []byte{'Z', 0, 0, 0, 5}) {
			t.Fatalf("it opened a session: %q", out)
		}
	})
}

func TestWithoutACertificateClientsAreToldSo(t *testing.T) {
	p := start(t, config{})
	conn := p.dial(t)
	send(t, conn, request(sslRequest))
	if a := answer(t, conn); a != 'N' {
		t.Fatalf("answered %q", a)
	}
	send(t, conn, startupMessage(3<<16, "user", "me", "database", p.db))
	ready(t, conn)
}

func TestSettingsOfTheStartupMessageAreDecidedAsStatements(t *testing.T) {
	p := start(t, config{})
	conn, err := pgconn.Connect(context.Background(), p.dsn()+" application_name=web options='-c statement_timeout=12345 -c search_path=public'")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	res, err := conn.Exec(context.Background(), "select current_setting('statement_timeout'), current_setting('application_name')").ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if row := res[0].Rows[0]; string(row[0]) != "12345ms" || string(row[1]) != "web" {
		t.Errorf("the server has %q", row)
	}
}

func TestACancelStopsWhatRunsAndNothingElse(t *testing.T) {
	p := start(t, config{})
	conn := p.connect(t)
	ctx := context.Background()
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(ctx, "select pg_sleep(60)").ReadAll()
		done <- err
	}()
	canceled := func() bool {
		other := p.connect(t)
		defer other.Close(ctx)
		res, err := other.Exec(ctx, "select count(*) from pg_stat_activity where query like 'select pg_sleep(60)%' and state = 'active' and datname = current_database()").ReadAll()
		return err == nil && string(res[0].Rows[0][0]) == "1"
	}
	for !canceled() {
	}
	if err := conn.CancelRequest(ctx); err != nil {
		t.Fatal(err)
	}
	var pg *pgconn.PgError
	if err := <-done; !asPgError(err, &pg) || pg.Code != "57014" {
		t.Fatalf("got %v", err)
	}
	for range 20 {
		if err := conn.CancelRequest(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(ctx, "select 1").ReadAll(); err != nil {
			t.Fatalf("the cancel hit the next statement: %v", err)
		}
	}
}

func TestACancelWithAWrongKeyDoesNothing(t *testing.T) {
	p := start(t, config{})
	victim := p.connect(t)
	conn := p.dial(t)
	msg := binary.BigEndian.AppendUint32(nil, 16)
	msg = binary.BigEndian.AppendUint32(msg, 80877102)
	msg = binary.BigEndian.AppendUint32(msg, victim.PID())
	send(t, conn, append(msg, 1, 2, 3, 4))
	if out, err := io.ReadAll(conn); err != nil || len(out) != 0 {
		t.Errorf("it was answered: %q, %v", out, err)
	}
	if _, err := victim.Exec(context.Background(), "select 1").ReadAll(); err != nil {
		t.Error(err)
	}
}

// selfSigned writes a certificate for localhost.
func selfSigned(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = dir+"/tls.crt", dir+"/tls.key"
	cert, key := newCertificate(t)
	for name, data := range map[string][]byte{certFile: cert, keyFile: key} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
