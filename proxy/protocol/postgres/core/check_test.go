package core

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/wire"
)

// guarded is a catalog in which customers (100) has a protected column, and orders (200) has none.
func guarded(version uint64, more ...catalog.Relation) *catalog.Snapshot {
	return catalog.New(version, catalog.Content{Relations: append([]catalog.Relation{
		{OID: 100, Schema: "public", Name: "customers", Kind: 'r', Columns: []catalog.Column{
			{Name: "name", Num: 1, TypeOID: 25}, {Name: "ssn", Num: 2, TypeOID: 25, Tags: []string{"pii/ssn"}},
		}},
		{OID: 200, Schema: "public", Name: "orders", Kind: 'r', Columns: []catalog.Column{{Name: "id", Num: 1, TypeOID: 23}, {Name: "note", Num: 2, TypeOID: 25}}},
	}, more...)})
}

// reading are facts of a SELECT that reads a relation without anything protected.
func reading(name string) analysis.Statement {
	st := analysis.Statement{ReturnsRows: true, Outputs: []analysis.Output{{}}}
	st.Kind = analysis.KindSelect
	st.Resources = []access.Resource{{Schema: "public", Name: name, Access: access.AccessRead}}
	return st
}

// allowed answers the open question with facts, under a catalog.
func (r *rig) allowed(cat *catalog.Snapshot, st analysis.Statement) {
	r.t.Helper()
	op := &access.Operation{Protocol: "postgres", Phase: access.PhaseRun, Text: r.c.Question().Text, Statements: st.Facts()}
	x, err := r.s.Begin(context.Background(), op)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.c.Answer(Answer{Exchange: x, Catalog: cat, Result: &analysis.Result{Statements: []analysis.Statement{st}}}); err != nil {
		r.t.Fatal(err)
	}
}

// described is a RowDescription of one text column of that origin.
func described(relation uint32, attribute int16) []byte {
	body := []byte{0, 1, 'x', 0}
	body = append(body, byte(relation>>24), byte(relation>>16), byte(relation>>8), byte(relation), byte(attribute>>8), byte(attribute))
	return wire.Message(nil, 'T', append(body, 0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0))
}

var (
	secretRow  = wire.Message(nil, 'D', []byte("\x00\x01\x00\x00\x00\x06secret"))
	oneRowDone = wire.Message(nil, 'C', []byte("SELECT 1\x00"))
)

