// Package index is what is known of a session without reading its recording: who, when, how much, which tables and tags. There is
// one entry for each session in the store, by which sessions are found.
//
// It must not know where entries are kept.
package index

import (
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/recording"
)

// MaxNames is how many names an entry has of each sort; Entry.More says that there were others.
const MaxNames = 256

// Entry is what is known of one session.
type Entry struct {
	Session        string    `json:"session"`
	DataSource     string    `json:"dataSource"` // namespace/name
	Namespace      string    `json:"namespace"`  // of the pod, and so on, as the operator knows it
	Pod            string    `json:"pod"`
	UID            string    `json:"uid"`
	ServiceAccount string    `json:"serviceAccount"`
	Process        string    `json:"process,omitempty"` // the command, where it is known
	User           string    `json:"user,omitempty"`    // of the database, as the client named it
	Database       string    `json:"database,omitempty"`
	Application    string    `json:"application,omitempty"` // as the client called itself
	Began          time.Time `json:"began"`
	Last           time.Time `json:"last"`          // the last event
	End            string    `json:"end,omitempty"` // recording.End; empty while it goes on
	Reason         string    `json:"reason,omitempty"`

	Statements int64 `json:"statements"`
	Denied     int64 `json:"denied"`
	Held       int64 `json:"held"`
	Masked     int64 `json:"masked"` // values
	Rows       int64 `json:"rows"`
	Bytes      int64 `json:"bytes"`
	Alarms     int64 `json:"alarms"`

	// Tables, Tags, Rules and Kinds are those of its statements, each at most MaxNames, in their order.
	Tables []string `json:"tables,omitempty"`
	Tags   []string `json:"tags,omitempty"`
	Rules  []string `json:"rules,omitempty"` // policy/rule
	Kinds  []string `json:"kinds,omitempty"`
	More   bool     `json:"more,omitempty"`

	// Segments is how many the store has, and Chain the hash of the last record in them.
	Segments uint64         `json:"segments"`
	Chain    recording.Hash `json:"chain"`
}

// Add takes an event of the session into account.
func (e *Entry) Add(ev *access.Event) {
	if e.Began.IsZero() {
		e.Began = ev.Time
	}
	e.Last = ev.Time
	switch {
	case ev.Decided != nil:
		e.decided(ev.Decided)
	case ev.Kind == access.EventHeld:
		e.Held++
	case ev.Ended != nil:
		e.Rows += ev.Ended.Rows
		e.Bytes += ev.Ended.Bytes
		e.Masked += ev.Ended.Masked
	case ev.Kind == access.EventDisagreed:
		e.Alarms++
	}
}

func (e *Entry) decided(d *access.Decided) {
	e.Statements++
	if d.Effect == "Deny" {
		e.Denied++
	}
	for _, r := range d.Resources {
		if _, table, ok := strings.Cut(r, " "); ok {
			e.add(&e.Tables, table)
		}
	}
	for _, t := range d.Tags {
		e.add(&e.Tags, t)
	}
	for _, k := range d.Kinds {
		e.add(&e.Kinds, k)
	}
	if d.Rule != "" {
		e.add(&e.Rules, d.Policy+"/"+d.Rule)
	}
}

func (e *Entry) add(to *[]string, name string) {
	at, there := slices.BinarySearch(*to, name)
	switch {
	case there:
	case len(*to) >= MaxNames:
		e.More = true
	default:
		*to = slices.Insert(*to, at, name)
	}
}
