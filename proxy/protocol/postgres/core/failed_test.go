package core

import (
	"bytes"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

// failedBind is the server's answer to a Bind with a value that is none of its type.
var failedBind = (&wire.Error{Severity: "ERROR", Code: "22P02", Message: "invalid input syntax"}).Append(nil, 'E')

// asked feeds messages of the client, answering nothing, up to a question.
func (r *rig) asked(p []byte) *Ask {
	r.t.Helper()
	used, err := r.c.FromClient(p)
	if err != nil || used != len(p) || r.c.Question() == nil {
		r.t.Fatalf("%d of %d bytes were used, question %v, %v", used, len(p), r.c.Question(), err)
	}
	return r.c.Question()
}

// preparedRig has the statement "s" prepared and is idle.
func preparedRig(t *testing.T) *rig {
	t.Helper()
	r := newRig(t, Settings{}, nil)
	if err := r.client(join(wire.Parse(nil, "s", "select $1"), wire.Sync(nil))); err != nil {
		t.Fatal(err)
	}
	if err := r.c.FromServer(join(wire.Message(nil, '1'), wire.ReadyForQuery(nil, 'I'))); err != nil {
		t.Fatal(err)
	}
	r.upstream()
	r.c.ToClient = nil
	return r
}

// endsWell sends Sync and expects that the error of the server and its readiness are all that the client was told.
func (r *rig) endsWell() {
	r.t.Helper()
	if err := r.client(wire.Sync(nil)); err != nil {
		r.t.Fatal(err)
	}
	if err := r.c.FromServer(wire.ReadyForQuery(nil, 'I')); err != nil {
		r.t.Fatal(err)
	}
	if got := join(failedBind, wire.ReadyForQuery(nil, 'I')); !bytes.Equal(r.c.ToClient, got) {
		r.t.Errorf("the client saw %q", kinds(r.c.ToClient))
	}
	if !r.c.Idle() {
		r.t.Error("something is still owed")
	}
}

func TestAMessageThatIsBeingDecidedWhileTheServerFailsIsSkipped(t *testing.T) {
	for name, message := range map[string][]byte{
		"Execute": wire.Execute(nil, "", 0), "Parse": wire.Parse(nil, "", "select 2"),
		"a Parse that is denied": wire.Parse(nil, "", "select forbidden"), "Query": wire.Query(nil, "select 2"),
	} {
		t.Run(name, func(t *testing.T) {
			r := preparedRig(t)
			ask := r.asked(join(bind("", "s"), message))
			if err := r.c.FromServer(failedBind); err != nil {
				t.Fatal(err)
			}
			if err := r.c.Answer(r.answer(ask)); err != nil {
				t.Fatal(err)
			}
			if got := kinds([]byte(r.upstream())); got != "B" {
				t.Errorf("upstream went %q", got)
			}
			r.endsWell()
			events := r.r.Events()
			last := events[len(events)-1].Ended
			if want := access.OutcomeSkipped; ask.Text != "select forbidden" && (last == nil || last.Outcome != want) {
				t.Errorf("the recording ends with %+v, not with the outcome %q", events[len(events)-1], want)
			}
		})
	}
}

func TestABindThatIsPassingWhileTheServerFailsIsSkipped(t *testing.T) {
	second := bind("", "s")
	for cut := 1; cut < len(second); cut++ {
		r := preparedRig(t)
		if err := r.client(join(bind("", "s"), second[:cut])); err != nil {
			t.Fatal(err)
		}
		if err := r.c.FromServer(failedBind); err != nil {
			t.Fatal(err)
		}
		before := r.c.names.portals[""]
		if err := r.client(second[cut:]); err != nil {
			t.Fatal(err)
		}
		if r.c.names.portals[""] != before {
			t.Errorf("cut after %d bytes, a portal is taken to exist that the server never made", cut)
		}
		r.endsWell()
	}
}
