package postgres_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// maxGrowth is how much memory a large result may cost, in bytes.
const maxGrowth = 64 << 20

// growth runs f and returns how far the process's memory rose above where it was.
func growth(t *testing.T, f func()) int64 {
	t.Helper()
	runtime.GC()
	before := held()
	peak, stop, done := before, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				peak = max(peak, held())
			}
		}
	}()
	f()
	close(stop)
	<-done
	return peak - before
}

// held returns the bytes that the Go runtime holds for objects and stacks.
func held() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() + s[1].Value.Uint64())
}

// discard records nothing, where what is measured is the way there.
type discard struct{}

func (discard) Open(access.Opened) (session.Record, error) { return discard{}, nil }
func (discard) Append(access.Event) error                  { return nil }
func (discard) Location() string                           { return "nowhere" }
func (discard) Close() error                               { return nil }

// raw opens a session and hands over its bare connection.
func (p *proxy) raw(t *testing.T) net.Conn {
	t.Helper()
	conn := p.dial(t)
	conn.SetDeadline(time.Now().Add(3 * time.Minute))
	send(t, conn, startupMessage(3<<16, "user", "me", "database", p.db))
	ready(t, conn)
	return conn
}

// drainResult reads messages to ReadyForQuery without keeping them. It returns how
// many bytes rows had and the last error.
func drainResult(t *testing.T, conn io.Reader) (rows int64, failure string) {
	t.Helper()
	var head [5]byte
	for {
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			t.Fatal(err)
		}
		size := int64(binary.BigEndian.Uint32(head[1:])) - 4
		switch head[0] {
		case 'E':
			body := make([]byte, size)
			if _, err := io.ReadFull(conn, body); err != nil {
				t.Fatal(err)
			}
			failure = string(body)
			continue
		case 'D', 'd':
			rows += size
		}
		if _, err := io.CopyN(io.Discard, conn, size); err != nil {
			t.Fatal(err)
		}
		if head[0] == 'Z' {
			return rows, failure
		}
	}
}

func TestLargeResultsPassInConstantMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("moves gigabytes")
	}
	// Rows are recorded, as they are by default.
	p := start(t, config{tags: shopTags, recorder: discard{}, engine: func(o *postgresOptions) { o.Core.RecordRows = true }})
	for _, c := range []struct {
		name, sql string
		least     int64
	}{
		{"a value of nearly 1 GB", "select repeat('x', 1000000000)", 1_000_000_000},
		{"a million rows", "select g, g::text, md5(g::text), now(), 'abcdefghij' from generate_series(1, 1000000) g", 60_000_000},
		{"a million rows by COPY", "copy (select g, md5(g::text) from generate_series(1, 1000000) g) to stdout", 39_000_000},
		{"a value of nearly 1 GB by COPY", "copy (select repeat('x', 1000000000)) to stdout", 1_000_000_000},
		{"a million masked rows", "select g, c.ssn from customers c, generate_series(1, 500000) g", 10_000_000},
		{"a masked value of 500 MB beside a small one", "select id, repeat(ssn, 45000000) from customers where id = 1", 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := p.raw(t)
			var rows int64
			var failure string
			grown := growth(t, func() {
				send(t, conn, wire.Query(nil, c.sql))
				rows, failure = drainResult(t, conn)
			})
			if failure != "" || rows < c.least {
				t.Fatalf("%d bytes of rows, error %q", rows, failure)
			}
			t.Logf("%d bytes of rows, memory grew by %.1f MiB", rows, float64(grown)/(1<<20))
			if grown > maxGrowth {
				t.Errorf("memory grew by %d MiB", grown>>20)
			}
		})
	}
}

func TestALargeParameterPassesInConstantMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("moves a gigabyte")
	}
	p := start(t, config{tags: shopTags})
	conn := p.raw(t)
	const size = 500_000_000
	grown := growth(t, func() {
		head := wire.Parse(nil, "", "select length($1::text)")
		head = append(head, 'B')
		head = binary.BigEndian.AppendUint32(head, 4+2+2+2+4+size+2)
		head = append(head, 0, 0, 0, 0, 0, 1)
		send(t, conn, binary.BigEndian.AppendUint32(head, size))
		block := []byte(strings.Repeat("y", 1<<16))
		for left := size; left > 0; left -= min(left, len(block)) {
			send(t, conn, block[:min(left, len(block))])
		}
		tail := wire.Execute([]byte{0, 0}, "", 0)
		send(t, conn, wire.Sync(tail))
		seen := ready(t, conn)
		if !strings.Contains(string(seen['D']), "500000000") {
			t.Errorf("the server measured %q", seen['D'])
		}
	})
	t.Logf("memory grew by %.1f MiB", float64(grown)/(1<<20))
	if grown > maxGrowth {
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
}

func TestStatementsThatWouldOverflowAParserAreRefused(t *testing.T) {
	p := start(t, config{})
	conn := p.connect(t)
	ctx := context.Background()
	for name, sql := range map[string]string{
		"60 KB of 1+1+1":            "select 1" + strings.Repeat("+1", 30_000),
		"5,000 nested sub-selects":  strings.Repeat("select * from (", 5000) + "select 1" + strings.Repeat(") x", 5000),
		"50,000 times NOT":          "select " + strings.Repeat("not ", 50_000) + "true",
		"100,000 parentheses":       "select " + strings.Repeat("(", 100_000) + "1" + strings.Repeat(")", 100_000),
		"20 MB of text":             "select '" + strings.Repeat("x", 20<<20) + "'",
		"a million values in a row": "select 1" + strings.Repeat(",1", 1_000_000),
	} {
		_, err := conn.Exec(ctx, sql).ReadAll()
		var pg *pgconn.PgError
		if !asPgError(err, &pg) || !strings.HasPrefix(pg.Code, "54") {
			t.Errorf("%s: got %v", name, err)
		}
		if _, err := conn.Prepare(ctx, "", sql, nil); !asPgError(err, &pg) || !strings.HasPrefix(pg.Code, "54") {
			t.Errorf("%s, prepared: got %v", name, err)
		}
		if _, err := conn.Exec(ctx, "select 1").ReadAll(); err != nil {
			t.Fatalf("%s: the connection did not go on: %v", name, err)
		}
	}
}
