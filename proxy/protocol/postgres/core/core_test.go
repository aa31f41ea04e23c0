package core

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
	"github.com/tidewaiter/tidewaiter/proxy/protocoltest"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// rig drives a core as a relay would, with a policy that denies what contains
// "forbidden" and facts that say nothing but the kind.
type rig struct {
	t testing.TB
	c *Conn
	s *session.Session
	r *protocoltest.Recorder
}

func newRig(t testing.TB, set Settings, cat *catalog.Snapshot) *rig {
	t.Helper()
	s, rec := protocoltest.Open(t, func(op *access.Operation) (access.Decision, error) {
		if strings.Contains(op.Text, "forbidden") {
			return access.Decision{Policy: "data/test", Rule: "no"}, nil
		}
		return access.Decision{Effect: access.Allow, Policy: "data/test", Rule: "all"}, nil
	})
	return &rig{t: t, s: s, r: rec, c: New(set, s.Control(), cat)}
}

// client feeds bytes of the client, answering every question.
func (r *rig) client(p []byte) error {
	for len(p) > 0 {
		used, err := r.c.FromClient(p)
		if err != nil {
			return err
		}
		p = p[used:]
		if a := r.c.Question(); a != nil {
			if err := r.c.Answer(r.answer(a)); err != nil {
				return err
			}
		} else if used == 0 {
			return nil // it waits for the server
		}
	}
	return nil
}

func (r *rig) answer(a *Ask) Answer {
	st := analysis.Statement{}
	st.Kind = "Select"
	op := &access.Operation{Protocol: "postgres", Phase: access.PhaseRun, Text: a.Text, Statements: []access.Statement{st.Statement}}
	x, err := r.s.Begin(context.Background(), op)
	if err != nil {
		return Answer{Denial: access.AsDenial(err)}
	}
	return Answer{Exchange: x, Result: &analysis.Result{Statements: []analysis.Statement{st}}}
}

// kinds returns the message types in p, in order.
func kinds(p []byte) string {
	var out []byte
	for len(p) >= wire.HeaderSize {
		out = append(out, p[0])
		p = p[1+binary.BigEndian.Uint32(p[1:]):]
	}
	return string(out)
}

// upstream takes what goes to the server.
func (r *rig) upstream() string {
	var buf bytes.Buffer
	var out session.Outbox
	r.c.ToServer.Swap(&out)
	server := session.NewServer(writer{to: &buf})
	if err := server.WriteFrom(&out); err != nil {
		r.t.Fatal(err)
	}
	return buf.String()
}

// writer is a connection that can only be written.
type writer struct {
	net.Conn
	to *bytes.Buffer
}

func (w writer) Write(p []byte) (int, error) { return w.to.Write(p) }

