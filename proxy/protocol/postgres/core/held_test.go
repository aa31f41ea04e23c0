package core

import (
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

// A notice may come at any time between messages, and never within one.
func TestANoticeWaitsForTheEndOfAMessageThatIsHalfWritten(t *testing.T) {
	r := newRig(t, Settings{}, nil)
	if err := r.client(wire.Query(nil, "select 1")); err != nil {
		t.Fatal(err)
	}
	notice := &wire.Error{Severity: "NOTICE", Code: "00000", Message: "held"}
	value := strings.Repeat("x", 100)
	row, at := wire.Begin(nil, 'D')
	row = append(row, 0, 1, 0, 0, 0, 100)
	row = wire.Finish(append(row, value...), at)
	description := wire.Message(nil, 'T', append([]byte{0, 1}, append([]byte("v\x00"), make([]byte, 18)...)...))
	for _, step := range []struct {
		server []byte
		notice bool
		want   string // what the client has got by then, whole messages only
	}{
		{server: description, want: "T"},
		{notice: true, want: "TN"},
		{server: row[:40], notice: true, want: "TN"},
		{server: row[40:80], want: "TN"},
		{server: row[80:], want: "TNDN"},
		{server: wire.Message(nil, 'C', []byte("SELECT 1\x00")), notice: true, want: "TNDNCN"},
	} {
		if err := r.c.FromServer(step.server); err != nil {
			t.Fatal(err)
		}
		if step.notice {
			r.c.Notice(notice)
		}
		if out := whole(r.c.ToClient); out != step.want {
			t.Errorf("after %d bytes: the client has got %q, want %q", len(step.server), out, step.want)
		}
	}
}

// whole returns the types of the whole messages in p, up to one that is not.
func whole(p []byte) string {
	var out []byte
	for len(p) >= wire.HeaderSize {
		size := 1 + (int(p[1])<<24 | int(p[2])<<16 | int(p[3])<<8 | int(p[4]))
		if size > len(p) {
			break
		}
		out = append(out, p[0])
		p = p[size:]
	}
	return string(out)
}

// An answer that the server keeps back keeps an exchange open, for which other
// connections may have to wait.
func TestAHeldExecuteFetchesTheAnswersBeforeIt(t *testing.T) {
	r := newRig(t, Settings{}, nil)
	if err := r.client(join(wire.Parse(nil, "", "select 1"), bind("", ""))); err != nil {
		t.Fatal(err)
	}
	if _, err := r.c.FromClient(wire.Execute(nil, "", 0)); err != nil || r.c.Question() == nil {
		t.Fatalf("no question, %v", err)
	}
	r.upstream()
	if r.c.Running() || r.c.InTransaction() {
		t.Error("a statement that was only prepared counts as one that runs")
	}
	if err := r.c.Hold(); err != nil {
		t.Fatal(err)
	}
	if got := kinds([]byte(r.upstream())); got != "H" {
		t.Errorf("the server got %q, want a Flush", got)
	}
	if a := r.c.Again(); a == nil || a.Text != "select 1" {
		t.Errorf("the question is %+v", a)
	}
	if err := r.c.Answer(r.answer(r.c.Question())); err != nil {
		t.Fatal(err)
	}
	if got := kinds([]byte(r.upstream())); got != "E" || !r.c.Running() || !r.c.InTransaction() {
		t.Errorf("the server got %q; running %v", got, r.c.Running())
	}
}
