package core

import (
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

// What fails or succeeds is told when the client may be statements ahead: it must
// not change what is known of the later ones.

func (r *rig) feed(p ...[]byte) {
	r.t.Helper()
	if err := r.client(join(p...)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) server(p ...[]byte) {
	r.t.Helper()
	if err := r.c.FromServer(join(p...)); err != nil {
		r.t.Fatal(err)
	}
}

func texts(all []*prepared) (out []string) {
	for _, p := range all {
		out = append(out, p.text)
	}
	return out
}

func (r *rig) runs(portal string, want ...string) {
	r.t.Helper()
	p := r.c.names.portal(portal)
	if p == nil {
		r.t.Fatalf("there is no portal %q", portal)
	}
	if got := texts(p.of); len(got) != len(want) || len(want) > 0 && got[0] != want[0] {
		r.t.Errorf("portal %q counts as one of %q, want %q", portal, got, want)
	}
}

var (
	sync   = wire.Sync(nil)
	failed = (&wire.Error{Severity: "ERROR", Code: "42P01", Message: "no"}).Append(nil, 'E')
	parsed = wire.Message(nil, '1')
	bound  = wire.Message(nil, '2')
	ready  = wire.ReadyForQuery(nil, 'I')
)

func TestALateFailureOfAParseLeavesALaterParseAlone(t *testing.T) {
	for _, name := range []string{"", "s"} {
		r := newRig(t, Settings{}, nil)
		r.feed(wire.Parse(nil, name, "harmless"), sync)
		r.server(parsed, ready)
		if name != "" {
			r.feed(wire.Message(nil, 'C', []byte("S"+name+"\x00")), sync)
			r.server(wire.Message(nil, '3'), ready)
		}
		r.feed(wire.Parse(nil, name, "fails"), sync, wire.Parse(nil, name, "sensitive"))
		r.server(failed, ready)
		r.feed(bind("", name))
		r.runs("", "sensitive")
	}
}

func TestAParseThatIsSkippedDoesNotHideWhatTheNameStoodFor(t *testing.T) {
	r := newRig(t, Settings{}, nil)
	r.feed(wire.Parse(nil, "", "sensitive"), sync)
	r.server(parsed, ready)
	r.feed(wire.Parse(nil, "t", "fails"), wire.Parse(nil, "", "harmless"), sync, bind("", "")) // the Bind does not wait for the group before
	r.runs("", "sensitive", "harmless")
	r.server(failed, ready)
	r.feed(bind("p", ""))
	r.runs("p", "sensitive")
}

func TestALateFailureOfABindLeavesALaterBindAlone(t *testing.T) {
	r := newRig(t, Settings{}, nil)
	r.feed(wire.Parse(nil, "h", "harmless"), wire.Parse(nil, "s", "sensitive"), bind("", "h"), sync)
	r.server(parsed, parsed, bound, wire.ReadyForQuery(nil, 'T'))
	r.feed(wire.Parse(nil, "t", "fails"), bind("", "h"), sync, bind("", "s"))
	r.server(failed, wire.ReadyForQuery(nil, 'E'))
	r.runs("", "sensitive")
	r.feed(sync)
	r.runs("", "sensitive", "harmless") // until the server has said that it is the one
	r.server(bound, wire.ReadyForQuery(nil, 'T'))
	r.runs("", "sensitive")
}

func TestARefusedNameGivesWayToAPortalThatIsGone(t *testing.T) {
	r := newRig(t, Settings{}, nil)
	r.feed(wire.Parse(nil, "", "fetch"), bind("", ""), sync)
	if _, err := r.c.FromClient(wire.Execute(nil, "", 0)); err != nil {
		t.Fatal(err)
	}
	noCursor := &wire.Error{Severity: "ERROR", Code: "34000", Message: "no cursor"}
	if err := r.c.Answer(Answer{Error: noCursor, Absent: true}); err != nil {
		t.Fatal(err)
	}
	r.feed(sync)
	if got, want := kinds([]byte(r.upstream())), "PBSDPS"; got != want {
		t.Fatalf("upstream went %q, want %q", got, want)
	}
	e := wire.Error{Severity: "ERROR", Code: "34000", Message: "no portal"}
	noPortal := e.Append(nil, 'E')
	e.Extra = []wire.ErrorField{{Type: 'R', Value: "exec_describe_portal_message"}} // of a message that the client has not sent
	r.server(parsed, bound, ready, e.Append(nil, 'E'), ready)
	if want := string(join(parsed, bound, ready, noPortal, ready)); string(r.c.ToClient) != want {
		t.Errorf("the client saw %q, want %q", r.c.ToClient, want)
	}
}

func TestACloseCountsOnceTheServerHasAnsweredIt(t *testing.T) {
	r := newRig(t, Settings{}, nil)
	r.feed(wire.Parse(nil, "s", "sensitive"), sync)
	r.server(parsed, ready)
	closeStatement := wire.Message(nil, 'C', []byte("Ss\x00"))
	known := func(want int) {
		t.Helper()
		if got := len(r.c.names.known("s")); got != want {
			t.Errorf("s may be %d statements, want %d", got, want)
		}
	}
	r.feed(wire.Parse(nil, "t", "fails"), closeStatement)
	known(0) // whatever follows in this group is skipped with the Close
	r.feed(sync)
	known(1) // the Close may be skipped
	r.server(failed, ready)
	known(1)
	r.feed(closeStatement, sync)
	known(1)
	r.server(wire.Message(nil, '3'), ready)
	known(0)
}