// bind is a Bind message without parameters.
func bind(portal, statement string) []byte {
	b, at := wire.Begin(nil, 'B')
	b = wire.String(wire.String(b, portal), statement)
	return wire.Finish(append(b, 0, 0, 0, 0, 0, 0), at)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestADeniedStatementLeavesInTheOrderOfThePipeline(t *testing.T) {
	r := newRig(t, Settings{}, nil)
	err := r.client(join(
		wire.Parse(nil, "", "select 1"), bind("", ""), wire.Execute(nil, "", 0),
		wire.Parse(nil, "", "select forbidden"), bind("", ""), wire.Execute(nil, "", 0), wire.Sync(nil),
		wire.Query(nil, "select 2")))
	if err != nil {
		t.Fatal(err)
	}
	up := r.upstream()
	if got, want := kinds([]byte(up)), "PBEPSQ"; got != want {
		t.Fatalf("upstream went %q, want %q", got, want)
	}
	if strings.Contains(up, "forbidden") {
		t.Fatal("the denied statement went upstream")
	}
	if len(r.c.ToClient) != 0 {
		t.Fatalf("the client was told %q before the answers in flight", kinds(r.c.ToClient))
	}
	noPortal := (&wire.Error{Severity: "ERROR", Code: "34000", Message: "no portal"}).Append(nil, 'E')
	answers := join(wire.Message(nil, '1'), wire.Message(nil, '2'), wire.Message(nil, 'C', []byte("SELECT 1\x00")), noPortal, wire.ReadyForQuery(nil, 'I'),
		wire.Message(nil, 'C', []byte("SELECT 1\x00")), wire.ReadyForQuery(nil, 'I'))
	if err := r.c.FromServer(answers); err != nil {
		t.Fatal(err)
	}
	if got, want := kinds(r.c.ToClient), "12CEZCZ"; got != want {
		t.Fatalf("the client saw %q, want %q", got, want)
	}
	if !bytes.Contains(r.c.ToClient, []byte("rule no")) || bytes.Contains(r.c.ToClient, []byte("34000")) {
		t.Fatal("the client did not see the denial in place of the server's error")
	}
}

func TestAnErrorUndoesWhatWasSkipped(t *testing.T) {
	r := newRig(t, Settings{}, nil)
	first := join(wire.Parse(nil, "", "select 'first'"), wire.Sync(nil))
	if err := r.client(first); err != nil {
		t.Fatal(err)
	}
	if err := r.c.FromServer(join(wire.Message(nil, '1'), wire.ReadyForQuery(nil, 'I'))); err != nil {
		t.Fatal(err)
	}
	// The server fails the Bind of "missing" and never sees the second Parse, so
	// the unnamed statement is still the first.
	r.c.names.prepared["missing"] = []*prepared{{text: "select 'gone'"}}
	if err := r.client(join(bind("", "missing"), wire.Parse(nil, "", "select 'second'"), wire.Sync(nil))); err != nil {
		t.Fatal(err)
	}
	failed := (&wire.Error{Severity: "ERROR", Code: "26000", Message: "no statement"}).Append(nil, 'E')
	if err := r.c.FromServer(join(failed, wire.ReadyForQuery(nil, 'I'))); err != nil {
		t.Fatal(err)
	}
	all := r.c.names.prepared[""]
	if len(all) != 1 || all[0].text != "select 'first'" {
		t.Fatalf("the unnamed statement is taken for %+v", all)
	}
}

func TestBytesMayComeInAnyPieces(t *testing.T) {
	conversation := join(wire.Query(nil, "select 1"), wire.Parse(nil, "s", "select 2"), bind("", "s"), wire.Execute(nil, "", 0), wire.Sync(nil))
	server := join(wire.Message(nil, 'T', []byte{0, 0}), wire.Message(nil, 'D', []byte{0, 0}), wire.Message(nil, 'C', []byte("SELECT 1\x00")), wire.ReadyForQuery(nil, 'I'),
		wire.Message(nil, '1'), wire.Message(nil, '2'), wire.Message(nil, 'D', []byte{0, 0}), wire.Message(nil, 'C', []byte("SELECT 1\x00")), wire.ReadyForQuery(nil, 'I'))
	for _, size := range []int{1, 2, 3, 7, 1 << 20} {
		r := newRig(t, Settings{}, nil)
		for p := conversation; len(p) > 0; p = p[min(size, len(p)):] {
			if err := r.client(p[:min(size, len(p))]); err != nil {
				t.Fatal(err)
			}
		}
		for p := server; len(p) > 0; p = p[min(size, len(p)):] {
			if err := r.c.FromServer(p[:min(size, len(p))]); err != nil {
				t.Fatal(err)
			}
		}
		if got := r.upstream(); got != string(conversation) {
			t.Errorf("in pieces of %d, upstream got\n%q", size, got)
		}
		if !bytes.Equal(r.c.ToClient, server) {
			t.Errorf("in pieces of %d, the client got\n%q", size, r.c.ToClient)
		}
		if !r.c.Idle() {
			t.Errorf("in pieces of %d, something is still owed", size)
		}
	}
}

func TestWhatDoesNotFitEndsTheConnection(t *testing.T) {
	for name, feed := range map[string]func(r *rig) error{
		"an unknown message of the client":   func(r *rig) error { return r.client(wire.Message(nil, '?')) },
		"a password after the startup":       func(r *rig) error { return r.client(wire.Message(nil, 'p', []byte("x\x00"))) },
		"a length of 2 GB":                   func(r *rig) error { return r.client([]byte{'Q', 0x7f, 0xff, 0xff, 0xff}) },
		"a length below its own size":        func(r *rig) error { return r.client([]byte{'Q', 0, 0, 0, 3}) },
		"an unknown message of the server":   func(r *rig) error { return r.c.FromServer(wire.Message(nil, '?')) },
		"rows that nothing asked for":        func(r *rig) error { return r.c.FromServer(wire.Message(nil, 'D', []byte{0, 0})) },
		"ready where nothing was owed":       func(r *rig) error { return r.c.FromServer(wire.ReadyForQuery(nil, 'I')) },
		"an encoding that hides backslashes": func(r *rig) error { return r.c.FromServer(wire.ParameterStatus(nil, "client_encoding", "SJIS")) },
	} {
		if err := feed(newRig(t, Settings{}, nil)); err == nil {
			t.Errorf("%s: the connection went on", name)
		}
	}
}

func TestNoRoomIsMadeForWhatALengthClaims(t *testing.T) {
	for _, huge := range [][]byte{{0x7f, 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0xff}, {0x3f, 0xff, 0xff, 0xff}} {
		for kind := range 256 {
			head := append([]byte{byte(kind)}, huge...)
			for side, feed := range map[string]func(r *rig) error{
				"client":          func(r *rig) error { return r.client(head) },
				"server":          func(r *rig) error { return r.c.FromServer(head) },
				"server, of rows": func(r *rig) error { return r.c.FromServer(join(wire.Message(nil, 'T', []byte{0, 0}), head)) },
			} {
				r := newRig(t, Settings{RecordRows: true}, nil)
				if err := r.client(wire.Query(nil, "select 1")); err != nil {
					t.Fatal(err)
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				err := feed(r)
				for range 4 { // an end, or patience with what comes
					if err == nil && side == "client" {
						err = r.client(make([]byte, 1<<10))
					} else if err == nil {
						err = r.c.FromServer(make([]byte, 1<<10))
					}
				}
				runtime.ReadMemStats(&after)
				if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
					t.Errorf("%q of the %s that claims 0x%x bytes: %d bytes were allocated (%v)", byte(kind), side, huge, grown, err)
				}
			}
		}
	}
}

func FuzzBothSides(f *testing.F) {
	f.Add(join(wire.Query(nil, "select 1"), wire.Sync(nil)), wire.ReadyForQuery(nil, 'I'))
	f.Add(join(wire.Parse(nil, "", "x"), bind("", ""), wire.Execute(nil, "", 1), wire.Sync(nil)), join(wire.Message(nil, '1'), wire.Message(nil, '2'), wire.Message(nil, 's')))
	f.Add(wire.Query(nil, "copy x from stdin"), wire.Message(nil, 'G', []byte{0, 0, 0}))
	f.Fuzz(func(t *testing.T, client, server []byte) {
		r := newRig(t, Settings{RecordRows: true, MaxText: 1 << 16}, nil)
		for len(client)+len(server) > 0 {
			n, m := min(len(client), 9), min(len(server), 11)
			if err := r.client(client[:n]); err != nil {
				return
			}
			if err := r.c.FromServer(server[:m]); err != nil {
				return
			}
			client, server = client[n:], server[m:]
		}
		r.c.End()
	})
}

func TestWhatIsDecidedAfterAnErrorIsSkippedAsTheServerDoes(t *testing.T) {
	failed := (&wire.Error{Severity: "ERROR", Code: "22012", Message: "division by zero"}).Append(nil, 'E')
	long := bind("", "")
	for name, late := range map[string][]byte{
		"a Parse": wire.Parse(nil, "", "select 2"), "an Execute": wire.Execute(nil, "", 0), "a Query": wire.Query(nil, "select 2"),
		"the names of a Bind": long[:6], "the end of a Bind": long[:9],
	} {
		r := newRig(t, Settings{}, nil)
		if err := r.client(join(wire.Parse(nil, "", "select 1"), bind("", ""), wire.Execute(nil, "", 0))); err != nil {
			t.Fatal(err)
		}
		if used, err := r.c.FromClient(late); err != nil || used != len(late) {
			t.Fatalf("%s: %d bytes of %d used, %v", name, used, len(late), err)
		}
		ask := r.c.Question()
		if err := r.c.FromServer(join(wire.Message(nil, '1'), wire.Message(nil, '2'), failed)); err != nil {
			t.Fatal(err)
		}
		if ask != nil {
			if err := r.c.Answer(r.answer(ask)); err != nil {
				t.Fatal(err)
			}
		} else if late[0] == 'B' {
			if err := r.client(long[len(late):]); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.client(wire.Sync(nil)); err != nil {
			t.Fatal(err)
		}
		if err := r.c.FromServer(wire.ReadyForQuery(nil, 'I')); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, want := kinds(r.c.ToClient), "12EZ"; got != want {
			t.Errorf("%s: the client saw %q, want %q", name, got, want)
		}
	}
}

// copying answers every question with a text of COPY FROM STDIN statements.
func copying(t *testing.T, r *rig, n int) {
	t.Helper()
	if _, err := r.c.FromClient(wire.Query(nil, "copy; copy")); err != nil {
		t.Fatal(err)
	}
	ans := r.answer(r.c.Question())
	one := ans.Result.Statements[0]
	one.Copy = &analysis.Copy{Format: "text"}
	ans.Result.Statements = nil
	for range n {
		ans.Result.Statements = append(ans.Result.Statements, one)
	}
	if err := r.c.Answer(ans); err != nil {
		t.Fatal(err)
	}
}

func TestDataForTheNextCopyAreNotLostWhileTheFirstIsEnding(t *testing.T) {
	data, end := wire.Message(nil, 'd', []byte("1\n")), wire.Message(nil, 'c')
	g := wire.Message(nil, 'G', []byte{0, 0, 0})
	complete := wire.Message(nil, 'C', []byte("COPY 1\x00"))
	for name, texts := range map[string][]int{"in one text": {2}, "in two": {1, 1}} {
		r := newRig(t, Settings{}, nil)
		copying(t, r, texts[0])
		if err := r.c.FromServer(g); err != nil {
			t.Fatal(err)
		}
		if err := r.client(join(data, end)); err != nil { // the first ends, and the server has not said so yet
			t.Fatal(err)
		}
		if len(texts) > 1 {
			copying(t, r, texts[1])
		}
		if err := r.client(join(data, data, end)); err != nil {
			t.Fatal(err)
		}
		if got, want := strings.ReplaceAll(kinds([]byte(r.upstream())), "Q", ""), "dcddc"; got != want {
			t.Errorf("%s: upstream went %q, want %q", name, got, want)
		}
		answers := join(complete, g, complete, wire.ReadyForQuery(nil, 'I'))
		if len(texts) > 1 {
			answers = join(complete, wire.ReadyForQuery(nil, 'I'), g, complete, wire.ReadyForQuery(nil, 'I'))
		}
		if err := r.c.FromServer(answers); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if r.c.owe.len() != 0 {
			t.Errorf("%s: %d answers are still owed", name, r.c.owe.len())
		}
	}
}