func TestRowsWaitUntilTheDefinitionsAreKnownToBeTheSame(t *testing.T) {
	for name, same := range map[string]bool{"the same": true, "changed": false} {
		r := newRig(t, Settings{}, guarded(1))
		r.asked(wire.Query(nil, "select upper(note) from orders"))
		r.allowed(guarded(1), reading("orders"))
		answer := join(described(0, 0), secretRow, oneRowDone, wire.ReadyForQuery(nil, 'I'))
		for _, b := range answer { // however the bytes come
			if err := r.c.FromServer([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		check := r.c.Check()
		if got := kinds(r.c.ToClient); check == nil || !check.Exact || got != "T" {
			t.Fatalf("%s: the client saw %q, and the question is %+v", name, got, check)
		}
		if err := r.c.Checked(same, same); err != nil {
			t.Fatal(err)
		}
		want := map[bool]string{true: "TDCZ", false: "TEZ"}[same]
		if got := kinds(r.c.ToClient); got != want || !same && bytes.Contains(r.c.ToClient, []byte("secret")) {
			t.Errorf("%s: the client saw %q instead of %q", name, got, want)
		}
		if !same && !bytes.Contains(r.c.ToClient, []byte("40001")) {
			t.Errorf("%s: %q", name, r.c.ToClient)
		}
	}
}

func TestAnErrorThatCouldQuoteAValueWaitsToo(t *testing.T) {
	r := newRig(t, Settings{}, guarded(1))
	r.asked(wire.Query(nil, "select note::int from orders"))
	r.allowed(guarded(1), reading("orders"))
	failure := (&wire.Error{Severity: "ERROR", Code: "22P02", Message: `invalid input syntax for type integer: "secret"`}).Append(nil, 'E')
	if err := r.c.FromServer(join(failure, wire.ReadyForQuery(nil, 'I'))); err != nil || r.c.Check() == nil || len(r.c.ToClient) > 0 {
		t.Fatalf("%v, %q", err, r.c.ToClient)
	}
	if err := r.c.Checked(false, false); err != nil {
		t.Fatal(err)
	}
	if got := kinds(r.c.ToClient); got != "EZ" || bytes.Contains(r.c.ToClient, []byte("secret")) {
		t.Errorf("the client saw %q", r.c.ToClient)
	}
}

func TestOnlyWhatMayHaveAnotherMeaningIsLookedAtExactly(t *testing.T) {
	heir := catalog.Relation{OID: 300, Schema: "public", Name: "heir", Kind: 'r', Columns: []catalog.Column{
		{Name: "id", Num: 1, TypeOID: 23}, {Name: "note", Num: 2, TypeOID: 25, Tags: []string{"pii/ssn"}},
	}}
	view := catalog.Relation{OID: 400, Schema: "public", Name: "v", Kind: 'v', Columns: []catalog.Column{{Name: "x", Num: 1, TypeOID: 25}}}
	for name, test := range map[string]struct {
		cat    *catalog.Snapshot
		st     analysis.Statement
		fields []byte
		want   string
	}{
		"a column of a table":          {guarded(1), reading("orders"), described(200, 2), "recent"},
		"one that may become a parent": {guarded(1, heir), reading("orders"), described(200, 2), "exact"},
		"an expression":                {guarded(1), reading("orders"), described(0, 0), "exact"},
		"a view's column":              {guarded(1, view), reading("v"), described(400, 1), "exact"},
		"a table of another name":      {guarded(1), reading("shipments"), described(200, 2), "exact"},
		"a relation that is not known": {guarded(1), reading("orders"), described(999, 1), "exact"},
		"nothing of the database":      {guarded(1), analysis.Statement{Statement: access.Statement{Kind: analysis.KindSelect}, ReturnsRows: true}, described(0, 0), "none"},
		"where nothing is protected":   {catalog.New(1, catalog.Content{}), reading("orders"), described(0, 0), "none"},
		"a pattern that fits nothing yet": {func() *catalog.Snapshot {
			s := catalog.New(1, catalog.Content{})
			s.Unmatched = []string{"*.*.ssn"}
			return s
		}(), reading("orders"), described(0, 0), "exact"},
	} {
		r := newRig(t, Settings{}, test.cat)
		r.asked(wire.Query(nil, "select"))
		r.allowed(test.cat, test.st)
		if err := r.c.FromServer(join(test.fields, secretRow)); err != nil {
			t.Fatal(err)
		}
		got := "none"
		if check := r.c.Check(); check != nil {
			got = map[bool]string{true: "exact", false: "recent"}[check.Exact]
		}
		if got != test.want {
			t.Errorf("%s: %s instead of %s", name, got, test.want)
		}
	}
}

// TestAStatementPreparedBeforeAShadowCountsAsWhatItWas: the server goes on reading public.customers, since nothing has happened to
// that, while the name now means another table.
func TestAStatementPreparedBeforeAShadowCountsAsWhatItWas(t *testing.T) {
	before := guarded(1)
	shadow := catalog.Relation{OID: 500, Schema: "early", Name: "customers", Kind: 'r', Columns: []catalog.Column{{Name: "ssn", Num: 1, TypeOID: 25}}}
	protected := reading("customers")
	protected.Touches, protected.Derived, protected.Outputs = true, []string{"pii/ssn"}, []analysis.Output{{Tags: []string{"pii/ssn"}, Derived: true}}
	r := newRig(t, Settings{}, before)
	r.asked(wire.Parse(nil, "s", "select upper(ssn) from customers"))
	r.allowed(before, protected)
	if err := r.client(wire.Sync(nil)); err != nil {
		t.Fatal(err)
	}
	if err := r.c.FromServer(join(wire.Message(nil, '1'), wire.ReadyForQuery(nil, 'I'))); err != nil {
		t.Fatal(err)
	}
	r.c.ToClient = nil
	r.asked(join(bind("", "s"), wire.Execute(nil, "", 0)))
	r.allowed(guarded(2, shadow), reading("customers")) // what the text means now: nothing protected
	if err := r.client(wire.Sync(nil)); err != nil {
		t.Fatal(err)
	}
	up := kinds([]byte(r.upstream()))
	answers := join(wire.Message(nil, '2'), described(0, 0), secretRow)
	if !strings.Contains(up, "DE") {
		t.Fatalf("upstream went %q, without a Describe", up)
	}
	if err := r.c.FromServer(answers); err != nil {
		t.Fatal(err)
	}
	if r.c.Check() != nil {
		if err := r.c.Checked(true, true); err != nil {
			t.Fatal(err)
		}
	}
	if bytes.Contains(r.c.ToClient, []byte("secret")) {
		t.Errorf("the client saw %q", r.c.ToClient)
	}
}

// TestACursorWithHoldIsLookedAtWhenItIsMadeAndWhenItHasRead: a look at what is fetched of it says nothing of what it has read.
func TestACursorWithHoldIsLookedAtWhenItIsMadeAndWhenItHasRead(t *testing.T) {
	for name, test := range map[string]struct{ made, read, inPieces, shown bool }{
		"nothing has changed":               {made: true, read: true, shown: true},
		"something had when it was made":    {read: true},
		"something had when it was read":    {made: true},
		"the end of it comes in two pieces": {made: true, read: true, inPieces: true},
	} {
		r := newRig(t, Settings{}, guarded(1))
		inner := reading("orders")
		declare := analysis.Statement{Effects: []analysis.Effect{{Kind: analysis.DeclareCursor, Name: "h", Statement: &inner, Hold: true}}}
		declare.Kind = analysis.KindSelect
		r.asked(wire.Query(nil, "declare h cursor with hold for select upper(note) from orders"))
		r.allowed(guarded(1), declare)
		if err := r.c.FromServer(wire.Message(nil, 'C', []byte("DECLARE CURSOR\x00"))); err != nil || r.c.Check() == nil || len(r.c.ToClient) > 0 {
			t.Fatalf("%s: %v, %+v, %q", name, err, r.c.Check(), r.c.ToClient)
		}
		if err := r.c.Checked(test.made, test.made); err != nil {
			t.Fatal(err)
		}
		ready := wire.ReadyForQuery(nil, 'I')
		if test.inPieces {
			if err := r.c.FromServer(ready[:1]); err != nil {
				t.Fatal(err)
			}
			ready = ready[1:]
		}
		if err := r.c.FromServer(ready); err != nil {
			t.Fatal(err)
		}
		if got := r.c.Check() != nil; got != (test.made && !test.inPieces) {
			t.Errorf("%s: looked at when it has read: %v", name, got)
		} else if got {
			if err := r.c.Checked(test.read, test.read); err != nil {
				t.Fatal(err)
			}
		}
		if got := kinds(r.c.ToClient); got != "CZ" {
			t.Fatalf("%s: the client saw %q", name, got)
		}
		r.c.ToClient = nil
		r.asked(wire.Query(nil, "fetch all from h"))
		r.c.Question().Session.Cursor("h")
		r.allowed(guarded(1), inner)
		if err := r.c.FromServer(join(described(0, 0), secretRow)); err != nil {
			t.Fatal(err)
		}
		if r.c.Check() != nil {
			if err := r.c.Checked(true, true); err != nil {
				t.Fatal(err)
			}
		}
		if got := bytes.Contains(r.c.ToClient, []byte("secret")); got != test.shown {
			t.Errorf("%s: the client saw %q", name, r.c.ToClient)
		}
	}
}
